"""Fine-tuning: what the answer says before and after, how far the gap to the probe closes, and what nulls reach."""

from dataclasses import dataclass

import pandas as pd

from signbridge.report.curve import lines_by_site
from signbridge.report.inputs import Inputs
from signbridge.report.page_parts import REAL, Picture, Section, Table
from signbridge.report.palette import TUNED, of_kind
from signbridge.report.wording import (
    count,
    listing,
    p_value,
    percent,
    plural,
    points,
    points_with_interval,
    share_with_interval,
    value_with_interval,
)

TITLE = "The answer and the probe, before and after tuning"
RUN, BASE, BEST = "letters", "base", "best"  # the run that is quoted; before tuning; the layers that folds chose
RUNS = {
    "base": "before tuning",
    "letters": "tuned on {kind}s",
    "early": "early blocks alone",
    "middle": "middle blocks alone",
    "late": "late blocks alone",
    "shuffled_labels": "tuned on shuffled {kind}s (null)",
    "untrained_twin": "untrained twin, tuned as long (null)",
}
READ = {
    "named": "the answer names the {kind}",
    "scored": "the {kind} scored best",
    "answer": "the {kind} guessed from the answer",
    "best": "a probe of the decoder",
}


@dataclass(frozen=True)
class Finetune(Inputs):
    """The page on fine-tuning; `sample` has the images that are probed."""

    accuracy: pd.DataFrame  # this and the tables below: data/finetune/compared/
    changes: pd.DataFrame
    layers: pd.DataFrame
    gaps: pd.DataFrame
    transfer: pd.DataFrame
    drift: pd.DataFrame
    taken_over: pd.DataFrame
    damage: pd.DataFrame
    tuned_on: int  # images

    @property
    def runs(self) -> list[str]:
        """`base` and the runs, in order."""
        return list(dict.fromkeys(self.accuracy["run"]))

    def called(self, run: str) -> str:
        """How a run is called on the page."""
        return RUNS.get(run, run).format(kind=self.kind)

    def read(self, run: str, site: str) -> dict[str, float]:
        """What is read right of `site` in `run`: accuracy, low, high."""
        rows = self.accuracy[(self.accuracy["run"] == run) & (self.accuracy["site"] == site)]
        return {name: float(rows[name].iloc[0]) for name in ("accuracy", "low", "high")}

    def gap(self, run: str, how: str = "hardest", site: str = BEST) -> pd.Series:
        """The row of the gap."""
        rows = self.gaps[(self.gaps["run"] == run) & (self.gaps["how"] == how) & (self.gaps["site"] == site)]
        return rows.iloc[0]


def answer(tuned: Finetune) -> tuple[str, ...]:
    """What the answer says before and after, beside the hardest null; what became of the gap; which blocks it takes."""
    hardest = str(tuned.found["hardest_how"])
    before = f"Before tuning it named {percent(tuned.read(BASE, 'named')['accuracy'])}"
    if hardest != "named":
        way = READ[hardest].format(kind=tuned.kind)
        before += f" ({way}: {percent(tuned.read(BASE, hardest)['accuracy'])} right)"
    first = (
        f"Tuned on {plural(tuned.tuned_on, 'image')} of other {tuned.group.many}, the answer names the {tuned.kind} of "
        f"{_share(tuned, RUN, 'named')} of the images. {_null(tuned)} {before}."
    )
    sentences = [first, _gap(tuned)]
    if blocks := [run for run in ("early", "middle", "late") if run in tuned.runs]:
        said = [f"{run} blocks {percent(tuned.read(run, 'named')['accuracy'])}" for run in blocks]
        sentences.append(f"With a third of the decoder tuned alone, the answer names it for: {listing(said)}.")
    return tuple(sentences)


def _null(tuned: Finetune) -> str:
    if "null" not in tuned.found:
        return "No null was tuned beside it, so nothing says what tuning alone would reach."
    null = str(tuned.found["null"])
    over = points_with_interval(*(tuned.found.number(f"over_null{end}") for end in ("", "_low", "_high")))
    apart = "is told apart from every null" if tuned.found["beats_nulls"] else "is not told apart from all nulls"
    null = tuned.called(null).removesuffix(" (null)")
    return f"That is {over} over the better null ({null}), and {apart}."


def _gap(tuned: Finetune) -> str:
    """Both ends of the gap, and whether it closes."""
    row = tuned.gap(RUN)
    became = f"went from {points_with_interval(row['before'], row['before_low'], row['before_high'])} to "
    became += points_with_interval(row["after"], row["after_low"], row["after_high"])
    if not row["p_holm"] < tuned.level:
        verdict = "This change is not told apart from none"
    elif row["difference"] > 0:
        verdict = "The gap is wider"
    elif row["after_low"] <= 0:
        verdict = "It is narrower. What is left is not told apart from 0, by this one seed"
    else:
        verdict = "The gap is narrower, and not closed"
    null = " (and no more so than a null: see above)" if not tuned.found.get("beats_nulls", True) else ""
    return (
        f"The gap between a probe of the decoder and the answer {became}. {verdict}{null}. The probe itself reads "
        f"{percent(tuned.read(BASE, BEST)['accuracy'])} before and {percent(tuned.read(RUN, BEST)['accuracy'])} after."
    )


def curve(tuned: Finetune) -> Picture:
    """Probe and answer by layer, before and after; the answers of the nulls beside them."""
    looks = of_kind(TUNED, tuned.kind)
    layers = tuned.layers[tuned.layers["run"] == RUN]
    sites = list(layers["site"])
    rows = [_curve_of(tuned, run, looks[name].name) for run, name in ((BASE, "probe_before"), (RUN, "probe_after"))]
    across = {"answer_before": (BASE, str(tuned.found["hardest_how"])), "answer_after": (RUN, "named")}
    across |= {run: (run, "named") for run in ("shuffled_labels", "untrained_twin") if run in tuned.runs}
    for name, (run, site) in across.items():
        read = tuned.read(run, site)
        band = {"low": read["low"], "high": read["high"]} if name == "answer_after" else {}
        level = {"series": looks[name].name, "value": read["accuracy"], "low": float("nan"), "high": float("nan")}
        rows.append(pd.DataFrame({"site": sites, **(level | band)}))
    spec = lines_by_site(pd.concat(rows, ignore_index=True), sites, list(looks.values()), "read right")
    row = tuned.gap(RUN)
    sees = (
        f"The distance from the probe to the answer is the gap: {points(row['before'])} before tuning, "
        f"{points(row['after'])} after. Chance is {percent(tuned.chance)}."
    )
    return Picture("finetune-gap", f"The {tuned.kind} read right, by layer", sees, _layers(tuned), spec)


def _curve_of(tuned: Finetune, run: str, series: str) -> pd.DataFrame:
    rows = tuned.accuracy[(tuned.accuracy["run"] == run) & tuned.accuracy["site"].isin(tuned.layers["site"])]
    rows = rows[rows["position"] == tuned.found["position"]]
    return rows.rename(columns={"accuracy": "value"})[["site", "value", "low", "high"]].assign(series=series)


def section(tuned: Finetune) -> Section:
    """What every run reads, and the gap at every layer."""
    ways = listing([READ[how].format(kind=tuned.kind) for how in ("named", "scored", "answer")])
    lead = (
        "Each run adds a low-rank adapter to the decoder and tunes it to answer with the "
        f"{tuned.kind}; vision tower and projector stay as they are. All runs are read on the same images, which none "
        f"was tuned on, and probed on the same folds. Intervals are over the same resamples of {tuned.group.many}.",
        f"The answer is taken in three ways: {ways}. The gap above takes it before tuning in the way that is right "
        "most often, and after tuning as what the answer names. This makes a gap that closes hardest to show.",
    )
    return Section("finetune", TITLE, lead, tables=(_accuracy(tuned), _gaps(tuned)))


def is_it_real(tuned: Finetune) -> Section:
    """Every comparison with the model before tuning and with the nulls; what of the probed images was trained on."""
    found = tuned.found
    seen = max(found.number("in_train"), 0.0)
    lead = (
        f"Of the images that are probed, {percent(seen)} have {tuned.group.own} among those that were trained on or "
        "chose when to stop." + ("" if seen == 0 else " These results are leaking."),
        f"Two nulls were tuned as long. With shuffled {tuned.kind}s each photo has one wrong {tuned.kind}, the same "
        "for all its copies: it can be memorised, and says nothing of other photos. The untrained twin has the same "
        "shape and random weights: it shows what tuning reaches without what the model had learnt.",
    )
    return Section("finetune-real", "Is it real?", lead, tables=(_changes(tuned), *_damage(tuned)), part=REAL)


def _accuracy(tuned: Finetune) -> Table:
    rows = tuple((tuned.called(run), *(_share(tuned, run, site) for site in READ)) for run in tuned.runs)
    names = tuple(text.format(kind=tuned.kind) for text in READ.values())
    return Table("Share read right of the same images, by run", ("run", *names), rows)


def _layers(tuned: Finetune) -> Table:
    rows = tuple(
        (row["site"], percent(row["before"]), percent(row["after"]),
         points_with_interval(row["difference"], row["low"], row["high"]), p_value(row["p_holm"]),
         points_with_interval(gap["before"], gap["before_low"], gap["before_high"]),
         points_with_interval(gap["after"], gap["after_low"], gap["after_high"]))
        for row in tuned.layers[tuned.layers["run"] == RUN].to_dict("records")
        for gap in [tuned.gap(RUN, site=row["site"])]
    )  # fmt: skip
    caption = f"Probes and gaps by layer; p after Holm, over all {count(len(tuned.layers))} layers of all runs"
    columns = ("layer", "probe before", "probe after", "difference", "p", "gap before", "gap after")
    return Table(caption, columns, rows)


def _gaps(tuned: Finetune) -> Table:
    rows = tuned.gaps[tuned.gaps["site"] == BEST]
    cells = tuple(
        (tuned.called(row["run"]), _way(tuned, row), *(
            _points(row, name, f"{name}_low", f"{name}_high")
            for name in ("before", "after")
        ), _points(row, "difference", "low", "high"), p_value(row["p_holm"]) or "–")
        for row in rows.to_dict("records")
    )  # fmt: skip
    caption = "The gap: a probe at the layers that the folds chose, less the answer; p after Holm"
    return Table(caption, ("run", "answer taken as", "before", "after", "change", "p"), cells)


def _points(row: dict, *names: str) -> str:
    """A difference with its interval, or a dash where it is not known."""
    return points_with_interval(*(row[name] for name in names)) if row[names[0]] == row[names[0]] else "–"


def _way(tuned: Finetune, row: dict) -> str:
    if row["how"] != "hardest":
        return READ[row["how"]].format(kind=tuned.kind)
    return f"before: {READ[row['answer_before']]}; after: {READ['named']}".format(kind=tuned.kind)


def _changes(tuned: Finetune) -> Table:
    rows = tuple(
        (READ[row["what"]].format(kind=tuned.kind), tuned.called(row["run"]), tuned.called(row["against"]),
         points_with_interval(row["difference"], row["low"], row["high"]), p_value(row["p_holm"]),
         "yes" if row["p_holm"] < tuned.level else "no")
        for row in tuned.changes.to_dict("records")
    )  # fmt: skip
    caption = f"Every comparison on the same images; p after Holm, over all {count(len(rows))}"
    return Table(caption, ("what", "run", "less", "difference", "p", "told apart"), rows)


def _damage(tuned: Finetune) -> tuple[Table, ...]:
    if tuned.damage.empty:
        return ()
    rows = tuple(
        (tuned.called(row["run"]), value_with_interval(row["damage"], row["low"], row["high"]),
         value_with_interval(row["over_shuffled"], row["over_shuffled_low"], row["over_shuffled_high"]))
        for row in tuned.damage.to_dict("records")
    )  # fmt: skip
    caption = "Damage: how much less likely the model's own descriptions from before tuning are, in nats a token"
    return (Table(caption, ("run", "damage", f"less that of shuffled {tuned.kind}s"), rows),)


def _share(tuned: Finetune, run: str, site: str) -> str:
    read = tuned.read(run, site)
    return share_with_interval(read["accuracy"], read["low"], read["high"])
