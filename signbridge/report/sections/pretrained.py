"""The features of each class by an autoencoder that others trained, and whether it fits the model at all."""

from signbridge.report.page_parts import Section, Table
from signbridge.report.study import Study
from signbridge.report.wording import (
    count,
    listing,
    number,
    percent,
    plural,
    share_with_interval,
    short,
    value_with_interval,
)

TITLE = "Features of a pretrained autoencoder"
UNFIT = "from an autoencoder that does not fit"  # by which every table of such a one is marked
OF_CLASS = "published_found_"  # begins the metrics of single classes
POSITIONS = {"prompt_last": "the last token of the prompt", "image_mean": "the mean over image tokens"}


def section(study: Study) -> Section:
    """What the stages from `pretrained_sae` to `sae_pretrained` found."""
    if study.pretrained.get("pretrained", "none") == "none":
        return Section("pretrained", TITLE, ("No autoencoder of others was read in this run (sae.pretrained).",))
    lead = (_lead(study), _fit(study), _words(study), *_published(study))
    tables = () if study.pretrained_features.empty else (_table(study),)
    return Section("pretrained", TITLE, lead, tables=tables)


def _lead(study: Study) -> str:
    said = study.pretrained
    position, token = str(said["position"]), str(said["token"])
    where = POSITIONS.get(position, f"token {position} of the prompt, counted from 0")
    named = f" ({token!r})" if token else ""
    return (
        f"{said['pretrained']}: {count(study.number('features', 'pretrained'))} features at {said['site']}, read at "
        f"{where}{named}, under the prompt {str(said['prompt'])!r}. Of each {study.kind} the activations of its images "
        f"are summed; {plural(study.number('dropped', 'pretrained'), 'feature')} that fired for some image of every "
        f"{study.kind} were dropped."
    )


def _fit(study: Study) -> str:
    parts = []
    for kind in ("image", "text"):
        explained = study.share(f"variance_explained_{kind}", "pretrained")
        fidelity = study.share(f"fidelity_{kind}", "pretrained")
        kept = f"a fidelity of {value_with_interval(*fidelity)}" if fidelity.known else "a fidelity that cannot be told"
        parts.append(f"{share_with_interval(*explained)} of the variance of {kind} tokens, with {kept}")
    limit = number(study.number("threshold", "pretrained"), 2)
    which = "Neither is" if study.share("fidelity_image", "pretrained").known else "The variance is not"
    verdict = (
        f"{which} below {limit} at image tokens."
        if _fits(study)
        else f"At image tokens that is below {limit}: the table below is {UNFIT}, and its features may mean nothing."
    )
    return f"It explains {listing(parts)}. {verdict}"


def _words(study: Study) -> str:
    if study.pretrained["descriptions"] == "none":
        return "No description of its features was at hand: they are indices alone."
    described, listed = study.number("described", "pretrained"), len(study.pretrained_features)
    return f"Descriptions are from {study.pretrained['descriptions']}: of {count(described)} of {count(listed)} listed."


def _published(study: Study) -> list[str]:
    classes = study.number("published_classes", "pretrained")
    if not classes > 0:
        return []
    found = percent(study.number("published_found", "pretrained"))
    of_each = [
        f"{key.removeprefix(OF_CLASS)} {percent(study.number(key, 'pretrained'))}"
        for key in study.pretrained
        if key.startswith(OF_CLASS)
    ]
    classes_named = f"{count(classes)} {study.kind}" + ("" if classes == 1 else "s")
    return [f"Of the features published of {classes_named} here, {found} are listed in the mean ({listing(of_each)})."]


def _table(study: Study) -> Table:
    rows = [
        (short(str(name)), "; ".join(_feature(row) for row in of_class.to_dict("records")))
        for name, of_class in study.pretrained_features.groupby("class", sort=False)
    ]
    caption = f"The strongest features of each {study.kind}"
    return Table(
        caption if _fits(study) else f"{caption}, {UNFIT}",
        (study.kind, "features, the strongest first"),
        tuple(rows),
    )


def _feature(row: dict[str, str | float]) -> str:
    said = [short(str(row["description"]))] if row["description"] else []
    said += ["published"] if row["published"] == "True" else []
    index = str(int(row["feature"]))
    return f"{index} ({', '.join(said)})" if said else index


def _fits(study: Study) -> bool:
    return bool(study.pretrained["fits"])
