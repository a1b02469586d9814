"""Beside the probes: which frame moves the answer, what the answers say in words, and what the clips look like."""

from signbridge.core.names import ALL_FRAMES, IN_ORDER, MOVEMENT
from signbridge.report.charts.by_frame import lines_by_frame
from signbridge.report.page_parts import Example, Gallery, Picture, Section, Table, Thumbnail, thumbnail
from signbridge.report.sections.motion import NAMES, Motion
from signbridge.report.sections.order import readings
from signbridge.report.wording import count, p_value, percent, points_with_interval, share_with_interval


def frames(motion: Motion) -> Section:
    """One frame put into the run on another clip: how far the answer goes with it."""
    found, title = motion.found, "Which frame matters?"
    tried, patched = (int(found.number(f"pairs_{what}")) for what in ("tried", "patched"))
    lead = (
        "Two clips of one signer differ in movement alone. At one site the tokens of one frame are taken from the run "
        "on the one and put into the run on the other. The share of the gap between the two answers' logits that "
        "moves is what this frame carries there. All frames at once move all that is left to move.",
    )
    if not tried:
        none = "No pair was patched: patching.pairs is 0, or no two clips of a signer differ in movement alone."
        return Section("frames", title, (*lead, none))
    if motion.frames.empty:
        none = f"Of {count(tried)} pairs none got two answers, so there is no gap that a frame could move."
        return Section("frames", title, (*lead, none))
    said = f"{count(patched)} of {count(tried)} pairs got two answers, and were patched both ways."
    return Section("frames", title, (*lead, said), (_moved(motion),))


def _moved(motion: Motion) -> Picture:
    table, found = motion.frames, motion.found
    sites = list(dict.fromkeys(table["site"]))
    every = table[(table["frame"] == ALL_FRAMES) & (table["site"] == sites[0])].iloc[0]
    sees = (
        f"At {found['patched_at']} frame {int(found['most_moving_frame']) + 1} moves most: "
        f"{percent(found.number('most_moving_frame_moves'))} of the gap; all frames together move "
        f"{percent(every['moved'])}. A frame put into its own run moves {percent(float(table['noise'].max()))} at "
        "most, which is rounding. Intervals resample signers and their pairs."
    )
    cells = {(row["site"], row["frame"]): row for row in table.to_dict("records")}
    numbers = sorted(set(table["frame"]) - {ALL_FRAMES})
    rows = tuple(
        ("all frames" if frame == ALL_FRAMES else f"frame {frame + 1}",
         *(share_with_interval(*(cells[site, frame][name] for name in ("moved", "low", "high"))) for site in sites))
        for frame in [*numbers, ALL_FRAMES]
    )  # fmt: skip
    twin = Table("Share of the gap that is moved, by frame and site", ("frame", *sites), rows)
    return Picture("motion-frames", "How far each frame moves the answer", sees, twin, lines_by_frame(table, sites))


def words(motion: Motion) -> Section:
    """What the answers name, reading by reading."""
    named = "movement" if motion.found["text_names"] == MOVEMENT else "sign"
    lead = (
        f"The answer is right if it names the {named} that was made, by its name or a synonym of the params, and no "
        "other. Clips whose truth has no name are left out.",
    )
    if motion.answers.empty:
        return Section("words", "In words", (*lead, f"No clip has a {named} that is known."))
    rows = tuple(
        (NAMES[row["reading"]], share_with_interval(row["named"], row["low"], row["high"]), percent(row["names_any"]),
         "" if row["reading"] == IN_ORDER else points_with_interval(row["over"], row["over_low"], row["over_high"]),
         "" if row["reading"] == IN_ORDER else p_value(row["p_value"]))
        for row in motion.answers.to_dict("records")
    )  # fmt: skip
    caption = f"Answers that name the {named}; always the commonest: {percent(motion.found.number('text_chance'))}"
    columns = ("reading", "right", "names any", "in order less it", "p")
    return Section("words", "In words", lead, tables=(Table(caption, columns, rows),))


def data(motion: Motion) -> Section:
    """A few clips as rows of frames, how many there are, and what every reading gives."""
    found = motion.found
    signs, pairs = count(found.number("signs")), count(found.number("pairs_of_signs"))
    lead = (
        f"{count(found.number('clips'))} clips of {signs} signs by {count(found.number('signers'))} signers, "
        f"{count(found.number('frames'))} frames each. {pairs} groups of signs have one hand shape (and kind of "
        "movement) and differ in movement.",
    )
    gallery = None
    if motion.strips and not motion.settings.hidden:
        groups = tuple(
            (name, tuple(Example(str(number + 1), "", Thumbnail(thumbnail(png), f"{name}, frame {number + 1}"))
                         for number, png in enumerate(pngs)))
            for name, pngs in motion.strips
        )  # fmt: skip
        gallery = Gallery("A few clips, frame by frame", "In order of time, from the left.", groups)
    elif motion.settings.hidden:
        lead += (f"No frame: {motion.settings.hidden}.",)
    return Section("clips", "The clips", lead, gallery=gallery, tables=(readings(motion),))
