"""The stage `model`: what a local model consists of, and nothing for models that params alone pin down."""

import json
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from signbridge.core.model_folder import folder_sha256
from stages import choice
from stages.model import MODEL, main


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
    assert json.loads(MODEL.read_text()) == {"folder_sha256": None}


def test_a_local_model_has_the_digest_of_its_files(workspace):
    small_model_folder(Path("mine"))
    workspace.set(model="mine", models__mine={"source": "folder", "path": "mine"})
    main()
    first = MODEL.read_bytes()
    assert json.loads(first) == {"folder_sha256": folder_sha256(Path("mine"))}
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
