"""How sure an accuracy is, and whether one is above another: everything from resampled groups.

Copies of one photo stand or fall together, and so do the images of one clip or signer. So what is resampled is the
group (whole clusters: Davison and Hinkley 1997, section 3.8). All curves share the resamples, so that they can be
compared pair by pair.
"""

from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int
from pydantic import Field
from scipy.stats import norm
from statsmodels.stats.multitest import multipletests
from statsmodels.stats.proportion import proportion_confint

from signbridge.core.params import Section

Interval = tuple[Float[np.ndarray, "..."], Float[np.ndarray, "..."]]


class StatisticsParams(Section):
    """The section `statistics`."""

    confidence: float = Field(gt=0, lt=1)  # of every interval; 1 - confidence is the level of every test
    resamples: int = Field(ge=1)  # of the groups


class Difference(NamedTuple):
    """The differences of pairs of curves."""

    difference: Float[np.ndarray, "pairs"]
    low: Float[np.ndarray, "pairs"]
    high: Float[np.ndarray, "pairs"]
    p_value: Float[np.ndarray, "pairs"]  # two-sided


def wilson(right: Int[np.ndarray, "..."], tested: Int[np.ndarray, "..."], confidence: float) -> Interval:
    """Wilson's score interval (1927) of a share: `right` of `tested` independent trials."""
    return proportion_confint(right, tested, alpha=1 - confidence, method="wilson")


def draw_groups(groups: int, resamples: int, generator: np.random.Generator) -> Int[np.ndarray, "resamples groups"]:
    """How often each group is in each resample."""
    return generator.multinomial(groups, np.full(groups, 1 / groups), size=resamples)


def draw_nested(
    levels: Int[np.ndarray, "units levels"], resamples: int, generator: np.random.Generator
) -> Int[np.ndarray, "resamples units"]:
    """How often each unit is in each resample, where units are nested: images within pairs of classes.

    A row of `levels` names a unit, outermost cluster first. Clusters are drawn with replacement, and within each
    cluster that was drawn its parts are. Every unit has a row of its own.
    """
    drawn = np.zeros((resamples, len(levels)), dtype=np.int64)

    def draw(rows: np.ndarray, level: int, times: np.ndarray) -> None:
        parts, part = np.unique(levels[rows, level], return_inverse=True)
        counts = generator.multinomial(times * len(parts), np.full(len(parts), 1 / len(parts)))
        for number in range(len(parts)):
            inside = rows[part == number]
            if level + 1 == levels.shape[1]:
                drawn[:, inside] = counts[:, [number]]
            else:
                draw(inside, level + 1, counts[:, number])

    draw(np.arange(len(levels)), 0, np.ones(resamples, dtype=np.int64))
    return drawn


def resampled_accuracy(
    drawn: Int[np.ndarray, "resamples groups"],
    right: Float[np.ndarray, "groups curves"],
    tested: Float[np.ndarray, "groups curves"],
) -> Float[np.ndarray, "resamples curves"]:
    """The accuracy of each curve in each resample: a group brings all its images in all repeats.

    Where a resample holds no group that a curve was tested on, the curve's accuracy over all groups stands in.
    """
    count = drawn.astype(np.float64)
    shown = count @ tested
    overall = right.sum(axis=0) / tested.sum(axis=0)
    return np.where(shown > 0, (count @ right) / np.maximum(shown, 1), overall)


def interval(values: Float[np.ndarray, "resamples curves"], confidence: float) -> Interval:
    """The percentile interval of each column (Efron 1979)."""
    tail = (1 - confidence) / 2
    low, high = np.quantile(values, [tail, 1 - tail], axis=0)
    return low, high


def group_bootstrap(
    right: Float[np.ndarray, "groups curves"],
    tested: Float[np.ndarray, "groups"] | Float[np.ndarray, "groups curves"],
    confidence: float,
    resamples: int,
    generator: np.random.Generator,
) -> Interval:
    """Interval of accuracies: `right` of the `tested` predictions of each group, one column a curve."""
    tested = tested[:, None] if tested.ndim == 1 else tested
    tested = np.broadcast_to(tested, right.shape)
    drawn = draw_groups(len(tested), resamples, generator)
    low, high = interval(resampled_accuracy(drawn, right, tested), confidence)
    return at_the_edges(low, high, right, tested, confidence)


def at_the_edges(
    low: Float[np.ndarray, "curves"],
    high: Float[np.ndarray, "curves"],
    right: Float[np.ndarray, "groups curves"],
    tested: Float[np.ndarray, "groups curves"],
    confidence: float,
) -> Interval:
    """Wilson's interval, each group one trial, for accuracies of 0 and 1; the given one for others.

    There every resample is alike, and a percentile interval would read as certainty.
    """
    total, groups = right.sum(axis=0), (tested > 0).sum(axis=0)
    none, every = total == 0, total == tested.sum(axis=0)
    edge_low, edge_high = wilson(np.where(every, groups, 0), groups, confidence)
    return np.where(every, edge_low, low), np.where(none, edge_high, high)


def compare(
    values: Float[np.ndarray, "resamples curves"],
    overall: Float[np.ndarray, "curves"],
    first: Int[np.ndarray, "pairs"],
    second: Int[np.ndarray, "pairs"],
    confidence: float,
) -> Difference:
    """Curve `first` minus curve `second`, pair by pair, on the same resamples.

    The interval is the percentile one. The p-value takes the difference over its standard deviation among the
    resamples for normal (Efron and Tibshirani 1993, chapter 13): counting resamples cannot show a p-value small enough
    to outlive the correction for hundreds of pairs. Curves that never differ have p = 1.
    """
    difference = overall[first] - overall[second]
    gap = values[:, first] - values[:, second]
    low, high = interval(gap, confidence)
    deviation = gap.std(axis=0)
    z = np.divide(np.abs(difference), deviation, out=np.zeros_like(difference), where=deviation > 0)
    p_value = np.where((deviation == 0) & (difference != 0), 0.0, 2 * norm.sf(z))
    return Difference(difference, low, high, p_value)


def holm(p_values: Float[np.ndarray, "tests"]) -> Float[np.ndarray, "tests"]:
    """The p-values corrected for being many (Holm 1979)."""
    return multipletests(p_values, method="holm")[1] if len(p_values) else p_values


def peak_probability(values: Float[np.ndarray, "resamples curves"]) -> Float[np.ndarray, "curves"]:
    """The share of resamples in which each curve is the highest; those that tie share one."""
    highest: Bool[np.ndarray, "resamples curves"] = values >= values.max(axis=1, keepdims=True) - 1e-12
    return (highest / highest.sum(axis=1, keepdims=True)).mean(axis=0)


def permutation_p_value(observed: float, under_null: Float[np.ndarray, "draws"]) -> float:
    """How often a draw under the null does as well (Phipson and Smyth 2010: never zero, at least 1 / (draws + 1))."""
    return float((1 + (under_null >= observed - 1e-12).sum()) / (1 + len(under_null)))
