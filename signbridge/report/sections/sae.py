"""Sparse autoencoders: what single features tell, how well they reconstruct, what image and text tokens share."""

import pandas as pd

from signbridge.report.curve import lines_by_site
from signbridge.report.inputs import Sae, Share
from signbridge.report.page_parts import Picture, Section, Table, layer_table
from signbridge.report.palette import BLUE, GREEN, PURPLE, SOLID, Series
from signbridge.report.wording import (
    CONTROLS,
    POSITIONS,
    count,
    listing,
    number,
    percent,
    plural,
    points_with_interval,
    share_with_interval,
    value_with_interval,
)

TITLE = "Sparse autoencoders of image and text tokens"
SHARED = {
    "shared": Series("of both", BLUE, "circle", SOLID),
    "image_only": Series("of image tokens alone", GREEN, "triangle-up", (6, 3)),
    "text_only": Series("of text tokens alone", PURPLE, "diamond", (2, 2)),
}
READ_OF_CONCEPT = {"model": "features", "untrained_twin": "features of the untrained twin", "stream": "dimensions"}
READS = {
    "sae": "features",
    "stream": "dimensions of the stream",
    "pca": "principal components of the stream",
    "untrained_twin": "features of the untrained twin",
}
BASELINES = ("stream", "pca", "untrained_twin")


def section(sae: Sae) -> Section | None:
    """What the stages from `train` to `evaluate` found."""
    if sae.measures.empty:
        return None
    lead = (
        _lead(sae),
        *_concept(sae),
        *_one_letter(sae),
        _probes(sae),
        _reconstruction(sae),
        *_fingers(sae),
        _sharing(sae),
    )
    found = (*_concepts(sae), *_letters(sae), _all_letters(sae), _quality(sae))
    return Section("sae", TITLE, lead, (_shared(sae),), tables=found)


def answer(sae: Sae) -> tuple[str, ...]:
    """How well one feature detects the concept, and one letter, beside what is hardest on it."""
    if sae.measures.empty:
        return ()
    detects = ()
    if "concept_model_auc" in sae.found:
        model, twin, stream = (sae.found.number(f"concept_{reads}_auc") for reads in READ_OF_CONCEPT)
        beside = f", of the best feature of an untrained network {number(twin, 2)}" if twin == twin else ""
        detects = (
            f"One feature detects “{sae.found['concept']}” in {sae.group.images} that were not used to choose it: "
            "its area under "
            f"the ROC curve is {number(model, 2)}, that of the best single dimension of the stream "
            f"{number(stream, 2)}{beside}.",
        )
    return (*detects, *_one_letter(sae)[:1])


def _lead(sae: Sae) -> str:
    read = [
        f"{plural(sae.found.number(kind), kind[:-1])} ({count(sae.found.number(f'{kind}_in_training'))} of them "
        "read in training)"
        for kind in ("images", "phrases")
    ]
    return (
        f"At each layer below, a sparse autoencoder of {count(sae.found.number('features'))} features writes the "
        f"residual stream of image and text tokens as a sum of few features. It is evaluated on {listing(read)}."
    )


def _one_letter(sae: Sae) -> tuple[str, ...]:
    """How well k features tell one letter at the last layer's image tokens, and one feature where it does worst.

    Each beside the baseline that is hardest on it.
    """
    rows = sae.one_letter[sae.one_letter["reads"] == "sae"]
    if rows.empty:
        return ()
    last = rows[(rows["position"] == "image_mean") & (rows["site"] == rows["site"].iloc[-1])]
    said = [_one_of_k(sae, row) for _, row in last.iterrows()]
    told = f"At {rows['site'].iloc[-1]}, {POSITIONS['image_mean']}, {'; '.join(said)}."
    ones = rows[rows["k"] == rows["k"].min()]
    worst = ones.loc[ones[[f"over_{other}" for other in BASELINES]].min(axis=1).idxmin()]
    where = f"{worst['site']}, {POSITIONS[worst['position']]}"
    return (f"{told} At the place where features do worst ({where}), {_one_of_k(sae, worst)}.",)


def _one_of_k(sae: Sae, row: pd.Series) -> str:
    """One k beside the strongest baseline."""
    k = int(row["k"])
    gaps = {other: row[f"over_{other}"] for other in BASELINES if pd.notna(row[f"over_{other}"])}
    hardest = min(gaps, key=gaps.get)
    difference = points_with_interval(*row[[f"over_{hardest}{end}" for end in ("", "_low", "_high")]])
    what = f"one feature tells one {sae.kind} from the rest" if k == 1 else f"{k} features"
    beside = f"{difference} over {'one of the' if k == 1 else 'as many'} {READS[hardest]}"
    return f"{what} with an AUC of {number(row['auc'], 3)} ({beside})"


def _probes(sae: Sae) -> str:
    compared, above, below = (
        count(sae.found.number(f"sae_probes_{name}")) for name in ("compared", "above_stream", "below_stream")
    )
    return (
        f"A probe of all features reads {sae.kind}s better than a probe of the whole stream in {above} of {compared} "
        f"comparisons and worse in {below} (Holm-corrected)."
    )


def _reconstruction(sae: Sae) -> str:
    """The variance explained at either end, beside as many principal components as L0."""
    sites = list(dict.fromkeys(sae.measures["site"]))
    parts = []
    for end, site in _ends(sites).items():
        for kind in ("image", "text"):
            mine, pca = (sae.found.number(f"{of}variance_explained_{kind}_{end}") for of in ("", "pca_"))
            beside = f" (components {percent(pca)})" if pca == pca else ""
            parts.append(f"{percent(mine)} of {kind} tokens at {site}{beside}")
    return (
        "Of the variance the autoencoders explain, beside as many principal components as features fire: "
        f"{listing(parts)}."
    )


def _ends(sites: list[str]) -> dict[str, str]:
    """The first and last site by what findings call them; of one alone the last."""
    return {"first": sites[0], "last": sites[-1]} if len(sites) > 1 else {"last": sites[0]}


def _sharing(sae: Sae) -> str:
    """What is shared at either end, weighted too, in the twin too; and that nothing is drawn from it."""
    sites = list(dict.fromkeys(sae.measures["site"]))
    parts = []
    for end, site in _ends(sites).items():
        plain, mass, twin = (
            sae.found.number(f"{name}_{end}") for name in ("shared", "shared_mass", "shared_untrained_twin")
        )
        beside = f"; in the untrained twin {percent(twin)}" if twin == twin else ""
        parts.append(f"{percent(plain)} at {site} (weighted by activation {percent(mass)}{beside})")
    return (
        f"Of the features that fire, image and text tokens share {listing(parts)}. Such a share, and its change "
        "between layers, depends on how long autoencoders were trained. So nothing is concluded from it here."
    )


def _concept(sae: Sae) -> tuple[str, ...]:
    """How well one feature detects what is known of every hand, if anything is."""
    if "concept_model_auc" not in sae.found:
        return ()
    auc = {reads: sae.found.share(f"concept_{reads}_auc") for reads in READ_OF_CONCEPT}
    auc = {reads: Share(one.value, *(sae.found.number(f"concept_{reads}_{end}") for end in ("low", "high")))
           for reads, one in auc.items()}  # fmt: skip
    gaps = {other: sae.found.share(f"concept_model_over_{other}") for other in ("untrained_twin", "stream")}
    site, position = sae.found["concept_model_site"], sae.found["concept_model_position"]
    where = (
        "at the token before the model says how the finger is held"
        if position == "prompt_last"
        else POSITIONS[position]
    )
    baselines = {
        "stream": f"The best dimension of the stream has {value_with_interval(*auc['stream'])}",
        "untrained_twin": (
            f"the best feature of the untrained twin's autoencoders has {value_with_interval(*auc['untrained_twin'])}"
        ),
    }
    known = [name for name in baselines if gaps[name].known]
    strongest = min(known, key=lambda name: gaps[name].value)
    beside = f"{' and '.join(baselines[name] for name in known)}. The difference from the strongest baseline is "
    return (
        f"One feature of {site} ({where}) detects "
        f"“{sae.found['concept']}”. It was chosen on half of the {sae.group.many}; on the others its area under the "
        "ROC curve is "
        f"{value_with_interval(*auc['model'])}. {beside}{value_with_interval(*gaps[strongest])}. These intervals are "
        f"over {sae.group.many}: an autoencoder that is trained anew has another best feature.",
    )


def _fingers(sae: Sae) -> tuple[str, ...]:
    """How many features correlate with a joint, over photos and within letters, where joints are known."""
    key = "fingers_{}_image_mean_tracking{}"
    if key.format("model", "") not in sae.found:
        return ()
    model, within = (percent(sae.found.number(key.format("model", of))) for of in ("", "_within_letters"))
    twin = sae.found.number(key.format("untrained_twin", ""))
    beside = f"; {percent(twin)} in the untrained twin" if twin == twin else ""
    said = (
        f"Of the varying features at the image tokens of the last layer, {model} correlate with the angle of a joint "
        f"over photos (against shuffled hands, corrected for all features tried{beside})"
    )
    return (
        f"{said}. Among photos of one {sae.kind} it is {within}, so these photos do not show that the features hold "
        f"more than the {sae.kind}."
        if within == percent(0.0)
        else f"{said}, and {within} among photos of one {sae.kind}.",
    )


def _concepts(sae: Sae) -> tuple[Table, ...]:
    """The best feature at each place."""
    rows = sae.concept
    if rows.empty:
        return ()
    cells = tuple(
        (f"{READ_OF_CONCEPT[row['reads']]}, {row['site']}, "
         f"{'before the answer' if row['position'] == 'prompt_last' else POSITIONS[row['position']]}",
         number(row["auc_fitted"], 3), value_with_interval(row["auc"], row["low"], row["high"]))
        for _, row in rows.iterrows()
    )  # fmt: skip
    columns = ("the best of", "AUC where it was chosen", f"AUC on the other {sae.group.many}")
    return (Table(f"One feature that detects “{sae.found['concept']}”", columns, cells),)


def _shared(sae: Sae) -> Picture:
    rows = sae.measures[sae.measures["measure"].isin(list(SHARED))]
    names = {measure: series.name for measure, series in SHARED.items()}
    drawn = rows.assign(series=rows["measure"].map(names))
    drawn = drawn[["series", "site", "value", "low", "high"]]
    sites = list(dict.fromkeys(drawn["site"]))
    spec = lines_by_site(drawn, sites, list(SHARED.values()), "share of features that fire")
    twin = layer_table("Features by what they fire for", drawn, share_with_interval)
    sees = (
        "A feature is shared if neither kind of token has nine tenths of its activation, with as many tokens of each. "
        "Autoencoders that are trained for longer share other amounts: docs/sae.md has the curve over training."
    )
    return Picture("sae-shared", "Features that image and text tokens share", sees, twin, spec)


def _quality(sae: Sae) -> Table:
    """Variance explained, L0 and fidelity, for either kind of token."""
    rows = {(row["site"], row["modality"], row["measure"]): row for _, row in sae.measures.iterrows()}

    def cell(site: str, modality: str, measure: str, written) -> str:
        row = rows.get((site, modality, measure))
        return "–" if row is None else written(row["value"], row["low"], row["high"])

    kinds = [(site, modality) for site in dict.fromkeys(sae.measures["site"]) for modality in ("image", "text")]
    return Table(
        "How well the autoencoders reconstruct the stream",
        ("layer and tokens", "variance explained", "by as many components", "L0", "fidelity, these tokens replaced",
         "what zeros cost there, nats a token", "fidelity, all tokens replaced (as in Line of Sight)",
         "what zeros cost there, nats a token"),
        tuple(
            (f"{site}, {modality}", cell(site, modality, "variance_explained", share_with_interval),
             cell(site, modality, "pca_variance_explained", lambda value, *_: percent(value)),
             cell(site, modality, "l0", lambda value, *_: number(value, 1)),
             *(written for end in ("", "_all") for written in (
                 cell(site, modality, f"fidelity{end}", value_with_interval),
                 cell(site, modality, f"zeros_cost{end}", lambda value, *_: number(value, 4)))))
            for site, modality in kinds
        ),
    )  # fmt: skip


def _letters(sae: Sae) -> tuple[Table, ...]:
    """One letter against the rest, from k columns."""
    rows = sae.one_letter
    if rows.empty:
        return ()
    ks = list(dict.fromkeys(rows["k"]))
    cells = {tuple(row[["site", "position", "reads", "k"]]): row for _, row in rows.iterrows()}
    named = list(dict.fromkeys(rows[["site", "position", "reads"]].itertuples(index=False, name=None)))
    return (
        Table(
            f"One {sae.kind} against the rest: AUC from the k best, chosen and fitted on other {sae.group.many}",
            ("what is read", *(f"k = {k}" for k in ks)),
            tuple(
                (f"{site}, {POSITIONS[position]}: {READS[reads]}",
                 *(value_with_interval(*cells[site, position, reads, k][["auc", "low", "high"]])
                   if (site, position, reads, k) in cells else "–" for k in ks))
                for site, position, reads in named
            ),
        ),
    )  # fmt: skip


def _all_letters(sae: Sae) -> Table:
    """Accuracy of probes of all features with no group on both sides, and under the controls."""
    rows = sae.probes[sae.probes["protocol"] == "grouped"]
    controls = [control for control in CONTROLS if control in rows and rows[control].notna().any()]
    return Table(
        f"All {sae.kind}s read right from all of them, no {sae.group.one} on both sides of the split",
        ("what is read", "the model", *(CONTROLS[control].format(kind=sae.kind) for control in controls)),
        tuple(
            (f"{row['site']}, {POSITIONS[row['position']]}: {READS[row['reads']]}", percent(row["accuracy"]),
             *(percent(row[control]) for control in controls))
            for _, row in rows.iterrows()
        ),
    )  # fmt: skip
