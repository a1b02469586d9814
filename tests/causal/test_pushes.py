"""Pushes of the stream: what is added, what is held, and that nothing else is touched."""

import pytest
import torch

from signbridge.causal.pushes import (
    Clamped,
    Pushes,
    joined,
    with_pushes,
)

WIDTH, FEATURES = 6, 4
BIAS = torch.linspace(-1, 1, WIDTH)  # of the decoder


class Orthogonal:
    """ReLU features along orthogonal directions of length 1, so that none reads what is done to another."""

    def __init__(self):
        torch.manual_seed(0)
        self.W_dec = torch.linalg.qr(torch.randn(WIDTH, WIDTH)).Q[:FEATURES]

    def encode(self, x: torch.Tensor) -> torch.Tensor:
        assert x.dtype == torch.float32, "features are told in full precision"
        return (x @ self.W_dec.T).relu()

    def decode(self, feature_acts: torch.Tensor) -> torch.Tensor:
        return feature_acts @ self.W_dec + BIAS


ENCODER = Orthogonal()


def five(clamped: bool = True) -> Pushes:
    """Five pushes, of which the second and the last hold a feature, the last in what is decoded."""
    features, decoded = torch.tensor([-1, 2, -1, -1, 0]), torch.tensor([False] * 4 + [True])
    added = torch.arange(5 * WIDTH, dtype=torch.float32).view(5, WIDTH)
    return Pushes(added, Clamped(ENCODER, features, decoded) if clamped else None)


def holding(feature: int, value: float, decoded: bool = False) -> Pushes:
    """A single push that holds a feature at a value."""
    return Pushes(
        value * ENCODER.W_dec[None, feature], Clamped(ENCODER, torch.tensor([feature]), torch.tensor([decoded]))
    )


def of_each(pushes: Pushes) -> list[tuple[list[float], int | None, bool]]:
    """Every push with the feature that it holds, and whether in what is decoded."""
    held, decoded = [None] * len(pushes.added), [False] * len(pushes.added)
    if pushes.clamped is not None:
        held, decoded = pushes.clamped.features.tolist(), pushes.clamped.decoded.tolist()
    return list(zip(pushes.added.tolist(), held, decoded, strict=True))


def test_split_keeps_every_clamp_with_its_push():
    parts = five().split(2)
    assert [len(part.added) for part in parts] == [2, 2, 1]
    assert [one for part in parts for one in of_each(part)] == of_each(five())
    assert all(part.clamped.encoder is ENCODER for part in parts)
    assert [part.clamped for part in five(clamped=False).split(2)] == [None] * 3


def test_joined_are_the_pushes_in_the_order_given():
    parts = five().split(2)
    expected = [*of_each(parts[2]), *of_each(parts[0])]
    assert of_each(joined([parts[2], parts[0]])) == expected
    assert of_each(joined(five().split(1))) == of_each(five())
    assert of_each(joined(five(clamped=False).split(2))) == of_each(five(clamped=False))


def test_for_each_of_several_prompts_a_push_comes_as_often_with_its_clamp():
    expected = [one for one in of_each(five()) for _ in range(3)]
    assert of_each(five().for_each_of(3)) == expected
    assert of_each(five().for_each_of(1)) == of_each(five())
    assert five(clamped=False).for_each_of(3).clamped is None


def stream(rows: int, tokens: int, dtype: torch.dtype = torch.float32) -> torch.Tensor:
    return torch.randn(rows, tokens, WIDTH, generator=torch.Generator().manual_seed(1)).to(dtype)


def test_a_push_without_a_clamp_is_added_to_every_token_and_leaves_the_stream_given_alone():
    given, pushes = stream(5, 3), five(clamped=False)
    before = given.clone()
    torch.testing.assert_close(pushes.onto(given), before + pushes.added[:, None])
    assert torch.equal(given, before)


def test_a_row_without_a_clamp_is_pushed_as_if_there_were_none():
    given = stream(5, 3)
    clamped, plain = five().onto(given), five(clamped=False).onto(given)
    assert torch.equal(clamped[[0, 2, 3]], plain[[0, 2, 3]])
    assert not torch.allclose(clamped[[1, 4]], plain[[1, 4]])


@pytest.mark.parametrize("value", [0.0, 0.25, 7.0])
def test_a_clamp_holds_a_feature_at_its_value_whatever_it_was_and_no_other(value):
    amounts = torch.rand(1, 50, FEATURES, generator=torch.Generator().manual_seed(2)) * 10
    amounts[0, 0] = 0
    given = amounts @ ENCODER.W_dec + 3 * torch.ones(WIDTH) @ (torch.eye(WIDTH) - ENCODER.W_dec.T @ ENCODER.W_dec)
    held = holding(2, value).onto(given)
    found = ENCODER.encode(held)
    torch.testing.assert_close(found[..., 2], torch.full((1, 50), value), atol=1e-5, rtol=0)
    rest = [0, 1, 3]
    torch.testing.assert_close(found[..., rest], amounts[..., rest], atol=1e-5, rtol=0)
    torch.testing.assert_close(held - given, (value - amounts[..., 2, None]) * ENCODER.W_dec[2], atol=1e-5, rtol=0)


def test_a_feature_that_is_silent_gives_nothing_up():
    """Below its threshold nothing is there to be taken out: the value alone is added."""
    given = -5 * ENCODER.W_dec[None, 2:3]
    held = holding(2, 3.0).onto(given)
    torch.testing.assert_close(held, -2 * ENCODER.W_dec[None, 2:3])


@pytest.mark.parametrize("value", [0.0, 0.25, 7.0])
def test_a_clamp_in_what_is_decoded_is_the_decoding_of_the_features_with_the_one_set(value):
    given = 3 * stream(1, 50)
    before = given.clone()
    features = ENCODER.encode(given)
    assert (features[..., 2] > 0).any()
    assert (features[..., 2] == 0).any()
    features[..., 2] = value
    found = holding(2, value, decoded=True).onto(given)
    torch.testing.assert_close(found, ENCODER.decode(features), atol=1e-5, rtol=0)
    assert torch.equal(given, before)


def test_what_the_autoencoder_does_not_explain_is_lost_in_what_is_decoded_and_kept_elsewhere():
    unexplained = torch.eye(WIDTH) - ENCODER.W_dec.T @ ENCODER.W_dec
    given = stream(1, 5)
    rest = (stream(1, 5) + 4) @ unexplained
    for decoded, moved in ((True, torch.zeros(1, 5, WIDTH)), (False, rest)):
        push = holding(1, 2.0, decoded)
        torch.testing.assert_close(push.onto(given + rest) - push.onto(given), moved, atol=1e-5, rtol=0)


def test_one_row_is_encoded_once_whichever_way_it_is_held():
    seen = []

    class Counting(Orthogonal):
        def encode(self, x: torch.Tensor) -> torch.Tensor:
            seen.append(x)
            return super().encode(x)

    pushes = five()
    pushes._replace(clamped=pushes.clamped._replace(encoder=Counting())).onto(stream(5, 3))
    assert len(seen) == 2


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_a_clamp_in_half_precision_holds_as_well_as_the_numbers_go(dtype):
    given = stream(5, 4, dtype) * 8
    found = five().onto(given)
    assert found.dtype == dtype
    exact = five().onto(given.float())
    step = torch.finfo(dtype).eps * exact.abs().max()
    assert (found.float() - exact).abs().max() <= 2 * step


def test_every_prompt_meets_every_push_at_the_tokens_named_and_the_others_stay():
    prompts, pushes = stream(2, 4), five()
    where = torch.tensor([False, True, False, True])
    rows = with_pushes(prompts, pushes, where)
    assert rows.shape == (10, 4, WIDTH)
    for number, part in enumerate(pushes.split(1)):
        for prompt in range(2):
            row = rows[number * 2 + prompt]
            assert torch.equal(row[~where], prompts[prompt, ~where])
            torch.testing.assert_close(row[None, where], part.onto(prompts[prompt : prompt + 1, where]))
    assert torch.equal(prompts, stream(2, 4))


def test_at_no_token_nothing_is_pushed():
    prompts = stream(2, 4)
    rows = with_pushes(prompts, five(), torch.zeros(4, dtype=torch.bool))
    assert torch.equal(rows, prompts.repeat(5, 1, 1))
