"""The features of each class by an autoencoder that others trained, and whether it fits the model at all."""

from signbridge.report.inputs import Pretrained
from signbridge.report.page_parts import Section, Table
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


def section(pretrained: Pretrained) -> Section | None:
    """What the stages from `fetch` to `classes` found."""
    if _none(pretrained):
        return None
    lead = (_lead(pretrained), _fit(pretrained), _words(pretrained), *_published(pretrained))
    tables = () if pretrained.classes.empty else (_table(pretrained),)
    return Section("pretrained", TITLE, lead, tables=tables)


def answer(pretrained: Pretrained) -> tuple[str, ...]:
    """Whether the autoencoder fits the model, in one sentence."""
    if _none(pretrained):
        return ()
    fits = "fits" if _fits(pretrained) else "does not fit"
    explained = share_with_interval(*pretrained.found.share("variance_explained_image"))
    return (
        f"The autoencoder {pretrained.found['pretrained']} {fits} this model: it explains {explained} of the variance "
        "of image tokens.",
    )


def _none(pretrained: Pretrained) -> bool:
    return pretrained.found.get("pretrained", "none") == "none"


def _lead(pretrained: Pretrained) -> str:
    said = pretrained.found
    position, token = str(said["position"]), str(said["token"])
    number = f"token {position} of the prompt, counted from 0"
    where = POSITIONS.get(position, number if position.isdecimal() else f"the token {position}")
    named = f" ({token!r})" if token else ""
    every = f"that fired for some image of every {pretrained.kind}"
    why = every if said["dropped_by"] == "every_class" else "that the catalog names, as they say nothing of a class,"
    return (
        f"{said['pretrained']}: {count(pretrained.found.number('features'))} features at {said['site']}, read at "
        f"{where}{named}, under the prompt {str(said['prompt'])!r}. Of each {pretrained.kind} the activations of its "
        f"images are summed. {plural(pretrained.found.number('dropped'), 'feature')} {why} were dropped."
    )


def _fit(pretrained: Pretrained) -> str:
    parts = []
    for kind in ("image", "text"):
        explained = pretrained.found.share(f"variance_explained_{kind}")
        fidelity = pretrained.found.share(f"fidelity_{kind}")
        kept = (
            f"a fidelity of {value_with_interval(*fidelity)}"
            if fidelity.known
            else "a fidelity that cannot be measured"
        )
        parts.append(f"{share_with_interval(*explained)} of the variance of {kind} tokens, with {kept}")
    limit = number(pretrained.found.number("threshold"), 2)
    which = "Neither is" if pretrained.found.share("fidelity_image").known else "The variance is not"
    verdict = (
        f"{which} below {limit} at image tokens."
        if _fits(pretrained)
        else f"At image tokens that is below {limit}: the table below is {UNFIT}, and its features may mean nothing."
    )
    return f"It explains {listing(parts)}. {verdict}"


def _words(pretrained: Pretrained) -> str:
    if pretrained.found["descriptions"] == "none":
        return "No descriptions of its features were available, so features are named by their index alone."
    described, listed = pretrained.found.number("described"), len(pretrained.classes)
    return f"Descriptions are from {pretrained.found['descriptions']}: of {count(described)} of {count(listed)} listed."


def _published(pretrained: Pretrained) -> list[str]:
    classes = pretrained.found.number("published_classes")
    if not classes > 0:
        return []
    found = percent(pretrained.found.number("published_found"))
    of_each = [
        f"{key.removeprefix(OF_CLASS)} {percent(pretrained.found.number(key))}"
        for key in pretrained.found
        if key.startswith(OF_CLASS)
    ]
    classes_named = f"{count(classes)} {pretrained.kind}" + ("" if classes == 1 else "s")
    return [f"Of the features published of {classes_named} here, {found} are listed on average ({listing(of_each)})."]


def _table(pretrained: Pretrained) -> Table:
    rows = [
        (short(str(name)), "; ".join(_feature(row) for row in of_class.to_dict("records")))
        for name, of_class in pretrained.classes.groupby("class", sort=False)
    ]
    caption = f"The strongest features of each {pretrained.kind}"
    return Table(
        caption if _fits(pretrained) else f"{caption}, {UNFIT}",
        (pretrained.kind, "features, the strongest first"),
        tuple(rows),
    )


def _feature(row: dict[str, str | float]) -> str:
    said = [short(str(row["description"]))] if row["description"] else []
    said += ["published"] if row["published"] == "True" else []
    index = str(int(row["feature"]))
    return f"{index} ({', '.join(said)})" if said else index


def _fits(pretrained: Pretrained) -> bool:
    return bool(pretrained.found["fits"])
