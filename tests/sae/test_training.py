"""Training: what is planted is found, what is stored opens in SAELens, and interrupted training ends the same."""

from pathlib import Path

import numpy as np
import pytest
import torch
from sae_lens import SAE

from signbridge.core import checkpoints
from signbridge.core.errors import SignBridgeError
from signbridge.core.tables import whole_folder
from signbridge.sae import training
from signbridge.sae.autoencoders import variance_explained, write_autoencoder
from signbridge.sae.settings import TopKPreset, training_bytes
from signbridge.sae.token_stream import ShuffledTokens
from signbridge.sae.training import LOGGED, Checkpoints, Trained, train
from tests.sae.conftest import (
    ACTIVE,
    PLANTED,
    PRESETS,
    SITES,
    WIDTH,
    PlantedTokens,
)
from tests.stages.causal_study import Killed

CPU = torch.device("cpu")
LONG = {"width": 2 * PLANTED, "tokens": 200_000, "batch": 256, "lr": 3e-3, "decay": 0.3, "dead_after": 50}


def trained_on(stream: ShuffledTokens, preset, kept: Checkpoints | None = None) -> Trained:
    return train(stream, preset, 0, CPU, {"model_name": "planted"}, kept)


def stored(trained: Trained, folder: Path) -> dict[str, bytes]:
    """The bytes of what is stored, and the log as text."""
    for site, autoencoder in trained.autoencoders.items():
        write_autoencoder(folder / site, autoencoder)
    files = {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    return {**files, "log": trained.log.to_json().encode()}


@pytest.fixture(params=["batchtopk", "topk", "standard"])
def preset(request):
    return PRESETS[request.param]


@pytest.fixture(
    scope="module", params=["batchtopk", *(pytest.param(one, marks=pytest.mark.slow) for one in ("topk", "standard"))]
)
def long_trained(request, tmp_path_factory) -> tuple[Path, PlantedTokens, Trained]:
    """Autoencoders trained long enough to have found what is planted, stored in a folder."""
    folder = tmp_path_factory.mktemp("long")
    preset = PRESETS[request.param].model_copy(update=LONG)
    source = PlantedTokens()
    trained = trained_on(ShuffledTokens(source, 2000, LONG["batch"], seed=0), preset)
    stored(trained, folder)
    return folder, source, trained


@pytest.mark.parametrize("site", SITES)
def test_planted_directions_are_found_and_the_stored_autoencoder_takes_vectors_as_they_are(long_trained, site):
    folder, source, _ = long_trained
    sae = SAE.load_from_disk(folder / site)
    cosines = sae.W_dec @ source.directions[site].T
    torch.testing.assert_close(sae.W_dec.norm(dim=1), torch.ones(sae.cfg.d_sae))
    assert (cosines.max(0).values > 0.9).float().mean() > 0.8
    source.position = {"reads": 10**6}  # none of these were trained on
    given = source.more().vectors[site]
    with torch.no_grad():
        features = sae.encode(given)
        assert variance_explained(given, sae.decode(features)) > 0.8
    assert (features > 0).sum(1).float().mean() < 3 * ACTIVE
    matched = cosines.argmax(0)[cosines.max(0).values > 0.9]
    strengths = features[:, matched][features[:, matched] > 0]
    assert 6 < float(strengths.quantile(0.9)) < 12, "in the units of the vectors: planted are 5 to 10"


def test_the_log_says_how_the_training_went(long_trained):
    log = long_trained[2].log
    assert set(log["site"]) == set(SITES)
    assert log.groupby("site").size().tolist() == [LOGGED] * 2
    last = log.groupby("site").last()
    steps = LONG["tokens"] // LONG["batch"]
    assert set(last["step"]) == {steps}
    assert set(last["tokens"]) == {steps * LONG["batch"]}
    assert (last["variance_explained"] > 0.7).all()
    first = log.groupby("site").first()
    assert (last["mse_loss"] < first["mse_loss"] / 2).all()
    for kind in ("_image", "_text"):  # which tokens are of images is drawn without regard to the vectors
        np.testing.assert_allclose(last[f"variance_explained{kind}"], last["variance_explained"], atol=0.1)
        np.testing.assert_allclose(last[f"l0{kind}"], last["l0"], rtol=0.3)


def test_equal_seeds_give_equal_bytes_and_another_seed_other_ones(planted_stream, tmp_path, preset):
    first, again = (stored(trained_on(planted_stream(64), preset), tmp_path / name) for name in ("first", "again"))
    assert first == again
    other = train(planted_stream(64), preset, 1, CPU, {"model_name": "planted"})
    assert stored(other, tmp_path / "other") != first


def test_a_site_is_trained_the_same_whichever_others_are_trained_beside_it(planted_stream, tmp_path, preset):
    both = stored(trained_on(planted_stream(64), preset), tmp_path / "both")

    class OneSite(PlantedTokens):
        def more(self):
            tokens = super().more()
            return tokens._replace(vectors={SITES[1]: tokens.vectors[SITES[1]]})

    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # sums depend on how many share them
    try:
        one = stored(trained_on(ShuffledTokens(OneSite(), 1000, 64, seed=0), preset), tmp_path / "one")
    finally:
        torch.set_num_threads(threads)
    name = f"{SITES[1]}/sae_weights.safetensors"
    assert one[name] == both[name]


@pytest.mark.parametrize("killed_after", [1, 3, 5])
def test_killed_training_goes_on_to_the_same_bytes(planted_stream, tmp_path, preset, monkeypatch, killed_after):
    expected = stored(trained_on(planted_stream(64), preset), tmp_path / "unbroken")

    class KilledCheckpoints(Checkpoints):
        def write(self, steps, *args):
            super().write(steps, *args)
            if steps == killed_after:
                raise Killed

    with pytest.raises(Killed):
        trained_on(planted_stream(64), preset, KilledCheckpoints(tmp_path / "kept", 0))
    assert [path.name for path in (tmp_path / "kept").iterdir()] == [f"step-{killed_after:09d}"]
    steps = []

    class CountingCheckpoints(Checkpoints):
        def write(self, done, *args):
            steps.append(done)
            super().write(done, *args)

    resumed = trained_on(planted_stream(64), preset, CountingCheckpoints(tmp_path / "kept", 0))
    assert steps == list(range(killed_after + 1, 7)), "no step is taken twice"
    assert stored(resumed, tmp_path / "resumed") == expected


def test_a_kill_while_a_checkpoint_is_written_leaves_the_one_before(planted_stream, tmp_path, monkeypatch):
    preset, kept = PRESETS["batchtopk"], tmp_path / "kept"
    expected = stored(trained_on(planted_stream(64), preset), tmp_path / "unbroken")
    written = []

    def dies_in_the_third(path):
        written.append(path)
        if len(written) == 3:
            (path.parent / f".{path.name}.unfinished").mkdir()
            raise Killed
        return whole_folder(path)

    with monkeypatch.context() as here:
        here.setattr(checkpoints, "whole_folder", dies_in_the_third)
        with pytest.raises(Killed):
            trained_on(planted_stream(64), preset, Checkpoints(kept, 0))
    assert Checkpoints(kept, 0).latest().steps == 2
    assert stored(trained_on(planted_stream(64), preset, Checkpoints(kept, 0)), tmp_path / "resumed") == expected


def test_a_checkpoint_takes_what_is_said_before_training(planted_stream, tmp_path, preset):
    preset = preset.model_copy(update={"width": "32x"})  # so that weights and buffer are most of it, as in real ones
    trained_on(planted_stream(64), preset, Checkpoints(tmp_path / "kept", 0))
    taken = sum(file.stat().st_size for file in (tmp_path / "kept").rglob("*") if file.is_file())
    said = training_bytes(preset.model_copy(update={"buffer": 1000}), len(SITES), WIDTH) / 2  # two of them at a time
    assert 0.85 * said < taken <= 1.02 * said


def test_no_checkpoint_is_due_before_its_time(planted_stream, tmp_path):
    trained_on(planted_stream(64), PRESETS["batchtopk"], Checkpoints(tmp_path / "kept", 3600))
    assert not (tmp_path / "kept").exists()


@pytest.mark.parametrize(("written_in", "pause"), [(0.5, 120), (30, 30 * 49)])
def test_what_takes_long_to_write_is_written_so_seldom_that_writing_is_2_percent_of_the_time(
    planted_stream, tmp_path, monkeypatch, written_in, pause
):
    clock = [0.0]
    monkeypatch.setattr(checkpoints.time, "monotonic", lambda: clock[0])
    save = training.save_file

    def slow(*args):
        clock[0] += written_in
        save(*args)

    stream = planted_stream(64)
    next(stream)
    kept = Checkpoints(tmp_path / "kept")
    clock[0] = 120
    assert kept.is_due
    monkeypatch.setattr(training, "save_file", slow)
    kept.write(1, {}, stream.state, [], {})
    for seconds, due in ((pause - 1, False), (pause + 1, True)):
        clock[0] = 120 + written_in + seconds
        assert kept.is_due is due


def test_the_learning_rate_and_the_penalty_follow_the_preset(planted_stream):
    preset = PRESETS["standard"].model_copy(update={"tokens": 64 * 100, "warm_up": 0.1, "decay": 0.2, "l1_ramp": 0.5})
    log = trained_on(planted_stream(64), preset).log.groupby("step").first()
    rates = log["learning_rate"] / preset.lr
    assert (rates[10:79] == 1).all()
    assert rates.iloc[4] < 0.7
    assert rates.iloc[-11] == pytest.approx(0.5, abs=0.06)
    assert rates.iloc[-1] == pytest.approx(0, abs=0.01)
    assert log["l1_loss"].iloc[0] == 0, "the penalty rises from nothing"


@pytest.mark.parametrize(("mean_norm", "wanted"), [("sqrt_width", WIDTH**0.5), (64.0, 64.0)])
def test_vectors_are_trained_on_at_the_wanted_mean_length(planted_stream, mean_norm, wanted):
    preset = PRESETS["batchtopk"].model_copy(update={"mean_norm": mean_norm})
    stream = planted_stream(64)
    norms = {site: norm for site, (_, norm) in stream.widths_and_norms().items()}
    for site, sae in trained_on(stream, preset).autoencoders.items():
        assert sae.cfg.metadata.trained_at_scale * norms[site] == pytest.approx(wanted)


def test_fewer_features_than_k_are_refused(planted_stream):
    preset = TopKPreset(**{**PRESETS["topk"].model_dump(), "k": 2 * WIDTH + 1})
    with pytest.raises(SignBridgeError, match="fewer than k"):
        trained_on(planted_stream(64), preset)


def test_training_that_diverges_ends_with_the_step_and_the_way_out(planted_stream, preset, tmp_path):
    with pytest.raises(SignBridgeError) as stopped:
        trained_on(planted_stream(preset.batch), preset.model_copy(update={"lr": 1e30}))
    message = str(stopped.value)
    assert message.startswith("autoencoder of layer_")
    assert "not finite" in message
    assert "lower `lr`" in message
