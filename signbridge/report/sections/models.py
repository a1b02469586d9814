"""Models side by side: what their decoders read, at which relative depth, what their text says, what they take."""

import math

import pandas as pd

from signbridge.report.charts.by_depth import lines_by_depth
from signbridge.report.charts.shares import intervals
from signbridge.report.inputs import Models
from signbridge.report.page_parts import Picture, Section, Table
from signbridge.report.palette import CONTROLS
from signbridge.report.wording import (
    POSITIONS,
    count,
    listing,
    number,
    p_value,
    percent,
    plural,
    points_with_interval,
    share_with_interval,
)

TITLE = "Models side by side"


def answer(models: Models) -> tuple[str, ...]:
    """Which model reads most, whether it is told apart from the others, and where the peaks lie."""
    table = models.models.set_index("model")
    best = str(models.found["best_model"])
    row = table.loc[best]
    shown = share_with_interval(row["decoder"], row["decoder_low"], row["decoder_high"])
    first = (
        f"The decoder of {best} gives the {models.kind} away best: a linear probe reads {shown} of the {models.kind}s"
    )
    if len(table) == 1:
        return (f"{first}; no other model was read.",)
    pairs = models.differences[models.differences["what"] == "decoder"]
    with_best = pairs[(pairs["model_a"] == best) | (pairs["model_b"] == best)]
    apart, others = int((with_best["p_holm"] < models.level).sum()), plural(len(with_best), "other model")
    which = "every other model" if apart == len(with_best) else f"{apart or 'none'} of the {others}"
    verdict = f"{first}, and it is told apart from {which}."
    return verdict, _peaks_in_words(models)


def section(models: Models) -> Section:
    """The curves, the table of models, the pairs and their peaks."""
    quoted = str(models.found["position"])
    lead = (
        "Every model was shown the same images and asked the same question in its own form, and probed on the same "
        f"folds. All intervals are over the same resamples of {models.group.many}, so that any two models are "
        "compared in pairs. "
        "Depth is the share of decoder blocks that a vector has passed.",
        _of_controls(models),
        *_notes(models),
    )
    rows = models.accuracy[models.accuracy["position"].isin([quoted, "image_mean", "flat"])]
    rows = rows[~(rows["site"].str.startswith(("layer_", "embedding")) & (rows["position"] != quoted))]
    pictures = (_curves(models, rows, quoted), _peaks(models, rows), *_controls(models))
    tables = (_what_they_read(models), _what_they_say(models), _what_they_take(models), *_pairs(models))
    return Section("models", TITLE, lead, pictures, tables=tables)


def _of_controls(models: Models) -> str:
    """What each control shows, and what stands in place of the study's third."""
    twin = "An untrained twin is not among the controls: it is a model of its own here, compared as every other one."
    if models.controls.empty:
        return f"The only control of each model is {models.kind}s that were shuffled over photos. {twin}"
    shows = {
        "no_image": "No image: the mean grey in place of every image",
        "other_letter": f"Another {models.kind}'s image: one of the sample in place of each, under this one's label",
    }
    chosen = models.controls["control"].unique()
    return (
        "Each model has controls, which its own probes score at its vision tower and at the layers that its folds "
        f"chose. {'. '.join(shows[control] for control in chosen)}. {twin}"
    )


def _controls(models: Models) -> tuple[Picture, ...]:
    """What the decoders read under each control, beside what they read of their own images."""
    of_decoder = models.controls[models.controls["what"] == "decoder"]
    if of_decoder.empty:
        return ()
    own = models.models.rename(columns={"decoder": "accuracy", "decoder_low": "low", "decoder_high": "high"})
    own = own.assign(shown="its own images")
    drawn = pd.concat([own, of_decoder.assign(shown=of_decoder["control"].map(_names_of(models)))])
    order = {name: place for place, name in enumerate(models.models["model"])}
    drawn = drawn.sort_values("model", key=lambda names: names.map(order), kind="stable")
    drawn = drawn.assign(name=drawn["model"] + "\n" + drawn["shown"], value=drawn["accuracy"], chance=models.chance)
    least = of_decoder.groupby("model", sort=False)["over_control_low"].min()
    above = list(least.index[least > 0])
    verdict = (
        f"The decoder of {listing(above)} reads more from its own images than under every control"
        if above
        else "No decoder reads more from its own images than under every control"
    )
    sees = (
        f"Under the controls decoders read {percent(of_decoder['accuracy'].min())} to "
        f"{percent(of_decoder['accuracy'].max())} of the {models.kind}s; chance is {percent(models.chance)}. "
        f"{verdict}, with an interval of the difference above 0."
    )
    columns = ["name", "value", "low", "high", "chance"]
    spec = intervals(drawn[columns].reset_index(drop=True), "read right by the decoder; tick: chance", row=30)
    return (Picture("models-controls", "What is read where the image does not tell", sees, _under(models), spec),)


def _names_of(models: Models) -> dict[str, str]:
    return {control: looks.name.format(kind=models.kind) for control, looks in CONTROLS.items()}


def _under(models: Models) -> Table:
    """A row a model, and its decoder or tower; two columns a control."""
    chosen, names = list(models.controls["control"].unique()), _names_of(models)
    of_row = {(row["model"], row["what"], row["control"]): row for row in models.controls.to_dict("records")}
    rows = tuple(
        (model, what, *(cell for control in chosen for cell in _beside(of_row[model, what, control])))
        for model, what in models.controls[["model", "what"]].drop_duplicates().itertuples(index=False)
    )
    columns = ("model", "what", *(column for control in chosen for column in (names[control], "accuracy less this")))
    return Table(
        "Share read right under each control, and how much more is read of the images themselves", columns, rows
    )


def _beside(row: dict) -> tuple[str, str]:
    over = points_with_interval(row["over_control"], row["over_control_low"], row["over_control_high"])
    return share_with_interval(row["accuracy"], row["low"], row["high"]), over


def _notes(models: Models) -> tuple[str, ...]:
    notes = str(models.found.get("notes", ""))
    return (f"{notes}.",) if notes else ()


def _curves(models: Models, rows: pd.DataFrame, quoted: str) -> Picture:
    rows = rows[~((rows["site"] == "embedding") & (quoted != "image_mean"))]  # one vector for all images
    names = list(models.models["model"])
    peak = rows.loc[rows[rows["relative_depth"] > 0].groupby("model", sort=False)["accuracy"].idxmax()]
    sees = " ".join(
        f"{row['model']} is highest at {row['site']}, {percent(row['relative_depth'], 0)} of the way: "
        f"{percent(row['accuracy'])}."
        for row in peak.to_dict("records")
    )
    cells = tuple(
        (row["model"], row["site"], percent(row["relative_depth"], 0),
         share_with_interval(row["accuracy"], row["low"], row["high"]), percent(row["peak_probability"]))
        for row in rows.to_dict("records")
    )  # fmt: skip
    twin = Table(
        "Share read right, by model and site",
        ("model", "site", "depth", "read right", "probability to be the peak"),
        cells,
    )
    title = f"Share read right at the {POSITIONS[quoted]}, against relative depth"
    return Picture("models-depth", title, sees, twin, lines_by_depth(rows, "accuracy", names, "read right"))


def _peaks(models: Models, rows: pd.DataFrame) -> Picture:
    layers = rows[rows["relative_depth"] > 0]
    names = list(models.models["model"])
    twin = Table(
        "Where the peak of each model lies",
        ("model", "depth of the peak", "layer that most folds chose"),
        tuple(
            (row["model"], share_with_interval(row["peak_depth"], row["peak_depth_low"], row["peak_depth_high"]),
             row["best_site"]) for row in models.models.to_dict("records")
        ),
    )  # fmt: skip
    spec = lines_by_depth(layers, "peak_probability", names, "probability to be the peak")
    title = "The probability of each layer to be the peak of its model"
    return Picture("models-peaks", title, _peaks_in_words(models), twin, spec)


def _peaks_in_words(models: Models) -> str:
    near = percent(models.found.number("same_depth"), 0)
    if models.peaks.empty:
        return "With one model there is no other peak to compare."
    apart = models.peaks[(models.peaks["low"] > 0) | (models.peaks["high"] < 0)]
    pairs = models.peaks.to_dict("records")
    said = [f"{row['model_a']} and {row['model_b']} {percent(row['same'], 0)}" for row in pairs[:3]]
    verdict = (
        "No two peaks are shown to lie at different relative depths"
        if apart.empty
        else f"Of {plural(len(pairs), 'pair')} of models {len(apart)} have their peaks at different relative depths"
    )
    return f"{verdict}. The share of resamples in which two peaks lie within {near} of the decoder: {', '.join(said)}."


def _what_they_read(models: Models) -> Table:
    return Table(
        "What each model reads, and what its decoder adds",
        ("model", "decoder", f"{models.kind}s shuffled over photos", "p", "over pixels", "vision tower",
         "over the tower"),
        tuple(
            (row["model"], _cell(row, "decoder"), percent(row["null"]), p_value(row["p_value"]), _over(row, "pixels"),
             _cell(row, "vision"), _over(row, "vision"))
            for row in models.models.to_dict("records")
        ),
    )  # fmt: skip


def _what_they_say(models: Models) -> Table:
    kind = models.kind
    return Table(
        "The gap between probe and answer",
        ("model", f"answer names the {kind}", "probe over it", f"{kind} scored highest", "probe over it",
         f"{kind} guessed from the answer", "probe over it"),
        tuple(
            (row["model"], *(of(row, what) for what in ("named", "likeliest", "read_answer") for of in (_cell, _over)))
            for row in models.models.to_dict("records")
        ),
    )  # fmt: skip


def _cell(row: dict, what: str) -> str:
    return "–" if math.isnan(row[what]) else share_with_interval(row[what], row[f"{what}_low"], row[f"{what}_high"])


def _over(row: dict, what: str) -> str:
    over = f"over_{what}"
    return "–" if math.isnan(row[over]) else points_with_interval(row[over], row[f"{over}_low"], row[f"{over}_high"])


def _what_they_take(models: Models) -> Table:
    return Table(
        "What each model takes: operations are those of one image, at the most tokens of an answer",
        ("model", "parameters", "weights", "in memory", "decoder blocks", "image tokens", "GFLOP an image",
         "licence", "prompt"),
        tuple(
            (row["model"], f"{number(row['parameters'] / 1e6, 1)} million", row["quantization"],
             _memory(row["weights"]), count(row["blocks"]), count(row["image_tokens"]),
             number(row["flop"] / 1e9, 1), models.licences.get(row["model"], "–"), row["prompt"])
            for row in models.models.to_dict("records")
        ),
    )  # fmt: skip


def _memory(size: float) -> str:
    return f"{number(size / 2**30, 2)} GiB" if size >= 2**27 else f"{number(size / 2**20, 1)} MiB"


def _pairs(models: Models) -> tuple[Table, ...]:
    if models.differences.empty:
        return ()
    rows = tuple(
        (row["what"], f"{row['model_a']} less {row['model_b']}",
         points_with_interval(row["difference"], row["low"], row["high"]), p_value(row["p_holm"]),
         "yes" if row["p_holm"] < models.level else "no")
        for row in models.differences.to_dict("records")
    )  # fmt: skip
    caption = f"Every pair of models on the same photos; p after Holm, over all {count(len(rows))} comparisons"
    columns = ("what", "models", "difference", "p", "told apart")
    apart = tuple(
        (f"{row['model_a']} less {row['model_b']}", share_with_interval(row["difference"], row["low"], row["high"]),
         percent(row["same"], 0))
        for row in models.peaks.to_dict("records")
    )  # fmt: skip
    near = percent(models.found.number("same_depth"), 0)
    return (
        Table(caption, columns, rows),
        Table(
            "How far peaks lie apart, in shares of the decoder", ("models", "difference", f"nearer than {near}"), apart
        ),
    )
