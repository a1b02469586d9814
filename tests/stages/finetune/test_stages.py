"""The stages of fine-tuning on a small study: three letters of six photos, and the tiny random model."""

import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from ruamel.yaml import YAML

from signbridge.core import activations, params, tables
from signbridge.core.errors import SignBridgeError
from signbridge.datasets.images import encode_png
from signbridge.finetune import training_step
from signbridge.vlm import model_run
from signbridge.vlm.adapters import check_untouched
from signbridge.vlm.chosen import AS_READ, write_as_read
from stages import extract as read_study
from stages import model as describe
from stages.finetune import base, damage, extract, patch, probe, split, tune
from tests.conftest import ROOT, Workspace
from tests.stages.causal_study import Killed
from tests.stages.small_study import as_declared, copy_into, declared, outputs, working_in, written_by

LETTERS, PHOTOS = "ABC", 6
RECIPE = {"r": 2, "alpha": 4.0, "dropout": 0.1, "lr": 0.01, "warm_up": 0.1, "batch": 4, "epochs": 2.0, "looks": 2,
          "patience": 2, "checkpointing": False}  # fmt: skip
ENVIRONMENT = {"SIGNBRIDGE_DEVICE": "cpu", "SIGNBRIDGE_BATCH_SIZE": "8", "LOKY_MAX_CPU_COUNT": "1"}
DATA = Path("data/finetune")
ADAPTER, CONFIG = "adapter_model.safetensors", "adapter_config.json"


def write_study(workspace: Workspace) -> None:
    """What the study's stages leave before a model is read: two copies of each photo, one of them in the sample."""
    workspace.set(
        model="tiny-random", seed=1, questions__describe="USER: <image>\nDescribe the hand.\nASSISTANT:",
        questions__describe_tokens=3,
        probe__grouped={"by": "auto", "folds": 3, "repeats": 2, "inner_folds": 2, "C": [0.1]},
    )  # fmt: skip
    workspace.set_in(
        params.FINETUNE, preset="small", presets={"small": RECIPE},
        split={"train": 0.34, "stop": 0.17, "per_letter": "all", "stop_per_letter": 1},
        patching={"runs": ["letters"], "pairs": 2}, damage={"images": 3}, runs=["letters", "untrained_twin"],
    )  # fmt: skip
    pixels = np.random.default_rng(0).integers(0, 256, (len(LETTERS) * PHOTOS * 2, 28, 28), dtype=np.uint8)
    names = [(letter, photo, copy) for letter in LETTERS for photo in range(PHOTOS) for copy in range(2)]
    images = pd.DataFrame(
        {"image_id": [f"{letter}-{photo}-{copy}" for letter, photo, copy in names],
         "label": [letter for letter, *_ in names], "image": [encode_png(image) for image in pixels]}
    )  # fmt: skip
    photos = images[["image_id"]].assign(photo=images["image_id"].str[:-2])
    tables.write(images, "data/images.parquet", {"dataset": "rendered"})
    tables.write(photos, "data/photos.parquet", {"params": {}})
    sample = images.assign(photo=photos["photo"])[["image_id", "label", "photo", "image"]]
    tables.write(sample[sample["image_id"].str.endswith("-1")], "data/sample.parquet", {"images": {}})


@pytest.fixture
def drawn(workspace) -> Workspace:
    """A study whose sample is drawn, and no model read."""
    write_study(workspace)
    return workspace


def of_run(stage: str, run: str) -> set[str]:
    return {name.replace("${item.run}", run) for name in declared(f"finetune.{stage}")}


def run_of(main, name: str, here: pytest.MonkeyPatch) -> dict[str, bytes]:
    here.setattr(sys, "argv", ["stage", name])
    return written_by(main)


def test_the_split_is_by_whole_photos_and_its_audit_is_in_the_table(drawn):
    assert as_declared("finetune.split", written_by(split.main)) == declared("finetune.split")
    table, made_by = tables.read(split.SPLIT), tables.made_by(split.SPLIT)
    assert list(table) == ["image_id", "label", "group", "part", "shuffled"]
    assert table["part"].value_counts().to_dict() == {"train": 12, "probe": 9, "stop": 3}
    assert made_by["audit"] == {"photo_in_train": 0.0}
    assert made_by["grouped_by"] == "photo"


def test_too_few_photos_for_the_folds_are_said_before_a_model_is_tuned(drawn):
    drawn.set(probe__grouped={"by": "auto", "folds": 5, "repeats": 1, "inner_folds": 2, "C": [0.1]})
    assert "needs 5 photos a letter" in drawn.message_of_failure(split.main)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"preset": "large"}, "key 'large' is missing"),
        ({"variants__letters": {"block": "all"}}, "variants.letters.block: unknown key. Did you mean 'blocks'?"),
        ({"presets__small": {**RECIPE, "r": 0}}, "presets.small.r: expected greater than or equal to 1"),
        ({"variants__letters": {"blocks": [0, 9]}}, "the model has 9 decoder blocks, 0 to 8"),
    ],
)
def test_a_wrong_setting_is_said_before_a_model_is_loaded(drawn, monkeypatch, change, message):
    split.main()
    describe.main()
    as_read(monkeypatch)
    base.main()
    drawn.set_in(params.FINETUNE, **change)
    monkeypatch.setattr("signbridge.vlm.model_run.load", None)
    monkeypatch.setattr(sys, "argv", ["tune", "letters"])
    said = drawn.message_of_failure(tune.main)
    assert message in said


def as_read(here: pytest.MonkeyPatch) -> None:
    """What `extract` says of the model, without reading it."""
    here.setenv("SIGNBRIDGE_DEVICE", "cpu")
    write_as_read("plain")


def test_another_seed_of_the_twin_changes_what_its_run_tunes_and_nothing_of_other_runs(drawn, monkeypatch):
    describe.main()
    as_read(monkeypatch)
    assert as_declared("finetune.base", before := written_by(base.main)) == declared("finetune.base")
    assert written_by(base.main) == {}, "the same bytes"
    drawn.set(controls__twin_seed=7)
    assert set(written_by(base.main)) == {"data/finetune/base/untrained_twin.json"} < set(before)
    study, twin = (tables.read_json(path) for path in (AS_READ, base.WRITTEN / "untrained_twin.json"))
    assert twin == {**study, "entry": {**study["entry"], "untrained": 7}}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"runs": ["untrained_twin"]}, "runs: 'letters' is missing, which every other run is held against. Add it."),
        ({"runs": ["letters", "erly"]}, "key 'erly' is missing. Did you mean 'early'?"),
        ({"patching__runs": ["late"]}, "patching.runs: 'late' is not among runs. Add it there."),
    ],
)
def test_runs_that_cannot_be_compared_are_said_before_any_is_tuned(drawn, change, message):
    drawn.set_in(params.FINETUNE, **change)
    assert message in drawn.message_of_failure(split.main)
    assert not split.SPLIT.exists()


@pytest.mark.parametrize(
    ("stage", "change", "message"),
    [
        (probe, {"repeats": 0}, "repeats: expected greater than or equal to 1"),
        (probe, {"positions": []}, "positions: expected at least 1 item"),
        (damage, {"damage": {"images": -1}}, "damage.images: expected greater than or equal to 0"),
    ],
)
def test_settings_by_which_nothing_would_be_read_are_refused(drawn, stage, change, message):
    split.main()
    drawn.set_in(params.FINETUNE, **change)
    assert message in drawn.message_of_failure(stage.main)


def test_without_peft_it_says_what_to_install(drawn, monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    monkeypatch.setattr(sys, "argv", ["tune", "letters"])
    assert "pip install -c requirements.lock -e '.[finetune]'" in drawn.message_of_failure(tune.main)


@pytest.fixture(autouse=True, scope="module")
def loaded_anew(loaded_once) -> Iterator[None]:
    """Tuning changes the model that it loads, which is therefore not to be that of another test."""
    with pytest.MonkeyPatch.context() as here:
        here.setattr(model_run, "load", model_run.load.__wrapped__)
        yield


@pytest.fixture(scope="module")
def finished(tmp_path_factory) -> Iterator[Path]:
    """A folder in which a run of letters and one of the untrained twin went through all stages."""
    folder = tmp_path_factory.mktemp("finetune")
    with working_in(folder) as workspace, pytest.MonkeyPatch.context() as here:
        for name, value in ENVIRONMENT.items():
            here.setenv(name, value)
        write_study(workspace)
        describe.main()
        read_study.main()
        answers = tables.read("data/answers.parquet")
        words = answers["label"].map({"A": "Fist", "B": "Palm", "C": "Peace"})
        tables.write(answers.assign(answer=words), "data/answers.parquet", tables.made_by("data/answers.parquet"))
        split.main()
        base.main()
        for stage in (tune, extract):
            name = stage.__name__.rpartition(".")[2]
            wrote = run_of(stage.main, "letters", here)
            outs = {
                next((out for out in of_run(name, "letters") if Path(path).is_relative_to(out)), path) for path in wrote
            }
            assert outs == of_run(name, "letters")
        workspace.set_in(params.FINETUNE, runs=["letters"])
        for stage in (probe, patch, damage):
            name = stage.__name__.rpartition(".")[2]
            assert as_declared(f"finetune.{name}", written_by(stage.main)) == declared(f"finetune.{name}")
        yield folder


@pytest.fixture
def study(finished, workspace, monkeypatch) -> Workspace:
    for name, value in ENVIRONMENT.items():
        monkeypatch.setenv(name, value)
    return copy_into(workspace, finished)


@pytest.mark.slow
def test_every_stage_writes_what_is_declared_of_the_images_that_are_probed(study):
    probed = set(tables.read(split.SPLIT).query("part == 'probe'")["image_id"])
    read = DATA / "read/letters"
    for table in ("answers", "letter_scores"):
        assert set(tables.read(read / f"{table}.parquet")["image_id"]) == probed
    assert tables.made_by(read / "letter_scores.parquet")["before_the_decoder"] == "bit for bit"
    for run in ("letters", "base"):
        predictions = tables.read(DATA / f"probed/{run}/predictions.parquet")
        assert set(predictions["image_id"]) == probed
        assert set(predictions["position"]) == {"flat", "image_mean", "prompt_last", "text"}
    ours, theirs = (tables.read(DATA / f"probed/{run}/choices.parquet") for run in ("letters", "base"))
    assert ours[["site", "repeat", "fold"]].equals(theirs[["site", "repeat", "fold"]])
    for run in ("base", "letters"):
        patched = tables.read(DATA / f"patched/{run}.parquet")
        assert set(patched["receiver"]) | set(patched["donor"]) <= probed
    table = tables.read(DATA / "damage/letters.parquet")
    assert len(table) == 3
    assert table["damage"].abs().max() > 0
    assert (table["before"] > 0).all()


@pytest.mark.slow
def test_of_images_of_one_size_the_probed_ones_alone_are_read(study, monkeypatch):
    sample = tables.read("data/sample.parquet")
    probed = sample["image_id"].isin(tables.read(split.SPLIT).query("part == 'probe'")["image_id"])
    of_probed, read = set(sample["image"][probed]), []

    def noted(run, images, folder, kept):
        assert kept.tolist() == probed.tolist()
        read.append(images["image"].tolist())
        raise Killed

    monkeypatch.setattr(extract, "extract_sample", noted)
    monkeypatch.setattr(sys, "argv", ["extract", "letters"])
    for image in (sample["image"][0], encode_png(np.zeros((40, 28), dtype=np.uint8))):
        sample.loc[0, "image"] = image
        tables.write(sample, "data/sample.parquet", {"images": {}})
        with pytest.raises(Killed):
            extract.main()
    of_one_size, of_two = read
    assert len(of_one_size) == len(sample), "as many as the study read, so that its batches are as large"
    assert set(of_one_size) == of_probed
    assert of_two == sample["image"].tolist()


@pytest.mark.slow
def test_the_tuned_model_can_be_asked_by_the_study_itself(study):
    shutil.copytree(DATA / "tuned/letters", "adapters/letters")  # out of what the pipeline writes anew
    study.set(model="tuned", models__tuned={"like": "tiny-random", "adapter": "adapters/letters"})
    describe.main()
    read_study.main()
    here = tables.read("data/answers.parquet").set_index("image_id")["answer"]
    there = tables.read(DATA / "read/letters/answers.parquet").set_index("image_id")["answer"]
    assert here[there.index].equals(there)
    study.set(models__tuned={"like": "tiny-random", "seed": 5, "adapter": "adapters/letters"})
    assert "an adapter of tiny_random llava (seed 0), and the model is" in study.message_of_failure(describe.main)


@pytest.mark.slow
def test_what_lies_before_the_decoder_is_held_against_the_base(study):
    read, study_read = DATA / "read/letters/activations", Path("data/activations")
    assert check_untouched(read, study_read) == "bit for bit"
    ids = list(dict.fromkeys(tables.read(read / "vision.parquet", ["image_id"])["image_id"]))
    vectors = activations.read(read, "vision", "image_mean", ids)
    vectors[0, 0] = np.nextafter(vectors[0, 0], np.float32(np.inf))
    activations.write(read, "vision", ids, {"image_mean": vectors}, tables.made_by(read / "vision.parquet"))
    with pytest.raises(SignBridgeError, match="vision at image_mean is not that of the model without its adapter"):
        check_untouched(read, study_read)
    made_by = tables.made_by(read / "embedding.parquet")
    other = {position: activations.read(read, "embedding", position, ids) for position in activations.TOKEN_POSITIONS}
    made_by["read_on"]["batch_size"] = 1
    activations.write(read, "embedding", ids, other, made_by)
    assert check_untouched(read, study_read).startswith("to 1%")


@pytest.mark.slow
def test_a_killed_run_goes_on_to_the_same_bytes_and_equal_params_give_equal_bytes(study, monkeypatch):
    expected = outputs()
    monkeypatch.setattr(sys, "argv", ["tune", "letters"])
    monkeypatch.setattr("signbridge.core.checkpoints.SECONDS_BETWEEN_CHECKPOINTS", 0)
    take_step = training_step.Trainer.step

    def dies(self, step, *rest):
        if step == 3:
            raise Killed
        return take_step(self, step, *rest)

    with monkeypatch.context() as here:
        here.setattr(training_step.Trainer, "step", dies)
        with pytest.raises(Killed):
            tune.main()
    assert outputs() == expected
    assert list(Path(".scratch/finetune_tune_letters").rglob("step-*"))
    tune.main()
    assert outputs() == expected
    assert not Path(".scratch/finetune_tune_letters").exists()


@pytest.mark.slow
def test_nulls_are_tuned_on_other_letters_and_on_the_untrained_twin(study, monkeypatch):
    study.set_in(params.FINETUNE, runs=["letters", "shuffled_labels", "untrained_twin"])
    base.main()
    for name in ("shuffled_labels", "untrained_twin"):
        run_of(tune.main, name, monkeypatch)
        log = tables.read(DATA / f"tuned/{name}/log.parquet")
        assert tables.made_by(DATA / f"tuned/{name}/log.parquet")["kept_step"] == log["step"].max() == 6
    weights = [(DATA / f"tuned/{name}" / ADAPTER).read_bytes() for name in ("letters", "shuffled_labels")]
    assert weights[0] != weights[1]
    monkeypatch.setattr(sys, "argv", ["extract", "untrained_twin"])
    assert "add untrained_twin to controls.read" in study.message_of_failure(extract.main).lower()
    shutil.copytree("data/activations", "data/controls/untrained_twin")
    assert "is not that of the model without its adapter" in study.message_of_failure(extract.main)


@pytest.mark.slow
def test_answers_of_the_dataset_are_learnt_in_place_of_letters(study, monkeypatch):
    study.set(datasets__rendered__answers={"A": "fist", "B": "palm"})
    monkeypatch.setattr(sys, "argv", ["tune", "letters"])
    assert "answers: none for letter 'C'" in study.message_of_failure(tune.main)
    study.set(datasets__rendered__answers={"A": "fist", "B": "palm", "C": "a long answer"})
    tune.main()
    assert tables.made_by(DATA / "tuned/letters/log.parquet")["answers"]["C"] == "a long answer"


def test_the_recipe_of_llava_is_the_published_one():
    text = (ROOT / params.FINETUNE).read_text(encoding="utf-8")
    recipe = YAML(typ="safe").load(text)["presets"]["llava-1-5-7b"]
    expected = {"r": 16, "alpha": 32.0, "lr": 0.0001, "warm_up": 0.03, "dropout": 0.05, "epochs": 5.0}
    assert {name: recipe[name] for name in expected} == expected
    assert 16 <= recipe["batch"] <= 32
