"""Tuning a small model: what is learnt, what stays as it is, and what happens to a run that is killed or runs out."""

from pathlib import Path

import numpy as np
import pytest
import torch

from benchmarks.pretended_cuda import pretended_cuda
from signbridge.core.checkpoints import Checkpoints
from signbridge.core.errors import SignBridgeError
from signbridge.datasets.images import encode_png
from signbridge.finetune import training, training_step
from signbridge.finetune.settings import Recipe, Variant, chosen_blocks
from signbridge.finetune.training import Tuned, _is_over, examples, tune, write_tuned
from signbridge.vlm.adapter_files import base_of, written_for
from signbridge.vlm.extraction import Reader
from signbridge.vlm.families.adapted import adapted_layers
from signbridge.vlm.loading import load
from tests.vlm.conftest import CPU, PROMPT, tiny_random

RECIPE = Recipe(
    r=4, alpha=8.0, dropout=0.1, lr=0.01, warm_up=0.1, batch=4, epochs=6.0, looks=3, patience=2, checkpointing=False
)
STEPS = 12
WORDS = ["fist", "xyz"]  # a token, and several


@pytest.fixture(scope="module")
def pngs() -> list[bytes]:
    """Eight images, dark and bright."""
    pixels = np.random.default_rng(0).integers(0, 100, (8, 28, 28), dtype=np.uint8)
    pixels[1::2] += 150
    return [encode_png(image) for image in pixels]


class Killed(BaseException):
    """What no code of the project catches."""


def tuned(
    pngs, scratch: Path, folder: Path | None = None, stops_early=True, at_once=4, blocks=(7, 8), device=CPU, **changes
) -> Tuned:
    """An adapter of the tiny random model; `changes` are of the recipe or of its entry."""
    of_recipe = {key: value for key, value in changes.items() if key in Recipe.model_fields}
    recipe = RECIPE.model_copy(update=of_recipe)
    loaded = load(tiny_random(**{key: changes[key] for key in changes.keys() - of_recipe.keys()}), scratch, device)
    reader = Reader(loaded, PROMPT, 4, 4)
    todo = examples(reader, pngs, WORDS * 4)
    layers = adapted_layers(loaded.model, loaded.parts, range(blocks[0], blocks[1] + 1))
    kept = Checkpoints(folder, seconds=0) if folder else None
    return tune(reader, layers, todo, todo[:4], recipe, 3, at_once, stops_early, kept)


@pytest.fixture(scope="module")
def once(pngs, model_scratch) -> Tuned:
    return tuned(pngs, model_scratch)


def same(one: Tuned, other: Tuned) -> bool:
    return one.log.equals(other.log) and all(
        torch.equal(one.weights[name], other.weights[name]) for name in one.weights
    )


def test_answers_of_one_token_and_of_several_are_learnt_and_the_chosen_blocks_alone_are_adapted(once):
    assert once.log["step"].tolist() == [4, 8, 12]
    assert once.log["accuracy"].iloc[-1] == 1
    assert once.log["stop_loss"].iloc[-1] < 0.2 * once.log["loss"].iloc[0]
    assert once.kept == once.log["step"].iloc[once.log["stop_loss"].argmin()]
    layers = {name.split("layers.")[1].split(".")[0] for name in once.weights}
    assert layers == {"7", "8"}
    assert len(once.weights) == 2 * 7 * 2


def test_the_tuned_model_answers_with_the_words_and_is_the_base_before_its_decoder(
    once, pngs, model_scratch, tmp_path, tiny
):
    entry = tiny_random()
    write_tuned(once, tmp_path, written_for(once.config, base_of(entry)))
    loaded = load(entry.model_copy(update={"adapter": str(tmp_path)}), model_scratch, CPU)
    for name, weight in loaded.model.state_dict().items():
        changed = not torch.equal(weight, tiny.model.state_dict()[name])
        assert changed == any(f"language_model.layers.{block}." in name and "_proj" in name for block in (7, 8)), name
    from signbridge.datasets.images import decoded

    assert Reader(loaded, PROMPT, 6, 4).read(decoded(pngs)).answers == WORDS * 4


@pytest.mark.slow
def test_files_are_the_same_bytes_each_time(once, pngs, model_scratch, tmp_path):
    for folder, run in (("a", once), ("b", tuned(pngs, model_scratch))):
        (tmp_path / folder).mkdir()
        write_tuned(run, tmp_path / folder, written_for(run.config, base_of(tiny_random())))
    for name in ("adapter_model.safetensors", "adapter_config.json"):
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()


@pytest.mark.parametrize("killed", [pytest.param(2, marks=pytest.mark.slow), 9])
def test_a_killed_run_goes_on_to_the_same_bytes(once, pngs, model_scratch, tmp_path, monkeypatch, killed):
    """Killed before the first look at held-out images, and after the adapter of one is kept."""
    take_step, taken = training_step.Trainer.step, []

    def dies(self, step, *rest):
        if step == killed:
            raise Killed
        return take_step(self, step, *rest)

    monkeypatch.setattr(training_step.Trainer, "step", dies)
    with pytest.raises(Killed):
        tuned(pngs, model_scratch, tmp_path / "kept")
    monkeypatch.setattr(
        training_step.Trainer, "step", lambda self, step, *rest: taken.append(step) or take_step(self, step, *rest)
    )
    assert same(tuned(pngs, model_scratch, tmp_path / "kept"), once)
    assert taken == list(range(killed, STEPS))


def test_images_of_a_step_go_through_in_one_pass_on_one_core_if_the_model_is_small(pngs, model_scratch, monkeypatch):
    losses, passes, threads = training_step.Trainer._losses, [], torch.get_num_threads()

    def noted(self, batch, *rest):
        passes.append((len(batch), torch.get_num_threads()))
        return losses(self, batch, *rest)

    monkeypatch.setattr(training_step.Trainer, "_losses", noted)
    monkeypatch.setattr(training, "SMALL_WIDTH", 320)
    torch.set_num_threads(2)
    try:
        tuned(pngs, model_scratch, dropout=0.0, epochs=0.5, looks=1)
        assert passes == [(4, 1)] * 2, "a step and a look"
        assert torch.get_num_threads() == 2
        monkeypatch.setattr(training, "SMALL_WIDTH", 319)
        tuned(pngs, model_scratch, dropout=0.0, epochs=0.5, looks=1)
        assert passes[2:] == [(4, 2)] * 2
    finally:
        torch.set_num_threads(threads)


@pytest.mark.parametrize(
    ("losses", "over"), [([3, 1, 2], False), ([3, 1, 2, 2.5], True), ([3, 2, 1], False), ([3], False)]
)
def test_it_is_over_after_so_many_looks_without_a_lower_loss(losses, over):
    assert _is_over([{"stop_loss": loss} for loss in losses], patience=2) == over


@pytest.mark.slow
def test_it_stops_once_held_out_images_get_worse_and_keeps_the_best(pngs, model_scratch, monkeypatch):
    losses = iter([3.0, 1.0, 2.0, 2.5, 0.1, 0.1])
    monkeypatch.setattr(training_step.Trainer, "look", lambda self, _: training_step.Right(next(losses), 0.5))
    found = tuned(pngs, model_scratch, looks=6)
    assert found.log["step"].tolist() == [2, 4, 6, 8]
    assert found.kept == 4
    losses = iter([3.0, 1.0, 2.0, 2.5, 4.0, 5.0])
    found = tuned(pngs, model_scratch, stops_early=False, looks=6)
    assert found.kept == STEPS, "nulls are tuned to the end"


def test_memory_that_runs_out_halves_what_goes_through_at_once_and_loses_nothing(
    pngs, model_scratch, monkeypatch, caplog
):
    expected = tuned(pngs, model_scratch, at_once=1, dropout=0.0, epochs=0.5, looks=1)
    losses_of = training_step.Trainer._losses

    def small_machine(self, batch, right=None):
        if len(batch) > 1:
            raise torch.OutOfMemoryError("CUDA out of memory.")
        return losses_of(self, batch, right)

    monkeypatch.setattr(training_step.Trainer, "_losses", small_machine)
    assert same(tuned(pngs, model_scratch, dropout=0.0, epochs=0.5, looks=1), expected)
    assert "out of memory: going on with batches of 1" in caplog.text

    def too_small(self, batch, right=None):
        raise torch.OutOfMemoryError("CUDA out of memory.")

    monkeypatch.setattr(training_step.Trainer, "_losses", too_small)
    with pytest.raises(SignBridgeError, match=r"out of memory with one image at a time. Free some, lower r"):
        tuned(pngs, model_scratch)


def test_a_loss_that_is_not_finite_is_a_sentence_and_the_checkpoint_stays(pngs, model_scratch, tmp_path):
    with pytest.raises(SignBridgeError, match=r"the loss is (nan|inf) at step \d+ of 12: it has diverged. Lower lr"):
        tuned(pngs, model_scratch, tmp_path / "kept", lr=1e30)
    assert Checkpoints(tmp_path / "kept").last_folder() is not None


@pytest.mark.slow
@pytest.mark.parametrize(
    "changes", [{"checkpointing": True}, {"quantization": "nf4"}, {"dtype": "bfloat16"}, {"dtype": "float16"}]
)
def test_checkpointing_packed_weights_and_16_bits_learn_it_too(pngs, model_scratch, once, changes):
    found = tuned(pngs, model_scratch, dropout=0.0, **changes)
    assert found.log["accuracy"].iloc[-1] == 1
    assert all(weight.dtype == torch.float32 for weight in found.weights.values())
    if changes == {"checkpointing": True}:
        exact = tuned(pngs, model_scratch, dropout=0.0)
        for name, weight in exact.weights.items():
            torch.testing.assert_close(found.weights[name], weight, atol=1e-5, rtol=1e-4)


@pytest.mark.slow
def test_a_gpu_learns_what_the_processor_learns(pngs, model_scratch, monkeypatch):
    """One step, on a pretended GPU: whatever is not moved there is refused."""
    few = {"dropout": 0.0, "epochs": 0.5, "looks": 1}
    expected = tuned(pngs, model_scratch, **few)
    fork = torch.random.fork_rng
    monkeypatch.setattr(torch.random, "fork_rng", lambda devices: fork(devices=[]))  # a pretended GPU has no generator
    with pretended_cuda():
        found = tuned(pngs, model_scratch, device=torch.device("cuda"), **few)
    for name, weight in expected.weights.items():
        torch.testing.assert_close(found.weights[name], weight, atol=1e-4, rtol=1e-3)


def test_blocks_are_thirds_or_a_range_and_others_are_refused():
    thirds = [chosen_blocks(Variant(blocks=third), 32) for third in ("early", "middle", "late")]
    assert [list(blocks) for blocks in thirds] == [list(range(11)), list(range(11, 21)), list(range(21, 32))]
    assert chosen_blocks(Variant(), 12) == range(12)
    assert chosen_blocks(Variant(blocks=[3, 5]), 12) == range(3, 6)
    for wrong in ([5, 3], [0, 12]):
        with pytest.raises(SignBridgeError, match=r"the model has 12 decoder blocks, 0 to 11"):
            chosen_blocks(Variant(blocks=wrong), 12)
