"""The stream that autoencoders are trained on: what is dealt and read, how it is shuffled, and how it goes on."""

import numpy as np
import pytest

from signbridge.core.shards import Shard
from signbridge.sae.passages import Deck, Passage
from signbridge.sae.token_stream import PASSAGES_TOGETHER, ModelTokens, ShuffledTokens
from tests.sae.conftest import SITES, NumberedTokens, numbers_of

IMAGES = [Passage("an image", b"") for _ in range(5)]
TEXTS = [Passage(f"text {number}") for number in range(7)]


class OnePerPassage:
    """Reads no model: ten tokens for each image and one for each text."""

    def __init__(self):
        self.read_passages = []

    def read(self, passages: list[Passage]) -> Shard:
        self.read_passages += passages
        is_image = np.concatenate([np.full(10 if passage.png is not None else 1, passage.png is not None)
                                   for passage in passages])  # fmt: skip
        vectors = {site: np.zeros((len(is_image), 2), np.float32) for site in SITES}
        return Shard({**vectors, "is_image": is_image}, [])


@pytest.fixture
def reader() -> OnePerPassage:
    return OnePerPassage()


def drawn(stream: ShuffledTokens, batches: int) -> list[np.ndarray]:
    return [numbers_of(next(stream)) for _ in range(batches)]


def test_each_item_is_dealt_once_a_round_in_another_order_each():
    deck = Deck("abcdefgh", [0])
    rounds = ["".join(deck.deal(8 * turn, 8)) for turn in range(3)]
    assert [sorted(dealt) for dealt in rounds] == [list("abcdefgh")] * 3
    assert len({*rounds, "abcdefgh"}) == 4
    assert "".join(deck.deal(5, 10)) == "".join(rounds)[5:15], "from anywhere, across rounds"
    assert "".join(Deck("abcdefgh", [1]).deal(0, 8)) != rounds[0], "the seed makes the order"


@pytest.mark.parametrize("share", [0.0, 0.3, 1.0])
def test_the_share_of_tokens_of_texts_alone_is_as_wanted(reader, share):
    source = ModelTokens(reader.read, IMAGES, TEXTS, share, seed=0)
    is_image = np.concatenate([source.more().is_image.numpy() for _ in range(60)])
    assert abs((~is_image).mean() - share) < PASSAGES_TOGETHER * 10 / len(is_image)


def test_without_texts_or_without_images_the_others_are_all(reader):
    assert ModelTokens(reader.read, IMAGES, [], 0.5, seed=0).more().is_image.all()
    assert not ModelTokens(reader.read, [], TEXTS, 0.5, seed=0).more().is_image.any()


def test_a_source_goes_on_from_its_position(reader):
    whole = ModelTokens(reader.read, IMAGES, TEXTS, 0.3, seed=0)
    for _ in range(3):
        whole.more()
    position = whole.position
    reader.read_passages.clear()
    whole.more()
    expected = list(reader.read_passages)
    reader.read_passages.clear()
    again = ModelTokens(reader.read, IMAGES, TEXTS, 0.3, seed=0)
    again.position = position
    again.more()
    assert reader.read_passages == expected


def test_no_token_is_lost_or_drawn_twice_and_flags_stay_with_their_vectors():
    stream = ShuffledTokens(NumberedTokens(), buffer=200, batch=30, seed=0)
    numbers = np.concatenate(drawn(stream, 50))
    assert len(set(numbers)) == len(numbers) == 1500
    waiting = numbers_of(stream.state.waiting)
    assert sorted([*numbers, *waiting]) == list(range(len(numbers) + len(waiting)))


def test_batches_are_shuffled_over_the_buffer_and_the_buffer_stays_at_least_half_full():
    stream = ShuffledTokens(NumberedTokens(), buffer=700, batch=50, seed=0)
    for place, numbers in enumerate(drawn(stream, 30)):
        assert stream.state.waiting.count >= 350
        assert stream.state.waiting.count <= 700 + 70
        assert (np.diff(numbers) < 0).mean() > 0.3, "in no order"
        assert np.ptp(numbers) > 300, f"batch {place} is from one read"


def test_the_seed_makes_the_batches():
    first, again, other = (
        np.concatenate(drawn(ShuffledTokens(NumberedTokens(), 200, 30, seed), 20)) for seed in (0, 0, 1)
    )
    np.testing.assert_array_equal(first, again)
    assert (first != other).any()


@pytest.mark.parametrize("done", [1, 3, 4, 11])
def test_a_stream_goes_on_from_its_state(done):
    unbroken = ShuffledTokens(NumberedTokens(), 200, 30, seed=0)
    drawn(unbroken, done)
    state = unbroken.state
    expected = drawn(unbroken, 20)
    resumed = ShuffledTokens(NumberedTokens(), 200, 30, seed=0)
    resumed.go_to(state)
    np.testing.assert_array_equal(drawn(resumed, 20), expected)


def test_a_buffer_that_holds_one_batch_alone_gives_batches():
    assert [len(numbers) for numbers in drawn(ShuffledTokens(NumberedTokens(7), 30, 30, 0), 5)] == [30] * 5


def test_the_mean_length_is_that_of_the_first_buffer():
    stream = ShuffledTokens(NumberedTokens(), 140, 30, seed=0)
    (width, norm), (twice_as_wide, twice) = stream.widths_and_norms().values()
    assert (width, twice_as_wide) == (1, 2)
    assert norm == pytest.approx(np.arange(140).mean())
    assert twice == pytest.approx(norm * 2**0.5)
