"""report: signs that move, as one page that opens with no network, and the figure for print."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd

from signbridge.clips.table import frames_of, read_clips, with_known
from signbridge.core import params, tables
from signbridge.core.command_line import run
from signbridge.datasets.images import encode_png
from signbridge.report.columns import COLUMNS
from signbridge.report.figures.order_by_layer import order_by_layer
from signbridge.report.figures.saving import save_figure
from signbridge.report.inputs import Findings
from signbridge.report.page import write
from signbridge.report.pages import motion_page
from signbridge.report.sections.motion import TOLD, Motion
from signbridge.report.settings import read_settings
from signbridge.report.shown_images import why_hidden

REPORT, FIGURE = Path("report/motion.html"), Path("plots/motion/order_by_layer.png")
CLIPS, COMPARED = Path("data/motion/clips.parquet"), Path("data/motion/compared")
TABLES = {
    "accuracy": "clip_accuracy", "order": "clip_order", "controls": "clip_controls", "other_clip": "other_clip",
    "reversed": "backwards", "frames": "patched_frames", "answers": "clip_answers",
}  # fmt: skip
SHOWN = 8  # clips as rows of frames


def main() -> None:
    """Read the clips and data/motion/compared/; write the figure and the page."""
    chosen = {
        key: (params.MOTION, catalog) for key, catalog in (("dataset", params.DATASETS), ("model", params.MODELS))
    }
    settings = read_settings((CLIPS, COMPARED / "accuracy.parquet"), [params.MOTION], chosen)
    hidden = why_hidden(tables.made_by(CLIPS))
    clips = with_known(read_clips(CLIPS))
    found = {name: tables.read(COMPARED / f"{name}.parquet", COLUMNS[columns]) for name, columns in TABLES.items()}
    motion = Motion(
        found=Findings(tables.read_findings(COMPARED / "findings.json")),
        sample=clips.rename(columns={"clip": "image_id"}).assign(photo=clips["clip"], image=b""),
        settings=replace(settings, hidden=hidden),
        backwards=found.pop("reversed"),
        strips=() if hidden else _strips(clips),
        **found,
    )
    target = motion.target
    rows = pd.concat([motion.by_layer(target, reading) for reading in motion.accuracy["series"].unique()])
    chance, confidence = motion.found.number(f"{target}_chance"), motion.found.number("confidence")
    save_figure(
        order_by_layer(rows, motion.sites, chance, confidence, TOLD[target].split(",")[0], motion.taught), FIGURE
    )
    write(motion_page(motion), REPORT)


def _strips(clips: pd.DataFrame) -> tuple[tuple[str, tuple[bytes, ...]], ...]:
    """Frames of a few clips: of every kind of pair two signs that differ in movement, by one signer each."""
    firsts = clips.drop_duplicates("label").sort_values(["kind", "shape", "label"], kind="stable")
    in_turn = firsts.assign(turn=firsts.groupby("kind").cumcount() // 2).sort_values(["turn", "kind"], kind="stable")
    shown = in_turn.head(SHOWN).sort_index()
    return tuple(
        (f"{row.label} ({row.signer})", tuple(encode_png(np.asarray(frame)) for frame in frames_of(CLIPS, row.clip)))
        for row in shown.itertuples()
    )


if __name__ == "__main__":
    run(main)
