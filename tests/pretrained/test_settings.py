"""Which pretrained autoencoder is read: the choice and its catalog."""

import pytest

from signbridge.core import params
from signbridge.core.errors import SignBridgeError
from signbridge.pretrained.settings import OfHub, OfRelease, chosen_pretrained
from signbridge.statistics.class_features import ClassesParams


def test_an_entry_that_is_there_is_chosen_in_the_params_as_committed(workspace):
    workspace.set(model="llava-gemma-2b")
    assert chosen_pretrained()[0] == "llava-gemma-2b"
    assert params.section("classes", ClassesParams, params.PRETRAINED).top == 10


@pytest.mark.parametrize(
    ("name", "source", "layer", "position"),
    [
        ("llava-gemma-2b", OfRelease, 12, "after <end_of_turn>"),
        ("gemma-3-4b-it", OfRelease, 17, "prompt_last"),
        ("llava-next-llama3-8b", OfHub, 24, "image_mean"),
    ],
)
def test_each_entry_can_be_chosen_with_its_model(workspace, name, source, layer, position):
    workspace.set(model=name)
    workspace.set_in(params.PRETRAINED, autoencoder=name)
    chosen, entry = chosen_pretrained()
    assert (chosen, type(entry), entry.layer, entry.position) == (name, source, layer, position)


def test_a_study_of_another_model_is_told_both_ways_out(workspace):
    workspace.set_in(params.PRETRAINED, autoencoder="gemma-3-4b-it")
    with pytest.raises(
        SignBridgeError, match="belongs to the model 'gemma-3-4b-it', and the study's is 'miniature'"
    ) as e:
        chosen_pretrained()
    assert "Set model: gemma-3-4b-it in params.yaml, or choose an autoencoder of miniature" in str(e.value)


def test_an_unknown_entry_is_named_with_those_that_there_are(workspace):
    workspace.set_in(params.PRETRAINED, autoencoder="gemma")
    with pytest.raises(SignBridgeError, match=r"no 'gemma' in .*autoencoders\.yaml\. There are: .*llava-gemma-2b"):
        chosen_pretrained()


@pytest.mark.parametrize(
    ("key", "value"),
    [("layer", -1), ("position", "answer_last"), ("position", "after "), ("dropped", [-1]),
     ("revision", "main"), ("neuronpedia", "12-res-jb"), ("source", "web"),
     ("published", {"pizza": "4270"})],
)  # fmt: skip
def test_a_setting_that_cannot_be_is_named(workspace, key, value):
    workspace.set(**{"model": "llava-gemma-2b", f"autoencoders__llava-gemma-2b__{key}": value})
    with pytest.raises(SignBridgeError, match=rf"autoencoders\.yaml: llava-gemma-2b\.{key}"):
        chosen_pretrained()


def test_entries_that_are_not_chosen_are_not_checked(workspace):
    workspace.set(model="llava-gemma-2b", autoencoders__broken={"layer": "x"})
    assert chosen_pretrained()[0] == "llava-gemma-2b"
