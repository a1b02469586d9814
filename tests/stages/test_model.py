"""The stage `model`: what a local model consists of, and nothing for models that params alone pin down."""

import json
from pathlib import Path

import pytest

from signbridge.core.model_folder import folder_sha256
from stages.model import MODEL, main


@pytest.mark.parametrize("name", ["tiny-random", "llava-1-5-7b"])
def test_models_that_params_pin_down_have_no_digest(workspace, name):
    workspace.set(model=name)
    main()
    assert json.loads(MODEL.read_text()) == {"folder_sha256": None}


def test_a_local_model_has_the_digest_of_its_files(workspace):
    Path("mine").mkdir()
    Path("mine/model.safetensors").write_bytes(b"weights")
    workspace.set(model="mine", models__mine={"source": "folder", "path": "mine"})
    main()
    first = MODEL.read_bytes()
    assert json.loads(first) == {"folder_sha256": folder_sha256(Path("mine"))}
    main()
    assert MODEL.read_bytes() == first


def test_a_name_that_the_catalog_lacks_is_refused(workspace):
    workspace.set(model="nonsense")
    assert "no 'nonsense' under 'models'" in workspace.message_of_failure(main)
    assert not MODEL.exists()
