"""Reruns, the shared cache and interrupted work, proven with DVC itself in temporary clones.

One small study is run once; every test works in a copy of it.
"""

import contextlib
import os
import re
import shutil
import signal
import time
from collections import defaultdict
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from ruamel.yaml import YAML

from tests.dvc_clone import PROJECT, Clone, clone_of_the_working_tree

STAGES = YAML(typ="safe").load((PROJECT / "dvc.yaml").read_text(encoding="utf-8"))["stages"]
PLOTS = {next(iter(plot)) for stage in STAGES.values() for plot in stage.get("plots", [])}
READ_THROUGH_A_MODEL = {"extract", "extract_controls", "score_letters", "patch", "steer", "erase", "text_index", "lens"}
READ_THROUGH_A_MODEL |= {"modalities", "sae", "sae_twin", "sae_features", "sae_steer", "sae_examples"}
READ_THROUGH_A_MODEL |= {"pretrained_sae", "pretrained_features"}
BEFORE_PROBE = {"choice", "fetch", "photos", "sample", "model"} | READ_THROUGH_A_MODEL
STEERED = {"pairs": 1, "images": 2, "others": 2, "at": ["every"], "during": ["every_step"], "strengths": [1.0],
           "draws": 1, "answer_tokens": 1}  # fmt: skip
SMALL_STUDY = {
    "model": "tiny-random",
    "datasets__rendered__photos": 6,
    "datasets__rendered__copies": 3,
    "sample__classes": 4,
    "sample__per_class": 5,
    "probe__sites": ["pixels"],
    "probe__layers": [0, 1],
    "probe__positions": ["prompt_last"],
    "probe__grouped__folds": 2,
    "probe__grouped__repeats": 1,
    "probe__grouped__inner_folds": 2,
    "probe__grouped__C": [0.01],
    "probe__description_length__orders": 1,
    "controls__read": ["untrained_twin", "no_image", "other_letter"],
    "shuffled_labels__draws": 1,
    "answers__shuffles": 2,
    "statistics__resamples": 20,
    "project__neighbors": 4,
    "causal__describe_tokens": 4,
    "patching__small__pairs": 3,
    "steering__small__layers": 1,
    "steering__small__pairs": 1,
    "steering__small__images": 2,
    "steering__small__others": 2,
    "steering__small__strengths": [1.0],
    "steering__small__draws": 1,
    "erasure__small__layers": 1,
    "erasure__small__others": 2,
    "text_index__contexts": 1,
    "lenses__images": 2,
    "lenses__patches": 4,
    "lenses__layers": 2,
    "interpretable__draws": 2,
    "interpretable__text_words": 5,
    "modalities__phrases": 12,
    "modalities__neighbours": 2,
    "modalities__draws": 2,
    "sae__layers": [0],
    "sae_presets__default__tokens": 1024,
    "sae_presets__default__buffer": 512,
    "sae_presets__default__width": 64,
    "sae_judge__images": 4,
    "sae_judge__phrases": 6,
    "sae_judge__k": [1],
    "sae_judge__draws": 1,
    "sae_fingers__draws": 4,
    "sae_steering__small__of_classes": STEERED,
    "sae_steering__small__of_concept": STEERED,
    "sae_examples__features": 8,
    "sae_examples__images_read": 8,
    "sae_examples__phrases_read": 20,
    "models__tiny-random__max_new_tokens": 3,
}
GROWN = re.compile(r"(\d+) phrases taken from the last index, (\d+) to be read")


@pytest.fixture(scope="module")
def study(tmp_path_factory) -> Clone:
    """A small study that has been run and committed. Not to be changed: take a `clone`."""
    folder = tmp_path_factory.mktemp("study")
    clone = clone_of_the_working_tree(folder / "project", folder / "home")
    clone.set_params(**SMALL_STUDY)
    clone.commit("A small study")
    clone.dvc("repro")
    clone.commit("Its results")
    return clone


@pytest.fixture
def clone(study, tmp_path) -> Clone:
    """A copy of the small study, with its cache, to do with as one likes."""
    return study.copy(tmp_path / "project")


# Reruns ------------------------------------------------------------------------------------------------------------


def test_a_change_of_nothing_runs_nothing(clone):
    assert clone.dvc("repro").ran == set()
    assert "up to date" in clone.dvc("status").output
    assert clone.git("status", "--porcelain") == ""


def test_another_release_of_what_writes_the_images_fetches_again(clone):
    pyproject = clone.root / "pyproject.toml"
    changed, found = re.subn(r'^images = \["pillow==.*"\]', 'images = ["pillow==0"]', pyproject.read_text(), flags=re.M)
    assert found == 1
    pyproject.write_text(changed)
    status = clone.dvc("status").output
    assert re.search(r"^fetch:\n.*pyproject.toml", status, re.MULTILINE | re.DOTALL)
    assert "extract:" not in status.split("fetch:")[0]


def test_a_change_of_the_layers_probes_again_and_reads_no_model(clone):
    clone.set_params(probe__layers=[0, 2])
    ran = clone.dvc("repro").ran
    assert {"probe", "controls", "within_word", "statistics", "answers", "report"} <= ran
    assert ran.isdisjoint(BEFORE_PROBE | {"leakage"})


def test_another_confidence_draws_other_intervals_around_the_same_predictions(clone):
    clone.set_params(statistics__confidence=0.9)
    rerun = {"statistics", "answers", "causal", "interpretable", "judge", "alignment", "report"}
    rerun |= {"sae_judge", "sae_effects", "sae_pretrained"}
    assert clone.dvc("repro").ran == rerun


def test_another_twin_is_read_and_nothing_else_through_the_model(clone):
    clone.set_params(controls__twin_seed=1)
    rerun = {"extract_controls", "controls", "statistics", "sae_twin", "sae_judge", "report"}
    assert clone.dvc("repro").ran == rerun


def test_more_draws_of_shuffled_labels_read_no_model(clone):
    clone.set_params(shuffled_labels__draws=2)
    assert clone.dvc("repro").ran == {"controls", "statistics", "report"}


def test_another_prompt_for_the_letters_extracts_nothing_again(clone):
    clone.set_params(prompts__offer_letters="USER: <image>\nOne of {letters}?\nASSISTANT:")
    assert clone.dvc("repro").ran == {"score_letters", "answers", "report"}


def test_other_strengths_steer_again_and_leave_the_other_edits_alone(clone):
    clone.set_params(steering__small__strengths=[2.0])
    assert clone.dvc("repro").ran == {"steer", "causal", "report"}


def test_the_settings_of_a_sweep_that_is_not_chosen_rerun_no_edit(clone):
    clone.set_params(steering__full__draws=11, patching__full__pairs=5, erasure__full__draws=4)
    clone.set_params(sae_steering__full__of_concept__draws=4)
    assert clone.dvc("repro").ran == {"report"}  # which shows params.yaml as it is


def test_more_contexts_of_a_word_index_the_text_again_and_look_through_it(clone):
    clone.set_params(text_index__contexts=2)
    assert clone.dvc("repro").ran == {"text_index", "lens", "interpretable", "judge", "report"}


def test_more_words_a_patch_index_no_text_again(clone):
    clone.set_params(lenses__k=2)
    assert clone.dvc("repro").ran == {"lens", "interpretable", "judge", "report"}


def test_other_strengths_of_features_steer_by_them_again_and_read_no_feature_again(clone):
    clone.set_params(sae_steering__small__of_concept__strengths=[2.0])
    assert clone.dvc("repro").ran == {"sae_steer", "sae_effects", "report"}


def test_more_draws_of_shuffled_hands_read_no_token_again(clone):
    clone.set_params(sae_fingers__draws=5)
    assert clone.dvc("repro").ran == {"sae_judge", "report"}


def test_more_draws_of_the_alignments_nulls_read_no_token_again(clone):
    clone.set_params(modalities__draws=3)
    assert clone.dvc("repro").ran == {"alignment", "report"}


def test_another_bound_on_the_damage_edits_nothing_again(clone):
    clone.set_params(steering_effects__most_damage=0.5)
    assert clone.dvc("repro").ran == {"causal", "sae_effects", "report"}


def test_another_template_makes_the_report_again_and_nothing_else(clone):
    clone.append("signbridge/report/template.html.j2", "{# a remark #}\n")
    assert clone.dvc("repro").ran == {"report"}


def test_a_change_of_the_seed_draws_another_sample_and_reads_it(clone):
    clone.set_params(seed=43)
    ran = clone.dvc("repro", "probe", "project").ran
    assert ran == {"sample", "extract", "probe", "project"}
    waiting = clone.dvc("repro", "--dry").ran
    assert {"leakage", "extract_controls", "score_letters", "controls", "statistics", "answers", "report"} <= waiting
    assert waiting.isdisjoint({"choice", "fetch", "photos"})


def test_a_change_of_a_figures_code_reads_no_model(clone):
    clone.append("signbridge/figures/umap_projection.py", "\n# a remark\n")
    ran = clone.dvc("repro").ran
    assert ran == {"project"}, "the same picture: the report has nothing new to show"


def test_a_new_model_in_the_catalog_runs_the_report_alone_which_prints_the_params(clone):
    clone.set_params(models__another={"source": "tiny_random", "seed": 1})
    assert clone.dvc("repro").ran == {"report"}


def test_other_files_of_the_miniature_are_read_again_only_where_it_is_the_model(clone):
    clone.append("models/miniature/generation_config.json", "\n")
    assert clone.dvc("repro").ran == {"model"}
    clone.set_params(model="miniature", models__miniature__max_new_tokens=3)
    assert {"model", "extract"} <= clone.dvc("repro", "extract").ran
    clone.append("models/miniature/generation_config.json", "\n")
    assert {"model", "extract"} <= clone.dvc("repro", "extract").ran


def test_an_experiment_runs_what_its_param_reaches_and_can_be_compared(clone):
    experiment = clone.dvc("exp", "run", "--name", "spread", "--set-param", "project.min_dist=0.5")
    assert "project" in experiment.ran
    assert experiment.ran.isdisjoint(BEFORE_PROBE | {"probe", "controls", "statistics"})
    assert "project.min_dist" in clone.dvc("params", "diff").output
    compared = clone.dvc("metrics", "diff", "--all").output
    assert all(f"metrics/{name}.json" in compared for name in ("leakage", "probe", "answers"))


def test_dvc_draws_every_plot_without_a_complaint(clone):
    shown = clone.dvc("plots", "show")
    assert "WARNING" not in shown.output
    assert "ERROR" not in shown.output
    drawn = (clone.root / "dvc_plots/index.html").read_text()
    # Of random weights hardly two answers are the same, and hardly any is a word that another could be steered to.
    empty = {path for path in PLOTS if path.endswith(".csv") and (clone.root / path).read_text().count("\n") == 1}
    allowed = {"plots/within_word.csv", "plots/steering.csv", "plots/steering_area.csv"}
    allowed |= {"plots/sae_steering.csv", "plots/sae_steering_area.csv", "plots/sae_fingers.csv"}
    # No judge and no pretrained autoencoder by default; of four patches of two images none may be on the hand.
    assert empty <= allowed | {"plots/judge.csv", "plots/lenses_on_hand.csv", "plots/sae_features_by_class.csv"}
    for path in PLOTS - empty:
        assert path in drawn or path.replace("/", "_") in drawn, path
    assert "WARNING" not in clone.dvc("plots", "diff", "HEAD").output


# A shared cache ----------------------------------------------------------------------------------------------------


def push(clone: Clone, remote: Path) -> None:
    """Share the clone's cache and its runs through a folder."""
    clone.dvc("remote", "add", "--force", "--default", "shared", str(remote))
    clone.commit("Share the cache")
    clone.dvc("push", "--run-cache")


def test_a_fresh_clone_that_pulls_runs_nothing(clone, tmp_path):
    push(clone, tmp_path / "remote")
    fresh = clone.clone(tmp_path / "fresh")
    fresh.dvc("pull", "--run-cache")
    assert fresh.dvc("repro").ran == set()
    assert fresh.outputs() == clone.outputs()


def test_a_fresh_clone_that_pulls_as_it_goes_runs_nothing(clone, tmp_path):
    push(clone, tmp_path / "remote")
    fresh = clone.clone(tmp_path / "fresh")
    assert fresh.dvc("repro", "--pull").ran == set()
    assert fresh.outputs() == clone.outputs()


def test_two_shared_experiments_are_both_restored_elsewhere_without_a_run(clone, tmp_path):
    push(clone, tmp_path / "remote")
    expected = {"first": clone.outputs()}
    clone.git("branch", "first")
    clone.git("checkout", "--quiet", "-b", "second")
    clone.set_params(probe__signbridge__C=0.01, project__min_dist=0.5)
    assert clone.dvc("repro").ran
    expected["second"] = clone.outputs()
    assert expected["first"] != expected["second"]
    clone.commit("A second experiment")
    clone.dvc("push", "--run-cache")

    fresh = clone.clone(tmp_path / "fresh")
    for branch in ("first", "second", "first"):
        fresh.git("checkout", "--quiet", branch)
        fresh.dvc("pull", "--run-cache")
        assert fresh.dvc("repro").ran == set()
        assert fresh.outputs() == expected[branch]


def test_a_lost_lock_file_is_made_again_without_a_run(clone):
    lock = (clone.root / "dvc.lock").read_bytes()
    (clone.root / "dvc.lock").unlink()
    assert clone.dvc("repro").ran == set()
    assert (clone.root / "dvc.lock").read_bytes() == lock


# Interrupted work --------------------------------------------------------------------------------------------------


def shards(clone: Clone) -> list[Path]:
    """The finished shards in the clone's scratch folder, in order."""
    return sorted(clone.root.glob(".scratch/extract/*/shard-*.safetensors"))


def identity(path: Path) -> tuple[int, int]:
    """Changes whenever a file is written anew."""
    status = path.stat()
    return status.st_ino, status.st_mtime_ns


def kill_once_it_has(finished: int, clone: Clone) -> None:
    """Start a run and kill it, with all it has started, as soon as that many shards are finished."""
    process = clone.start("repro", "extract")
    deadline = time.monotonic() + 120
    while len(shards(clone)) < finished:
        assert process.poll() is None, process.stdout.read()
        assert time.monotonic() < deadline, "no shard was finished in time"
        time.sleep(0.002)
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()


def test_a_killed_extract_goes_on_where_it_stopped_and_ends_with_the_same_bytes(study, clone):
    clone.append("signbridge/extraction.py", "\n# a remark, so that DVC has no run of this code\n")
    kill_once_it_has(3, clone)
    kept = shards(clone)
    assert 3 <= len(kept) < 10
    assert not (clone.root / "data/answers.parquet").exists()
    damaged, whole = kept[0], kept[1:]
    contents = bytearray(damaged.read_bytes())
    contents[-1] ^= 0xFF
    damaged.write_bytes(contents)

    seen = defaultdict(set)
    for path in kept:
        seen[path].add(identity(path))
    process = clone.start("repro", "extract")
    while process.poll() is None:
        for path in shards(clone):
            with contextlib.suppress(FileNotFoundError):  # all go once the tables are written
                seen[path].add(identity(path))
        time.sleep(0.002)
    output = process.stdout.read()
    assert process.returncode == 0, output

    assert f"{len(whole)} of 10 shards already there" in output
    assert all(len(seen[path]) == 1 for path in whole)
    assert len(seen[damaged]) == 2
    made = {name: contents for name, contents in clone.outputs().items() if name.startswith(("data/act", "data/ans"))}
    undisturbed = study.outputs()
    assert len(made) > 10
    assert made == {name: undisturbed[name] for name in made}
    assert shards(clone) == []


def test_a_corpus_that_grows_is_read_as_far_as_it_is_new_though_dvc_empties_the_output(clone):
    stage, corpus = clone.root / "stages/text_index.py", clone.root / "corpora/miniature.txt"
    stage.write_text(re.sub(r"^BLOCK = 2\*\*16", "BLOCK = 500", stage.read_text(), flags=re.MULTILINE))
    clone.set_params(text_index__corpus="corpora/miniature.txt")
    clone.dvc("repro", "text_index")
    before, lines = clone.outputs(), corpus.read_text()
    clone.append("corpora/miniature.txt", "A zebra is striped.\nThe quick brown fox.\n")
    taken, to_read = map(int, GROWN.search(clone.dvc("repro", "text_index").output).groups())
    assert taken > to_read > 0
    grown = clone.outputs()
    assert grown != before
    shutil.rmtree(clone.root / ".scratch")
    assert GROWN.search(clone.dvc("repro", "--force", "--single-item", "text_index").output)[1] == "0"
    assert clone.outputs() == grown
    corpus.write_text(lines)
    assert clone.dvc("repro", "text_index").ran == set()
    assert clone.outputs() == before


# Mistakes ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"model": "nonsense"}, r"no 'nonsense' under 'models'\. There are: .*tiny-random"),
        ({"dataset": "nonsense"}, r"no 'nonsense' under 'datasets'\. There are: .*rendered"),
        ({"sample__strategy": "nonsense"}, r"sample.*nonsense"),
        ({"photos__treshold": 0.9}, r"photos\.treshold: unknown key\. Did you mean 'threshold'"),
        ({"probe__layers": [0, 99]}, r"99"),
        ({"probe__protocols": ["nonsense"]}, r"probe\.protocols.*(signbridge.*grouped|grouped.*signbridge)"),
        ({"project__site": "layer_99"}, r"no site 'layer_99'\. There are: best, .*layer_01"),
    ],
    ids=str,
)
def test_a_mistake_says_what_there_is_and_all_outputs_come_back_once_it_is_mended(study, clone, changes, message):
    clone.set_params(**changes)
    failed = clone.dvc_fails("repro")
    assert re.search(message, failed.output), failed.output
    assert "Traceback" not in failed.output

    clone.git("checkout", "--quiet", "params.yaml")
    assert clone.dvc("repro").ran == set()
    assert clone.outputs() == study.outputs()
    assert clone.git("status", "--porcelain") == ""


# Real signs --------------------------------------------------------------------------------------------------------


def test_real_signs_go_all_the_way_through(study, tmp_path, real_signs):
    clone = study.clone(tmp_path / "real")
    shutil.rmtree(clone.root / "metrics", ignore_errors=True)
    archive = real_signs / "sign-language-mnist-excerpt.zip"
    clone.set_params(
        dataset="sign_mnist",
        datasets__sign_mnist__archive=str(archive),
        sample__classes="all",
        sample__strategy="one_per_photo",  # so that even the notebook's split has nothing to mark as leaking
        sample__per_class=3,
        probe__signbridge__test_size=0.4,  # at least one image a letter
        controls__read=[],  # the small study has them; here the same without
    )
    clone.dvc("repro")
    images = pq.read_table(clone.root / "data/images.parquet", columns=["label"])
    photos = pq.read_table(clone.root / "data/photos.parquet", columns=["photo"])
    assert images.num_rows == 4303
    assert len(images["label"].unique()) == 24
    assert 190 <= len(photos["photo"].unique()) <= 210
    assert pq.read_metadata(clone.root / "data/sample.parquet").num_rows == 24 * 3
    assert {"metrics/leakage.json", "metrics/probe.json", "metrics/answers.json"} | PLOTS <= set(clone.outputs())
    assert "leaking" not in (clone.root / "metrics/probe.json").read_text()
    assert "sign_mnist" in (clone.root / "report/index.html").read_text(encoding="utf-8")
