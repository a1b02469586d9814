"""Sparse autoencoders: how well they reconstruct, which features image and text tokens share, letters from the best."""

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
READS = {"sae": "features", "stream": "dimensions of the stream"}


def section(sae: Sae) -> Section | None:
    """What the stages from `train` to `evaluate` found."""
    if sae.measures.empty:
        return None
    lead = (_lead(sae), _verdict(sae), _probes(sae), *_concept(sae), *_fingers(sae))
    found = (_quality(sae), _letters(sae), *_concepts(sae))
    return Section("sae", TITLE, lead, (_shared(sae),), tables=found)


def answer(sae: Sae) -> tuple[str, ...]:
    """How many features image and text tokens share, and how well one feature detects the concept."""
    if sae.measures.empty:
        return ()
    detects = ()
    if "concept_model_auc" in sae.found:
        model, twin = (sae.found.number(f"concept_{reads}_auc") for reads in ("model", "untrained_twin"))
        beside = f", that of the best feature of an untrained network {number(twin, 2)}" if twin == twin else ""
        detects = (
            f"One feature detects “{sae.found['concept']}” in photos that were not used to choose it: its area under "
            f"the ROC curve is {number(model, 2)}{beside}.",
        )
    return (_verdict(sae), *detects)


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


def _verdict(sae: Sae) -> str:
    sites = list(dict.fromkeys(sae.measures["site"]))
    more = sae.found.share("shared_last_minus_first")
    said = f"Of the features that fire, image and text tokens share {percent(sae.found.number('shared_first'))}"
    if len(sites) == 1:
        return f"{said} at {sites[0]}."
    return (
        f"{said} at {sites[0]} and {percent(sae.found.number('shared_last'))} at {sites[-1]}: "
        f"{points_with_interval(*more)} more in the deeper layer."
    )


def _probes(sae: Sae) -> str:
    named = {
        name: count(sae.found.number(f"sae_probes_{name}"))
        for name in ("above_dense", "below_dense", "compared_dense", "above_same_k", "below_same_k", "compared_same_k")
    }
    return (
        "A probe of features, of all or of the k best, reads letters better than a probe of the whole stream in "
        f"{named['above_dense']} of {named['compared_dense']} comparisons and worse in {named['below_dense']}; better "
        f"than one of as many dimensions of the stream in {named['above_same_k']} of {named['compared_same_k']} and "
        f"worse in {named['below_same_k']} (Holm-corrected)."
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
        f"One feature, {count(sae.found.number('concept_model_feature'))} of {site} ({where}), detects "
        f"“{sae.found['concept']}”. It was chosen on half of the photos; on the others its area under the ROC curve is "
        f"{value_with_interval(*auc['model'])}. {beside}{value_with_interval(*gaps[strongest])}.",
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
         count(row["feature"]), number(row["auc_fitted"], 3), value_with_interval(row["auc"], row["low"], row["high"]))
        for _, row in rows.iterrows()
    )  # fmt: skip
    columns = ("what is read", "the best", "AUC where it was chosen", "AUC on the other photos")
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
        "It is the question of nearest neighbours on the page of the lenses, asked of learnt directions."
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
        ("layer and tokens", "variance explained", "L0", "fidelity", "what zeros cost, nats a token"),
        tuple(
            (f"{site}, {modality}", cell(site, modality, "variance_explained", share_with_interval),
             cell(site, modality, "l0", lambda value, *_: number(value, 1)),
             cell(site, modality, "fidelity", value_with_interval),
             cell(site, modality, "zeros_cost", lambda value, *_: number(value, 4)))
            for site, modality in kinds
        ),
    )  # fmt: skip


def _letters(sae: Sae) -> Table:
    """Accuracy of sparse probes with no photo on both sides; of all features also under the controls."""
    rows = sae.probes[sae.probes["protocol"] == "grouped"]
    ks = list(dict.fromkeys(rows["k"]))
    cells = {tuple(row[["site", "position", "reads", "k"]]): row for _, row in rows.iterrows()}
    named = list(dict.fromkeys(rows[["site", "position", "reads"]].itertuples(index=False, name=None)))
    controls = [control for control in CONTROLS if control in rows and rows[control].notna().any()]
    return Table(
        "Letters read right from the k best, no photo on both sides of the split",
        ("what is read", *("all" if k == "dense" else f"k = {k}" for k in ks),
         *(f"all: {CONTROLS[control].format(kind=sae.kind)}" for control in controls)),
        tuple(
            (f"{site}, {POSITIONS[position]}: {READS[reads]}",
             *(percent(cells[site, position, reads, k]["accuracy"]) if (site, position, reads, k) in cells else "–"
               for k in ks),
             *(percent(cells[site, position, reads, "dense"][control]) for control in controls))
            for site, position, reads in named
        ),
    )  # fmt: skip
