"""A small study with real stages, run by DVC: what is killed goes on, mistakes are said, plots are drawn.

One study is run once; every test works in a copy of it. What reruns, and what is shared, is in test_dvc.py.
"""

import contextlib
import os
import re
import shutil
import signal
import time
from collections import defaultdict
from collections.abc import Set
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from ruamel.yaml import YAML

from signbridge.core import params
from tests.dvc_clone import PROJECT, Clone, clone_of_the_working_tree

pytestmark = pytest.mark.slow  # a whole study end to end; `make repro` runs one too

QUESTIONS = ("causal", "lenses", "sae")  # that run with any model and need no server
STEERED = {"pairs": 1, "images": 2, "others": 2, "at": ["every"], "during": ["every_step"], "strengths": [1.0],
           "draws": 1, "answer_tokens": 1}  # fmt: skip
SMALL_STUDY = {
    "model": "tiny-random",
    "datasets__rendered__photos": 6,
    "datasets__rendered__copies": 3,
    "models__tiny-random__max_new_tokens": 3,
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
    "shuffled_labels__quoted_draws": 0,
    "answers__shuffles": 2,
    "statistics__resamples": 20,
    "project__neighbors": 4,
    "questions__describe_tokens": 4,
}
SMALL_QUESTIONS = {
    params.CAUSAL: {
        "patching__small__pairs": 3,
        "knockout__small__images": 3,
        "minimal_pairs__small__photos": 2,
        "minimal_pairs__small__layers": 1,
        "steering__small": {"layers": 1, **STEERED},
        "erasure__small__layers": 1,
        "erasure__small__others": 2,
    },
    params.LENSES: {
        "text_index__contexts": 1,
        "lenses__images": 2,
        "lenses__patches": 4,
        "lenses__layers": 2,
        "lenses__text_words": 5,
        "modalities__phrases": 12,
        "modalities__neighbours": 2,
        "alignment__draws": 2,
    },
    params.SAE: {
        "sae__layers": [0],
        "minimal_pairs__photos": 2,
        "steering__small__of_classes": STEERED,
        "steering__small__of_concept": STEERED,
        "read__images": 4,
        "read__phrases": 6,
        "probes__k": [1],
        "probes__draws": 1,
        "fingers__draws": 4,
        "examples__features": 8,
        "examples__images_read": 8,
        "examples__phrases_read": 20,
    },
    params.SAE_PRESETS: {"default__tokens": 1024, "default__buffer": 512, "default__width": 64},
}
GROWN = re.compile(r"(\d+) phrases taken from the last index, (\d+) to be read")


def stages_of(file: str) -> dict[str, dict]:
    """The stages of a pipeline file."""
    return YAML(typ="safe").load((PROJECT / file).read_text(encoding="utf-8"))["stages"]


def plots_of(*files: str) -> set[str]:
    """The plots that the stages of pipeline files write."""
    stages = [stage for file in files for stage in stages_of(file).values()]
    return {next(iter(plot)) for stage in stages for plot in stage.get("plots", [])}


STUDY_PLOTS = plots_of("dvc.yaml")


@pytest.fixture(scope="module")
def study(tmp_path_factory) -> Clone:
    """A small study that has been run and committed. Not to be changed: take a `clone`."""
    folder = tmp_path_factory.mktemp("study")
    clone = clone_of_the_working_tree(folder / "project", folder / "home")
    clone.set_params(**SMALL_STUDY)
    for file, changes in SMALL_QUESTIONS.items():
        clone.set_in(file, **changes)
    clone.commit("A small study")
    assert clone.dvc("repro").ran == set(stages_of("dvc.yaml"))
    clone.commit("Its results")
    return clone


@pytest.fixture
def clone(study, tmp_path) -> Clone:
    """A copy of the small study, with its cache, to do with as one likes."""
    return study.copy(tmp_path / "project")


def test_a_change_of_nothing_runs_nothing(clone):
    assert clone.dvc("repro").ran == set()
    assert clone.git("status", "--porcelain") == ""


def test_what_leaves_an_output_as_it_was_reruns_nothing_after_it(clone):
    clone.append("models/miniature/generation_config.json", "\n")  # which is not the model of this study
    clone.append("signbridge/report/figures/umap_projection.py", "\n# a remark\n")
    assert clone.dvc("repro").ran == {"model", "report"}


def test_dvc_draws_every_plot_without_a_complaint(clone):
    draws_every_plot(clone, STUDY_PLOTS)


def draws_every_plot(clone: Clone, plots: set[str], may_be_empty: Set[str] = frozenset()) -> None:
    """Hold `dvc plots show` and `dvc plots diff` to the plots that have rows."""
    shown = clone.dvc("plots", "show")
    assert "WARNING" not in shown.output
    assert "ERROR" not in shown.output
    drawn = (clone.root / "dvc_plots/index.html").read_text()
    empty = {path for path in plots if path.endswith(".csv") and (clone.root / path).read_text().count("\n") == 1}
    assert empty <= may_be_empty
    for path in plots - empty:
        assert path in drawn or path.replace("/", "_") in drawn, path
    assert "WARNING" not in clone.dvc("plots", "diff", "HEAD").output


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
    clone.append("signbridge/vlm/extraction.py", "\n# a remark, so that DVC has no run of this code\n")
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
    index, corpus = "stages/lenses/dvc.yaml:text_index", clone.root / "corpora/miniature.txt"
    stage = clone.root / "stages/lenses/text_index.py"
    edited, found = re.subn(r"^BLOCK = 2\*\*16", "BLOCK = 500", stage.read_text(), flags=re.MULTILINE)
    assert found == 1
    stage.write_text(edited)
    clone.dvc("repro", index)
    before, lines = clone.outputs(), corpus.read_text()
    clone.append("corpora/miniature.txt", "A zebra is striped.\nThe quick brown fox.\n")
    taken, to_read = map(int, GROWN.search(clone.dvc("repro", index).output).groups())
    assert taken > to_read > 0
    grown = clone.outputs()
    assert grown != before
    shutil.rmtree(clone.root / ".scratch")
    assert GROWN.search(clone.dvc("repro", "--force", "--single-item", index).output)[1] == "0"
    assert clone.outputs() == grown
    corpus.write_text(lines)
    assert clone.dvc("repro", index).ran == set()
    assert clone.outputs() == before


# Mistakes ----------------------------------------------------------------------------------------------------------


MISTAKES = [
    ({"model": "nonsense"}, r"no 'nonsense' in models\.yaml\. There are: .*tiny-random"),
    ({"dataset": "nonsense"}, r"no 'nonsense' in datasets\.yaml\. There are: .*rendered"),
    ({"sample__strategy": "nonsense"}, r"sample.*nonsense"),
    ({"photos__treshold": 0.9}, r"photos\.treshold: unknown key\. Did you mean 'threshold'"),
    ({"probe__layers": [0, 99]}, r"99"),
    ({"probe__protocols": ["nonsense"]}, r"probe\.protocols.*(signbridge.*grouped|grouped.*signbridge)"),
    ({"project__site": "layer_99"}, r"no site 'layer_99'\. There are: best, .*layer_01"),
]


def test_mistakes_say_what_there_is_and_all_outputs_come_back_once_they_are_mended(study, clone):
    for changes, message in MISTAKES:
        clone.set_params(**changes)
        failed = clone.dvc_fails("repro")
        assert re.search(message, failed.output), failed.output
        assert "Traceback" not in failed.output
        clone.git("checkout", "--quiet", "params.yaml")

    assert clone.dvc("repro").ran == set()
    assert clone.outputs() == study.outputs()
    assert clone.git("status", "--porcelain") == ""


# Whole pipelines ---------------------------------------------------------------------------------------------------


def test_every_further_question_goes_all_the_way_through_and_its_plots_are_drawn(clone):
    files = [f"stages/{question}/dvc.yaml" for question in QUESTIONS]
    before = {name: contents for name, contents in clone.outputs().items() if not name.endswith(".gitignore")}
    ran = clone.dvc("repro", *files).ran
    assert ran == {
        f"{question}:{stage}" for question in QUESTIONS for stage in stages_of(f"stages/{question}/dvc.yaml")
    }
    outputs = clone.outputs()
    assert before.items() <= outputs.items(), "the study is as it was"
    assert {f"report/{question}.html" for question in QUESTIONS} <= outputs.keys()
    assert pushed_whatever_the_params_say(clone.root) == []
    clone.commit("The questions")
    # Of random weights hardly two answers are the same, and hardly any is a word that another could be steered to.
    draws_every_plot(clone, plots_of("dvc.yaml", *files), may_be_empty={"plots/causal/steering.csv"})
    assert clone.dvc("repro", *files).ran == set()


def pushed_whatever_the_params_say(root: Path) -> list[str]:
    """The tables of images or vectors that lie in no output of which a pipeline says `remote: ${push_to}`."""
    stages = [entry for file in ["dvc.yaml", *PROJECT.glob("stages/*/dvc.yaml")] for entry in stages_of(file).values()]
    named = [out for entry in stages for out in entry.get("outs", []) if isinstance(out, dict)]
    folders = [root / re.sub(r"/\$\{.*", "", path) for out in named for path in out]
    found = []
    for path in sorted(root.glob("data/**/*.parquet")):
        types = pq.read_schema(path).types
        holds = any(pa.types.is_binary(type) or pa.types.is_fixed_size_list(type) for type in types)
        if holds and not any(path.is_relative_to(folder) for folder in folders):
            found.append(path.relative_to(root).as_posix())
    return found


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
    assert {"metrics/leakage.json", "metrics/probe.json", "metrics/answers.json"} | STUDY_PLOTS <= set(clone.outputs())
    assert "leaking" not in (clone.root / "metrics/probe.json").read_text()
    assert "sign_mnist" in (clone.root / "report/index.html").read_text(encoding="utf-8")
