"""The stage `extract_controls`: what each control shows is read as `extract` reads, resumed, one model at a time."""

import inspect
import weakref
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import signbridge.vlm.loading
import signbridge.vlm.model_run
import signbridge.vlm.shard_runs
from signbridge.core import activations, tables
from signbridge.core.shards import write_shard
from signbridge.datasets.images import encode_png
from stages import extract, extract_controls
from stages.extract_controls import (
    ACTIVATIONS,
    ANSWERS,
    SAMPLE,
    main,
)

STUDIED = Path("data/activations")
ALL = ["untrained_twin", "no_image", "other_letter"]
# Of two images each: grey is read once, and one image of other letters stands twice in the five rows.
GREY, OTHERS, TWIN = 1, 2, 3


def write_sample(labels: str, photos: str) -> None:
    """A sample of random images, one for each letter of `labels`, each of the photo named in `photos`."""
    generator = np.random.default_rng(0)
    pixels = generator.integers(0, 256, (len(labels), 28, 28), dtype=np.uint8)
    sample = {
        "image_id": [f"{label}-{index}" for index, label in enumerate(labels)],
        "label": list(labels),
        "photo": list(photos),
        "image": [encode_png(image) for image in pixels],
    }
    tables.write(pd.DataFrame(sample), SAMPLE, {})


@pytest.fixture
def study(workspace, monkeypatch):
    """All controls, the tiny random model, and five images: two copies of one photo of A, two photos of B, one of C."""
    monkeypatch.setenv("SIGNBRIDGE_DEVICE", "cpu")
    monkeypatch.setenv("SIGNBRIDGE_BATCH_SIZE", "2")
    monkeypatch.setenv("SIGNBRIDGE_SHARD_IMAGES", "2")
    workspace.set(model="tiny-random", controls={"read": ALL, "twin_seed": 1})
    write_sample("AABBC", "aabcd")
    workspace.describe_model()
    return workspace


def written() -> dict[str, bytes]:
    """Every table by name."""
    return {str(path): path.read_bytes() for path in [*sorted(ACTIVATIONS.rglob("*.parquet")), ANSWERS]}


def vectors(folder: Path, site: str, position: str, image_ids: list[str]) -> np.ndarray:
    return activations.read(folder, site, position, image_ids)


def every_vector(folder: Path) -> list[tuple[str, str]]:
    return [(site, position) for site in activations.sites(folder) for position in activations.positions_of(site)]


def test_every_control_has_every_site_and_says_what_it_showed_and_what_made_it(study):
    main()
    sample = tables.read(SAMPLE)
    sites = ["pixels", "vision", "projector", "embedding", *(f"layer_{block:02d}" for block in range(9))]
    assert {path.name for path in ACTIVATIONS.iterdir()} == {*ALL, ANSWERS.name}
    for control in ALL:
        assert activations.sites(ACTIVATIONS / control) == sites
        assert {path.stem for path in (ACTIVATIONS / control).iterdir()} == set(sites)
        made_by = tables.made_by(ACTIVATIONS / control / "layer_03.parquet")
        assert (made_by["control"], made_by["model"]["name"]) == (control, "tiny-random")
        assert (made_by["read_on"]["device"], made_by["read_on"]["weights"]) == ("cpu", "plain")
    assert tables.made_by(ANSWERS)["read_on"] == made_by["read_on"]
    answers = tables.read(ANSWERS)
    assert answers.columns.tolist() == ["control", "image_id", "label", "prompt", "answer", "shown"]
    for control, rows in answers.groupby("control"):
        assert rows["image_id"].tolist() == sample["image_id"].tolist(), control
        assert rows["label"].tolist() == sample["label"].tolist(), control
    shown = {control: rows["shown"].tolist() for control, rows in answers.groupby("control")}
    assert shown["untrained_twin"] == sample["image_id"].tolist()
    assert shown["no_image"] == [""] * 5
    assert not Path(".scratch/extract_controls").exists(), "all shards are cleared away"


def test_other_letters_are_read_to_the_byte_as_extract_reads_the_image_shown(study):
    """So neither the prompt nor the place in the order leaves a trace: only the image does."""
    study.set(controls__read=["other_letter"])
    extract.main()
    main()
    answers = tables.read(ANSWERS)
    label_of = dict(zip(answers["image_id"], answers["label"], strict=True))
    assert all(label_of[row.shown] != row.label for row in answers.itertuples())
    image_ids, shown = answers["image_id"].tolist(), answers["shown"].tolist()
    for site, position in every_vector(STUDIED):
        ours = vectors(ACTIVATIONS / "other_letter", site, position, image_ids)
        theirs = vectors(STUDIED, site, position, shown)
        assert ours.tobytes() == theirs.tobytes(), (site, position)
    of_image = tables.read("data/answers.parquet").set_index("image_id")["answer"]
    assert answers["answer"].tolist() == of_image[shown].tolist()


def test_without_an_image_every_row_has_the_same_bytes_at_every_site(study):
    study.set(controls__read=["no_image"])
    main()
    image_ids = tables.read(SAMPLE)["image_id"].tolist()
    for site, position in every_vector(ACTIVATIONS / "no_image"):
        rows = vectors(ACTIVATIONS / "no_image", site, position, image_ids)
        assert {row.tobytes() for row in rows} == {rows[0].tobytes()}, (site, position)
    pixels = vectors(ACTIVATIONS / "no_image", "pixels", "flat", image_ids)
    assert set(pixels.ravel()) == {float(tables.made_by(ACTIVATIONS / "no_image/pixels.parquet")["grey"])}
    assert len(set(tables.read(ANSWERS)["answer"])) == 1


def test_the_twin_sees_the_samples_own_images_and_another_seed_is_another_twin(study):
    study.set(controls__read=["untrained_twin"])
    extract.main()
    main()
    image_ids = tables.read(SAMPLE)["image_id"].tolist()
    first = written()
    for site, position in every_vector(STUDIED):
        ours = vectors(ACTIVATIONS / "untrained_twin", site, position, image_ids)
        theirs = vectors(STUDIED, site, position, image_ids)
        assert (ours == theirs).all() == (site == "pixels"), (site, position)
    study.set(controls__twin_seed=2)
    main()
    name = str(ACTIVATIONS / "untrained_twin/layer_00.parquet")
    assert written()[name] != first[name]


class Killed(BaseException):
    """What no code of the project catches."""


@pytest.mark.slow
@pytest.mark.parametrize("shards", [1, GREY + OTHERS, GREY + OTHERS + 1], ids="{} shards there".format)
def test_a_killed_run_goes_on_where_it_stopped_and_ends_with_the_same_bytes(study, monkeypatch, shards):
    main()
    expected = written()
    wrote = []

    def write_until_killed(path, shard):
        if len(wrote) == shards:
            raise Killed
        write_shard(path, shard)
        wrote.append(path)

    monkeypatch.setattr(signbridge.vlm.shard_runs, "write_shard", write_until_killed)
    with pytest.raises(Killed):
        main()
    there = {path: path.stat().st_mtime_ns for path in wrote}
    later = []

    def write_and_look(path, shard):
        write_shard(path, shard)
        later.append(path)
        assert all(kept.stat().st_mtime_ns == time for kept, time in there.items())

    monkeypatch.setattr(signbridge.vlm.shard_runs, "write_shard", write_and_look)
    main()
    assert len(later) == GREY + OTHERS + TWIN - shards
    assert not set(later) & set(wrote)
    assert written() == expected


def test_another_choice_of_controls_keeps_the_shards_of_a_killed_run(study, monkeypatch):
    wrote = []

    def write_until_killed(path, shard):
        if len(wrote) == GREY + 1:
            raise Killed
        write_shard(path, shard)
        wrote.append(path.parent.name)

    monkeypatch.setattr(signbridge.vlm.shard_runs, "write_shard", write_until_killed)
    with pytest.raises(Killed):
        main()
    assert wrote == ["no_image"] * GREY + ["other_letter"]
    study.set(controls={"read": ["other_letter", "no_image"], "twin_seed": 2})
    monkeypatch.setattr(signbridge.vlm.shard_runs, "write_shard", lambda *a: (write_shard(*a), wrote.append("again")))
    main()
    assert wrote.count("again") == OTHERS - 1


def test_two_models_are_never_in_memory_at_once(study, monkeypatch):
    """At LLaVA-1.5-7B's size a second one would not fit."""
    models: list[weakref.ref] = []
    seeds: list[int | None] = []
    load = inspect.unwrap(signbridge.vlm.model_run.load)

    def load_alone(model, scratch, device, twin_seed):
        assert not any(model() for model in models)
        loaded = load(model, scratch, device, twin_seed)
        models.append(weakref.ref(loaded.model))
        seeds.append(twin_seed)
        return loaded

    monkeypatch.setattr(signbridge.vlm.model_run, "load", load_alone)
    main()
    assert seeds == [None, 1], "once for both controls that the model itself reads, once for the twin"
    assert not [path for path in Path(".scratch").rglob("*") if "twin" in path.name], "it has no file"


def test_a_twin_that_is_left_out_is_never_drawn(study, monkeypatch):
    monkeypatch.setattr(signbridge.vlm.loading, "from_untrained", lambda *_, **__: pytest.fail("the twin was drawn"))
    study.set(controls__read=["no_image"])
    main()


def test_a_control_that_is_no_longer_chosen_goes(study):
    study.set(controls__read=["no_image", "other_letter"])
    main()
    study.set(controls__read=["no_image"])
    main()
    assert {path.name for path in ACTIVATIONS.iterdir()} == {"no_image", ANSWERS.name}
    assert tables.read(ANSWERS)["control"].unique().tolist() == ["no_image"]


def test_without_controls_both_outputs_are_there_and_empty_and_no_model_is_loaded(study, monkeypatch):
    monkeypatch.setattr(signbridge.vlm.model_run, "load", None)
    study.set(controls__read=[])
    main()
    assert list(ACTIVATIONS.iterdir()) == [ANSWERS]
    answers = tables.read(ANSWERS)
    assert (len(answers), answers.columns.tolist()) == (0, extract_controls.ANSWER_COLUMNS)
    assert set(answers.dtypes) == {pd.Series(["text"]).dtype}


def test_the_progress_bar_says_which_control_is_read(study, capsys):
    main()
    said = capsys.readouterr().err
    assert all(f"{control}: 100%" in said for control in ALL)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"controls": {"read": ["no_picture"], "twin_seed": 1}}, "params.yaml: controls.read.0: expected"),
        ({"controls": {"read": ["no_image"]}}, "params.yaml: controls.twin_seed: this key is missing"),
        ({"model": "llava-2"}, "no 'llava-2' in models.yaml"),
    ],
)
def test_what_cannot_be_used_is_said_and_no_table_is_touched(study, changes, said):
    ANSWERS.parent.mkdir()
    ANSWERS.write_bytes(b"an earlier run's")
    study.set(**changes)
    assert said in study.message_of_failure(main)
    assert ANSWERS.read_bytes() == b"an earlier run's"


def test_one_letter_is_refused_before_any_model_is_loaded(study, monkeypatch):
    monkeypatch.setattr(signbridge.vlm.model_run, "load", None)
    write_sample("AAA", "abc")
    assert "other_letter needs two letters at least" in study.message_of_failure(main)


@pytest.mark.slow
def test_the_command_of_the_stage_runs(study):
    study.set(controls__read=["no_image"])
    done = study.run("extract_controls")
    assert done.returncode == 0, done.stderr
    assert (ACTIVATIONS / "no_image/layer_08.parquet").is_file()
