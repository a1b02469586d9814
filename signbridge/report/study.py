"""What a report is made of: the pipeline's tables and metrics, and the names that they go by on the page."""

import math
import re
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import pandas as pd

from signbridge.core.tables import Metric
from signbridge.report.wording import CONTROLS

PROTOCOLS = {"signbridge": "the notebook's split", "grouped": "no photo on both sides"}
LEAKING = "leaking"  # the one word by which every page, plot and metric marks such a number


class Share(NamedTuple):
    """A share, or a difference of two, and its interval; NaN where it was not measured."""

    value: float
    low: float
    high: float

    @property
    def known(self) -> bool:
        """Whether it was measured."""
        return not math.isnan(self.value)


@dataclass(frozen=True)
class Study:
    """One run of the pipeline. A table without rows is a part that was not run."""

    probe: dict[str, Metric]  # metrics/probe.json
    leakage: dict[str, Metric]  # metrics/leakage.json
    answers: dict[str, Metric]  # metrics/answers.json
    causal: dict[str, Metric]  # metrics/causal.json
    lens: dict[str, Metric]  # metrics/lenses.json
    aligned: dict[str, Metric]  # metrics/alignment.json
    sae: dict[str, Metric]  # metrics/sae.json
    sae_steered: dict[str, Metric]  # metrics/sae_steering.json
    pretrained: dict[str, Metric]  # metrics/sae_pretrained.json
    accuracy: pd.DataFrame  # plots/probe_accuracy.csv, and so on: columns in signbridge.report.inputs
    controls: pd.DataFrame
    layer_comparison: pd.DataFrame
    peak_probability: pd.DataFrame
    description_length: pd.DataFrame
    letter_accuracy: pd.DataFrame
    confused_pairs: pd.DataFrame
    confusion: pd.DataFrame
    within_word: pd.DataFrame
    published: pd.DataFrame
    named_answers: pd.DataFrame
    answers_by_letter: pd.DataFrame
    patching: pd.DataFrame
    steering: pd.DataFrame
    steering_area: pd.DataFrame
    erasure: pd.DataFrame
    erasure_answers: pd.DataFrame
    lenses: pd.DataFrame
    lenses_on_hand: pd.DataFrame
    lens_leap: pd.DataFrame
    alignment: pd.DataFrame
    sae_measures: pd.DataFrame
    sae_probes: pd.DataFrame
    sae_concept: pd.DataFrame
    sae_steering: pd.DataFrame
    sae_steering_area: pd.DataFrame
    sae_steering_descriptions: pd.DataFrame  # data/sae_steering/*/descriptions.parquet, and what was `steered`
    sae_steered_features: pd.DataFrame  # data/sae_steering/*/features.parquet, likewise
    pretrained_features: pd.DataFrame  # plots/sae_features_by_class.csv
    sae_fingers: pd.DataFrame  # plots/sae_fingers.csv
    sae_features: pd.DataFrame  # data/sae_examples/features.parquet, and so on
    sae_examples: dict[str, Any]  # what made it
    sae_letters: pd.DataFrame
    sae_images: pd.DataFrame
    sae_phrases: pd.DataFrame
    lens_words: pd.DataFrame  # data/lenses.parquet
    patches: pd.DataFrame  # data/patches.parquet: image_id, patch, hand (share of its area), and what is read there
    patch_grid: tuple[int, int] | None  # rows and columns of all image tokens; None where they make no grid
    true_words: dict[str, frozenset[str]]  # what holds for each hand, by image_id, where it is known
    steering_descriptions: pd.DataFrame  # data/steering_descriptions.parquet
    umap: pd.DataFrame  # image_id, label, photo, x, y
    sample: pd.DataFrame  # image_id, label, photo, image (PNG bytes)
    made_by: dict[str, dict[str, Any]]  # the metadata of each Parquet table, by its path
    params: str  # params.yaml as it was
    class_grid: bytes = field(default=b"", repr=False)  # PNG

    def number(self, key: str, metrics: str = "probe") -> float:
        """The metric `key` of `probe` or of another file of metrics; NaN where it was not measured."""
        value = getattr(self, metrics).get(key, math.nan)
        return float(value)

    def share(self, key: str, metrics: str = "probe") -> Share:
        """The metric `key` with its interval: `reading`, `reading_low`; `peak_accuracy` may have `peak_low`."""
        stems = [stem for stem in (key, key.removesuffix("_accuracy")) if f"{stem}_low" in getattr(self, metrics)]
        stem = stems[0] if stems else key
        return Share(*(self.number(name, metrics) for name in (key, f"{stem}_low", f"{stem}_high")))

    @property
    def model(self) -> str:
        """The model's name in the catalog, without its note."""
        return str(self.probe["model"]).split(" (")[0]

    @property
    def kind(self) -> str:
        """What a class is called: `letter` where each is one, else `sign`."""
        return "letter" if all(re.fullmatch("[A-Za-z]", label) for label in self.sample["label"].unique()) else "sign"

    @property
    def sae_letter_names(self) -> list[str]:
        """The classes in the order in which features have their means on them."""
        return list(self.sae_examples.get("letters", []))

    @property
    def position(self) -> str | None:
        """The token position of the headline; None if no layer was probed without leakage."""
        return str(self.probe["grouped_position"]) if "grouped_position" in self.probe else None

    @property
    def sites(self) -> list[str]:
        """The sites that were probed, in order of depth; the answer's text is none."""
        rows = self.accuracy[self.accuracy["position"] != "text"]
        return list(rows.drop_duplicates("site").sort_values("depth", kind="stable")["site"])

    @property
    def notebook(self) -> str:
        """The prefix that the metrics of the notebook's protocol have: it says whether they leak."""
        leaking = f"signbridge_{LEAKING}_"
        return leaking if any(key.startswith(leaking) for key in self.probe) else "signbridge_"

    def protocols(self) -> list[str]:
        """The protocols that were run, the notebook's first."""
        return [protocol for protocol in PROTOCOLS if protocol in set(self.accuracy["protocol"])]

    def copies_in_train(self, protocol: str) -> float:
        """The share of the test images under `protocol` that have a copy of their photo in training; NaN if unknown."""
        return self.number(f"{protocol}_copies_in_train", "leakage")

    def leaks(self, protocol: str) -> bool:
        """Whether an image tested under `protocol` has a copy of its photo in training."""
        rows = self.accuracy[self.accuracy["protocol"] == protocol]
        named = protocol == "signbridge" and self.notebook != "signbridge_"
        return named or bool(rows["leaking"].any()) or self.copies_in_train(protocol) > 0

    def protocol_name(self, protocol: str) -> str:
        """How `protocol` is called on the page; one that leaks is never named without saying so."""
        name = PROTOCOLS[protocol]
        return f"{name} ({LEAKING})" if self.leaks(protocol) else name

    def control_name(self, control: str) -> str:
        """How `control` is called on the page."""
        return CONTROLS[control].format(kind=self.kind)
