"""The pretended GPU refuses what a real one refuses, and every stage that loads a model runs on it as on the processor.

What it computes is the processor's, so the tables must be those of a run on the processor.
"""

import importlib
import shutil
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
import torch
from torch import nn

from benchmarks.pretended_cuda import pretended_cuda
from signbridge.core import params, tables
from signbridge.datasets.images import encode_png
from signbridge.vlm.extraction import Reader
from stages.pretrained import fetch
from tests.conftest import Workspace
from tests.stages import causal_study, lens_study, pretrained_study, sae_study
from tests.stages.small_study import declared, outputs

FAULTS: dict[str, Callable[[torch.Tensor, torch.Tensor], object]] = {
    "arithmetic": lambda gpu, cpu: gpu + cpu,
    "the other way round": lambda gpu, cpu: cpu * gpu,
    "in place": lambda gpu, cpu: gpu.add_(cpu),
    "a matrix product": lambda gpu, cpu: gpu @ cpu,
    "a product with a number": lambda gpu, cpu: torch.matmul(gpu, cpu[0, 0].reshape(1).expand(3)),
    "a function of torch.nn": lambda gpu, cpu: nn.functional.layer_norm(gpu, [3], weight=cpu[0]),
    "a module that stayed behind": lambda gpu, cpu: nn.Linear(3, 3)(gpu),
    "a list of tensors": lambda gpu, cpu: torch.cat([gpu, cpu]),
    "membership": lambda gpu, cpu: torch.isin(gpu, cpu),
    "a gathered index": lambda gpu, cpu: gpu.gather(0, cpu.long()),
    "an index of the GPU into main memory": lambda gpu, cpu: cpu[gpu[0].long()],
    "a mask of the GPU into main memory": lambda gpu, cpu: cpu[gpu > 0],
    "a row written from main memory by an index": lambda gpu, cpu: gpu.__setitem__(torch.tensor([0, 1]), cpu[:2]),
    "numpy()": lambda gpu, cpu: gpu.numpy(),
    "numpy() of a view": lambda gpu, cpu: gpu[0].detach().view(3, 1).numpy(),
    "np.asarray": lambda gpu, cpu: np.asarray(gpu),
    "np.stack": lambda gpu, cpu: np.stack([gpu[0], gpu[1]]),
    "an index into an array": lambda gpu, cpu: np.arange(3)[gpu[0].long()],
    "in another thread": lambda gpu, cpu: ThreadPoolExecutor(1).submit(lambda: gpu + cpu).result(),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_what_a_gpu_refuses_is_refused(fault):
    with pretended_cuda():
        gpu, cpu = torch.ones(3, 3, device="cuda"), torch.ones(3, 3)
        with pytest.raises((RuntimeError, TypeError), match=r"device|on cpu"):
            FAULTS[fault](gpu, cpu)
    FAULTS[fault](torch.ones(3, 3), torch.ones(3, 3))  # nothing else is wrong with it


def test_parameters_and_generators_belong_to_a_device():
    with pretended_cuda():
        moved = nn.Linear(3, 3).to("cuda")
        with pytest.raises(RuntimeError, match="same device"):
            moved(torch.ones(3))
        with pytest.raises(RuntimeError, match="generator"):
            torch.rand(3, generator=torch.Generator(), device="cuda")


def test_what_a_gpu_takes_is_taken_and_stays_there():
    with pretended_cuda():
        gpu, cpu = torch.rand(3, 3).to("cuda"), torch.ones(3, 3)
        layer = nn.Linear(3, 3).to(dtype=torch.float32, device="cuda")
        made = [
            gpu + torch.tensor(2.0), gpu[torch.tensor([0, 2])], gpu[0], gpu.T, gpu.new_zeros(2), torch.zeros_like(gpu),
            torch.arange(3, device=gpu.device), nn.Parameter(gpu), layer(gpu), gpu.data, torch.where(gpu > 0, gpu, 0.0),
            gpu.clone().copy_(cpu), cpu.to(gpu), cpu.cuda(), gpu.max(0)[1], *gpu.split(1), gpu.to(torch.float16),
        ]  # fmt: skip
        layer(gpu).sum().backward()
        torch.optim.Adam(layer.parameters()).step()
        assert {tensor.device for tensor in [*made, layer.weight, layer.weight.grad]} == {torch.device("cuda", 0)}
        back = [gpu.cpu(), gpu.to("cpu"), cpu[0], torch.tensor(gpu.tolist()), cpu.copy_(gpu)]
        assert {tensor.device for tensor in back} == {torch.device("cpu")}
        assert np.array_equal(gpu.cpu().numpy(), gpu.tolist())


def test_a_copy_on_the_gpu_is_one_of_its_own():
    with pretended_cuda():
        there = torch.ones(3)
        copy = there.to("cuda")
        copy += 1
        assert there.tolist() == [1, 1, 1]
        assert copy.tolist() == [2, 2, 2]


def test_memory_is_counted_while_it_is_held():
    with pretended_cuda(memory=2**20) as notes:
        held = torch.zeros(1000, device="cuda")
        assert notes.held() == 4000
        assert torch.cuda.mem_get_info()[0] == 2**20 - 4000
        del held
        assert notes.held() == 0
        assert notes.peak == torch.cuda.max_memory_allocated() == 4000


@contextmanager
def extracted(folder: Path) -> Iterator[Workspace]:
    """What the stages of the study and of `causal` start from, with every control."""
    with causal_study.extracted(folder) as workspace:
        workspace.set(controls={"read": ["untrained_twin", "no_image", "other_letter"], "twin_seed": 1})
        yield workspace


@contextmanager
def with_autoencoders(folder: Path) -> Iterator[Workspace]:
    """What the stages of `sae` start from."""
    with extracted(folder) as workspace:
        sae_study.set_up(workspace)
        yield workspace


@contextmanager
def with_published(folder: Path) -> Iterator[Workspace]:
    """What the stages of `pretrained` start from."""
    with pretrained_study.made(folder, "llava-gemma") as workspace:
        fetch.main()
        yield workspace


STUDIES = {
    extracted: [
        "extract",
        "extract_controls",
        "score_letters",
        "causal.patch",
        "causal.knockout",
        "causal.minimal_pairs",
        "causal.steer",
        "causal.erase",
    ],
    lens_study.with_modalities: ["lenses.text_index", "lenses.lens", "lenses.modalities"],
    with_autoencoders: ["sae.train", "sae.twin", "sae.features", "sae.minimal_pairs", "sae.steer", "sae.examples"],
    with_published: ["pretrained.features", "pretrained.steer"],
}


def test_no_stage_that_reads_a_model_is_left_out():
    root = Path(__file__).parents[1] / "stages"
    of_models = {
        ".".join(path.relative_to(root).with_suffix("").parts)
        for path in root.rglob("*.py")
        if "with model_run(" in path.read_text(encoding="utf-8")
    }
    tried = {stage for stages in STUDIES.values() for stage in stages}
    of_several = {"models.extract", "models.patch", "models.score_letters", "resolution.extract"}
    of_several |= {"motion.extract", "motion.patch"}  # tests/motion
    of_several |= {"finetune.extract", "finetune.patch", "finetune.damage"}
    of_several |= {"finetune.tune"}  # tests/finetune/test_training.py
    of_the_miniature = {"planted.read", "planted.edit"}
    assert of_models - of_several - of_the_miniature == tried, "those read by the functions of stages that are tried"


@pytest.mark.slow
@pytest.mark.parametrize("study", STUDIES, ids=lambda study: study.__name__)
def test_every_stage_gives_on_a_gpu_what_it_gives_on_the_processor(study, tmp_path, monkeypatch):
    with study(tmp_path):
        for stage in STUDIES[study]:
            assert_same_on_gpu(stage, monkeypatch)


@pytest.fixture
def small(workspace, monkeypatch) -> Workspace:
    """Four images of two classes, and answers of two tokens."""
    monkeypatch.setenv("SIGNBRIDGE_BATCH_SIZE", "8")
    workspace.set(model="tiny-random")
    workspace.set_in(params.MODELS, **{"tiny-random__max_new_tokens": 2})
    workspace.set_in(params.CAUSAL, patching__small={"pairs": 1, "parts_at": ["prompt_last"]})
    pixels = np.random.default_rng(0).integers(0, 256, (4, 28, 28), dtype=np.uint8)
    ids, labels = [f"image-{row}" for row in range(4)], list("AABB")
    sample = {"image_id": ids, "label": labels, "photo": ids, "image": [encode_png(image) for image in pixels]}
    tables.write(pd.DataFrame(sample), "data/sample.parquet", {})
    answers = {"image_id": ids, "label": labels, "prompt": "?", "answer": ["fist", "fist", "palm", "palm"]}
    tables.write(pd.DataFrame(answers), "data/answers.parquet", {"model": {"name": "tiny-random"}})
    workspace.describe_model()
    return workspace


@pytest.mark.parametrize("stage", ["extract", "causal.patch"])
def test_extraction_and_patching_give_on_a_gpu_what_they_give_on_the_processor(small, monkeypatch, stage):
    assert_same_on_gpu(stage, monkeypatch)


def test_a_stage_that_forgets_to_move_its_inputs_is_caught(small, monkeypatch):
    monkeypatch.setattr(Reader, "to_device", lambda reader, inputs: inputs)
    with pytest.raises(RuntimeError, match="same device"):
        run("causal.patch", "cuda", monkeypatch)


def run(stage: str, device: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A stage's `main` on the processor or on the pretended GPU."""
    main = importlib.import_module(f"stages.{stage}").main
    monkeypatch.setenv("SIGNBRIDGE_DEVICE", device)
    if device == "cpu":
        main()
    else:
        with pretended_cuda():
            main()


def assert_same_on_gpu(stage: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The stage's outputs are the same wherever it runs."""
    run(stage, "cpu", monkeypatch)
    on_cpu = contents()
    for path in declared(stage):
        shutil.rmtree(path) if Path(path).is_dir() else Path(path).unlink()
    run(stage, "cuda", monkeypatch)
    on_gpu = contents()
    assert set(on_gpu) == set(on_cpu), stage
    assert [path for path in on_cpu if not same(on_gpu[path], on_cpu[path])] == [], stage


def contents() -> dict[str, Any]:
    """What lies below data: of tables their columns, for their metadata may name the device."""
    return {
        path: pq.read_table(path).replace_schema_metadata(None) if path.endswith(".parquet") else written
        for path, written in outputs().items()
    }


def same(one: Any, other: Any) -> bool:
    """Whether two files hold the same; numbers may be 1e-5 of the largest off: they lie elsewhere in memory.

    `moved_by_itself` is nothing but rounding: it is held against the gap that it is a share of.
    """
    if one == other or not isinstance(one, pa.Table):
        return one == other
    of_gap = {"moved_by_itself": "gap"}
    return one.schema == other.schema and all(
        near(one[name], other[name], other[of_gap.get(name, name)]) for name in one.column_names
    )


def near(one: pa.ChunkedArray, other: pa.ChunkedArray, scale: pa.ChunkedArray) -> bool:
    """Whether two columns are equal, or numbers as good as equal for numbers of the size of `scale`."""
    if one == other:
        return True
    while pa.types.is_list(one.type) or pa.types.is_fixed_size_list(one.type):
        one, other, scale = (pc.list_flatten(column) for column in (one, other, scale))
    if not pa.types.is_floating(one.type) or len(one) != len(other):
        return False
    *pair, size = (column.to_numpy().astype(np.float64) for column in (one, other, scale))
    return np.allclose(*pair, rtol=0, atol=1e-5 * np.nanmax(np.abs(size)), equal_nan=True)
