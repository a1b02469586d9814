"""What reruns, what is shared and what fails alone: the rules of the pipeline files, proven with DVC itself.

The pipeline files and params are the project's own; every stage is a stub whose outputs are hashes of its data deps and
params (tests/stub_stage.py). What real stages have to prove is in test_dvc_study.py.
"""

import re
import shutil
from pathlib import Path

import pytest
from ruamel.yaml import YAML

from signbridge.core import params
from tests.dvc_clone import PROJECT, Clone, clone_of_the_working_tree
from tests.stub_stage import AS_READ, WEIGHTS

FILES = ["dvc.yaml", *sorted(path.relative_to(PROJECT).as_posix() for path in PROJECT.glob("stages/*/dvc.yaml"))]
STAGES = {
    stage if file == "dvc.yaml" else f"{Path(file).parts[1]}:{stage}": entry
    for file in FILES
    for stage, entry in YAML(typ="safe").load((PROJECT / file).read_text(encoding="utf-8"))["stages"].items()
}
STUDY = {name for name in STAGES if ":" not in name}
READ_THROUGH_A_MODEL = {"extract", "extract_controls", "score_letters", "causal:patch", "causal:steer", "causal:erase"}
READ_THROUGH_A_MODEL |= {"causal:knockout", "causal:minimal_pairs"}
READ_THROUGH_A_MODEL |= {"lenses:text_index", "lenses:lens", "lenses:modalities", "sae:train", "sae:twin"}
READ_THROUGH_A_MODEL |= {"sae:features", "sae:minimal_pairs", "sae:steer", "sae:examples"}
READ_THROUGH_A_MODEL |= {"models:model", "models:extract", "models:score_letters", "models:patch"}
READ_THROUGH_A_MODEL |= {"planted:read", "planted:edit", "resolution:extract"}
READ_THROUGH_A_MODEL |= {"motion:model", "motion:extract", "motion:patch"}
READ_THROUGH_A_MODEL |= {"pretrained:fetch", "pretrained:features", "pretrained:steer"} & STAGES.keys()
REPORTS = {name for name in STAGES if name.rpartition(":")[2] == "report"}
EDITS = (("steering", "draws"), ("patching", "pairs"), ("erasure", "draws"))
EDITS += (("knockout", "draws"), ("minimal_pairs", "draws"))
AFTER_THE_TWIN = {f"motion:{stage}" for stage in ("extract", "probe", "controls", "compare")}  # which reads clips
OF_TUNED = {f"finetune:{stage}" for stage in ("extract", "probe", "said", "moved", "compare")}  # which reads letters
# Stages with a matrix are run for few items: more would show nothing more, and DVC writes the lock file after each.
FEW_OF_EACH = {
    params.SIDE_BY_SIDE: {"models": ["miniature"]},
    params.RESOLUTION: {"rungs": ["28-grey"]},
    params.FINETUNE: {"runs": ["letters", "untrained_twin"]},
    params.MOTION: {"readings": ["in_order"]},
}
BEFORE_PROBE = {"fetch", "photos", "sample", "model"} | READ_THROUGH_A_MODEL


def depending_on(path: str) -> set[str]:
    """The stages that name `path` among their deps."""
    return {name for name, entry in STAGES.items() if path in entry["deps"]}


@pytest.fixture(scope="module")
def study_alone(tmp_path_factory) -> tuple[Clone, set[str], list[str]]:
    """The study, run by itself; the stages that ran; the pages there were then."""
    folder = tmp_path_factory.mktemp("study")
    clone = clone_of_the_working_tree(folder / "project", folder / "home", stubs=True)
    for file, items in FEW_OF_EACH.items():
        clone.set_in(file, **items)
    clone.commit("The pipelines")
    ran = clone.dvc("repro").ran
    return clone, ran, [path.name for path in (clone.root / "report").glob("*.html")]


@pytest.fixture(scope="module")
def study(study_alone) -> Clone:
    """All pipelines, run and committed. Not to be changed: take a `clone`."""
    clone, _, _ = study_alone
    assert clone.dvc("repro", "--all-pipelines").ran == set(STAGES) - STUDY
    clone.commit("Their results")
    return clone


@pytest.fixture
def clone(study, tmp_path) -> Clone:
    """A copy of them, with its cache, to do with as one likes."""
    return study.copy(tmp_path / "project")


def run_all(clone: Clone) -> set[str]:
    """The stages that ran, of all pipelines."""
    return clone.dvc("repro", "--all-pipelines").ran


def test_every_stage_that_reads_the_studys_model_follows_the_kind_of_weights_that_extract_read():
    """It depends on what `extract` says, or on a table that says the same of itself."""
    own = {"extract", "models:model", "models:extract", "pretrained:fetch"}
    own |= {name for name in READ_THROUGH_A_MODEL if name.startswith("motion:")}
    follows = READ_THROUGH_A_MODEL & depending_on(AS_READ)
    later = {
        name: f"data/{name.partition(':')[0]}/features" for name in ("sae:steer", "sae:examples", "pretrained:steer")
    }
    later |= {"resolution:extract": "data/answers.parquet"}
    of_its_own = "data/models/as_read/${item.model}.json"
    later |= {"models:score_letters": of_its_own, "models:patch": of_its_own}
    assert of_its_own in STAGES["models:extract"]["outs"]
    assert AS_READ in STAGES["extract"]["outs"]
    assert READ_THROUGH_A_MODEL - follows - later.keys() == own
    assert {"sae:features", "pretrained:features"} <= follows
    assert [name for name, table in later.items() if table not in STAGES[name]["deps"]] == []


# Reruns ------------------------------------------------------------------------------------------------------------


def test_a_change_of_nothing_runs_nothing(clone):
    assert run_all(clone) == set()
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
    ran = run_all(clone)
    assert {"probe", "controls", "statistics", "answers", "report"} <= ran
    assert ran.isdisjoint(BEFORE_PROBE | {"leakage"})


def test_other_folds_are_checked_against_the_sample_and_read_no_model(clone):
    clone.set_params(probe__grouped__folds=4)
    assert clone.dvc("repro", "probe").ran == {"choice", "sample", "probe"}


def test_another_confidence_draws_other_intervals_and_a_question_that_fails_takes_nothing_from_the_others(clone):
    clone.set_params(statistics__confidence=0.9)
    steer = clone.root / "stages/causal/steer.py"
    code = steer.read_text()
    steer.write_text("raise SystemExit('error: no such layer')\n")
    failed = clone.dvc_fails("repro", "--keep-going", "--all-pipelines")
    assert "error: no such layer" in failed.output
    further = {"lenses:readable", "lenses:alignment", "judge:judge", "models:drift", "models:compare", "planted:score"}
    further |= {"resolution:compare", "finetune:moved", "finetune:compare", "motion:compare"}
    further |= {"sae:probes", "sae:evaluate", "sae:effects", "pretrained:classes", "pretrained:effects"}
    after_steer = {"causal:effects", "causal:report"}
    assert failed.ran - {"causal:steer"} == ({"choice", "statistics", "answers"} | further | REPORTS) - after_steer
    steer.write_text(code)
    assert run_all(clone) - {"causal:steer"} == after_steer


def test_another_twin_is_read_and_nothing_else_through_the_model(clone):
    clone.set_params(controls__twin_seed=1)
    of_the_study = {"choice", "extract_controls", "controls", "statistics", "answers"}
    planted = {f"planted:{stage}" for stage in ("read", "probe", "edit", "score")}
    tuned = {f"finetune:{stage}" for stage in ("base", "tune", "patch", "damage")} | OF_TUNED  # the twin is tuned, too
    ran = clone.dvc("repro", "--all-pipelines")
    assert (
        ran.ran
        == of_the_study | {"sae:twin", "sae:probes", "sae:evaluate"} | planted | tuned | AFTER_THE_TWIN | REPORTS
    )
    assert set(re.findall(r"Running stage '[^']*:tune@(\w+)'", ran.output)) == {"untrained_twin"}


@pytest.mark.slow
def test_more_draws_of_shuffled_labels_and_another_prompt_for_the_letters_extract_nothing_again(clone):
    clone.set_params(shuffled_labels__draws=2, prompts__offer_letters="USER: <image>\nOne of {letters}?\nASSISTANT:")
    direct = set(re.findall(r"^(\w+):$", clone.dvc("status").output, re.MULTILINE))
    assert direct == {"choice", "controls", "score_letters", "report"}  # the first checks, the last shows all params
    assert run_all(clone) == {"choice", "controls", "statistics", "score_letters", "answers"} | OF_TUNED | REPORTS


# Questions do not read one another, so one run shows what a setting of each of them reruns: the new settings of a
# question, by its params file, and the stages of it that run again. `judge` reads what `lenses` wrote.
SETTINGS = {
    "how edits and words are drawn": {
        params.CAUSAL: ({"steering__small__strengths": [2.0]}, {"causal:steer", "causal:effects"}),
        params.LENSES: ({"text_index__contexts": 2}, {"lenses:text_index", "lenses:lens", "lenses:readable"}),
        params.SAE: ({"steering__small__of_concept__strengths": [2.0]}, {"sae:steer", "sae:effects"}),
    },
    "a sweep that is not chosen, words a patch, draws of shuffled hands": {
        params.CAUSAL: ({f"{edit}__full__{of}": 5 for edit, of in EDITS}, set()),  # the page shows these as they are
        params.LENSES: ({"lenses__k": 2}, {"lenses:lens", "lenses:readable"}),
        params.SAE: ({"fingers__draws": 5, "steering__full__of_concept__draws": 4}, {"sae:evaluate"}),
    },
    "bounds on the damage, draws of the nulls": {
        params.CAUSAL: ({"steering_effects__most_damage": 0.5}, {"causal:effects"}),
        params.LENSES: ({"alignment__draws": 3}, {"lenses:alignment"}),
        params.SAE: ({"steering_effects__most_damage": 0.5}, {"sae:effects"}),
    },
}


@pytest.mark.parametrize("settings", SETTINGS.values(), ids=SETTINGS)
def test_a_setting_of_a_question_runs_what_reads_it_again_and_no_other_question(clone, settings):
    expected = {"causal:report", "lenses:report", "sae:report"}  # which show the params as they are
    for file, (changes, reruns) in settings.items():
        clone.set_in(file, **changes)
        expected |= reruns | ({"judge:judge"} if "lenses:lens" in reruns else set())
    assert run_all(clone) == expected


def test_another_template_and_the_code_of_a_figure_make_the_reports_again_and_nothing_else(clone):
    clone.append("signbridge/report/template.html.j2", "{# a remark #}\n")
    clone.append("signbridge/report/figures/umap_projection.py", "\n# a remark\n")
    assert run_all(clone) == depending_on("signbridge/report")
    assert depending_on("signbridge/report") == REPORTS


def test_a_change_of_code_that_changes_no_result_reruns_what_imports_it_alone(clone):
    clone.append("signbridge/statistics/intervals.py", "\n# a remark\n")
    assert run_all(clone) == depending_on("signbridge/statistics")
    assert depending_on("signbridge/statistics").isdisjoint(STUDY - {"statistics", "answers"})


def test_a_change_of_the_seed_draws_another_sample_and_reads_it(clone):
    clone.set_params(seed=43)
    ran = clone.dvc("repro", "probe", "project").ran
    assert ran == {"choice", "sample", "extract", "probe", "project"}
    waiting = clone.dvc("repro", "--dry").ran
    assert {"leakage", "extract_controls", "score_letters", "controls", "statistics", "answers", "report"} <= waiting
    assert waiting.isdisjoint({"fetch", "photos"})


@pytest.mark.slow
def test_another_sample_leaves_what_does_not_read_it_alone_and_another_kind_of_weights_reads_all_anew(
    clone, monkeypatch
):
    clone.set_params(sample__per_class=5)
    ran = run_all(clone)
    assert {"extract", "extract_controls", "lenses:lens", "sae:features"} <= ran
    assert ran.isdisjoint({"lenses:text_index", "sae:train"})
    monkeypatch.setenv(WEIGHTS, "expanded")  # on a machine with more memory
    assert run_all(clone) == set(), "what is there is not asked whether it would be the same here"
    clone.set_params(sample__per_class=6)
    ran = run_all(clone)
    of_others = {name for name in READ_THROUGH_A_MODEL if name.startswith(("models:", "motion:"))}
    of_others |= {"pretrained:fetch"}
    assert READ_THROUGH_A_MODEL - of_others <= ran


def test_a_new_model_in_the_catalog_is_looked_for_and_reads_nothing(clone):
    clone.set_params(models__another={"source": "tiny_random", "seed": 1})
    shown = {"models:report", "motion:report"}  # which show entries of the catalog
    assert run_all(clone) == {"model", "models:model", "motion:model"} | shown


def test_other_files_of_the_miniature_are_read_again_only_where_it_is_the_model(clone):
    clone.append("models/miniature/generation_config.json", "\n")
    assert {"model", "extract"} <= clone.dvc("repro", "extract").ran
    clone.set_params(model="tiny-random")
    assert {"model", "extract"} <= clone.dvc("repro", "extract").ran
    clone.append("models/miniature/generation_config.json", "\n")
    assert clone.dvc("repro", "extract").ran == {"model"}


def test_another_question_is_put_to_models_that_are_asked_in_their_own_chat_template_alone(clone):
    clone.set_params(question="Which letter?")
    assert clone.dvc("repro", "extract").ran == {"choice", "model"}
    clone.set_params(models__miniature__prompt="auto")
    assert clone.dvc("repro", "extract").ran == {"model", "extract"}
    clone.set_params(question="Which sign?")
    assert clone.dvc("repro", "extract").ran == {"choice", "model", "extract"}


def test_a_model_of_the_hub_that_no_catalog_has_is_chosen_by_name_and_commit(clone):
    name = f"some-org/some.name-2@{'0' * 40}"
    experiment = clone.dvc("exp", "run", "extract", "--set-param", f"model={name}")
    assert {"choice", "model", "extract"} <= experiment.ran
    assert experiment.ran.isdisjoint({"fetch", "photos", "sample"})
    assert f"model: {name}\n" in (clone.root / "params.yaml").read_text(encoding="utf-8")


def test_another_model_or_rung_beside_the_others_runs_that_one_alone(clone):
    """Also a model of the hub that no catalog has."""
    names, commit = YAML(typ="safe").load(clone.root / params.SIDE_BY_SIDE)["models"], "0" * 40
    of_hub = f"some-org/some.name-2/{commit}"
    clone.set_in(params.SIDE_BY_SIDE, models=[*names, "tiny-random", of_hub])
    clone.set_in(params.RESOLUTION, rungs=["28-grey", 42])
    ran = clone.dvc("repro", "stages/models/dvc.yaml", "stages/resolution/dvc.yaml")
    of_each = {f"models:{stage}" for stage in ("model", "extract", "probe", "score_letters", "patch")}
    of_models = of_each | {"models:drift", "models:compare", "models:report"}
    of_rungs = {f"resolution:{stage}" for stage in ("pictures", "extract", "probe", "compare", "report")}
    assert ran.ran == of_models | of_rungs
    assert set(re.findall(r"Running stage '[^']*@([\w./-]+)':", ran.output)) == {"tiny-random", of_hub, "42"}


# Experiments -------------------------------------------------------------------------------------------------------


def test_an_experiment_runs_what_its_param_reaches_and_can_be_compared(clone):
    experiment = clone.dvc("exp", "run", "--name", "spread", "--set-param", "project.min_dist=0.5")
    assert "project" in experiment.ran
    assert experiment.ran.isdisjoint(BEFORE_PROBE | {"probe", "controls", "statistics"})
    assert "project.min_dist" in clone.dvc("params", "diff").output
    compared = clone.dvc("metrics", "diff", "--all").output
    assert all(f"metrics/{name}.json" in compared for name in ("leakage", "probe", "answers"))


@pytest.mark.slow
def test_an_experiment_with_one_question_reruns_that_question_alone(clone):
    setting = "stages/causal/params.yaml:patching.small.pairs=5"
    experiment = clone.dvc("exp", "run", "stages/causal/dvc.yaml", "-S", setting)
    assert experiment.ran == {"causal:patch", "causal:effects", "causal:report"}
    assert "patching.small.pairs" in clone.dvc("params", "diff").output
    changed = clone.dvc("metrics", "diff").output
    assert "metrics/causal/patching.json" in changed
    assert "metrics/probe.json" not in changed


def test_dvc_draws_every_committed_plot_without_a_complaint(tmp_path):
    """`dvc plots show` of what is committed; what it draws of a new study is in test_dvc_study.py."""
    clone = clone_of_the_working_tree(tmp_path / "project", tmp_path / "home", stubs=True)
    plots = {next(iter(plot)) for entry in STAGES.values() for plot in entry.get("plots", [])}
    plots = {plot for plot in plots if (PROJECT / plot).is_file()}
    assert {"plots/layers.csv", "plots/causal/patching.csv", "plots/lenses/readable.csv"} <= plots
    for plot in plots:
        (clone.root / plot).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(PROJECT / plot, clone.root / plot)
    clone.commit("The plots")
    shown = clone.dvc("plots", "show", *sorted(plots)).output
    assert "WARNING" not in shown
    assert "ERROR" not in shown
    drawn = (clone.root / "dvc_plots/index.html").read_text()
    assert [plot for plot in plots if plot not in drawn and plot.replace("/", "_") not in drawn] == []


# Questions that fail or are not run --------------------------------------------------------------------------------


def test_the_study_runs_by_itself(study_alone):
    _, ran, pages = study_alone
    assert ran == STUDY
    assert pages == ["index.html"]


@pytest.mark.slow
def test_a_question_that_fails_in_a_first_run_takes_nothing_from_the_study_and_the_other_questions(tmp_path, study):
    fresh = study.clone(tmp_path / "fresh")
    for lock in fresh.root.rglob("dvc.lock"):
        lock.unlink()
    (fresh.root / "stages/causal/steer.py").write_text("raise SystemExit('error: no such layer')\n")
    failed = fresh.dvc_fails("repro", "--keep-going", "--all-pipelines")
    assert "error: no such layer" in failed.output
    downstream = {"causal:steer", "causal:effects", "causal:report"}
    assert failed.ran - {"causal:steer"} == set(STAGES) - downstream
    undisturbed = study.outputs()
    made = {name: contents for name, contents in fresh.outputs().items() if "causal" not in name}
    assert made == {name: contents for name, contents in undisturbed.items() if "causal" not in name}
    assert fresh.dvc("repro").ran == set()


def test_what_a_failed_stage_took_comes_back_as_the_docs_say(clone):
    before = clone.outputs()
    (clone.root / "stages/statistics.py").write_text("raise SystemExit('error: no such layer')\n")
    assert "error: no such layer" in clone.dvc_fails("repro").output
    assert {"metrics/probe.json", "plots/layers.csv", "data/statistics/part.txt"}.isdisjoint(clone.outputs())
    text = " ".join((PROJECT / "docs/running.md").read_text(encoding="utf-8").split())
    told = re.search(r"Or go back: `dvc ([^`]+)` restores what DVC caches of the study, `git ([^`]+)` what git", text)
    clone.dvc(*told[1].split())
    clone.git(*told[2].split())
    assert clone.outputs() == before


# A shared cache ----------------------------------------------------------------------------------------------------


def push(clone: Clone, remote: Path) -> None:
    """Share the clone's cache and its runs through a folder."""
    clone.dvc("remote", "add", "--force", "--default", "shared", str(remote))
    clone.commit("Share the cache")
    clone.dvc("push", "--run-cache")


def test_a_fresh_clone_that_pulls_runs_nothing(clone, tmp_path):
    push(clone, tmp_path / "remote")
    assert shared(clone, tmp_path / "remote") == set(outs_in_locks(clone))
    fresh = clone.clone(tmp_path / "fresh")
    fresh.dvc("pull", "--run-cache")
    assert run_all(fresh) == set()
    assert fresh.outputs() == clone.outputs()


HOLD_IMAGES_OR_VECTORS = {"data/images.parquet", "data/sample.parquet", "data/activations", "data/controls"}
HOLD_IMAGES_OR_VECTORS |= {"report/index.html", "report/causal.html", "report/lenses.html", "report/sae.html"}
HOLD_IMAGES_OR_VECTORS |= {"data/models/read/miniature", "data/planted/streams", "data/sae/features"}


def test_what_holds_images_or_vectors_goes_nowhere_where_the_params_say_so(clone, tmp_path):
    """With the default of the params all of it is pushed: see `test_a_fresh_clone_that_pulls_runs_nothing`."""
    remote = tmp_path / "remote"
    config = clone.root / ".dvc/config"
    config.write_text(config.read_text().replace("[core]\n", "[core]\n    remote = team\n"))
    clone.append(".dvc/config", f'[remote "team"]\n    url = {remote}\n')
    clone.set_params(push_to="nowhere")
    clone.dvc("push", "--run-cache")
    kept_here = set(outs_in_locks(clone)) - shared(clone, remote)
    assert kept_here == made_with_remote(clone)
    assert kept_here >= HOLD_IMAGES_OR_VECTORS


@pytest.mark.slow
def test_a_remote_that_is_not_there_takes_nothing_and_the_default_one_neither(clone, tmp_path):
    clone.set_params(push_to="nowher")
    clone.dvc("remote", "add", "--default", "shared", str(tmp_path / "remote"))
    assert "nowher" in clone.dvc_fails("push").output
    assert shared(clone, tmp_path / "remote").isdisjoint(HOLD_IMAGES_OR_VECTORS)


def outs_in_locks(clone: Clone) -> dict[str, str]:
    """The digest of every output of every pipeline, by its path; not of those that git tracks."""
    locks = [YAML(typ="safe").load(clone.root / file.replace("dvc.yaml", "dvc.lock"))["stages"] for file in FILES]
    outs = [out for lock in locks for entry in lock.values() for out in entry.get("outs", [])]
    return {out["path"]: out["md5"] for out in outs if not out["path"].startswith(("metrics/", "plots/"))}


def shared(clone: Clone, remote: Path) -> set[str]:
    """The outputs that lie in the remote, by their digests."""
    there = {file.parent.name + file.name for file in (remote / "files/md5").glob("*/*")}
    return {path for path, digest in outs_in_locks(clone).items() if digest in there}


def made_with_remote(clone: Clone) -> set[str]:
    """The outputs of which a pipeline file says to which remote they go."""
    named = [out for entry in STAGES.values() for out in entry.get("outs", []) if isinstance(out, dict)]
    patterns = [re.sub(r"\\\$\\{[^}]*\\}", "[^/]+", re.escape(path)) for out in named for path in out]
    assert all(options == {"remote": "${push_to}"} for out in named for options in out.values())
    return {path for path in outs_in_locks(clone) if any(re.fullmatch(pattern, path) for pattern in patterns)}


@pytest.mark.slow
def test_a_fresh_clone_that_pulls_as_it_goes_runs_nothing(clone, tmp_path):
    push(clone, tmp_path / "remote")
    fresh = clone.clone(tmp_path / "fresh")
    assert fresh.dvc("repro", "--pull", "--all-pipelines").ran == set()
    assert fresh.outputs() == clone.outputs()


@pytest.mark.slow
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
    for branch in ("second", "first"):
        fresh.git("checkout", "--quiet", branch)
        fresh.dvc("pull", "--run-cache")
        assert fresh.dvc("repro").ran == set()
        assert fresh.outputs() == expected[branch]


@pytest.mark.slow
def test_lost_lock_files_are_made_again_without_a_run(clone):
    locks = {path: path.read_bytes() for path in clone.root.rglob("dvc.lock")}
    assert len(locks) == len(FILES)
    for path in locks:
        path.unlink()
    assert run_all(clone) == set()
    assert {path: path.read_bytes() for path in locks} == locks
