"""`python -m signbridge.fetch_model`: what is fetched, what it is compared with, and what ends it with which status."""

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from signbridge import fetch_model
from signbridge.core import params
from signbridge.core.command_line import run
from signbridge.core.errors import SignBridgeError
from signbridge.vlm.catalog import HubModel
from signbridge.vlm.loading import load
from stages import model
from tests.conftest import ROOT, Workspace
from tests.vlm import hub_server

WEIGHTS = "model.safetensors"


@pytest.fixture
def chosen(workspace, monkeypatch) -> Workspace:
    """A model of the hub is chosen, whose files are those of the project's own."""
    monkeypatch.setattr(sys, "argv", ["fetch_model"])
    workspace.set(model="llava-1-5-7b")
    entry = params.section("llava-1-5-7b", dict, params.MODELS)
    entry |= {"hub_id": hub_server.HUB_ID, "revision": hub_server.REVISION, "quantization": "none"}
    workspace.set_in(params.MODELS, **{"llava-1-5-7b": entry})
    return workspace


@pytest.fixture
def hub(chosen, tmp_path, monkeypatch) -> Iterator[hub_server.Hub]:
    """The hub with those files, and a pickle and a script that are no part of a model here."""
    source = tmp_path / "source"
    source.mkdir()
    for file in (ROOT / "models/miniature").iterdir():
        if file.suffix in (".json", ".safetensors"):
            (source / file.name).write_bytes(file.read_bytes())
    (source / "pytorch_model.bin").write_bytes(b"pickled")
    (source / "modeling.py").write_text("1 / 0")
    with hub_server.serving(monkeypatch, source, tmp_path / "cache") as hub:
        yield hub


def fetched(capsys) -> str:
    """What the command prints where it ends well."""
    run(fetch_model.main)
    return capsys.readouterr().out


def test_all_files_of_the_model_are_fetched_compared_and_said_where(hub, capsys, tmp_path):
    said = fetched(capsys)
    assert f"llava-1-5-7b lies whole in {hub.snapshot}" in said
    assert set(hub.fetched) == {path.name for path in hub.source.iterdir()} - {"pytorch_model.bin", "modeling.py"}
    assert f"{len(hub.fetched)} files, 0.0 GB: sizes as the hub says, and 1 SHA-256." in said
    assert f"export HF_HUB_OFFLINE=1 HF_HUB_CACHE={tmp_path / 'cache'}" in said


def test_what_is_there_is_not_fetched_again_and_what_is_missing_is(hub, capsys):
    fetched(capsys)
    hub.asked.clear()
    fetched(capsys)
    assert hub.fetched == []
    fetch_model._remove(hub.snapshot / "tokenizer.json")
    fetched(capsys)
    assert hub.fetched == ["tokenizer.json"]


def test_a_download_that_broke_off_goes_on_with_the_files_that_are_missing(hub, chosen, capsys):
    hub.withheld = WEIGHTS
    message = chosen.message_of_failure(fetch_model.main)
    assert "some/model at 000000000000 cannot be had from the hub" in message
    assert "run it again" in message
    hub.withheld = ""
    hub.asked.clear()
    assert "lies whole" in fetched(capsys)
    assert hub.fetched == [WEIGHTS]


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (lambda content: content[:-9], r"model\.safetensors has 14,850,015 of 14,850,024 bytes"),
        (lambda content: content[:-1] + bytes([content[-1] ^ 1]), r"model\.safetensors has another SHA-256"),
    ],
    ids=["cut short", "one bit"],
)
def test_damage_is_found_and_the_next_run_mends_it(hub, chosen, capsys, damage, said):
    fetched(capsys)
    blob = (hub.snapshot / WEIGHTS).resolve()
    blob.write_bytes(damage(blob.read_bytes()))
    message = chosen.message_of_failure(fetch_model.main)
    assert "1 of 6 files are not what the hub has: " in message
    assert said.replace("\\", "") in message
    hub.asked.clear()
    fetched(capsys)
    assert hub.fetched == [WEIGHTS]


def test_a_gated_repository_without_a_token_is_one_sentence(hub, chosen, monkeypatch):
    hub.gated = True
    monkeypatch.setattr("signbridge.vlm.hub.get_token", lambda: None)
    message = chosen.message_of_failure(fetch_model.main)
    assert message.startswith("error: some/model is gated, and there is no token here: accept its licence on https://")
    assert len(message.splitlines()) == 1
    assert hub.fetched == []


def test_a_disk_too_small_stops_before_the_download(hub, chosen, monkeypatch):
    monkeypatch.setattr(fetch_model, "free_disk", lambda folder: 10**6)
    hub.sizes["model-00002.safetensors"] = 5 * 10**9
    assert "some/model takes 5.0 GB more, 0.0 GB are free" in chosen.message_of_failure(fetch_model.main)
    assert hub.fetched == []


def test_without_a_network_a_model_at_hand_is_whole_and_another_is_not(hub, chosen, capsys, tmp_path, monkeypatch):
    fetched(capsys)
    hub_server.unplug(monkeypatch, tmp_path / "cache")
    assert "The hub cannot be asked" in fetched(capsys)
    hub_server.unplug(monkeypatch, tmp_path / "empty")
    message = chosen.message_of_failure(fetch_model.main)
    assert f"some/model is not in {tmp_path / 'empty'}, and the hub cannot be reached" in message


def test_a_model_that_is_not_of_the_hub_is_not_fetched(hub, monkeypatch, capsys, chosen):
    monkeypatch.setattr(sys, "argv", ["fetch_model", "tiny-random"])
    assert "nothing to fetch" in fetched(capsys)
    monkeypatch.setattr(sys, "argv", ["fetch_model", "nonsense"])
    assert "models.yaml: key 'nonsense' is missing. There are: " in chosen.message_of_failure(fetch_model.main)
    monkeypatch.setattr(sys, "argv", ["fetch_model", "miniature"])
    assert "models/miniature: no such model folder" in chosen.message_of_failure(fetch_model.main)
    Path("models").symlink_to(ROOT / "models")
    assert "lies whole in" in fetched(capsys)
    assert hub.asked == []


def test_a_model_that_no_catalog_has_is_fetched_by_its_name_and_commit(hub, capsys, monkeypatch):
    name = f"{hub_server.HUB_ID}@{hub_server.REVISION}"
    monkeypatch.setattr(sys, "argv", ["fetch_model", name])
    assert f"{name} lies whole in {hub.snapshot}" in fetched(capsys)


def test_a_commit_that_the_repository_lacks_is_one_sentence_and_nothing_is_fetched(hub, chosen, monkeypatch):
    monkeypatch.setattr(sys, "argv", ["fetch_model", f"{hub_server.HUB_ID}@{hub_server.OTHER_REVISION}"])
    lacks = f"some/model: no commit {hub_server.OTHER_REVISION} on the hub. Correct revision in models.yaml."
    assert lacks in chosen.message_of_failure(fetch_model.main)
    chosen.set(model=f"{hub_server.HUB_ID}@{hub_server.OTHER_REVISION}")
    assert lacks in chosen.message_of_failure(model.main)
    assert hub.fetched == []


def test_only_the_settings_are_fetched_of_a_model_without_a_chat_template(hub, chosen):
    chosen.set(model=f"{hub_server.HUB_ID}@{hub_server.REVISION}")
    assert "its processor has no chat template" in chosen.message_of_failure(model.main)
    assert WEIGHTS not in hub.fetched
    assert not (hub.snapshot / WEIGHTS).exists()


def test_a_prompt_without_the_image_token_is_refused_before_the_weights_are_fetched(hub, chosen, tmp_path):
    asked = {"hub_id": hub_server.HUB_ID, "revision": hub_server.REVISION, "prompt": "Which?", "dtype": "float32"}
    with pytest.raises(SignBridgeError, match="must hold <image> exactly once, not 0 times"):
        load(HubModel.model_validate(asked), tmp_path, torch.device("cpu"))
    assert WEIGHTS not in hub.fetched
    assert "config.json" in hub.fetched
