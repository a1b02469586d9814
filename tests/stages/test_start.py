"""What every stage sets before it imports anything."""

import gc

import stages


def test_imports_are_not_held_up_by_looking_for_garbage():
    assert gc.get_threshold()[0] >= 10_000, stages.__doc__
