"""A step in parts is the step, whatever memory there is; held to the library's own step."""

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from benchmarks.live_memory import LiveMemory
from signbridge.core.errors import SignBridgeError
from signbridge.sae import training
from signbridge.sae.autoencoders import new_trainer, variance_explained
from signbridge.sae.training import train
from signbridge.sae.training_step import multiplying, take_step
from tests.sae.conftest import PRESETS, SITES, WIDTH, PlantedTokens

CPU = torch.device("cpu")
BATCH = 64


@pytest.fixture
def batches() -> list[torch.Tensor]:
    return list(PlantedTokens().more().vectors[SITES[0]].split(BATCH)[:6])


def trainer_of(name: str, **changes):
    return new_trainer(SITES[0], WIDTH, 10.0, PRESETS[name].model_copy(update=changes), 0, CPU, {})


def state_of(trainer) -> dict[str, torch.Tensor]:
    names = ("act_freq_scores", "n_forward_passes_since_fired")
    adam = {f"adam {key} {name}": value for key, state in enumerate(trainer.optimizer.state.values())
            for name, value in state.items()}  # fmt: skip
    return {**trainer.sae.state_dict(), **{name: getattr(trainer, name) for name in names}, **adam}


@pytest.mark.parametrize("name", ["batchtopk", "topk", "standard"])
def test_a_step_on_a_whole_batch_is_the_librarys_to_the_bit(name, batches):
    ours, theirs = trainer_of(name), trainer_of(name)
    for batch in batches:
        output, at_once = take_step(ours, batch, BATCH)
        theirs.maybe_reset_sparsity()
        expected = theirs.step(batch)
        theirs.n_training_steps += 1
        assert at_once == BATCH
        assert output.losses["loss"].item() == expected.loss.item()
        assert torch.equal(output.given_back, expected.sae_out)
        assert torch.equal(output.active, (expected.feature_acts > 0).sum(1))
    for key, value in state_of(theirs).items():
        assert torch.equal(state_of(ours)[key], value), key
    for key in ("n_training_steps", "n_training_samples", "n_frac_active_samples"):
        assert getattr(ours, key) == getattr(theirs, key)


@pytest.mark.parametrize("name", ["batchtopk", "topk", "standard"])
def test_parts_of_a_batch_have_the_whole_ones_gradients_and_losses(name, batches):
    whole, parts = trainer_of(name), trainer_of(name)
    for batch in batches:
        found, _ = take_step(parts, batch, 24)  # the last part is smaller
        expected, _ = take_step(whole, batch, BATCH)
        for loss, value in expected.losses.items():
            torch.testing.assert_close(found.losses[loss], value, msg=loss)
        torch.testing.assert_close(found.given_back, expected.given_back, rtol=1e-4, atol=1e-4)
        assert torch.equal(found.active, expected.active)
    for key, value in state_of(whole).items():
        torch.testing.assert_close(state_of(parts)[key], value, rtol=1e-3, atol=1e-5, msg=key)


@pytest.mark.parametrize("name", ["batchtopk", "standard"])
def test_memory_that_runs_out_halves_what_is_taken_together_and_no_step_is_taken_twice(name, batches):
    with LiveMemory() as room_for_half:
        expected = trainer_of(name, width="64x")
        take_step(expected, batches[0], BATCH // 2)
    with LiveMemory(budget=1.02 * room_for_half.peak):
        trainer = trainer_of(name, width="64x")
        _, at_once = take_step(trainer, batches[0], BATCH)
    assert at_once == BATCH // 2
    assert trainer.n_training_steps == 1
    for key, value in state_of(expected).items():
        assert torch.equal(state_of(trainer)[key], value), key


def test_batchtopk_is_the_librarys_again_after_parts_and_its_threshold_moves_once_a_batch(batches):
    whole, parts = trainer_of("batchtopk"), trainer_of("batchtopk")
    library = type(parts.sae.activation_fn)
    for batch in batches:
        take_step(parts, batch, 16)
        take_step(whole, batch, BATCH)
        assert type(parts.sae.activation_fn) is library
        torch.testing.assert_close(parts.sae.topk_threshold, whole.sae.topk_threshold, rtol=1e-4, atol=1e-6)
    before = parts.sae.topk_threshold
    assert before > 0
    with LiveMemory(budget=1000), pytest.raises(SignBridgeError, match="out of memory"):
        take_step(parts, batches[0], 16)
    assert parts.sae.topk_threshold is before
    assert type(parts.sae.activation_fn) is library


class Tf32(TorchDispatchMode):
    """What is multiplied is rounded to 10 bits behind the point, as TF32 does it."""

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        if func.overloadpacket in (torch.ops.aten.mm, torch.ops.aten.addmm):
            args = [(one.view(torch.int32) + 0x1000 & ~0x1FFF).view(torch.float32) if one.dim() == 2 else one
                    for one in (one.contiguous() for one in args)]  # fmt: skip
        return func(*args, **(kwargs or {}))


@pytest.mark.parametrize("name", ["topk", "standard"])
def test_tf32_changes_what_is_explained_by_less_than_a_hundredth(name):
    source, explained = PlantedTokens(), []
    tokens = torch.cat([source.more().vectors[SITES[0]] for _ in range(10)])
    held_out = source.more().vectors[SITES[0]]
    for mode in (None, Tf32()):
        trainer = trainer_of(name, lr=3e-3, tokens=len(tokens), warm_up=0.0)
        for batch in tokens.split(BATCH):
            if mode is None:
                take_step(trainer, batch, BATCH)
            else:
                with mode:
                    take_step(trainer, batch, BATCH)
        given = trainer.activation_scaler(held_out)
        explained.append(variance_explained(given, trainer.sae.decode(trainer.sae.encode(given)).detach()))
    assert explained[0] > 0.2
    assert explained[1] != explained[0]
    assert explained[1] == pytest.approx(explained[0], abs=1e-2)


@pytest.mark.parametrize(("matmul", "switched"), [("float32", "highest"), ("tf32", "high")])
def test_training_multiplies_as_the_preset_says_and_nothing_else_does(planted_stream, monkeypatch, matmul, switched):
    before, within, step = torch.get_float32_matmul_precision(), [], training.take_step

    def watched(*args):
        within.append(torch.get_float32_matmul_precision())
        return step(*args)

    monkeypatch.setattr(training, "take_step", watched)
    preset = PRESETS["topk"].model_copy(update={"matmul": matmul})
    train(planted_stream(BATCH), preset, 0, CPU, {"model_name": "planted"})
    assert set(within) == {switched}
    assert torch.get_float32_matmul_precision() == before
    with pytest.raises(KeyboardInterrupt), multiplying("tf32"):
        raise KeyboardInterrupt
    assert torch.get_float32_matmul_precision() == before
