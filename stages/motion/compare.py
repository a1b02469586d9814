"""What order adds, by layer and beside every control; which frame matters; what the answers say."""

from pathlib import Path

import numpy as np

from signbridge.core import params, tables
from signbridge.core.command_line import run
from signbridge.core.names import IN_ORDER, MOVEMENT, PIXEL_DIFFERENCES, PIXELS, PIXELS_MEAN, TOWER_IN_ORDER, model_name
from signbridge.motion.settings import MotionParams
from signbridge.statistics import motion
from signbridge.statistics.clip_answers import answers_table, chance_of_names
from signbridge.statistics.frame_effect import frame_findings, frame_table
from signbridge.statistics.intervals import StatisticsParams
from signbridge.statistics.motion_summary import HEADLINE, findings_of

FOLDER = Path("data/motion")
PATCHED, CONTROLS, WRITTEN = FOLDER / "patched.parquet", FOLDER / "probed/controls", FOLDER / "compared"
BASELINES = (PIXELS, PIXELS_MEAN, PIXEL_DIFFERENCES, TOWER_IN_ORDER)


def main() -> None:
    """Read predictions, answers and what was patched; write data/motion/compared/, metrics and plots."""
    seed, statistics = params.seed(), params.section("statistics", StatisticsParams)
    settings = params.whole(MotionParams, params.MOTION)
    clips, position = tables.read(CONTROLS / "clips.parquet"), settings.positions[0]
    probed = {
        reading: motion.Probed(
            *(tables.read(FOLDER / "probed" / reading / f"{name}.parquet") for name in ("predictions", "choices"))
        )
        for reading in settings.readings
    }
    controls = {name: tables.read(CONTROLS / f"{name}.parquet")
                for name in ("predictions", "reversed", "other_clip")}  # fmt: skip
    beside = {name: rows for name, rows in controls["predictions"].groupby("site", sort=False) if name in BASELINES}
    every = probed | {name: motion.Probed(rows) for name, rows in beside.items()}
    random = [np.random.default_rng(stream) for stream in np.random.SeedSequence(seed).spawn(4)]

    measured = motion.measured(motion.everything(every, clips, position), statistics, random[0])
    accuracy = measured.accuracy()
    found = {"accuracy": accuracy, "order": motion.order_table(measured), "controls": motion.controls_table(measured)}
    found["other_clip"] = motion.other_clip_table(accuracy, controls["other_clip"], statistics.confidence)
    of = statistics, random[1]
    found["reversed"] = motion.reversed_table(controls["reversed"], probed[IN_ORDER], clips, position, of)
    signer_of = clips.set_index("clip")["signer"]
    found["frames"] = frame_table(tables.read(PATCHED), signer_of, statistics, random[2])
    answers = {name: tables.read(FOLDER / "read" / name / "answers.parquet") for name in settings.readings}
    scored = settings.answers
    found["answers"] = answers_table(answers, clips, scored.name, scored.synonyms, statistics, random[3])

    read = FOLDER / "read" / IN_ORDER / "answers.parquet"
    read_by = tables.made_by(read)["model"]
    in_order = probed[IN_ORDER]
    groups = in_order.predictions.loc[in_order.predictions["target"] == MOVEMENT, "group"]
    taught = (read_by.get("planted") or {}).get("blocks")
    findings = {
        "model": model_name(read, params.model_notes()),
        "clips": len(clips), "signers": int(clips["signer"].nunique()), "signs": int(clips["label"].nunique()),
        "frames": int(clips["frames"].max()), "position": position, "confidence": statistics.confidence,
        "pairs_of_signs": groups.nunique(),
        "text_names": scored.name,
        **findings_of(found, in_order.predictions, in_order.choices, position, 1 - statistics.confidence, taught),
        **frame_findings(found["frames"], int(tables.made_by(PATCHED).get("pairs_tried", 0))),
    }  # fmt: skip
    if (commonest := chance_of_names(clips, scored.name)) == commonest:
        findings["text_chance"] = commonest
    made_by = {"statistics": statistics.model_dump(), "seed": seed, "model": read_by}
    for table, rows in found.items():
        tables.write(rows, WRITTEN / f"{table}.parquet", made_by)
    tables.write_findings(WRITTEN / "findings.json", findings)
    tables.write_metrics("metrics/motion.json", findings, {name: name for name in HEADLINE})
    tables.write_csv(motion.by_layer(accuracy, position), "plots/motion/order.csv")
    tables.write_csv(found["frames"], "plots/motion/frames.csv")


if __name__ == "__main__":
    run(main)
