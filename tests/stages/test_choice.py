"""The stage `choice`: what the licence of a dataset forbids is not pushed by mistake."""

from typing import get_args

import pytest

from signbridge.clips.sources import OF_IMAGES, SOURCES
from signbridge.core.params import Section
from signbridge.core.sweeps import QuestionsParams
from signbridge.datasets.control_images import ControlsParams
from signbridge.datasets.near_duplicates import PhotosParams
from signbridge.datasets.sampling import SampleParams
from signbridge.probing.control_sweep import ShuffledLabelsParams
from signbridge.probing.control_task import ControlTaskParams
from signbridge.probing.learning_curve import LearningCurveParams
from signbridge.probing.projection import ProjectParams
from signbridge.probing.settings import ProbeParams
from signbridge.statistics.intervals import StatisticsParams
from signbridge.statistics.mutual_information import AnswersParams
from signbridge.vlm.letter_scoring import PromptsParams
from signbridge.vlm.store import Store
from stages.choice import CHECKED, KEYS, OF_CLIPS, main
from stages.fetch import Dataset

FOLDER = {"source": "image_folder", "path": "photos"}


@pytest.mark.parametrize(("pass_on", "says"), [(False, "does not let"), ("unclear", "does not clearly let")])
def test_a_dataset_that_must_not_be_passed_on_is_refused_until_its_images_stay_here(workspace, pass_on, says):
    workspace.set(dataset="mine", datasets__mine={**FOLDER, "pass_on": pass_on})
    message = workspace.message_of_failure(main)
    assert f"params.yaml: push_to: the licence of mine {says} its images be passed on" in message
    assert "Set push_to: nowhere" in message
    assert not CHECKED.exists()
    for remote in ("nowhere", "of-our-group"):
        workspace.set(push_to=remote)
        main()
        assert CHECKED.exists()


@pytest.mark.parametrize("entry", [{}, {"pass_on": True}])
def test_any_other_dataset_is_pushed_to_the_default_remote(workspace, entry):
    workspace.set(dataset="mine", datasets__mine={**FOLDER, **entry})
    main()
    assert CHECKED.exists()


@pytest.mark.parametrize("name", ["rendered_motion", "asl_citizen", "wlasl"])
def test_a_dataset_of_clips_is_refused_by_the_study(workspace, name):
    workspace.set(dataset=name)
    message = workspace.message_of_failure(main)
    assert f"params.yaml: dataset: {name} has clips of signs that move; the study reads single images." in message
    assert "Choose it as `dataset` in stages/motion/params.yaml" in message
    assert not CHECKED.exists()


def test_the_sources_of_clips_are_those_that_the_question_of_motion_reads():
    of_images = {get_args(kind.model_fields["source"].annotation)[0] for kind in get_args(get_args(Dataset)[0])}
    assert set(OF_IMAGES) == of_images
    assert set(SOURCES) == set(OF_CLIPS)
    assert not of_images & set(OF_CLIPS)


@pytest.mark.parametrize(("key", "value"), [("push_to", False), ("push_to", None), ("show_images", "yes")])
def test_a_value_that_would_be_read_as_another_is_refused(workspace, key, value):
    """DVC takes a remote that is false or empty for the default one."""
    workspace.set(**{key: value})
    assert f"params.yaml: {key}: expected" in workspace.message_of_failure(main)


@pytest.mark.parametrize(("key", "meant"), [("sed", "seed"), ("project__neighbor", "neighbors")])
def test_a_misspelt_key_is_refused_before_anything_runs(workspace, key, meant):
    """`dvc exp run -S +sed=1` adds it, and nothing reads it; DVC refuses `-S sed=1` in its own words."""
    workspace.set(**{key: 1})
    message = workspace.message_of_failure(main)
    assert f"params.yaml: {key.replace('__', '.')}: unknown key. Did you mean '{meant}'?" in message
    assert not CHECKED.exists()


def test_the_keys_that_are_known_are_those_of_the_models_that_read_them():
    models = {
        "photos": PhotosParams, "sample": SampleParams, "extract.store": Store, "probe": ProbeParams,
        "controls": ControlsParams, "shuffled_labels": ShuffledLabelsParams, "control_task": ControlTaskParams,
        "prompts": PromptsParams, "answers": AnswersParams, "statistics": StatisticsParams, "project": ProjectParams,
        "questions": QuestionsParams, "learning_curve": LearningCurveParams,
    }  # fmt: skip
    read = {key for section, model in models.items() for key in keys_of(model, section)}
    assert read | {"model_notes.*"} == {key for key in KEYS if "." in key}


def keys_of(model, section):
    for name, field in model.model_fields.items():
        inner = isinstance(field.annotation, type) and issubclass(field.annotation, Section)
        yield from keys_of(field.annotation, f"{section}.{name}") if inner else [f"{section}.{name}"]
