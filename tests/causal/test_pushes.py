"""Pushes of the stream: what is added, what is held, and that nothing else is touched."""

import pytest
import torch

from signbridge.causal.pushes import Clamped, Pushes, joined, with_pushes

WIDTH, FEATURES = 6, 4


class Orthogonal:
    """ReLU features along orthogonal directions of length 1, so that none reads what is done to another."""

    def __init__(self):
        torch.manual_seed(0)
        self.W_dec = torch.linalg.qr(torch.randn(WIDTH, WIDTH)).Q[:FEATURES]

    def encode(self, x: torch.Tensor) -> torch.Tensor:
        assert x.dtype == torch.float32, "features are told in full precision"
        return (x @ self.W_dec.T).relu()


ENCODER = Orthogonal()


def five(clamped: bool = True) -> Pushes:
    """Five pushes, of which the second and the last hold a feature."""
    features = torch.tensor([-1, 2, -1, -1, 0])
    added = torch.arange(5 * WIDTH, dtype=torch.float32).view(5, WIDTH)
    return Pushes(added, Clamped(ENCODER, features) if clamped else None)


def of_each(pushes: Pushes) -> list[tuple[list[float], int | None]]:
    """Every push with the feature that it holds."""
    held = [None] * len(pushes.added) if pushes.clamped is None else pushes.clamped.features.tolist()
    return list(zip(pushes.added.tolist(), held, strict=True))


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
    held = Pushes(value * ENCODER.W_dec[None, 2], Clamped(ENCODER, torch.tensor([2]))).onto(given)
    found = ENCODER.encode(held)
    torch.testing.assert_close(found[..., 2], torch.full((1, 50), value), atol=1e-5, rtol=0)
    rest = [0, 1, 3]
    torch.testing.assert_close(found[..., rest], amounts[..., rest], atol=1e-5, rtol=0)
    torch.testing.assert_close(held - given, (value - amounts[..., 2, None]) * ENCODER.W_dec[2], atol=1e-5, rtol=0)


def test_a_feature_that_is_silent_gives_nothing_up():
    """Below its threshold nothing is there to be taken out: the value alone is added."""
    given = -5 * ENCODER.W_dec[None, 2:3]
    held = Pushes(3 * ENCODER.W_dec[None, 2], Clamped(ENCODER, torch.tensor([2]))).onto(given)
    torch.testing.assert_close(held, -2 * ENCODER.W_dec[None, 2:3])


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
