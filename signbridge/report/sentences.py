"""The study's answer in two sentences, which the numbers choose.

The first says whether a probe reads the letter from the decoder, whether that is more than an untrained network and the
pixels give, at which layer, and whether that layer stands out. The second says what the decoder adds, and what leaks.
"""

import math

from signbridge.report.inputs import LEAKING, PROTOCOLS, Inputs, Share, Study
from signbridge.report.wording import (
    POSITIONS,
    count,
    listing,
    p_value,
    percent,
    plural,
    points,
    points_with_interval,
    share_with_interval,
)

QUESTION = (
    "Does an open vision-language model hold the shape of a signing hand in its language decoder, at which depth, and "
    "is that more than the pixels already give away, even while its text says nothing about it?"
)


# The baselines: the second sentence quotes the difference from the strongest, and of the others what is read there.
BESIDE = {"pixels": "raw pixels", "vision": "the vision tower", "untrained_twin": "its untrained twin",
          "answer": "the model's answer"}  # fmt: skip


# With fewer groups than this, intervals that resample them are mostly too narrow (Cameron, Gelbach and Miller 2008,
# "Bootstrap-based improvements for inference with clustered errors").
FEW_GROUPS = 20


def few_groups(inputs: Inputs) -> str:
    """How little it is that there are so few signers or clips; nothing where there are enough, or groups are photos."""
    number = len(set(inputs.groups.of_image))
    if inputs.groups.kind == "photo" or number >= FEW_GROUPS:
        return ""
    many = inputs.group.many
    return (
        f"{count(number)}, which is few: intervals resample these alone, so they are rough and mostly too "
        f"narrow, and other {many} may differ"
    )


def answer(study: Study) -> tuple[str, str]:
    """The two sentences, in plain text."""
    return _what_is_read(study), f"{_what_is_added(study)}; {what_leaks(study)}."


def is_read(study: Study) -> bool:
    """Whether the probe is better than chance and shuffled labels.

    The permutation test decides, unless it has too few draws for its level: then the interval's lower end must lie
    above both chance and shuffled labels.
    """
    p = study.found.number("grouped_p_value")
    smallest = study.controls["p_value"].min()  # no test with these draws gives less
    if p <= round(1 - study.found.number("confidence"), 9):
        return True
    if p > smallest:
        return False
    shuffled = study.found.number("grouped_shuffled_labels")
    level = max(study.found.number("chance"), 0 if math.isnan(shuffled) else shuffled)
    return study.found.share("grouped_peak_accuracy").low > level


def rivals(study: Study) -> tuple[int, int]:
    """How many other layers cannot be told apart from the best, and how many others there are."""
    table = study.peak_probability[study.peak_probability["position"] == study.position]
    if table.empty:
        return 0, 0
    others = table.drop(table["accuracy"].idxmax())
    return int(others["tied_with_best"].sum()), len(others)


def standing(study: Study) -> str:
    """Whether the best layer stands out, as a clause."""
    tied, others = rivals(study)
    if study.found.get("grouped_stands_out", False):
        return "and that layer stands out from all others" if others else "the only layer probed"
    if not others:
        return "and nothing says whether that layer stands out"
    which = plural(others, "other layer")
    if tied == others:
        return f"but no layer stands out: none of the {which} can be told apart from the best"
    return f"but no layer stands out: {tied} of the {which} cannot be told apart from the best"


def over(what: str, difference: Share) -> str:
    """The decoder's `difference` from `what`, as the end of a sentence that begins `The decoder`."""
    value, low, high = difference
    if low > 0:
        return f"adds {points_with_interval(*difference)} over {what}"
    if high < 0:
        return f"falls {points_with_interval(-value, -high, -low)} short of {what}"
    if math.isnan(low):
        return f"differs from {what} by {points(value)}, of unknown certainty"
    shown = points_with_interval(*difference).replace(" (", ", ").removesuffix(")")
    return f"adds nothing over {what} that this sample could show ({shown})"


def what_leaks(study: Study) -> str:
    """Which protocol leaks, and what its accuracy is then worth, as a clause."""
    clauses = [_leak(study, protocol) for protocol in PROTOCOLS if study.leaks(protocol)]
    if clauses:
        return " and ".join(clauses)
    run = [study.split_name(protocol) for protocol in study.protocols()]
    if not run:
        return "nothing was tested, so nothing could leak"
    known = [f"{split} {percent(share)}" for split, share in _signers_in_train(study)]
    people = f"; but their signer is in training: of the images tested under {listing(known)}" if known else ""
    return f"nothing leaks: no image tested has a copy of its photo in training ({listing(run)}){people}"


def _signers_in_train(study: Study) -> list[tuple[str, float]]:
    """The splits that put images of one signer on both sides, and for what share of the test images."""
    shares = [
        (study.split_name(protocol), study.leakage.number(f"{protocol}_signer_in_train")) for protocol in PROTOCOLS
    ]
    return [(split, share) for split, share in shares if share > 0]


def _what_is_read(study: Study) -> str:
    peak = study.found.share("grouped_peak_accuracy")
    if study.position is None or not peak.known:
        return (
            f"This run cannot say whether the decoder of {study.model} gives the {study.kind} away: "
            f"no layer was probed with {study.group.whole} on one side of the split."
        )
    shown = share_with_interval(*peak)
    chance = percent(study.found.number("chance"))
    p = p_value(study.found.number("grouped_p_value"))
    if not is_read(study):
        beside = f"chance is {chance}, {p} against shuffled labels" if p else f"chance is {chance}"
        return (
            f"No: a linear probe of the decoder of {study.model} reads {shown} of the {study.kind}s in "
            f"{study.group.images} that it was not fitted on, which is not above what shuffled labels give "
            f"({beside}), so no layer stands out."
        )
    return (
        f"{_verdict(study)}: at the {POSITIONS[study.position]} a linear "
        f"probe reads {shown} of the {study.kind}s in {study.group.images} that it was not fitted on, where chance is "
        f"{chance}, most often from {study.found['grouped_peak_site']}, {standing(study)}."
    )


def _verdict(study: Study) -> str:
    """What it means that a probe reads something: it must beat the untrained twin, and then the pixels."""
    twin, pixels = study.found.share("grouped_over_untrained_twin"), study.found.share("grouped_over_pixels")
    if twin.known and not twin.low > 0:
        return f"No more than an untrained network would, the decoder of {study.model} gives the {study.kind} away"
    verdict = f"the decoder of {study.model} gives the {study.kind} away"
    if pixels.known and pixels.high < 0:
        return f"Yes, {verdict}, but less than the pixels already do"
    if pixels.known and not pixels.low > 0:
        return f"Yes, {verdict}, but not shown to be more than the pixels already do"
    return f"Yes, {verdict}"


def _what_is_added(study: Study) -> str:
    known = {name: study.found.share(f"grouped_over_{name}") for name in BESIDE}
    known = {name: difference for name, difference in known.items() if difference.known}
    if not known:
        return "What the decoder adds over pixels and vision tower is not known, for they were not probed beside it"
    strongest = min(known, key=lambda name: known[name].value)
    added = f"The decoder {over(BESIDE[strongest], known[strongest])}"
    read = [f"{BESIDE[name]} {percent(study.found.number(f'grouped_{name}'))}" for name in known if name != strongest]
    return f"{added}, the strongest baseline (the others read {listing(read)})" if read else added


def _leak(study: Study, protocol: str) -> str:
    copies, peak = study.copies_in_train(protocol), study.found.number(f"{study.notebook}peak_accuracy")
    share = "some" if math.isnan(copies) else percent(copies)
    of_images = f"{share} of its test images have a copy of their photo in training"
    clause = f"{study.split_name(protocol)} is {LEAKING}: {of_images}"
    if protocol == "signbridge" and not math.isnan(peak):
        return f"{clause}, so its {percent(peak)} is no evidence"
    return f"{clause}, so its figures are no evidence"
