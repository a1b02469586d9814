"""What each page is made from: one frozen dataclass a page, of tables as the stages wrote them and of findings."""

import math
import re
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import pandas as pd

from signbridge.core.tables import Metric
from signbridge.report.settings import Settings
from signbridge.report.wording import CONTROLS

PROTOCOLS = {"signbridge": "the notebook's split", "grouped": "no photo on both sides"}
LEAKING = "leaking"  # every page, plot and metric marks a number that leaks by this word
PROBED = ["site", "depth", "accuracy", "low", "high"]  # columns of the study's accuracy that the page on causes draws

# The columns that pages are made from, by the name that a page has for the table. Other tables are read whole.
_COLUMNS = {
    "accuracy": "protocol site depth position accuracy low high images_tested leaking folds_at_edge",
    "controls": "control site depth position accuracy low high over_control over_control_low over_control_high p_value",
    "selectivity": "site position accuracy control_task selectivity selectivity_low selectivity_high",
    "layer_comparison": "position site_a site_b difference low high p_value p_holm",
    "peak_probability": "position site depth accuracy peak_probability share_chosen tied_with_best",
    "description_length": "site depth position bits low high uniform_bits compression orders at_edge",
    "letter_accuracy": "letter images accuracy low high",
    "confused_pairs": "letter_a letter_b count share",
    "confusion": "actual predicted",
    "within_word": "word letters images photos chance site depth position accuracy low high",
    "published": (
        "site published_accuracy published_low published_high reproduced_accuracy reproduced_low reproduced_high "
        "leaking comparable"
    ),
    "patching": "site depth position effect effect_low effect_high says_donor noise",
    "parts": "position part site depth effect effect_low effect_high",
    "knockout": "edges keys span first stop tokens lost lost_low lost_high changed",
    "minimal_read": "site position fitted_on accuracy accuracy_low accuracy_high",
    "minimal_patched": "site depth position effect effect_low effect_high says_donor noise",
    "steering": (
        "site depth at during direction strength probability probability_low probability_high says damage "
        "damage_low damage_high"
    ),
    "steering_area": (
        "site at during direction area area_low area_high damage_area damage_area_low damage_area_high "
        "breakdown_strength"
    ),
    "erasure": "at site eraser read_site read_position accuracy accuracy_low accuracy_high",
    "erasure_answers": "at site eraser changed changed_low changed_high damage damage_low damage_high",
    "shares": (
        "lens guesses site harder_null share share_low share_high other_image shuffled_words over_null over_null_low "
        "over_null_high"
    ),
    "leads": "guesses site difference difference_low difference_high",
    "on_hand": (
        "lens site hand hand_low hand_high background background_low background_high hand_over_other_image "
        "hand_over_other_image_low hand_over_other_image_high background_over_other_image "
        "background_over_other_image_low background_over_other_image_high difference difference_low "
        "difference_high"
    ),
    "planted_accuracy": "reader site position depth value low high",
    "planted_curves": "method site value low high",
    "planted_verdicts": "method verdict located step marked false_marks",
    "alignment": "measure site value low high null beaten",
    "measures": "site modality measure value low high",
    "probes": "protocol site position reads accuracy low high untrained_twin no_image other_letter",
    "one_letter": (
        "site position reads k auc low high over_stream over_stream_low over_stream_high over_pca over_pca_low "
        "over_pca_high over_untrained_twin over_untrained_twin_low over_untrained_twin_high"
    ),
    "concept": "reads site position feature auc_fitted auc low high",
    "fingers": "reads site feature position finger joint r p within_r within_p",
    "classes": "class rank feature description published",
    "leap": "site text_site share",
    "model_accuracy": "model site position relative_depth accuracy low high peak_probability",
    "models": (
        "model quantization dtype prompt blocks parameters weights image_tokens flop best_site peak_depth "
        "peak_depth_low peak_depth_high decoder decoder_low decoder_high pixels pixels_low pixels_high over_pixels "
        "over_pixels_low over_pixels_high vision vision_low vision_high over_vision over_vision_low over_vision_high "
        "named named_low named_high over_named over_named_low over_named_high read_answer read_answer_low "
        "read_answer_high over_read_answer over_read_answer_low over_read_answer_high"
    ),
    "model_differences": "what model_a model_b difference low high p_value p_holm",
    "model_peaks": "model_a model_b difference low high same",
    "rung_accuracy": "rung site accuracy low high",
    "rung_differences": "what rung against difference low high p_value p_holm",
    "drift": "reference model site position relative_error cosine cka same_answer",
    "named_answers": "image_id label answer named",
    "answers_by_letter": "letter rank answer count share",
}
COLUMNS = {table: names.split() for table, names in _COLUMNS.items()}


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
    sample: pd.DataFrame  # image_id, label, photo, image (PNG bytes)
    settings: Settings

    @property
    def kind(self) -> str:
        """What a class is called: `letter` where each is one, else `sign`."""
        return "letter" if all(re.fullmatch("[A-Za-z]", label) for label in self.sample["label"].unique()) else "sign"

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

    def protocol_name(self, protocol: str) -> str:
        """How `protocol` is called on the page; one that leaks is never named without saying so."""
        name = PROTOCOLS[protocol]
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
    differences: pd.DataFrame
    peaks: pd.DataFrame
    drift: pd.DataFrame  # empty where no model was read in several kinds of weights
    licences: dict[str, str]  # by model

    @property
    def level(self) -> float:
        """Below it a corrected p-value tells two models apart."""
        return 1 - self.found.number("confidence")


@dataclass(frozen=True)
class Resolution(Inputs):
    """The page on the size of the pictures."""

    accuracy: pd.DataFrame  # this and the tables below: data/resolution/compared/
    differences: pd.DataFrame
    rungs: pd.DataFrame
    most_pixels: int  # a side of the pictures whose pixels were probed
    pictures: bytes = field(default=b"", repr=False)  # PNG: one photo at every rung

    @property
    def level(self) -> float:
        """Below it a corrected p-value tells two rungs apart."""
        return 1 - self.found.number("confidence")

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
