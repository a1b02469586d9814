"""What a dataset passes through before a model is loaded takes no more memory for more pictures."""

import tracemalloc
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from PIL import Image

import stages.fetch
import stages.leakage
import stages.photos
import stages.sample
from signbridge.core import tables
from signbridge.datasets import images

STAGES = (stages.fetch, stages.photos, stages.sample, stages.leakage)


@pytest.fixture
def most_memory(monkeypatch):
    """A function that runs another, and says the most bytes that Python, NumPy and Arrow held for it together."""

    def measured(run) -> int:
        before, pool = pa.default_memory_pool(), pa.proxy_memory_pool(pa.default_memory_pool())
        pa.set_memory_pool(pool)
        tracemalloc.start()
        try:
            run()
            return tracemalloc.get_traced_memory()[1] + pool.max_memory()
        finally:
            tracemalloc.stop()
            pa.set_memory_pool(before)

    return measured


def test_no_stage_holds_more_than_a_few_parts_of_the_pictures(workspace, monkeypatch, most_memory):
    part = 2**19
    monkeypatch.setattr(images, "PART_BYTES", part)
    monkeypatch.setattr(stages.sample, "PART_BYTES", part)
    monkeypatch.setattr(images, "MOST_WORKERS", 1)
    rng = np.random.default_rng(0)
    for label in "AB":
        for number in range(12):
            path = Path(f"signs/{label}/{number}.png")
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(rng.integers(0, 256, (380, 380, 3), dtype=np.uint8)).save(path, compress_level=1)
    workspace.set(datasets__mine={"source": "image_folder", "path": "signs"})
    workspace.set(dataset="mine", sample__classes="all", sample__per_class="all")
    held = {stage.__name__: most_memory(stage.main) for stage in STAGES}
    whole = Path("data/images.parquet").stat().st_size
    assert whole > 18 * part
    assert max(held.values()) < 12 * part, {name: round(most / part, 1) for name, most in held.items()}
    sample, pool = tables.read("data/sample.parquet"), tables.read("data/images.parquet").set_index("image_id")
    assert sorted(sample["image_id"]) == sorted(pool.index)
    assert sample["image"].tolist() == pool.loc[sample["image_id"], "image"].tolist()
