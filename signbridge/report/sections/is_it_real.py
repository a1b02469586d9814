"""What each finding was held against: a row a null, control or baseline, and whether the finding lies above it."""

import math
from collections.abc import Iterable
from typing import NamedTuple

import pandas as pd

from signbridge.core.activations import block_of
from signbridge.report.inputs import Causal, Findings, Lenses, Models, Planted, Resolution, Sae, Study
from signbridge.report.page_parts import REAL, Section, Table
from signbridge.report.wording import points_with_interval, value_with_interval

TITLE = "Is it real?"


class Held(NamedTuple):
    """A finding less what it is held against, by the key of the difference in the findings."""

    finding: str
    against: str
    key: str
    in_points: bool = True


def section(found: Findings, held: Iterable[Held], lead: str) -> Section | None:
    """Those of `held` that were measured; None where there is none."""
    rows = tuple(
        (one.finding, one.against, _written(found, one), _verdict(found, one)) for one in held if _measured(found, one)
    )
    if not rows:
        return None
    table = Table("Each finding less what it is held against", ("finding", "held against", "difference", "above"), rows)
    return Section("real", TITLE, (lead,), tables=(table,), part=REAL)


def _measured(found: Findings, one: Held) -> bool:
    return not math.isnan(found.number(one.key))


def _written(found: Findings, one: Held) -> str:
    return (points_with_interval if one.in_points else value_with_interval)(*found.share(one.key))


def _verdict(found: Findings, one: Held) -> str:
    low = found.share(one.key).low
    return "not known" if math.isnan(low) else "yes" if low > 0 else "not shown"


def _gap(key: str, rows: pd.DataFrame, name: str) -> dict[str, float]:
    """The difference `name` of the one row of a table, with its interval, by `key` in findings; none without a row."""
    ends = ("", "_low", "_high")
    return {f"{key}{end}": float(rows[f"{name}{end}"].iloc[0]) for end in ends} if len(rows) else {}


def of_study(study: Study) -> Section | None:
    """The decoder against pixels, the tower, the untrained twin and the answer."""
    against = {
        "pixels": "a probe of the raw pixels",
        "vision": "a probe of the vision tower",
        "untrained_twin": "a probe of the untrained twin, of the same shape with random weights",
        "answer": f"the {study.kind} guessed from the model's answer",
    }
    finding = f"a probe of the decoder reads the {study.kind}"
    held = [Held(finding, what, f"grouped_over_{name}") for name, what in against.items()]
    lead = (
        f"No {study.group.one} stands on both sides of the split, and the layer was chosen inside the training part. "
        f"Intervals resample each {study.group.one}."
    )
    return section(study.found, held, lead)


def of_causal(causal: Causal) -> Section | None:
    """Edits against edits of the same size that should do nothing."""
    kind = causal.kind
    held = [Held("the last token does not see the image", "it does not see as many other tokens",
                 "knockout_last_to_image_over_random")]  # fmt: skip
    for null, what in (("random", "a random direction as long"), ("shuffled_means", f"means of shuffled {kind}s")):
        held.append(Held("steering by the difference of class means", what, f"steering_class_means_over_{null}"))
    for at, where in (("both", "image tokens and last token"), ("prompt_last", "last token")):
        for null, what in (("shuffled_labels", f"shuffled {kind}s"), ("random_subspace", "a random subspace as wide")):
            held.append(Held(f"erasing the {kind}: {where}", f"erasing {what}", f"erasure_{at}_over_{null}"))
    lead = "Every edit of the stream breaks something. What counts is how much more it does than an edit like it."
    return section(causal.found, held, lead)


def of_lenses(lenses: Lenses) -> Section | None:
    """The words of each lens against the harder of two nulls."""
    names = {"embedding": "EmbeddingLens", "logit": "LogitLens", "latent": "LatentLens"}
    null = "the harder of two nulls: another hand's words, and words with exchanged meanings"
    held = [
        Held(f"{name}: the nearest word holds for the hand", null, f"{key}_over_null") for key, name in names.items()
    ]
    for key, name in names.items():
        hand = f"{name}: tokens on the hand", "tokens on the background"
        held.append(Held(*hand, f"{key}_hand_minus_background"))
    lead = (
        "Words that hold for many hands describe none. So each share is compared with what the same words say of other "
        "hands."
    )
    return section(lenses.found, held, lead)


def of_sae(sae: Sae) -> Section | None:
    """Features against those of an untrained twin and the stream's own dimensions; steering against four nulls."""
    concept = sae.found.get("concept", "the concept")
    detects = f"one feature detects “{concept}” (area under the ROC curve)"
    held = [
        Held(detects, "the best feature of the untrained twin", "concept_model_over_untrained_twin", in_points=False),
        Held(detects, "the best single dimension of the stream", "concept_model_over_stream", in_points=False),
    ]
    nulls = {"random": "a random direction", "like_features": "features that fire as often",
             "neighbours": "its neighbours", "equal_logit": "a direction of equal logit"}  # fmt: skip
    steers = f"steering by one feature makes the text say “{concept}”"
    held += [Held(steers, what, f"concept_feature_over_{name}") for name, what in nulls.items()]
    lead = (
        "A feature was chosen on one half of the images and is judged on the other. It is held against what needs no "
        "autoencoder."
    )
    return section(Findings({**sae.steered, **sae.found}), held, lead)


def of_planted(planted: Planted) -> Section | None:
    """The truth is known: what the untrained twin and the places before the decoder read."""
    table = planted.accuracy
    model = table[table["reader"] == "model"]
    layers = model[model["site"].str.startswith("layer_") & (model["position"] == "prompt_last")]
    nulls = {
        "the untrained twin": table[table["reader"] == "untrained_twin"],
        "blocks below the planted ones": layers[layers["site"].map(block_of) < min(planted.blocks)],
        "the vision tower": model[model["site"] == "vision"],
    }
    rows: dict[str, float] = {}
    for what, of_null in nulls.items():
        farthest = (of_null["value"] - 0.5).abs().nlargest(1).index
        rows |= _gap(what, of_null.loc[farthest], "last_over")
    held = [Held("a probe of the last layer reads the answer", what, what) for what in nulls]
    lead = (
        "The truth is known here: the variable was put into these blocks, and nothing else was taught. What an "
        "untrained twin gives, and what is read below the planted blocks, are the nulls, each where it is "
        "farthest from chance. Both readings of a difference were resampled together, photo by photo."
    )
    return section(Findings(rows), held, lead)


def of_models(models: Models) -> Section | None:
    """Each decoder against what the model's own text, its tower and the pixels give away."""
    against = {
        "vision": "a probe of its vision tower",
        "pixels": "a probe of the raw pixels",
        "read_answer": f"the {models.kind} guessed from its answer",
        "likeliest": "its likeliest answer",
        "named": "what its answer names",
    }
    held, rows = [], {}
    for row in models.models.to_dict("records"):
        reads = f"a probe of {row['model']} reads the {models.kind}"
        for name, what in against.items():
            held.append(Held(reads, what, f"{row['model']}_{name}"))
            rows |= {f"{row['model']}_{name}{end}": row[f"over_{name}{end}"] for end in ("", "_low", "_high")}
    lead = (
        "All models are probed on the same folds, so every pair is compared on the same images. The p of a pair is "
        "Holm-corrected over all pairs."
    )
    return section(Findings(rows), held, lead)


def of_resolution(ladder: Resolution) -> Section | None:
    """What is read at each size over what the pixels at this size give away."""
    against = {"pixels": "the pixels of this size", "vision": "the vision tower at this size"}
    held = [
        Held(f"a probe of the decoder, pictures at {rung}", what, f"{rung}_{other}")
        for rung in ladder.distinct
        for other, what in against.items()
    ]
    rows: dict[str, float] = {}
    for (rung, site), of_rung in ladder.accuracy.groupby(["rung", "site"]):
        rows |= _gap(f"{rung}_{site}", of_rung, "decoder_over")
    lead = (
        "Smaller pictures say less, whatever the model does. So the decoder is held against what a probe reads from "
        f"the same pictures without it. Both were resampled together, {ladder.group.one} by {ladder.group.one}."
    )
    return section(Findings(rows), held, lead)
