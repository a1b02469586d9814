"""The resolution ladder: how much of what is read goes with the size of the pictures."""

from signbridge.report.charts.by_rung import lines_by_rung
from signbridge.report.inputs import Resolution
from signbridge.report.page_parts import Picture, Section, Table, Thumbnail, data_uri
from signbridge.report.wording import (
    count,
    listing,
    p_value,
    percent,
    plural,
    points_with_interval,
    share_with_interval,
)

TITLE = "The resolution ladder"
FULL = "full"
READ = {
    "best": "decoder",
    "layer_of_full": "decoder, at the layers chosen at full size",
    "vision": "vision tower",
    "pixels": "pixels",
    "answer": "{kind} guessed from the answer",
    "named": "answer names the {kind}",
}


def answer(ladder: Resolution) -> tuple[str, ...]:
    """What the smallest pictures read, what those as they are read, and from which size on no loss is shown."""
    rungs = ladder.distinct
    if len(rungs) == 1:
        return (
            f"There is no ladder here: the pictures are {_size(ladder)}, and no rung of the params is another picture. "
            "Choose a dataset of larger pictures (rendered_signers has 96 pixels), or add smaller rungs to "
            "stages/resolution/params.yaml.",
        )
    smallest = rungs[0]
    losses = ladder.differences[ladder.differences["what"] == "decoder"]
    loss = losses[(losses["rung"] == smallest) & (losses["against"] == FULL)].iloc[0]
    first = (
        f"From the photos at {_called(smallest)} a probe of the decoder reads {_share(ladder, smallest, 'best')} of "
        f"the {ladder.kind}s, from the same photos as they are ({_size(ladder)}) {_share(ladder, FULL, 'best')}. The "
        f"small size less the full one: {points_with_interval(loss['difference'], loss['low'], loss['high'])}."
    )
    return first, _alike(ladder)


def _alike(ladder: Resolution) -> str:
    alike = str(ladder.found["alike_from"])
    if alike == FULL:
        return "No smaller size is like full size: the largest of them is told apart from it."
    return (
        f"From {_called(alike)} upwards no size is told apart from full size. This is no proof that they are equal: "
        "look at the intervals."
    )


def section(ladder: Resolution) -> Section:
    """One photo at each size, what is read of all, and every comparison."""
    if len(ladder.distinct) == 1:
        return Section("resolution", TITLE, _left_out(ladder), tables=(_rungs(ladder),))
    lead = (
        "The photos of the study were made smaller, and the model was asked the same question about each. A larger "
        "picture is averaged over boxes and keeps its proportions; none is enlarged, but by the model's own processor, "
        "which brings every picture to the size that the model takes in. Sample, folds and resamples are the study's, "
        f"so every two sizes are compared on the same {ladder.group.many}, which the intervals resample. The full size "
        "is the study itself, not read again.",
        f"The pixels are those of the same pictures, on a grid of at most {count(ladder.most_pixels)} pixels a side. "
        "At every size each fold chooses its layer inside its training images; the table also has the layers that the "
        "folds chose at full size.",
        *_left_out(ladder),
    )
    tables = (_accuracy(ladder), _differences(ladder), _rungs(ladder))
    pictures = () if ladder.settings.hidden else (_pictures(ladder),)
    return Section("resolution", TITLE, lead, pictures, tables=tables)


def _left_out(ladder: Resolution) -> tuple[str, ...]:
    rows = ladder.rungs[ladder.rungs["same_as"] != ""]
    if rows.empty:
        return ()
    said = []
    for same, of_same in rows.groupby("same_as", sort=False):
        names = listing([_called(rung) for rung in of_same["rung"]])
        said.append(f"{names}, as these are the pictures of {'the full size' if same == FULL else _called(str(same))}")
    return (f"Left out: {'; '.join(said)}.",)


def curve(ladder: Resolution) -> Picture | None:
    """What is read against the size of the pictures; None where there is one size."""
    if len(ladder.distinct) == 1:
        return None
    full, low = (ladder.read(rung, "best") for rung in (ladder.distinct[-1], ladder.distinct[0]))
    ends = percent(low["accuracy"]), percent(full["accuracy"])
    sees = f"The decoder goes from {ends[0]} at the smallest size to {ends[1]} at full size."
    if ladder.has(FULL, "pixels"):
        pixels = [percent(ladder.read(rung, "pixels")["accuracy"]) for rung in (ladder.distinct[0], FULL)]
        sees += f" Pixels alone go from {pixels[0]} to {pixels[1]}. Chance is {percent(ladder.chance)}."
    spec = lines_by_rung(ladder.accuracy, ladder.distinct, ladder.chance)
    return Picture("resolution-curve", "Share read right, by the size of the pictures", sees, _accuracy(ladder), spec)


def _pictures(ladder: Resolution) -> Picture:
    image = Thumbnail(data_uri(ladder.pictures), f"One photo at {listing([_called(rung) for rung in ladder.distinct])}")
    sees = "The first photo of the sample as the model was given it, drawn equally large."
    return Picture("resolution-pictures", "One photo at every size", sees, _rungs(ladder), image=image)


def _accuracy(ladder: Resolution) -> Table:
    sites = [site for site in READ if any(ladder.has(rung, site) for rung in ladder.distinct)]
    rows = tuple(
        (_called(rung), *(_share(ladder, rung, site) if ladder.has(rung, site) else "–" for site in sites))
        for rung in ladder.distinct
    )
    return Table("Share read right at each size", ("size", *(READ[s].format(kind=ladder.kind) for s in sites)), rows)


def _differences(ladder: Resolution) -> Table:
    rows = tuple(
        (row["what"], _called(row["rung"]), "pixels" if row["rung"] == row["against"] else _called(row["against"]),
         points_with_interval(row["difference"], row["low"], row["high"]), p_value(row["p_holm"]),
         "yes" if row["p_holm"] < ladder.level else "no")
        for row in ladder.differences.to_dict("records")
    )  # fmt: skip
    caption = f"Sizes less full size and less the size below; p after Holm, over all {count(len(rows))} comparisons"
    return Table(caption, ("what", "size", "less", "difference", "p", "told apart"), rows)


def _rungs(ladder: Resolution) -> Table:
    images = len(ladder.sample)
    rows = tuple(
        (_called(row["rung"]), _sides(row), "colour" if row["colour"] else "grey",
         "–" if row["rung"] == FULL else f"{count(row['already'])} of {plural(images, 'image')}",
         "" if row["same_as"] == "" else f"left out: the pictures of {_called(row['same_as'])}")
        for row in ladder.rungs.to_dict("records")
    )  # fmt: skip
    return Table("The sizes", ("size", "longer side, pixels", "colour", "already no larger", "note"), rows)


def _sides(row: dict) -> str:
    least, most = count(row["least_side"]), count(row["side"])
    return most if least == most else f"{least} to {most}"


def _called(rung: str) -> str:
    """`28 pixels in grey`, `56 pixels`, `full size`."""
    if rung == FULL:
        return "full size"
    return f"{rung.removesuffix('-grey')} pixels{' in grey' if rung.endswith('-grey') else ''}"


def _size(ladder: Resolution) -> str:
    row = ladder.rungs[ladder.rungs["rung"] == FULL].to_dict("records")[0]
    return f"{_sides(row)} pixels{'' if row['colour'] else ' in grey'}"


def _share(ladder: Resolution, rung: str, site: str) -> str:
    row = ladder.read(rung, site)
    return share_with_interval(row["accuracy"], row["low"], row["high"])
