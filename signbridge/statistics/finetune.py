"""Before and after fine-tuning: answers, probes and the gap between them, on the same resamples of the same images.

`base` is the model before tuning. Every other run is one way of tuning it. Two of them are nulls: tuning on letters
that were shuffled over photos (what can be memorised), and tuning an untrained twin as long (what tuning alone can
teach). What tuning is said to reach is quoted beside what these reach.
"""

from collections.abc import Mapping, Sequence
from itertools import product
from typing import NamedTuple

import numpy as np
import pandas as pd
from jaxtyping import Float

from signbridge.core.activations import TEXT_POSITION, TEXT_SITE
from signbridge.probing.peak import headline_predictions
from signbridge.probing.transfer import AFTER, BEFORE
from signbridge.statistics.curves import BEST, KEY, Curves, curves
from signbridge.statistics.intervals import Difference, StatisticsParams, compare, holm, interval

BASE, TUNED, SHUFFLED, UNTRAINED = "base", "letters", "shuffled_labels", "untrained_twin"
NULLS = (SHUFFLED, UNTRAINED)
NAMED, SCORED = "named", "scored"  # the letter that the answer names; the letter that the model scores best
ANSWERED = (NAMED, SCORED, TEXT_SITE)  # and the letter that is guessed from the answer, as learnt in training
GROUPED = "grouped"
PAIRED = ["difference", "low", "high", "p_value"]


class Run(NamedTuple):
    """What was found of one run."""

    predictions: pd.DataFrame
    choices: pd.DataFrame
    said: pd.DataFrame  # image_id, label, named, scored


def compare_runs(
    runs: Mapping[str, Run],
    transfer: pd.DataFrame,
    position: str,
    group_of: pd.Series,
    statistics: StatisticsParams,
    generator: np.random.Generator,
) -> dict[str, pd.DataFrame]:
    """The tables `accuracy`, `changes`, `layers`, `gaps` and `transfer`. `runs` begins with `base`.

    Layers are those at `position`; `transfer` is the table of the stage `moved`; `group_of` is by image_id, of the
    images that are probed.
    """
    measured = curves(_everything(runs, transfer, position), group_of, statistics, generator)
    names, layers = list(runs), _layers(runs[BASE], position)
    table = measured.table[measured.table["protocol"] == GROUPED].rename(columns={"series": "run"})
    columns = ["run", "site", "position", "depth", "accuracy", "low", "high"]
    return {
        "accuracy": table[columns].reset_index(drop=True),
        "changes": _changes(measured, names, position),
        "layers": _by_layer(measured, names, layers, position),
        "gaps": _gaps(measured, names, [*layers, BEST], position),
        "transfer": _transfers(measured, names, layers, position),
    }


def before_of(run: str) -> str | None:
    """The run before tuning of the same weights; None of the untrained twin, whose own was not probed."""
    return None if run in (BASE, UNTRAINED) else BASE


def _layers(base: Run, position: str) -> list[str]:
    rows = base.predictions[base.predictions["position"] == position]
    return [site for site in rows["site"].unique() if site.startswith("layer_")]


def _everything(runs: Mapping[str, Run], transfer: pd.DataFrame, position: str) -> pd.DataFrame:
    """All predictions, each with its run as the `series`: of probes, of the layers that folds chose, of answers.

    What a probe reads of the other model's vectors has the two as its protocol: `before as_read` was fitted on those
    before tuning.
    """
    parts = []
    for name, one in runs.items():
        best = headline_predictions(one.predictions, one.choices, position).assign(site=BEST)
        parts += [table.assign(series=name) for table in (one.predictions, best)]
        for how in (NAMED, SCORED):
            said = one.said[["image_id", "label"]].assign(predicted=one.said[how], series=name, site=how)
            parts.append(said.assign(protocol=GROUPED, position=TEXT_POSITION))
    if len(transfer):
        parts.append(transfer.assign(series=transfer["run"], protocol=transfer["fitted_on"] + " " + transfer["how"]))
    columns = [*KEY, "image_id", "label", "predicted"]
    return pd.concat([table[columns] for table in parts], ignore_index=True)


def _columns(measured: Curves, keys: Sequence[tuple[str, str, str, str] | None]) -> np.ndarray:
    """The column of each (series, protocol, site, position); -1 where it was not measured."""
    place = {key: row for row, key in enumerate(measured.table[KEY].itertuples(index=False, name=None))}
    return np.array([-1 if key is None else place.get(key, -1) for key in keys], dtype=int)


def _site(run: str | None, site: str, position: str) -> tuple[str, str, str, str] | None:
    at = TEXT_POSITION if site in ANSWERED else position
    return None if run is None else (run, GROUPED, site, at)


def _paired(rows: pd.DataFrame, measured: Curves, first: np.ndarray, second: np.ndarray) -> pd.DataFrame:
    """Those `rows` of which both are known, with `first` less `second`; Holm corrects for all of them."""
    known = (first >= 0) & (second >= 0)
    gap = measured.compare(first[known], second[known])
    return rows[known].reset_index(drop=True).assign(**gap._asdict(), p_holm=holm(gap.p_value))


def _changes(measured: Curves, names: Sequence[str], position: str) -> pd.DataFrame:
    """One row a comparison: run, what, against, difference. Each run less `base`, and `letters` less every other run.

    `what`: the ways to take an answer, and the decoder (`best`). The untrained twin is compared with `letters` alone.
    """
    against = [(run, before) for run in names if (before := before_of(run))]
    against += [(TUNED, run) for run in names if TUNED in names and run not in (BASE, TUNED)]
    wanted = [(run, what, other) for what in (*ANSWERED, BEST) for run, other in against]
    rows = pd.DataFrame(wanted, columns=["run", "what", "against"])
    first, second = (
        _columns(measured, [_site(run, what, position) for run, what in zip(rows[of], rows["what"], strict=True)])
        for of in ("run", "against")
    )
    return _paired(rows, measured, first, second)


def _by_layer(measured: Curves, names: Sequence[str], layers: Sequence[str], position: str) -> pd.DataFrame:
    """One row a run and layer: what a probe reads `before` and `after`, and the difference, on the same folds."""
    wanted = list(product([run for run in names if before_of(run)], layers))
    rows = pd.DataFrame(wanted, columns=["run", "site"])
    before, after = (
        _columns(measured, [_site(of(run), site, position) for run, site in wanted])
        for of in (before_of, lambda run: run)
    )
    found = _paired(rows, measured, after, before)
    accuracy = measured.table["accuracy"].to_numpy()
    return found.assign(before=accuracy[before], after=accuracy[after])[
        ["run", "site", "before", "after", *PAIRED, "p_holm"]
    ]


def _gaps(measured: Curves, names: Sequence[str], sites: Sequence[str], position: str) -> pd.DataFrame:
    """One row a run, site and way to take the answer (`how`): a probe at the site less the answer, before and after.

    before, before_low, before_high, after, after_low, after_high, and the difference, after less before. NaN before
    where nothing is known of it. A row of `hardest` takes the answer before tuning in the way that is right most often,
    and after tuning as the letter that it names: the change that is hardest to show. Holm corrects its rows at
    the layers that folds chose (`best`) among themselves, one a run, and all others among themselves.
    """
    accuracy = measured.table["accuracy"].to_numpy()
    base = _columns(measured, [_site(BASE, how, position) for how in ANSWERED])
    hardest = ANSWERED[int(np.argmax(np.where(base >= 0, accuracy[base], -1)))]
    ways = {how: (how, how) for how in ANSWERED} | {"hardest": (hardest, NAMED)}
    wanted = list(product([run for run in names if run != BASE], sites, ways))

    def gaps(of: int) -> tuple[np.ndarray, Float[np.ndarray, "resamples gaps"], np.ndarray]:
        runs = [(run if of else before_of(run)) for run, _, _ in wanted]
        probe = _columns(measured, [_site(run, site, position) for run, (_, site, _) in zip(runs, wanted, strict=True)])
        answer = _columns(
            measured, [_site(run, ways[how][of], position) for run, (*_, how) in zip(runs, wanted, strict=True)]
        )
        there = (probe >= 0) & (answer >= 0)
        overall = np.where(there, accuracy[probe] - accuracy[answer], np.nan)
        return overall, measured.resampled[:, probe] - measured.resampled[:, answer], there

    (before, before_drawn, known), (after, after_drawn, _) = gaps(0), gaps(1)
    low, high = interval(before_drawn, measured.confidence)
    after_low, after_high = interval(after_drawn, measured.confidence)
    place = np.arange(len(wanted))
    change = compare(
        np.hstack([before_drawn, after_drawn]), np.concatenate([before, after]), len(wanted) + place, place,
        measured.confidence,
    )  # fmt: skip
    change = Difference(*(np.where(known, part, np.nan) for part in change))
    quoted = np.array([(site, how) == (BEST, "hardest") for _, site, how in wanted])  # the rest is to explore
    return pd.DataFrame(wanted, columns=["run", "site", "how"]).assign(
        answer_before=[ways[how][0] for *_, how in wanted],
        before=before, before_low=np.where(known, low, np.nan), before_high=np.where(known, high, np.nan),
        after=after, after_low=after_low, after_high=after_high, **change._asdict(),
        p_holm=_holm_of_known(change.p_value, quoted),
    )  # fmt: skip


def _holm_of_known(p_values: np.ndarray, family: np.ndarray) -> np.ndarray:
    """Holm's correction among the known p-values of the `family`, and among those of the others."""
    corrected = np.full(len(p_values), np.nan)
    for rows in (~np.isnan(p_values) & family, ~np.isnan(p_values) & ~family):
        corrected[rows] = holm(p_values[rows])
    return corrected


def _transfers(measured: Curves, names: Sequence[str], layers: Sequence[str], position: str) -> pd.DataFrame:
    """One row a run, side that the probe was fitted on (`before`, `after`), way (`how`) and layer.

    accuracy, low, high: of the other side's held-out images; `own`: of probes that were fitted on these vectors
    themselves; and the difference of the two, which is what is lost.
    """
    runs = [run for run in names if before_of(run)]
    wanted = list(product(runs, (BEFORE, AFTER), ("as_read", "recentred"), layers))
    rows = pd.DataFrame(wanted, columns=["run", "fitted_on", "how", "site"])
    moved = _columns(measured, [(run, f"{fitted_on} {how}", site, position) for run, fitted_on, how, site in wanted])
    read = [(run if fitted_on == BEFORE else before_of(run)) for run, fitted_on, _, _ in wanted]
    own = _columns(measured, [_site(run, one[3], position) for run, one in zip(read, wanted, strict=True)])
    known = moved >= 0
    table = measured.table.iloc[moved[known]]
    of_these = {name: table[name].to_numpy() for name in ("accuracy", "low", "high")}
    found = _paired(rows, measured, moved, own).rename(columns={"low": "lost_low", "high": "lost_high"})
    own_accuracy = measured.table["accuracy"].to_numpy()[own[known]]
    columns = ["run", "fitted_on", "how", "site", "accuracy", "low", "high", "own"]
    return found.assign(**of_these, own=own_accuracy)[[*columns, "difference", "lost_low", "lost_high", "p_holm"]]
