"""The prompts of a study, which say `<image>`, put to a model whose own image token is another: Gemma 3's."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from signbridge.core import params, tables
from stages import extract, score_letters
from stages.causal import erase, knockout, patch, steer
from stages.sae import features, train
from tests.conftest import Workspace
from tests.stages import pretrained_study
from tests.stages.causal_study import ERASURE, KNOCKOUT, STEERING, copy_to_run
from tests.stages.sae_study import PRESET, write_images

DESCRIBED = "USER: <image>\nDescribe the hand.\nASSISTANT: A {label}."


@pytest.fixture(scope="module")
def finished(tmp_path_factory) -> Iterator[Path]:
    """The folder of a study whose stages with prompts of their own have run."""
    with pretrained_study.made(tmp_path_factory.mktemp("gemma3"), "gemma3") as workspace:
        workspace.set(sae_presets__small=PRESET)
        workspace.set_in(
            params.CAUSAL, patching__question="two_letters", patching__small={"pairs": 2, "parts_at": ["question"]},
            steering__small=STEERING,
            erasure__small={**ERASURE, "layers": 1}, knockout__small=KNOCKOUT,
        )  # fmt: skip
        prompts = {"preset": "small", "layers": [1], "text_share": 0.0, "prompts": [DESCRIBED]}
        workspace.set_in(params.SAE, sae=prompts, read={"images": 6, "phrases": 8})
        extract.main()
        sample = tables.read("data/sample.parquet")
        answers = sample[["image_id", "label"]].assign(prompt="?", answer=sample["label"])
        tables.write(answers, "data/answers.parquet", {"model": {"name": "tiny"}})
        write_images(sample.drop(columns="photo"))
        for stage in (score_letters, patch, knockout, steer, erase, train, features):
            stage.main()
        yield workspace.folder


@pytest.fixture
def study(workspace, finished, monkeypatch) -> Workspace:
    return copy_to_run(workspace, finished, monkeypatch)


def test_every_stage_reads_its_prompt_with_the_models_own_image_token(study):
    [prompt] = set(tables.read("data/letter_scores.parquet")["prompt"])
    assert prompt.startswith("USER: <start_of_image>\nWhich letter")
    for name in (
        "causal/patching",
        "causal/patched_parts",
        "causal/knockout",
        "causal/steering/damage",
        "causal/erasure/damage",
        "sae/features/features",
    ):
        assert not tables.read(f"data/{name}.parquet").empty, name
    assert Path("data/sae/features/concept/answers.parquet").is_file()


@pytest.mark.parametrize(
    ("param", "stage"),
    [("prompts__offer_letters", score_letters), ("patching__two_letters", patch), ("questions__describe", steer)],
)
def test_a_prompt_without_an_image_is_named_with_both_tokens(study, param, stage):
    file = params.CAUSAL if param.startswith("patching") else params.PARAMS
    study.set_in(file, **{param: "Which of {letters}?" if "letters" in param else "Which?"})
    said = study.message_of_failure(stage.main)
    key = param.replace("__", ".")
    assert f"{key} must hold <image> (or <start_of_image>) exactly once, not 0 times" in said
