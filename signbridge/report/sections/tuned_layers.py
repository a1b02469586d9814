"""What moves in the decoder when it is tuned: does the direction stay, how far do vectors go, where is the answer."""

import pandas as pd

from signbridge.report.curve import lines_by_site
from signbridge.report.page_parts import Picture, Section, Table
from signbridge.report.palette import CYCLE, TRANSFERRED, Series
from signbridge.report.sections.finetune import RUN, Finetune
from signbridge.report.wording import (
    FIRM,
    count,
    number,
    p_value,
    percent,
    plural,
    points_with_interval,
    share_with_interval,
    value_with_interval,
)

TITLE = "What moves in the model"
SHAPES = ("circle", "square", "triangle-up", "diamond", "cross", "triangle-down")
DASHES = ((1, 0), (6, 3), (2, 2), (6, 2, 2, 2), (8, 4), (3, 3))


def section(tuned: Finetune) -> Section:
    """The direction, the distances, and where the answer is taken over."""
    lead = (_changed(tuned), *_taken_over(tuned))
    tables = (_where(tuned),) if len(tuned.taken_over) else ()
    return Section("finetune-layers", TITLE, lead, (_direction(tuned), _distances(tuned)), tables=tables)


def _changed(tuned: Finetune) -> str:
    changed, risen = (int(tuned.found[name]) for name in ("layers_changed", "layers_risen"))
    layers = int(tuned.found["layers"])
    if not changed:
        return f"At none of the {plural(layers, 'layer')} is what a probe reads told apart before and after tuning."
    return (
        f"At {count(changed)} of the {plural(layers, 'layer')} a probe reads another share after tuning than before: "
        f"at {count(risen)} more, at {count(changed - risen)} less."
    )


def _taken_over(tuned: Finetune) -> tuple[str, ...]:
    found = tuned.found
    if "taken_over_after" not in found:
        return ("Nothing was patched, so where the answer is taken over is not known.",)
    shift, low, high = (found.number(f"taken_over_shift{end}") for end in ("", "_low", "_high"))
    moved = "The interval leaves out 0" if low > 0 or high < 0 else "The interval holds 0: no shift is shown"
    before, after = (
        f"{found[f'taken_over_{when}']} ({found[f'taken_over_{when}_low']}{FIRM}to{FIRM}"
        f"{found[f'taken_over_{when}_high']})"
        for when in ("before", "after")
    )
    return (
        f"Patching the last token of the prompt moves half of the answer from {before} on before tuning, and from "
        f"{after} on after it, on the same {plural(found.number('pairs'), 'pair')} of {tuned.group.many}: a shift of "
        f"{number(shift, 0)} ({number(low, 0)}{FIRM}to{FIRM}{number(high, 0)}) blocks. {moved}.",
    )


def _direction(tuned: Finetune) -> Picture:
    """The probe from before tuning on the tuned model's vectors, and the reverse."""
    rows = tuned.transfer[tuned.transfer["run"] == RUN]
    sites = list(dict.fromkeys(rows["site"]))
    forth, back = rows[rows["fitted_on"] == "before"], rows[rows["fitted_on"] == "after"]
    lines = [
        forth[forth["how"] == how].assign(series=TRANSFERRED[how].name, value=lambda table: table["accuracy"])
        for how in ("as_read", "recentred")
    ]
    lines.append(back[back["how"] == "as_read"].assign(series=TRANSFERRED["reverse"].name, value=back["accuracy"]))
    own = forth[forth["how"] == "as_read"].assign(series=TRANSFERRED["own"].name, low=float("nan"), high=float("nan"))
    lines.append(own.assign(value=own["own"]))
    table = pd.concat(lines, ignore_index=True)[["series", "site", "value", "low", "high"]]
    worst, centred = (float(tuned.found[name]) for name in ("transfer_lowest", "recentred_lowest"))
    null = ""
    if "transfer_there_shuffled" in tuned.found:
        of_null = percent(tuned.found.number("transfer_there_shuffled"))
        null = f" After tuning on shuffled {tuned.kind}s the same probe reads {of_null} at that layer."
    sees = (
        f"The probe from before tuning reads the tuned model worst at {tuned.found['transfer_lowest_site']}: "
        f"{percent(worst)}, where a probe of its own reads {percent(tuned.found.number('transfer_lowest_own'))}. "
        f"Recentred on the tuned vectors it reads {percent(centred)} or more everywhere. It reads less than the own "
        f"probe at {plural(tuned.found.number('transfer_lost'), 'layer')}, recentred at "
        f"{count(tuned.found.number('recentred_lost'))}.{null}"
    )
    cells = tuple(
        (row["site"], "before" if row["fitted_on"] == "before" else "after", row["how"].replace("_", " "),
         share_with_interval(row["accuracy"], row["low"], row["high"]), percent(row["own"]),
         points_with_interval(row["difference"], row["lost_low"], row["lost_high"]), p_value(row["p_holm"]))
        for row in rows.to_dict("records")
    )  # fmt: skip
    caption = "A probe of one model on held-out images of the other; p after Holm, over all runs, sides and layers"
    columns = ("layer", "fitted", "how", "reads", "a probe of its own", "difference", "p")
    title = "Does the direction stay? Probes of one model on the vectors of the other"
    spec = lines_by_site(table, sites, list(TRANSFERRED.values()), "read right")
    return Picture("finetune-direction", title, sees, Table(caption, columns, cells), spec)


def _distances(tuned: Finetune) -> Picture:
    """CKA of every run with its model before tuning, layer by layer."""
    rows = tuned.drift[tuned.drift["site"].str.startswith("layer_")].dropna(subset="cka")
    runs = list(dict.fromkeys(rows["run"]))
    looks = [
        Series(tuned.called(run), CYCLE[place % len(CYCLE)], SHAPES[place % 6], DASHES[place % 6])
        for place, run in enumerate(runs)
    ]
    lines = rows.assign(series=rows["run"].map(tuned.called), value=rows["cka"], low=rows["cka_low"])
    lines = lines.assign(high=rows["cka_high"])[["series", "site", "value", "low", "high"]]
    of_run = rows[rows["run"] == RUN]
    worst = of_run.loc[of_run["cka"].idxmin()]
    alike = tuned.drift[(tuned.drift["run"] == RUN) & (tuned.drift["relative_error"] == 0)]
    untouched = f" Equal bit for bit: {', '.join(alike['site'])}." if len(alike) else ""
    null = ""
    if "cka_there_shuffled" in tuned.found:
        of_null = number(tuned.found.number("cka_there_shuffled"), 2)
        null = f" Tuned on shuffled {tuned.kind}s it is {of_null} there."
    sees = (
        f"1 is no change but for a turn and a scale. Tuned on {tuned.kind}s it is lowest at {worst['site']}: "
        f"{value_with_interval(worst['cka'], worst['cka_low'], worst['cka_high'])}, where the mean cosine of an "
        f"image's vectors before and after is "
        f"{value_with_interval(worst['cosine'], worst['cosine_low'], worst['cosine_high'])}.{null}{untouched}"
    )
    cells = tuple(
        (tuned.called(row["run"]), row["site"], value_with_interval(row["cka"], row["cka_low"], row["cka_high"]),
         value_with_interval(row["cosine"], row["cosine_low"], row["cosine_high"]), number(row["relative_error"], 3))
        for row in tuned.drift.to_dict("records")
    )  # fmt: skip
    caption = "Vectors after tuning against those before, of the same images; the twin's against the untuned twin's"
    twin = Table(caption, ("run", "site", "CKA", "mean cosine", "relative error"), cells)
    spec = lines_by_site(lines, list(dict.fromkeys(rows["site"])), looks, "linear CKA", in_percent=False)
    return Picture("finetune-distance", "How far the vectors go: linear CKA with those before", sees, twin, spec)


def _where(tuned: Finetune) -> Table:
    rows = tuple(
        (tuned.called(row["run"]), count(row["pairs"]), f"{row['site']} ({row['site_low']} to {row['site_high']})",
         f"{number(row['shift'], 0)} ({number(row['shift_low'], 0)} to {number(row['shift_high'], 0)})")
        for row in tuned.taken_over.to_dict("records")
    )  # fmt: skip
    caption = "The site from which on patching the last token moves half of the answer"
    return Table(caption, ("run", "pairs", "from", "shift, in blocks"), rows)
