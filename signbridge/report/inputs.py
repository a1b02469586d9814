"""What each page is made from: one frozen dataclass a page, of tables as the stages wrote them and of findings."""

import math
import re
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, NamedTuple

import pandas as pd

from signbridge.core.groups import Groups, groups_of
from signbridge.core.tables import Metric
from signbridge.report.misread import Misread
from signbridge.report.settings import Settings
from signbridge.report.wording import CONTROLS, GROUPS, Group

PROTOCOLS = {"signbridge": "the notebook's split", "grouped": "no {group} on both sides"}
LEAKING = "leaking"  # every page, plot and metric marks a number that leaks by this word


class Share(NamedTuple):
    """A share, or a difference of two, and its interval; NaN where it was not measured."""

    value: float
    low: float
    high: float

    @property
    def known(self) -> bool:
        """Whether it was measured."""
        return not math.isnan(self.value)


class Findings(dict[str, Metric]):
    """What a stage found, by name, as `tables.read_findings` reads it."""

    def number(self, key: str) -> float:
        """The finding `key`; NaN where it was not measured."""
        return float(self.get(key, math.nan))

    def share(self, key: str) -> Share:
        """The finding `key` with its interval: `reading`, `reading_low`; `peak_accuracy` may have `peak_low`."""
        stems = [stem for stem in (key, key.removesuffix("_accuracy")) if f"{stem}_low" in self]
        stem = stems[0] if stems else key
        return Share(*(self.number(name) for name in (key, f"{stem}_low", f"{stem}_high")))


@dataclass(frozen=True)
class Inputs:
    """What every page needs."""

    found: Findings  # of the stage that sums the question up
    sample: pd.DataFrame  # image_id, label, photo, image (PNG bytes); signer and clip where they are known
    settings: Settings

    @property
    def kind(self) -> str:
        """What a class is called: `letter` where each is one, else `sign`."""
        return "letter" if all(re.fullmatch("[A-Za-z]", label) for label in self.sample["label"].unique()) else "sign"

    @cached_property
    def groups(self) -> Groups:
        """The groups of the sample, by `probe.grouped.by` of the params."""
        return groups_of(self.sample, self.settings.grouped_by)

    @property
    def group(self) -> Group:
        """What splits keep whole and intervals resample, in words."""
        return GROUPS[self.groups.kind]

    @property
    def level(self) -> float:
        """Below it a corrected p-value tells two apart."""
        return 1 - self.found.number("confidence")

    @property
    def png(self) -> dict[str, bytes]:
        """The sample's images by image_id."""
        return dict(zip(self.sample["image_id"], self.sample["image"], strict=True))

    @property
    def chance(self) -> float:
        """The share of the commonest class in the sample."""
        return float(self.sample["label"].value_counts(normalize=True).max())

    @property
    def model(self) -> str:
        """The model's name in the catalog, without its note."""
        return str(self.found["model"]).split(" (")[0]


@dataclass(frozen=True)
class Study(Inputs):
    """The study's own page. A table without rows is a part that was not run."""

    leakage: Findings
    text: Findings  # what the answers give away
    accuracy: pd.DataFrame  # this and the tables below: data/statistics/
    controls: pd.DataFrame
    selectivity: pd.DataFrame  # under the notebook's split
    layer_comparison: pd.DataFrame
    peak_probability: pd.DataFrame
    description_length: pd.DataFrame
    letter_accuracy: pd.DataFrame
    confused_pairs: pd.DataFrame
    confusion: pd.DataFrame
    within_word: pd.DataFrame
    published: pd.DataFrame
    named_answers: pd.DataFrame  # this and the one below: data/text/
    answers_by_letter: pd.DataFrame
    umap: pd.DataFrame  # image_id, label, photo, x, y
    class_grid: bytes = field(default=b"", repr=False)  # PNG
    signers: pd.DataFrame = field(default_factory=pd.DataFrame)  # data/statistics/: where they are known
    learning_curve: pd.DataFrame = field(default_factory=pd.DataFrame)  # data/statistics/
    looks: pd.DataFrame = field(default_factory=pd.DataFrame)  # of the images: `appearance.summed_up`
    misread: Misread | None = None  # where a layer was probed without leakage

    @property
    def position(self) -> str | None:
        """The token position of the headline; None if no layer was probed without leakage."""
        return str(self.found["grouped_position"]) if "grouped_position" in self.found else None

    @property
    def sites(self) -> list[str]:
        """The sites that were probed, in order of depth; the answer's text is none."""
        rows = self.accuracy[self.accuracy["position"] != "text"]
        return list(rows.drop_duplicates("site").sort_values("depth", kind="stable")["site"])

    @property
    def notebook(self) -> str:
        """The prefix of the findings under the notebook's protocol: it says whether they leak."""
        leaking = f"signbridge_{LEAKING}_"
        return leaking if any(key.startswith(leaking) for key in self.found) else "signbridge_"

    def protocols(self) -> list[str]:
        """The protocols that were run, the notebook's first."""
        return [protocol for protocol in PROTOCOLS if protocol in set(self.accuracy["protocol"])]

    def copies_in_train(self, protocol: str) -> float:
        """The share of the test images under `protocol` that have a copy of their photo in training; NaN if unknown."""
        return self.leakage.number(f"{protocol}_copies_in_train")

    def leaks(self, protocol: str) -> bool:
        """Whether an image tested under `protocol` has a copy of its photo in training."""
        rows = self.accuracy[self.accuracy["protocol"] == protocol]
        named = protocol == "signbridge" and self.notebook != "signbridge_"
        return named or bool(rows["leaking"].any()) or self.copies_in_train(protocol) > 0

    def split_name(self, protocol: str) -> str:
        """How the split of `protocol` is called."""
        return PROTOCOLS[protocol].format(group=self.group.one)

    def protocol_name(self, protocol: str) -> str:
        """How `protocol` is called on the page; one that leaks is never named without saying so."""
        name = self.split_name(protocol)
        return f"{name} ({LEAKING})" if self.leaks(protocol) else name

    def control_name(self, control: str) -> str:
        """How `control` is called on the page."""
        return CONTROLS[control].format(kind=self.kind)


@dataclass(frozen=True)
class Causal(Inputs):
    """The page on causes."""

    probed: pd.DataFrame  # the study's probe of the last token without leakage: columns `PROBED`
    patching: pd.DataFrame  # this and the tables below: data/causal/effects/
    parts: pd.DataFrame
    knockout: pd.DataFrame
    minimal_read: pd.DataFrame
    minimal_patched: pd.DataFrame
    steering: pd.DataFrame
    steering_area: pd.DataFrame
    erasure: pd.DataFrame
    erasure_answers: pd.DataFrame
    descriptions: pd.DataFrame  # before and after steering: data/causal/steering/descriptions.parquet
    minimal_said: pd.DataFrame  # of minimal pairs: data/causal/minimal_pairs/said.parquet


@dataclass(frozen=True)
class Lenses(Inputs):
    """The page on the words of image tokens."""

    words: pd.DataFrame  # data/lenses/words.parquet
    true_words: dict[str, frozenset[str]]  # what holds for each hand, by image_id, where it is known
    patches: pd.DataFrame  # this and the tables below: data/lenses/readable/
    shares: pd.DataFrame
    leads: pd.DataFrame
    on_hand: pd.DataFrame
    leap: pd.DataFrame
    aligned: Findings  # this and the table below: data/lenses/alignment/
    alignment: pd.DataFrame

    @property
    def grid(self) -> tuple[int, int] | None:
        """Rows and columns of the grid of all image tokens; None where they make none."""
        if self.words.empty or self.words[["rows", "columns"]].iloc[0].isna().any():
            return None
        rows, columns = self.words[["rows", "columns"]].iloc[0]
        return int(rows), int(columns)


@dataclass(frozen=True)
class Planted(Inputs):
    """The page on a variable whose depth is known."""

    letter: pd.DataFrame  # the study's probe of the letter without leakage: columns `PROBED`
    accuracy: pd.DataFrame  # this and the tables below: data/planted/scores/
    curves: pd.DataFrame
    verdicts: pd.DataFrame
    blocks: tuple[int, ...]  # that were taught the answer


@dataclass(frozen=True)
class SteeredByFeatures(Inputs):
    """What steering by single features found; tables have the kind of steering in the column `steered`."""

    steered: Findings  # this and the two tables below: effects/
    steering: pd.DataFrame
    steering_area: pd.DataFrame
    descriptions: pd.DataFrame  # before and after; and which features were steered: steering/
    steered_features: pd.DataFrame


@dataclass(frozen=True)
class Sae(SteeredByFeatures):
    """The page on sparse features."""

    measures: pd.DataFrame  # this and the two tables below: data/sae/evaluation/
    concept: pd.DataFrame
    fingers: pd.DataFrame
    told_fingers: pd.DataFrame  # data/sae/effects/minimal_pairs.parquet
    probes: pd.DataFrame  # this and the table below: data/sae/probes/
    one_letter: pd.DataFrame
    features: pd.DataFrame  # this and the tables below: data/sae/examples/
    letters: pd.DataFrame
    images: pd.DataFrame
    phrases: pd.DataFrame
    examples_made_by: dict[str, Any]  # how the examples were looked for

    @property
    def letter_names(self) -> list[str]:
        """The classes in the order in which features have their means on them."""
        return sorted(set(self.sample["label"]))


@dataclass(frozen=True)
class Pretrained(SteeredByFeatures):
    """The page on an autoencoder that others trained."""

    classes: pd.DataFrame  # the strongest features of each class: data/pretrained/classes/


@dataclass(frozen=True)
class Models(Inputs):
    """The page on models side by side."""

    accuracy: pd.DataFrame  # this and the tables below: data/models/compared/
    models: pd.DataFrame
    controls: pd.DataFrame  # empty where none was chosen
    differences: pd.DataFrame
    peaks: pd.DataFrame
    drift: pd.DataFrame  # empty where no model was read in several kinds of weights
    patching_drift: pd.DataFrame  # empty where none of those was patched
    licences: dict[str, str]  # by model


@dataclass(frozen=True)
class Resolution(Inputs):
    """The page on the size of the pictures."""

    accuracy: pd.DataFrame  # this and the tables below: data/resolution/compared/
    differences: pd.DataFrame
    rungs: pd.DataFrame
    most_pixels: int  # a side of the pictures whose pixels were probed
    pictures: bytes = field(default=b"", repr=False)  # PNG: one photo at every rung

    @property
    def distinct(self) -> list[str]:
        """The rungs that differ, the smallest first, the pictures as they are last."""
        return list(self.rungs.loc[self.rungs["same_as"] == "", "rung"])

    def has(self, rung: str, site: str) -> bool:
        """Whether `site` was read at `rung`."""
        return bool(((self.accuracy["rung"] == rung) & (self.accuracy["site"] == site)).any())

    def read(self, rung: str, site: str) -> dict[str, float]:
        """The accuracy of `site` at `rung` with its interval: accuracy, low, high."""
        rows = self.accuracy[(self.accuracy["rung"] == rung) & (self.accuracy["site"] == site)]
        return {name: float(rows[name].iloc[0]) for name in ("accuracy", "low", "high")}
