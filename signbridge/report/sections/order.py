"""What order adds by layer, target and kind of pair; and is it real: every control."""

import pandas as pd

from signbridge.core.names import IN_ORDER, MOVEMENT, SHUFFLED
from signbridge.report.page_parts import REAL, Section, Table
from signbridge.report.sections.motion import ALL, BEST, OWN, SEE_ORDER, TOLD, TWIN, Motion, called, kinds
from signbridge.report.wording import count, p_value, percent, points_with_interval, share_with_interval

KINDS = {
    "path": "path: there or back",
    "order": "order of two hand shapes",
    "repetition": "once or twice",
    "letter": "letters that move",
}


def section(motion: Motion) -> Section:
    """What order adds to every target, by layer and by kind of pair."""
    found = motion.found
    least = f"{_least_p(motion):.2g}"
    lead = (
        "A clip is read twice: with its frames in order, and with the same frames in another order, drawn for each "
        "clip. The first less the second, of the same clips, is what order adds. Each fold leaves out whole signers "
        "and chooses its layer inside its training signers, by the clips in order. Sign, shape and movement are three "
        "questions: the movement is told among signs of one hand shape, which differ in nothing else; the shape among "
        "signs of one movement.",
        f"p is exact: were order worth nothing, each of the {count(found.number('signers'))} signers could as well "
        f"have lost what they gained. So many signers give no p below {least}. Of layers, p is corrected for all of "
        "them by the largest difference under the same exchanges.",
    )
    tables = [_targets(motion), *([_by_kind(motion)] if kinds(motion) else [])]
    tables.append(_by_layer(motion))
    return Section("order", "What order adds", lead, tables=tuple(tables))


def _least_p(motion: Motion) -> float:
    return 2 / 2 ** min(motion.found.number("signers"), 12)


def _targets(motion: Motion) -> Table:
    rows = []
    for target in motion.targets:
        found, adds = motion.found, motion.adds(target)
        shares = [share_with_interval(*found.share(f"{target}_{reading}")) for reading in (IN_ORDER, SHUFFLED)]
        gain = points_with_interval(*found.share(adds))
        rows.append((TOLD[target], percent(found.number(f"{target}_chance")), *shares, gain,
                     p_value(found.number(f"{adds}_p_value"))))  # fmt: skip
    columns = ("what is told", "chance", "in order", "shuffled", "order adds", "p")
    return Table("At the layers that the folds chose", columns, tuple(rows))


def _by_kind(motion: Motion) -> Table:
    rows = []
    for kind in kinds(motion):
        cells = motion.accuracy[(motion.accuracy["target"] == MOVEMENT) & (motion.accuracy["kind"] == kind)]
        cells = cells[(cells["site"] == BEST) & (cells["position"] == motion.position)].set_index("series")
        gain = motion.order_rows(MOVEMENT, kind=kind)
        gain = gain[gain["site"] == BEST].iloc[0]
        shares = [
            share_with_interval(*cells.loc[reading, ["accuracy", "low", "high"]]) for reading in (IN_ORDER, SHUFFLED)
        ]
        adds = points_with_interval(gain["difference"], gain["low"], gain["high"])
        clips = count(cells.loc[IN_ORDER, "clips"])
        rows.append((KINDS.get(kind, kind), clips, *shares, adds, p_value(gain["p_value"])))
    columns = ("kind of pair", "clips", "in order", "shuffled", "order adds", "p")
    return Table("The movement, by kind of pair", columns, tuple(rows))


def _by_layer(motion: Motion) -> Table:
    """What order adds to every target by layer, and to the quoted one in the untrained twin."""
    columns = {TOLD[target].split(",")[0]: motion.order_rows(target) for target in motion.targets}
    columns["untrained twin"] = motion.order_rows(motion.target, TWIN)
    cells = {
        (
            name,
            row["site"],
        ): f"{points_with_interval(row['difference'], row['low'], row['high'])}, {p_value(row['p_max'])}"
        for name, rows in columns.items()
        for row in rows.to_dict("records")
    }
    layers = [site for site in motion.sites if site.startswith("layer_")]
    rows = tuple((site, *(cells.get((name, site), "–") for name in columns)) for site in layers)
    return Table("What order adds by layer; p over all layers", ("layer", *columns), rows)


def is_it_real(motion: Motion) -> Section:
    """Every control beside what is read in order; clips backwards; labels of another clip."""
    lead = [
        "Controls that do not see the order of the frames: the middle frame alone, each frame read by itself, the "
        "mean of raw pixels, the vision tower's mean over the clip, and the frames shuffled. What the frames in order "
        "give beyond these is order. The untrained twin sees the order and has learnt nothing. Of an even number of "
        "frames none is the middle: one of the two there is shown, drawn for each clip.",
        "Raw pixels of all frames side by side, their changes, and the vision tower frame by frame hold the order "
        "because they are laid out in it: a probe reads the place of a frame, not a movement. They bound what any "
        "reader of the clip could tell. That the decoder holds order at one token, in vectors no longer than for one "
        "image, is another thing, and the smaller claim is the safe one.",
    ]
    if (null := _null(motion)) is not None:
        lead.append(null)
    tables = [_controls(motion, target) for target in motion.targets]
    tables += [_backwards(motion)] if len(motion.backwards) else []
    return Section("real", "Is it real?", tuple(lead), tables=tuple(tables), part=REAL)


def _null(motion: Motion) -> str | None:
    """What probes reach whose clips have another clip's label."""
    found = motion.found
    if "movement_other_clip" not in found:
        return None
    reached, chance = (percent(found.number(f"movement_{what}")) for what in ("other_clip", "chance"))
    p = p_value(found.number("movement_other_clip_p_value"))
    return (
        f"With the label of another clip of the same signer and hand shape, probes of {found['best_layer']} tell "
        f"{reached} in the mean over draws (chance {chance}). How often a draw does as well as the true labels: {p}."
    )


def _controls(motion: Motion, target: str) -> Table:
    controls = motion.controls[motion.controls["target"] == target]
    order = controls["control"].isin(SEE_ORDER).sort_values(kind="stable").index
    rows = tuple(
        (
            called(row["control"], row["site"]),
            "yes" if row["control"] in SEE_ORDER or row["control"].startswith("twin") else "no",
            share_with_interval(row["accuracy"], row["low"], row["high"]),
            points_with_interval(row["over"], row["over_low"], row["over_high"]),
            p_value(row["p_max"]),
        )
        for row in controls.loc[order].to_dict("records")
    )
    found = motion.found
    told = percent(found.number(f"{target}_{IN_ORDER}"))
    caption = f"{TOLD[target]}: {told} in order, less each control; p over all rows"
    return Table(
        caption[0].upper() + caption[1:], ("control", "sees the order", "tells", "in order less it", "p"), rows
    )


def _backwards(motion: Motion) -> Table:
    rows = []
    for row in motion.backwards[motion.backwards["site"] == BEST].to_dict("records"):
        gap = points_with_interval(row["difference"], row["difference_low"], row["difference_high"])
        rows.append(("all pairs" if row["kind"] == ALL else KINDS.get(row["kind"], row["kind"]),
                     share_with_interval(row["backwards"], row["low"], row["high"]), percent(row["in_order"]), gap,
                     p_value(row["p_value"])))  # fmt: skip
    columns = ("kind of pair", "backwards", "in order", "difference", "p")
    caption = "How often a probe that was fitted to clips in order names another sign of the same hand shape"
    return Table(caption, columns, tuple(rows))


def readings(motion: Motion) -> Table:
    """What probes that were fitted to each reading itself tell of it, at the layers that its own folds chose."""
    rows = motion.accuracy[(motion.accuracy["site"] == OWN) & (motion.accuracy["kind"] == ALL)]
    rows = rows[rows["position"] == motion.position]
    cells = {(row["series"], row["target"]): row for row in rows.to_dict("records")}
    series = list(dict.fromkeys(rows["series"]))
    shown = tuple((called(one), *(_cell(cells.get((one, target))) for target in motion.targets)) for one in series)
    return Table(
        "Every reading, by probes of its own", ("reading", *(TOLD[target] for target in motion.targets)), shown
    )


def _cell(row: dict | pd.Series | None) -> str:
    return "–" if row is None else share_with_interval(row["accuracy"], row["low"], row["high"])
