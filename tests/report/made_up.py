"""Made-up runs of each pipeline, of exactly the tables that its page reads, in memory or on disk."""

import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from PIL import Image

from signbridge.core import tables
from signbridge.core.activations import SITES_BEFORE_LAYERS, layer_site, positions_of
from signbridge.report import pages
from signbridge.report.columns import COLUMNS, PROBED
from signbridge.report.inputs import (
    Causal,
    Findings,
    Inputs,
    Lenses,
    Models,
    Planted,
    Pretrained,
    Resolution,
    Sae,
    Study,
)
from signbridge.report.page import html
from signbridge.report.sections.finetune import Finetune
from signbridge.report.sections.motion import Motion
from signbridge.report.settings import Settings
from tests.report import (
    made_up_alignment,
    made_up_causal,
    made_up_features,
    made_up_finetune,
    made_up_lenses,
    made_up_models,
    made_up_motion,
    made_up_planted,
    made_up_pretrained,
    made_up_resolution,
    made_up_sae,
    made_up_sae_steering,
)

LETTERS = ("A", "B", "C", "D")
BY_DEPTH = {"pixels": 0.45, "vision": 0.60, "projector": 0.58, "embedding": 0.10}
LAYER = 0.80
PAGES = {
    Study: pages.study_page,
    Causal: pages.causal_page,
    Lenses: pages.lenses_page,
    Sae: pages.sae_page,
    Planted: pages.planted_page,
    Pretrained: pages.pretrained_page,
    Models: pages.models_page,
    Resolution: pages.resolution_page,
    Finetune: pages.finetune_page,
    Motion: pages.motion_page,
}
SETTINGS = Settings({}, {"params.yaml": "seed: 42 # of everything\n"})


def page(run: Inputs, stills: bool = False) -> str:
    """The page of a run, as its file holds it."""
    return html(PAGES[type(run)](run), stills=stills)


def study(
    names: tuple[str, ...] = LETTERS,
    layers: int = 4,
    images_a_letter: int = 6,
    *,
    leaking: bool = True,
    stands_out: bool = False,
    seed: int = 0,
    **changes: Any,
) -> Study:
    """A plausible run of the study; `changes` are fields of `Study` to put in place of its own."""
    random = np.random.default_rng(seed)
    sample = _sample(names, images_a_letter, random)
    sites, blocks = _sites(layers), _blocks(layers)
    peaks = _peaks(blocks, stands_out, random)
    made_by = {
        "data/answers.parquet": {"model": {"prompt": "What?\nOne word."}, "packages": {"torch": "9.9"}},
        "data/umap.parquet": {"site": blocks[0] if blocks else "pixels", "position": "prompt_last", "seed": 42},
    }
    made = {
        "found": _probe(sample, peaks, leaking, stands_out),
        "leakage": _leakage(sample, leaking),
        "text": _answers(sample),
        "accuracy": _accuracy(sites, leaking, random),
        "controls": _controls(sites, random),
        "selectivity": _selectivity(sites),
        "layer_comparison": _comparison(peaks),
        "peak_probability": peaks,
        "description_length": _description_length(sites, random),
        **_letters(sample, random),
        "within_word": _within_word(blocks),
        "published": _published(blocks, leaking),
        **_texts(sample),
        "umap": _plane(sample, random),
        "sample": sample,
        "settings": Settings(made_by, SETTINGS.listings),
        "class_grid": png(np.zeros((4, 4), dtype=np.uint8)),
        "signers": pd.DataFrame(columns=COLUMNS["signers"]),
        "learning_curve": pd.DataFrame(columns=COLUMNS["learning_curve"]),
    }
    return Study(**_typed({**made, **changes}))


def causal(names: tuple[str, ...] = LETTERS, layers: int = 4, images_a_letter: int = 6, **changes: Any) -> Causal:
    """A plausible run of the causal questions; `changes` are fields of `Causal`."""
    random = np.random.default_rng(0)
    sample, blocks = _sample(names, images_a_letter, random), _blocks(layers)
    accuracy = _accuracy(_sites(layers), True, random)
    rows = accuracy[(accuracy["protocol"] == "grouped") & (accuracy["position"] == "prompt_last")]
    made = {"probed": rows[PROBED], **made_up_causal.tables(blocks, sample), "sample": sample, "settings": SETTINGS}
    return Causal(**_typed({**made, **changes}))


def lenses(
    names: tuple[str, ...] = LETTERS,
    layers: int = 4,
    images_a_letter: int = 6,
    grid: tuple[int, int] | None = (3, 3),
    **changes: Any,
) -> Lenses:
    """A plausible run of the lenses; `grid` is that of all image tokens, `changes` are fields of `Lenses`."""
    sample, blocks = _sample(names, images_a_letter, np.random.default_rng(0)), _blocks(layers)
    made = {**made_up_lenses.tables(blocks, sample), **made_up_alignment.tables(blocks)}
    made |= {"sample": sample, "settings": SETTINGS, **changes}
    rows, columns = grid or (np.nan, np.nan)
    return Lenses(**_typed({**made, "words": made["words"].assign(rows=rows, columns=columns)}))


def sae(names: tuple[str, ...] = LETTERS, layers: int = 4, images_a_letter: int = 6, **changes: Any) -> Sae:
    """A plausible run of the sparse autoencoders; `changes` are fields of `Sae`."""
    sample, blocks = _sample(names, images_a_letter, np.random.default_rng(0)), _blocks(layers)
    made = {
        **made_up_sae.tables(blocks),
        **made_up_sae_steering.tables(blocks, sample),
        **made_up_features.tables(blocks, sample),
        "sample": sample,
        "settings": SETTINGS,
    }
    made["told_fingers"], of_fingers = made_up_sae.told_fingers(blocks)
    made["steered"] = {**made["steered"], **of_fingers}
    return Sae(**_typed({**made, **changes}))


def planted() -> Planted:
    """A plausible run of the pipeline `planted`."""
    return made_up_planted.planted(study().sample, SETTINGS)


def pretrained(names: tuple[str, ...] = LETTERS, **changes: Any) -> Pretrained:
    """A plausible run of a pretrained autoencoder, of which nothing was steered; `changes` are fields of its page."""
    sample = _sample(names, 6, np.random.default_rng(0))
    steered = made_up_sae_steering.tables(_blocks(4), sample)
    steered = {name: table.iloc[:0] if isinstance(table, pd.DataFrame) else {} for name, table in steered.items()}
    made = {**made_up_pretrained.tables(names), **steered, "sample": sample, "settings": SETTINGS}
    return Pretrained(**_typed({**made, **changes}))


def models(names: Sequence[str] = ("large", "small"), *, drifted: bool = False, **changes: Any) -> Models:
    """A plausible run of models side by side; `changes` are fields of `Models`."""
    sample = _sample(LETTERS, 30, np.random.default_rng(0))
    made = {**made_up_models.tables(sample, list(names), drifted), "sample": sample, "settings": SETTINGS}
    return Models(**_typed({**made, **changes}))


def resolution(rungs: Sequence[str] = ("28-grey", "28", "56"), **changes: Any) -> Resolution:
    """A plausible resolution ladder of pictures of 96 pixels; `changes` are fields of `Resolution`."""
    sample = _sample(LETTERS, 10, np.random.default_rng(0))
    made = {**made_up_resolution.tables(sample, list(rungs)), "sample": sample, "settings": SETTINGS}
    made |= {"most_pixels": 112, "pictures": png(np.zeros((4, 4), dtype=np.uint8))}
    return Resolution(**_typed({**made, **changes}))


def finetune(truth: str = "closes", **changes: Any) -> Finetune:
    """A plausible run of fine-tuning; `truth` is one of `made_up_finetune.TRUTHS`, `changes` are its fields."""
    found, said = made_up_finetune.found(truth)
    made = {name: table for name, table in found.items() if name != "patching"}
    made |= {"found": said, "sample": made_up_finetune.SAMPLE, "settings": SETTINGS, "tuned_on": 480}
    return Finetune(**_typed({**made, **changes}))


def motion(truth: str = "held", **changes: Any) -> Motion:
    """A plausible run on clips; `truth` is one of `made_up_motion.TRUTHS`, `changes` are fields of `Motion`."""
    tables, clips = dict(made_up_motion.compared(truth)), made_up_motion.clips()
    sample = clips.rename(columns={"clip": "image_id"}).assign(photo=clips["clip"], image=b"")
    strip = ("B-right (s0)", (png(np.zeros((4, 4), dtype=np.uint8)),) * 2)
    made = {"found": made_up_motion.findings(truth), "sample": sample, "settings": SETTINGS, "strips": (strip,)}
    made |= {"backwards": tables.pop("reversed"), **tables}
    return Motion(**_typed({**made, **changes}))


def without(*keys: str, of: dict[str, Any]) -> dict[str, Any]:
    """The findings `of` a run without those whose names begin with one of `keys`."""
    return {key: value for key, value in of.items() if not key.startswith(keys)}


def empty(table: str) -> pd.DataFrame:
    """The table of this name without rows."""
    return pd.DataFrame(columns=COLUMNS[table])


def write_study(run: Study, folder: Path) -> None:
    """The files of `run` under `folder`, as the stages before the report write them."""
    of_statistics = (
        "accuracy",
        "controls",
        "selectivity",
        "layer_comparison",
        "peak_probability",
        "description_length",
    )
    of_statistics += (
        "letter_accuracy",
        "confused_pairs",
        "confusion",
        "within_word",
        "published",
        "signers",
        "learning_curve",
    )
    for name in of_statistics:
        tables.write(getattr(run, name), folder / f"data/statistics/{name}.parquet", {})
    for name in ("named_answers", "answers_by_letter"):
        tables.write(getattr(run, name), folder / f"data/text/{name}.parquet", {})
    tables.write_findings(folder / "data/statistics/findings.json", run.found)
    tables.write_findings(folder / "data/text/findings.json", run.text)
    tables.write_findings(folder / "metrics/leakage.json", run.leakage)
    tables.write(run.sample, folder / "data/sample.parquet", {"seed": 42})
    tables.write(run.umap, folder / "data/umap.parquet", run.settings.made_by["data/umap.parquet"])
    tables.write(predictions(run), folder / "data/predictions.parquet", {"probe": {"C": 1.0}})
    tables.write(run.named_answers, folder / "data/answers.parquet", run.settings.made_by["data/answers.parquet"])


def predictions(run: Study) -> pd.DataFrame:
    """Two tests of each image at the headline's layer: of the last letter both are wrong, of the one before one is."""
    letters, labels = sorted(run.sample["label"].unique()), run.sample["label"]
    place = {"protocol": "grouped", "site": run.found["grouped_peak_site"], "position": "prompt_last", "fold": 0}
    parts = [
        run.sample[["image_id", "label"]].assign(
            **place, repeat=repeat, predicted=labels.where(~labels.isin(letters[-1 - repeat :]), letters[0])
        )
        for repeat in range(2)
    ]
    return pd.concat(parts, ignore_index=True)


def _typed(fields: dict[str, Any]) -> dict[str, Any]:
    """Plain dictionaries of findings as `Findings`."""
    of_findings = ("found", "leakage", "text", "aligned", "steered")
    return {name: Findings(value) if name in of_findings else value for name, value in fields.items()}


def _sites(layers: int) -> list[str]:
    return [*SITES_BEFORE_LAYERS, *_blocks(layers)]


def _blocks(layers: int) -> list[str]:
    return [layer_site(block) for block in range(layers)]


def png(pixels: np.ndarray) -> bytes:
    """The pixels as PNG."""
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, format="PNG")
    return buffer.getvalue()


def _sample(letters: tuple[str, ...], images: int, random: np.random.Generator) -> pd.DataFrame:
    rows = [
        {
            "image_id": f"{letter}-{index // 2:03d}-{index}",
            "label": letter,
            "photo": f"{letter}-{index // 2:03d}-0",
            "image": png(random.integers(0, 256, size=(28, 28), dtype=np.uint8)),
        }
        for letter in letters
        for index in range(images)
    ]
    return pd.DataFrame(rows)


def _around(accuracy: float, half: float = 0.06) -> dict[str, float]:
    accuracy = float(np.clip(accuracy, 0, 1))
    return {"accuracy": accuracy, "low": max(accuracy - half, 0), "high": min(accuracy + half, 1)}


def _accuracy(sites: list[str], leaking: bool, random: np.random.Generator) -> pd.DataFrame:
    rows = []
    for protocol, more in (("signbridge", 0.3 if leaking else 0.0), ("grouped", 0.0)):
        of = {
            "protocol": protocol,
            "images_tested": 60,
            "leaking": leaking and protocol == "signbridge",
            "folds_at_edge": 2,
        }
        for depth, site in enumerate(sites):
            for position in positions_of(site):
                share = BY_DEPTH.get(site, LAYER - 0.1 * (position == "image_mean")) + more + random.normal(0, 0.01)
                rows.append({**of, "site": site, "depth": depth, "position": position, **_around(share)})
        rows.append({**of, "site": "answer", "depth": len(sites), "position": "text", **_around(0.3)})
    return pd.DataFrame(rows)[COLUMNS["accuracy"]]


def _controls(sites: list[str], random: np.random.Generator) -> pd.DataFrame:
    levels = {"untrained_twin": 0.35, "no_image": 0.1, "other_letter": 0.08, "shuffled_labels": 0.12}
    rows = []
    for control, level in levels.items():
        for depth, site in enumerate(sites):
            if control != "shuffled_labels" and (site == "pixels" or (control != "untrained_twin" and depth < 4)):
                continue
            for position in positions_of(site):
                own = BY_DEPTH.get(site, LAYER)
                row = {"control": control, "site": site, "depth": depth, "position": position}
                row |= _around(level + random.normal(0, 0.01), 0.04)
                row |= {
                    "over_control": own - level,
                    "over_control_low": own - level - 0.07,
                    "over_control_high": own - level + 0.07,
                }
                rows.append(row | {"p_value": 0.0476 if control == "shuffled_labels" else np.nan})
    return pd.DataFrame(rows)[COLUMNS["controls"]]


def _selectivity(sites: list[str]) -> pd.DataFrame:
    gap = {"selectivity": 0.2, "selectivity_low": 0.1, "selectivity_high": 0.3}
    rows = [
        {"site": site, "position": position, "accuracy": 0.75, "control_task": 0.55, **gap}
        for site in sites for position in positions_of(site)
    ]  # fmt: skip
    return pd.DataFrame(rows)[COLUMNS["selectivity"]]


def _peaks(blocks: list[str], stands_out: bool, random: np.random.Generator) -> pd.DataFrame:
    rows = []
    for position in ("prompt_last", "answer_last"):
        accuracy = (
            LAYER - 0.004 * np.abs(np.arange(len(blocks)) - len(blocks) // 2) + random.normal(0, 0.001, len(blocks))
        )
        chance = np.exp(200 * (accuracy - accuracy.max())) if len(blocks) else accuracy
        for index, site in enumerate(blocks):
            best = accuracy[index] == accuracy.max()
            rows.append({
                "position": position, "site": site, "depth": 4 + index, "accuracy": accuracy[index],
                "peak_probability": 0.97 * best if stands_out else chance[index] / chance.sum(),
                "share_chosen": 1.0 * best if stands_out else chance[index] / chance.sum(),
                "tied_with_best": bool(best or (not stands_out and accuracy[index] > accuracy.max() - 0.01)),
            })  # fmt: skip
    return pd.DataFrame(rows, columns=COLUMNS["peak_probability"])


def _comparison(peaks: pd.DataFrame) -> pd.DataFrame:
    rows = []
    for position, group in peaks.groupby("position"):
        layers = group.to_dict("records")
        for index, first in enumerate(layers):
            for second in layers[index + 1 :]:
                gap = first["accuracy"] - second["accuracy"]
                rows.append({
                    "position": position, "site_a": first["site"], "site_b": second["site"], "difference": gap,
                    "low": gap - 0.03, "high": gap + 0.03, "p_value": 0.2, "p_holm": 1.0,
                })  # fmt: skip
    return pd.DataFrame(rows, columns=COLUMNS["layer_comparison"])


def _description_length(sites: list[str], random: np.random.Generator) -> pd.DataFrame:
    rows = []
    for depth, site in enumerate(sites):
        for position in positions_of(site):
            times = 1 + 2 * BY_DEPTH.get(site, LAYER) + random.normal(0, 0.03)
            row = {"site": site, "depth": depth, "position": position, "bits": 1296.6 / times}
            row |= {"low": 1200 / times, "high": 1400 / times, "orders": 5, "at_edge": 1}
            rows.append(row | {"uniform_bits": 1296.6, "compression": times})
    return pd.DataFrame(rows)


def _letters(sample: pd.DataFrame, random: np.random.Generator) -> dict[str, pd.DataFrame]:
    actual = np.repeat(sample["label"].to_numpy(), 5)
    other = random.choice(sample["label"].to_numpy(), len(actual))
    confusion = pd.DataFrame(
        {"actual": actual, "predicted": np.where(random.random(len(actual)) < LAYER, actual, other)}
    )
    right = (confusion["actual"] == confusion["predicted"]).groupby(confusion["actual"]).mean()
    images = sample["label"].value_counts()
    accuracy = [{"letter": letter, "images": images[letter], **_around(share, 0.1)} for letter, share in right.items()]
    wrong = confusion[confusion["actual"] != confusion["predicted"]]
    pairs = pd.DataFrame(np.sort(wrong.to_numpy(dtype=str), axis=1), columns=["letter_a", "letter_b"]).value_counts()
    table = pairs.rename("count").reset_index()
    tests = 5 * (table["letter_a"].map(images) + table["letter_b"].map(images))
    table = table.assign(share=table["count"] / tests).sort_values(
        ["share", "letter_a", "letter_b"], ascending=[False, True, True]
    )
    return {"confusion": confusion, "letter_accuracy": pd.DataFrame(accuracy), "confused_pairs": table}


def _within_word(blocks: list[str]) -> pd.DataFrame:
    rows = []
    for word, letters, images in (("Fist", "AS", 12), ("Palm", "BC", 12), ("(all)", "ABCS", 24)):
        for index, site in enumerate(blocks):
            for position in ("prompt_last", "answer_last"):
                row = {"word": word, "letters": letters, "images": images, "photos": images // 2, "chance": 0.5}
                rows.append(
                    row | {"site": site, "depth": 4 + index, "position": position, **_around(0.7 + 0.01 * index)}
                )
    return pd.DataFrame(rows, columns=COLUMNS["within_word"])


def _published(blocks: list[str], leaking: bool) -> pd.DataFrame:
    rows = []
    for site, right in (("layer_08", 43), ("layer_16", 49), ("layer_24", 46), ("layer_31", 44)):
        published = {f"published_{key}": value for key, value in _around(right / 60, 0.1).items()}
        here = _around(0.9) if site in blocks else dict.fromkeys(("accuracy", "low", "high"), np.nan)
        reproduced = {f"reproduced_{key}": value for key, value in here.items()}
        rows.append({"site": site, **published, **reproduced, "leaking": leaking, "comparable": False})
    return pd.DataFrame(rows)


def _texts(sample: pd.DataFrame) -> dict[str, pd.DataFrame]:
    answers = sample[["image_id", "label"]].assign(
        answer=np.where(np.arange(len(sample)) % 3, "Fist", "Palm"), named="(none)"
    )
    counts = answers.groupby(["label", "answer"]).size().rename("count").reset_index()
    counts = counts.sort_values(["label", "count", "answer"], ascending=[True, False, True])
    counts["rank"] = counts.groupby("label").cumcount() + 1
    counts["share"] = counts["count"] / counts.groupby("label")["count"].transform("sum")
    return {
        "named_answers": answers,
        "answers_by_letter": counts.rename(columns={"label": "letter"})[COLUMNS["answers_by_letter"]],
    }


def _plane(sample: pd.DataFrame, random: np.random.Generator) -> pd.DataFrame:
    centres = {letter: random.uniform(0, 12, 2) for letter in sample["label"].unique()}
    places = np.stack([centres[letter] for letter in sample["label"]]) + random.normal(0, 0.5, (len(sample), 2))
    return sample[["image_id", "label", "photo"]].assign(
        x=places[:, 0].astype(np.float32), y=places[:, 1].astype(np.float32)
    )


def _leakage(sample: pd.DataFrame, leaking: bool) -> dict[str, Any]:
    return {
        "dataset_images": 7056, "dataset_photos": 342, "dataset_images_per_photo": 20.631579,
        "dataset_exact_duplicates": 0, "dataset_largest_photo": 21,
        "sample_images": len(sample), "sample_photos": sample["photo"].nunique(), "sample_images_per_photo": 2.0,
        "letters": sample["label"].nunique(), "grouped_copies_in_train": 0.0, "grouped_nearest_image": 0.41,
        "signbridge_copies_in_train": 0.516667 if leaking else 0.0,
        "signbridge_nearest_image": 0.78 if leaking else 0.4,
    }  # fmt: skip


def _probe(sample: pd.DataFrame, peaks: pd.DataFrame, leaking: bool, stands_out: bool) -> dict[str, Any]:
    own = {
        "model": "tiny (a test bed)", "images": len(sample), "photos": sample["photo"].nunique(),
        "letters": sample["label"].nunique(), "chance": 1 / sample["label"].nunique(), "confidence": 0.95,
        "grouped_pixels": 0.45, "grouped_vision": 0.60, "grouped_answer": 0.3,
    }  # fmt: skip
    if peaks.empty:
        return own
    best = peaks.loc[peaks[peaks["position"] == "prompt_last"]["accuracy"].idxmax()]
    prefix = "signbridge_leaking_" if leaking else "signbridge_"
    return own | {
        "grouped_position": "prompt_last", "grouped_peak_site": best["site"], "grouped_peak_share_of_folds": 0.4,
        "grouped_peak_accuracy": 0.79, "grouped_peak_accuracy_low": 0.73, "grouped_peak_accuracy_high": 0.85,
        "grouped_stands_out": stands_out, "grouped_tied_layers": 3, "grouped_largest_peak_probability": 0.5,
        "grouped_p_value": 0.0476, "grouped_accuracy_over_chance": 0.67, "grouped_untrained_twin": 0.35,
        "grouped_no_image": 0.1, "grouped_other_letter": 0.08, "grouped_shuffled_labels": 0.12,
        "grouped_compression": 2.6,
        "grouped_shuffled_draws": 200, "grouped_folds": 25, "grouped_folds_at_edge": 2,
        "grouped_code_first_layer_bits": 240.0, "grouped_code_last_layer_bits": 260.0,
        "grouped_code_growth_bits": 20.0, "grouped_code_growth_low": -5.0, "grouped_code_growth_high": 45.0,
        "grouped_over_pixels": 0.34, "grouped_over_pixels_low": 0.25, "grouped_over_pixels_high": 0.43,
        "grouped_over_vision": 0.19, "grouped_over_vision_low": 0.1, "grouped_over_vision_high": 0.28,
        "grouped_over_answer": 0.49, "grouped_over_answer_low": 0.4, "grouped_over_answer_high": 0.58,
        f"{prefix}peak_site": best["site"], f"{prefix}peak_position": "answer_last",
        f"{prefix}peak_accuracy": 1.0 if leaking else 0.8, f"{prefix}peak_accuracy_low": 0.7,
        f"{prefix}pixels_control_task": 0.55, f"{prefix}pixels_selectivity": 0.2,
        f"{prefix}peak_accuracy_high": 1.0, f"{prefix}copies_in_train": 0.516667 if leaking else 0.0,
    }  # fmt: skip


def _answers(sample: pd.DataFrame) -> dict[str, Any]:
    return {
        "model": "tiny (a test bed)", "images": len(sample), "distinct_answers": 2, "share_commonest_answer": 0.667,
        "share_naming_right_letter": 0.0, "share_naming_right_letter_low": 0.0, "share_naming_right_letter_high": 0.0,
        "share_naming_any_letter": 0.0, "share_naming_no_letter": 1.0, "best_reading": 0.35,
        "reading": 0.3, "reading_low": 0.22, "reading_high": 0.38, "information_bits": 0.92,
        "information_plugin_bits": 1.1, "information_bias_bits": 0.18, "information_p_value": 0.0009,
        "letter_bits": float(np.log2(sample["label"].nunique())), "zero_shot_accuracy": 0.31,
        "zero_shot_accuracy_low": 0.2, "zero_shot_accuracy_high": 0.42, "zero_shot_chance": 0.25,
        "within_word_accuracy": 0.72, "within_word_accuracy_low": 0.6, "within_word_accuracy_high": 0.84,
        "within_word_chance": 0.5, "within_word_site": "layer_01", "within_word_position": "prompt_last",
    }  # fmt: skip
