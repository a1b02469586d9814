"""The stage `model`: what a local model consists of, and nothing for models that params alone pin down."""

import json
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from signbridge.core import params
from signbridge.core.model_folder import folder_sha256
from signbridge.vlm import hub
from signbridge.vlm.chosen import MODEL
from signbridge.vlm.model_run import read_with
from signbridge.vlm.random_weights import tiny_folder
from stages import choice
from stages.model import main

MINE = {"source": "folder", "path": "mine", "prompt": "<image>\nWhich?", "dtype": "float32"}
COMMIT = "0123456789abcdef0123456789abcdef01234567"
ASKED = "user\n<start_of_image>Which sign?\nmodel\n"


def small_model_folder(folder: Path) -> None:
    """What the stage takes for a model: it reads no weights."""
    folder.mkdir()
    for name in ("config.json", "processor_config.json", "tokenizer.json"):
        (folder / name).write_text("{}")
    save_file({"weight": np.zeros(3, np.float32)}, folder / "model.safetensors")


@pytest.mark.parametrize("name", ["tiny-random", "llava-1-5-7b"])
def test_models_that_params_pin_down_have_no_digest(workspace, name):
    workspace.set(model=name)
    main()
    described = json.loads(MODEL.read_text())
    assert (described["name"], described["folder_sha256"]) == (name, None)
    asked = params.section(name, dict, params.MODELS)
    assert {key: described["entry"][key] for key in asked if key != "about"} == {
        key: value for key, value in asked.items() if key != "about"
    }


def test_a_local_model_has_the_digest_of_its_files(workspace):
    small_model_folder(Path("mine"))
    workspace.set(model="mine", models__mine=MINE)
    main()
    first = MODEL.read_bytes()
    assert json.loads(first)["folder_sha256"] == folder_sha256(Path("mine"))
    main()
    assert MODEL.read_bytes() == first


def test_a_name_that_the_catalog_lacks_is_refused(workspace):
    workspace.set(model="nonsense")
    assert "no 'nonsense' in models.yaml" in workspace.message_of_failure(main)
    assert not MODEL.exists()


@pytest.mark.parametrize(("path", "message"), [("nowhere", "nowhere: no such model folder"), ("file", "file: a file")])
def test_a_model_folder_that_is_not_there_has_no_digest(workspace, path, message):
    Path("file").touch()
    workspace.set(model="mine", models__mine={"source": "folder", "path": path})
    assert message in workspace.message_of_failure(main)
    assert not MODEL.exists()


def test_weights_that_were_not_fetched_are_named_before_any_other_stage(workspace):
    small_model_folder(Path("mine"))
    Path("mine/model.safetensors").write_text("version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 9\n")
    workspace.set(model="mine", models__mine={"source": "folder", "path": "mine"})
    assert "mine/model.safetensors: a Git LFS pointer" in workspace.message_of_failure(main)


@pytest.mark.parametrize(("output", "stage"), [(MODEL, main), (choice.CHECKED, choice.main)])
def test_an_output_that_is_linked_to_the_cache_is_replaced_and_not_written_through(workspace, output, stage):
    workspace.set(model="tiny-random")
    cached = Path("cached")
    cached.write_text("another run's")
    output.parent.mkdir(exist_ok=True)
    output.symlink_to(cached.resolve())
    stage()
    assert cached.read_text() == "another run's"
    assert not output.is_symlink()


# What an entry leaves to the model's own files ----------------------------------------------------------------------


@pytest.fixture
def with_template(workspace, tmp_path) -> Path:
    """A folder with a small Gemma 3, whose processor has a chat template, and the question that is asked."""
    workspace.set(question="Which sign?")
    return tiny_folder("gemma3", 0, tmp_path)


def described(workspace, **entry: object) -> dict:
    workspace.set(model="mine", models__mine=entry)
    main()
    return json.loads(MODEL.read_text())["entry"]


def test_the_question_is_asked_in_the_models_own_chat_template_and_dtype(workspace, with_template):
    found = described(workspace, source="folder", path=str(with_template))
    assert (found["prompt"], found["dtype"], found["quantization"]) == (ASKED, "float32", "none")


def test_a_prompt_and_a_dtype_that_are_written_out_win(workspace, with_template):
    said = {"prompt": "a <start_of_image>", "dtype": "bfloat16"}
    found = described(workspace, source="folder", path=str(with_template), **said)
    assert {key: found[key] for key in said} == said


def test_a_random_model_of_another_family_is_asked_likewise(workspace):
    workspace.set(question="Which sign?")
    assert described(workspace, source="tiny_random", seed=0, family="gemma3")["prompt"] == ASKED


def test_a_processor_without_a_chat_template_is_told_with_what_to_write(workspace, with_template):
    (with_template / "chat_template.jinja").unlink()
    workspace.set(model="mine", models__mine={"source": "folder", "path": str(with_template)})
    said = workspace.message_of_failure(main)
    assert "no chat template, so prompt: auto says nothing. Write the prompt of this model out" in said


def test_a_model_of_the_hub_is_enough_with_its_name_and_commit(workspace, with_template, monkeypatch):
    fetched = []

    def fetch(hub_id, revision, files):
        fetched.append((hub_id, revision, [file for file in files if "safetensors" in file]))
        return with_template

    monkeypatch.setattr(hub, "fetch", fetch)
    workspace.set(model=f"some-org/some.name-2b@{COMMIT}")
    choice.main()
    main()
    found = json.loads(MODEL.read_text())
    assert found["name"] == f"some-org/some.name-2b@{COMMIT}"
    assert (found["entry"]["hub_id"], found["entry"]["revision"]) == ("some-org/some.name-2b", COMMIT)
    assert (found["entry"]["prompt"], found["entry"]["max_new_tokens"]) == (ASKED, 20)
    assert fetched == [("some-org/some.name-2b", COMMIT, [])]


@pytest.mark.parametrize("name", ["some-org/some-name", "some-org/some-name@main", f"a/b/c@{COMMIT}"])
def test_a_model_of_the_hub_without_a_commit_is_refused(workspace, name):
    workspace.set(model=name)
    assert "names no commit of a model of the hub. Write some-org/some-name@commit" in (
        workspace.message_of_failure(choice.main)
    )


def test_what_was_found_of_another_entry_is_not_taken_for_this_one(workspace, with_template):
    described(workspace, source="folder", path=str(with_template))
    workspace.set(models__mine={"source": "folder", "path": str(with_template), "max_new_tokens": 3})
    assert "made by another model than mine" in workspace.message_of_failure(lambda: read_with(MODEL))
    main()
    (read_by, weights), described_now = read_with(MODEL), {"prompt": ASKED, "max_new_tokens": 3}
    assert read_by["model"] | described_now == read_by["model"]
    assert weights is None, "which `extract` decides"
