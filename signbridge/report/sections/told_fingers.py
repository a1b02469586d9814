"""Minimal pairs read through features: which change with one bent finger, and do they tell which finger it was?"""

from signbridge.report.inputs import Sae
from signbridge.report.page_parts import Section, Table
from signbridge.report.wording import POSITIONS, count, number, percent, value_with_interval

TITLE = "One finger moved and nothing else: features of minimal pairs"
READS = {"features": "one feature", "stream": "one dimension", "probe": "all dimensions"}
BASELINES = {
    "dimensions": "one dimension of the stream",
    "stream": "all its dimensions",
    "tower": "the tower's mean over image tokens",
    "pixels": "pixels",
}
FINGERS = ("index", "middle", "ring", "pinky")
LETTERS = {"each": "each letter by itself", "all": "one for all letters"}


def section(sae: Sae) -> Section | None:
    """What features say of a bent finger; none where the images of the dataset are not drawn."""
    if sae.told_fingers.empty:
        return None
    return Section("told-fingers", TITLE, _lead(sae), tables=(_table(sae),))


def _lead(sae: Sae) -> tuple[str, ...]:
    found = sae.steered

    def auc(name: str) -> str:
        ends = ("", "_low", "_high")
        return value_with_interval(*(found.number(f"fingers_told_{name}{end}") for end in ends))

    strongest = str(found["fingers_told_strongest"])
    beside = "; ".join(f"{said} {auc(name)}" for name, said in BASELINES.items())
    return (
        f"{count(found.number('fingers_told_photos'))} photos were drawn again, once for each finger, with that finger "
        "bent further at its knuckle and nothing else changed. Of the features that differ in such pairs at the image "
        f"tokens of {found['fingers_told_site']}, {percent(found.number('fingers_told_changed'))} change in one "
        "direction, more steadily than differences with random signs do (corrected for all features of the place).",
        "Do they tell which finger it was? The best feature for each letter and finger is chosen on half of them. "
        "On the other half it is scored by how often it changes more in its own pair than in the others of the photo "
        f"(an area under the ROC curve, 0.5 by chance): {auc('features')}, averaged over fingers. Chosen in the same "
        f"way: {beside}. The difference from the strongest, {BASELINES[strongest]}, is {auc('over_strongest')}. One "
        f"feature for all letters has {number(found.number('fingers_told_features_all_letters'), 2)}. With fingers "
        f"shuffled within each photo features have {number(found.number('fingers_told_shuffled'), 2)} at most.",
    )


def _table(sae: Sae) -> Table:
    rows = sae.told_fingers[sae.told_fingers["fitted_on"] == "named"]
    keys = ["reads", "site", "position", "letters"]
    null = sae.told_fingers[sae.told_fingers["fitted_on"] == "random"].set_index(keys)["auc"]
    return Table(
        "Which finger was bent, told by the difference of the two images: AUC within photos",
        ("what is read", "all fingers", "with shuffled fingers", *FINGERS),
        tuple(
            (f"{_place(row['site'], row['position'])}: {READS[row['reads']]}, "
             f"{LETTERS[row['letters']]}", value_with_interval(row["auc"], row["auc_low"], row["auc_high"]),
             number(null[tuple(row[keys])], 2), *(number(row[finger], 2) for finger in FINGERS))
            for _, row in rows.iterrows()
        ),
    )  # fmt: skip


def _place(site: str, position: str) -> str:
    return site if site == "pixels" else f"{site}, {POSITIONS[position]}"
