"""What the section `probe` chooses, and what it says of names that do not exist."""

import numpy as np
import pytest

from signbridge.core.errors import SignBridgeError
from signbridge.core.groups import Groups
from signbridge.core.params import section
from signbridge.probing.settings import (
    ProbeParams,
    chosen_positions,
    chosen_protocols,
    chosen_sites,
    places,
    splits_of,
)

GROUPED = {"by": "auto", "folds": 3, "repeats": 2, "inner_folds": 2, "C": [0.1]}
AVAILABLE = ["pixels", "vision", "projector", "embedding", "layer_00", "layer_01", "layer_02"]


@pytest.fixture
def params(workspace):
    def changed(**values) -> ProbeParams:
        workspace.set(**{f"probe__{key}": value for key, value in values.items()})
        return section("probe", ProbeParams)

    return changed


def test_the_committed_params_choose_every_site_in_order_of_depth(params):
    assert chosen_sites(params(), AVAILABLE) == AVAILABLE


def test_sites_come_in_order_of_depth_whatever_the_order_of_the_params(params):
    chosen = params(sites=["vision", "pixels"], layers=[2, 0])
    assert chosen_sites(chosen, AVAILABLE) == ["pixels", "vision", "layer_00", "layer_02"]


def test_sites_without_tokens_are_probed_at_their_only_position(params):
    chosen = params(positions=["answer_last", "prompt_last"])
    assert chosen_positions(chosen, "pixels") == ["flat"]
    assert chosen_positions(chosen, "vision") == ["image_mean"]
    assert chosen_positions(chosen, "layer_01") == ["prompt_last", "answer_last"]


def test_memory_is_named_in_gib_and_counted_in_bytes(params):
    assert params(memory_gib=0.5).memory_bytes == 2**29


def test_places_are_every_site_at_every_position_in_order_of_depth(params):
    chosen = params(sites=["embedding", "pixels"], layers=[1], positions=["image_mean", "prompt_last"])
    assert places(chosen, AVAILABLE) == [
        ("pixels", "flat"),
        ("embedding", "prompt_last"),
        ("embedding", "image_mean"),
        ("layer_01", "prompt_last"),
        ("layer_01", "image_mean"),
    ]


def test_the_splits_are_those_of_the_protocols_that_were_asked_for_the_notebooks_first(params):
    labels, photos = np.repeat(list("ABC"), 10), np.arange(30) // 2
    both = splits_of(
        params(protocols=["grouped", "signbridge"], grouped=GROUPED), labels, Groups("photo", photos), seed=0
    )
    assert [split.protocol for split in both] == ["signbridge"] + ["grouped"] * 6
    assert {len(split.inner) for split in both[1:]} == {2}
    assert both[0].inner == ()
    alone = splits_of(params(protocols=["signbridge"]), labels, Groups("photo", photos), seed=0)
    assert [split.protocol for split in alone] == ["signbridge"]


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"protocols": ["groupd"]}, "protocols: no 'groupd'. There are: signbridge, grouped."),
        ({"sites": ["pixel"]}, "sites: no 'pixel'. There are: pixels, vision, projector, embedding."),
        ({"layers": [1, 3]}, "layers: no layer 3. The model has 3: 0 to 2, or `all`."),
        ({"layers": [-1]}, "layers: no layer -1. The model has 3: 0 to 2, or `all`."),
        (
            {"positions": ["last"]},
            "positions: no 'last'. There are: prompt_last, answer_last, image_mean.",
        ),
        ({"sites": [], "layers": []}, "both empty"),
        ({"layers": "some"}, "layers"),
        ({"signbridge": {"test_size": 0.2, "C": 0.0}}, "greater than 0"),
        ({"signbridge": {"test_size": 1.0, "C": 1.0}}, "less than 1"),
        ({"grouped": {**GROUPED, "folds": 1}}, "greater than or equal to 2"),
        ({"grouped": {**GROUPED, "inner_folds": 1}}, "greater than or equal to 2"),
        ({"grouped": {**GROUPED, "C": []}}, "at least 1"),
        ({"grouped": {**GROUPED, "C": [0.1, -1.0]}}, "greater than 0"),
        ({"description_length": {"orders": 0}}, "greater than or equal to 1"),
        ({"memory_gib": 0.0}, "greater than 0"),
    ],
)
def test_a_name_that_does_not_exist_is_refused_with_those_that_do(params, values, message):
    with pytest.raises(SignBridgeError) as refused:  # noqa: PT012  either step may refuse
        chosen = params(**values)
        chosen_protocols(chosen)
        for site in chosen_sites(chosen, AVAILABLE):
            chosen_positions(chosen, site)
    assert message in str(refused.value)
    assert f"probe.{next(iter(values))}" in str(refused.value)
