"""The table of what a GPU run costs: counts are those of the real shape, and docs/gpu.md has the program's table."""

import re
from pathlib import Path
from types import SimpleNamespace

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from transformers import AutoProcessor

from benchmarks import gpu_budget, narrow_llava
from benchmarks.extract import model_operations
from benchmarks.gpu_budget import HEAD, Cost, measured, stages_that_read_a_model, table
from benchmarks.llava_shape import llava_1_5_7b_config
from signbridge.core import params
from tests.conftest import ROOT

EVERY = [stage for stages in stages_that_read_a_model().values() for stage in stages]
ROUNDED = {"loads": 0, "prompts": 0, "tflop": 4, "steps": 0, "written": 0.3e9}  # off by at most


def rows(lines: list[str]) -> list[list[str]]:
    """The cells of a table, row by row, head first."""
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines if not re.match(r"\|-", line)]


def on_the_page() -> list[str]:
    """The lines of the table in docs/gpu.md."""
    text = gpu_budget.PAGE.read_text(encoding="utf-8")
    return re.search(rf"{re.escape(gpu_budget.MARK)}\n\n((?:\|.*\n)+)", text)[1].splitlines()


def cost(cells: list[str]) -> Cost:
    """A row as numbers; memory is beside the weights."""
    loads, prompts, tflop, steps, *_, memory, written = (float(cell.replace(",", "")) for cell in cells[1:])
    return Cost(
        cells[0], int(loads), int(prompts), tflop, int(steps), (memory - gpu_budget.WEIGHTS_GB) * 1e9, written * 1e9
    )


def test_the_page_has_the_programs_table_with_every_stage_that_reads_the_model():
    head, *there = rows(on_the_page())
    assert tuple(head) == HEAD
    of_program = rows(table([Cost(stage, 1, 1, 1, 1, 1, 1) for stage in EVERY]))[1:]
    assert [row[0] for row in there] == [row[0] for row in of_program]


def test_the_pages_rows_are_those_that_the_program_makes_of_its_counts():
    there = [cost(cells) for cells in rows(on_the_page())[1:]]
    again = rows(table([one for one in there if one.stage in EVERY]))[1:]
    for found, made in zip(there, map(cost, again), strict=True):
        for name, off in ROUNDED.items():
            assert getattr(found, name) == pytest.approx(getattr(made, name), abs=off, rel=0), (found.stage, name)
    for cells in rows(on_the_page())[1:]:
        minutes = [float(cell) for cell in cells[5:8]]
        assert minutes == pytest.approx([cost(cells).minutes(gpu) for gpu in gpu_budget.RATES], abs=0.06), cells[0]


def test_a_total_sums_what_is_counted_and_takes_the_largest_memory():
    all_together = gpu_budget.together(
        "**all**", [Cost("a", 1, 2, 3.0, 4, 5.0, 6.0), Cost("b", 1, 1, 1.0, 1, 9.0, 1.0)]
    )
    assert all_together == Cost("**all**", 2, 3, 4.0, 5, 9.0, 7.0)


def test_a_table_is_written_in_place_of_the_one_before(tmp_path):
    page = tmp_path / "page.md"
    page.write_text(f"before\n\n{gpu_budget.MARK}\n\n| old |\n|---|\n| 1 |\n\nafter\n", encoding="utf-8")
    gpu_budget.write_into(page, ["| new |", "|---|"])
    assert page.read_text(encoding="utf-8") == f"before\n\n{gpu_budget.MARK}\n\n| new |\n|---|\n\nafter\n"


@pytest.mark.slow
def test_counts_of_an_extraction_are_those_of_the_real_shape(tmp_path, monkeypatch):
    """Operations of a prompt and its answer, counted by PyTorch on two whole blocks and the whole tower."""
    monkeypatch.setenv("SIGNBRIDGE_SHARD_IMAGES", "64")
    blocks, images, words = 2, 20, 20
    (found,) = measured(["extract"], images, blocks)
    monkeypatch.chdir(ROOT)
    config = llava_1_5_7b_config()
    config.text_config.num_hidden_layers = blocks
    narrow_llava.write_narrow_llava(tmp_path / "model", blocks)
    processor = AutoProcessor.from_pretrained(
        tmp_path / "model", backend="pil", local_files_only=True, trust_remote_code=False
    )
    whole = SimpleNamespace(processor=processor, model=SimpleNamespace(config=config))
    prompt, word = model_operations(whole, params.section("llava-1-5-7b", dict, params.MODELS)["prompt"])
    assert found.tflop == pytest.approx(found.prompts * (prompt + (words - 1) * word) / 1e12, rel=0.01)
    assert found.prompts in (images, gpu_budget.BATCH)  # filled up or not
    assert (found.loads, found.steps) == (1, words - 1)


@pytest.mark.slow
def test_memory_of_an_extraction_holds_keys_and_values_at_their_real_size():
    (found,) = measured(["extract"], 64, 4)
    keys_and_values = 2 * 4 * 4096 * 2 * 64 * 600  # of four blocks, in half precision
    assert keys_and_values < found.memory < 6 * keys_and_values


def test_sizes_of_files_are_those_of_the_real_width(tmp_path):
    numbers = pa.FixedSizeListArray.from_arrays(pa.array(range(32 * 100), pa.float32()), 32)
    pq.write_table(pa.table({"vector": numbers}), tmp_path / "a.parquet", compression="none", use_dictionary=False)
    wide = narrow_llava.real_bytes(tmp_path / "a.parquet")
    assert wide == pytest.approx(100 * 4096 * 4, rel=0.1)


def test_every_pipeline_but_that_of_other_models_is_counted():
    pipelines = {path.parent.name for path in Path(ROOT / "stages").glob("*/dvc.yaml")}
    others = {"planted", "pretrained", "judge", "models", "resolution", "finetune", "motion"}
    assert set(gpu_budget.QUESTIONS) | others == pipelines
