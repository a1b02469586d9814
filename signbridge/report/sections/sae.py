"""Sparse autoencoders: how well they do, how many features image and text tokens share, and letters from the best."""

from signbridge.report.charts.lines_by_site import lines_by_site
from signbridge.report.charts.style import (
    BLUE,
    GREEN,
    PURPLE,
    Series,
)
from signbridge.report.layer_table import layer_table
from signbridge.report.page_parts import Picture, Section, Table
from signbridge.report.study import Share, Study
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
    "shared": Series("of both", BLUE, "circle", (1, 0)),
    "image_only": Series("of image tokens alone", GREEN, "triangle-up", (6, 3)),
    "text_only": Series("of text tokens alone", PURPLE, "diamond", (2, 2)),
}
READ_OF_CONCEPT = {"model": "features", "untrained_twin": "features of the untrained twin", "stream": "dimensions"}
READS = {"sae": "features", "stream": "dimensions of the stream"}


def section(study: Study) -> Section:
    """What the stages `sae`, `sae_features` and `sae_judge` found."""
    if study.sae_measures.empty:
        return Section("sae", TITLE, ("No sparse autoencoder was trained in this run.",))
    lead = (_lead(study), _verdict(study), _probes(study), *_concept(study), *_fingers(study))
    found = (_quality(study), _letters(study), *_concepts(study))
    return Section("sae", TITLE, lead, (_shared(study),), tables=found)


def _lead(study: Study) -> str:
    read = [
        f"{plural(study.number(kind, 'sae'), kind[:-1])} ({count(study.number(f'{kind}_in_training', 'sae'))} of them "
        "read in training)"
        for kind in ("images", "phrases")
    ]
    return (
        f"An autoencoder of {count(study.number('features', 'sae'))} features at each layer below takes the residual "
        f"stream of image and of text tokens apart into few that fire. Judged on {listing(read)}."
    )


def _verdict(study: Study) -> str:
    sites = list(dict.fromkeys(study.sae_measures["site"]))
    more = study.share("shared_last_minus_first", "sae")
    said = f"Of the features that fire, image and text tokens share {percent(study.number('shared_first', 'sae'))}"
    if len(sites) == 1:
        return f"{said} at {sites[0]}."
    return (
        f"{said} at {sites[0]} and {percent(study.number('shared_last', 'sae'))} at {sites[-1]}: "
        f"{points_with_interval(*more)} more in the deeper one."
    )


def _probes(study: Study) -> str:
    named = {
        name: count(study.number(f"sae_probes_{name}", "sae"))
        for name in ("above_dense", "below_dense", "compared_dense", "above_same_k", "below_same_k", "compared_same_k")
    }
    return (
        f"Letters from features are read better than from the whole stream in {named['above_dense']} of "
        f"{named['compared_dense']} comparisons and worse in {named['below_dense']}; better than from as many "
        f"dimensions of the stream in {named['above_same_k']} of {named['compared_same_k']} and worse in "
        f"{named['below_same_k']} (Holm-corrected)."
    )


def _concept(study: Study) -> tuple[str, ...]:
    """How well one feature tells what is known of every hand, if anything is."""
    if "concept_model_auc" not in study.sae:
        return ()
    auc = {reads: study.share(f"concept_{reads}_auc", "sae") for reads in READ_OF_CONCEPT}
    auc = {reads: Share(one.value, *(study.number(f"concept_{reads}_{end}", "sae") for end in ("low", "high")))
           for reads, one in auc.items()}  # fmt: skip
    gaps = {other: study.share(f"concept_model_over_{other}", "sae") for other in ("untrained_twin", "stream")}
    site, position = study.sae["concept_model_site"], study.sae["concept_model_position"]
    where = "just before the model says how the finger is held" if position == "prompt_last" else POSITIONS[position]
    clearly = "clearly" if gaps["untrained_twin"].low > 0 else "not clearly"
    return (
        f"One feature, {count(study.number('concept_model_feature', 'sae'))} of {site} ({where}), tells "
        f"“{study.sae['concept']}”: chosen on half of the photos, its area under the ROC curve is "
        f"{value_with_interval(*auc['model'])} on the others. The best feature of the untrained twin's autoencoders "
        f"has {value_with_interval(*auc['untrained_twin'])}, so it is {clearly} better "
        f"({value_with_interval(*gaps['untrained_twin'])}); the best dimension of the stream "
        f"{value_with_interval(*auc['stream'])} (difference {value_with_interval(*gaps['stream'])}).",
    )


def _fingers(study: Study) -> tuple[str, ...]:
    """How many features go with a joint, over photos and within letters, where joints are known."""
    key = "fingers_{}_image_mean_tracking{}"
    if key.format("model", "") not in study.sae:
        return ()
    model, twin, within = (
        percent(study.number(key.format(*of), "sae"))
        for of in (("model", ""), ("untrained_twin", ""), ("model", "_within_letters"))
    )
    return (
        f"Of the features at the image tokens of the last layer that vary, {model} go with the angle of a joint over "
        f"photos, more than in shuffled hands and corrected for all that were tried ({twin} in the untrained twin); "
        f"among photos of one {study.kind}, {within}: there is no more to them than the {study.kind}, as far as this "
        "many photos tell."
        if within == percent(0.0)
        else f"Of the features at the image tokens of the last layer that vary, {model} go with the angle of a joint "
        f"over photos, more than in shuffled hands and corrected for all that were tried ({twin} in the untrained "
        f"twin), and {within} among photos of one {study.kind}.",
    )


def _concepts(study: Study) -> tuple[Table, ...]:
    """The best feature at each place."""
    rows = study.sae_concept
    if rows.empty:
        return ()
    cells = tuple(
        (f"{READ_OF_CONCEPT[row['reads']]}, {row['site']}, "
         f"{'before the answer' if row['position'] == 'prompt_last' else POSITIONS[row['position']]}",
         count(row["feature"]), number(row["auc_fitted"], 3), value_with_interval(row["auc"], row["low"], row["high"]))
        for _, row in rows.iterrows()
    )  # fmt: skip
    columns = ("what is read", "the best", "AUC where it was chosen", "AUC on the other photos")
    return (Table(f"One feature that tells “{study.sae['concept']}”", columns, cells),)


def _shared(study: Study) -> Picture:
    rows = study.sae_measures[study.sae_measures["measure"].isin(list(SHARED))]
    names = {measure: series.name for measure, series in SHARED.items()}
    drawn = rows.assign(series=rows["measure"].map(names)).rename(columns={"value": "accuracy"})
    drawn = drawn[["series", "site", "accuracy", "low", "high"]]
    sites = list(dict.fromkeys(drawn["site"]))
    spec = lines_by_site(drawn, sites, list(SHARED.values()), "share of features that fire")
    twin = layer_table("Features by what they fire for", drawn, share_with_interval)
    sees = (
        "A feature is of both where neither kind of token, of as many of either, has nine tenths of its activation. "
        "The same question as that of neighbours above, asked of directions that were learnt."
    )
    return Picture("sae-shared", "Features that image and text tokens share", sees, twin, spec)


def _quality(study: Study) -> Table:
    """Variance explained, L0 and fidelity, for either kind of token."""
    rows = {(row["site"], row["modality"], row["measure"]): row for _, row in study.sae_measures.iterrows()}

    def cell(site: str, modality: str, measure: str, written) -> str:
        row = rows.get((site, modality, measure))
        return "–" if row is None else written(row["value"], row["low"], row["high"])

    kinds = [(site, modality) for site in dict.fromkeys(study.sae_measures["site"]) for modality in ("image", "text")]
    return Table(
        "How well they do",
        ("layer and tokens", "variance explained", "L0", "fidelity", "what zeros cost, nats a token"),
        tuple(
            (f"{site}, {modality}", cell(site, modality, "variance_explained", share_with_interval),
             cell(site, modality, "l0", lambda value, *_: number(value, 1)),
             cell(site, modality, "fidelity", value_with_interval),
             cell(site, modality, "zeros_cost", lambda value, *_: number(value, 4)))
            for site, modality in kinds
        ),
    )  # fmt: skip


def _letters(study: Study) -> Table:
    """Accuracy of sparse probes with no photo on both sides; from all, beside it, where a control was read."""
    rows = study.sae_probes[study.sae_probes["protocol"] == "grouped"]
    ks = list(dict.fromkeys(rows["k"]))
    cells = {tuple(row[["site", "position", "reads", "k"]]): row for _, row in rows.iterrows()}
    named = list(dict.fromkeys(rows[["site", "position", "reads"]].itertuples(index=False, name=None)))
    controls = [control for control in CONTROLS if control in rows and rows[control].notna().any()]
    return Table(
        "Letters read right from the k best, no photo on both sides",
        ("what is read", *("all" if k == "dense" else f"k = {k}" for k in ks),
         *(f"all: {study.control_name(control)}" for control in controls)),
        tuple(
            (f"{site}, {POSITIONS[position]}: {READS[reads]}",
             *(percent(cells[site, position, reads, k]["accuracy"]) if (site, position, reads, k) in cells else "–"
               for k in ks),
             *(percent(cells[site, position, reads, "dense"][control]) for control in controls))
            for site, position, reads in named
        ),
    )  # fmt: skip
