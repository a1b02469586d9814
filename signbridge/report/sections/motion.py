"""Signs that move: does the decoder hold the order of the frames, or a bag of hand shapes?"""

from dataclasses import dataclass
from itertools import chain

import pandas as pd

from signbridge.core.activations import block_of, layer_site
from signbridge.core.names import (
    IN_ORDER,
    MOVEMENT,
    PIXEL_DIFFERENCES,
    PIXELS,
    SHUFFLED,
    SIGN,
    TOWER_IN_ORDER,
    TWIN_IN_ORDER,
)
from signbridge.report.curve import lines_by_site
from signbridge.report.inputs import Inputs
from signbridge.report.page_parts import Picture, layer_table
from signbridge.report.palette import CHANCE, READINGS
from signbridge.report.wording import (
    count,
    listing,
    p_value,
    percent,
    points_with_interval,
    share_with_interval,
)

ALL, BEST, OWN, TWIN, NOWHERE = "all", "best", "own", "twin", "none"
NAMES = {
    IN_ORDER: "frames in order",
    SHUFFLED: "frames shuffled",
    "reversed": "frames backwards",
    "middle_frame": "the middle frame alone",
    "single_frames": "each frame read by itself, averaged",
    TWIN_IN_ORDER: "the untrained twin, frames in order",
    "twin_shuffled": "the untrained twin, frames shuffled",
    "vision": "the vision tower, mean over frames",
    PIXELS: "raw pixels, frames side by side",
    "pixels_mean": "raw pixels, mean over frames",
    PIXEL_DIFFERENCES: "what changes from frame to frame in raw pixels",
    TOWER_IN_ORDER: "the vision tower, frames side by side",
}
SEE_ORDER = (PIXELS, PIXEL_DIFFERENCES, TOWER_IN_ORDER)  # controls that hold the order of the frames by their making
TOLD = {
    MOVEMENT: "the movement, among signs of one hand shape",
    "shape": "the hand shape, among signs of one movement",
    SIGN: "the sign, among all",
}


@dataclass(frozen=True)
class Motion(Inputs):
    """The page on clips; `sample` has a row a clip, whose `photo` is the clip itself."""

    accuracy: pd.DataFrame  # this and the tables below: data/motion/compared/
    order: pd.DataFrame
    controls: pd.DataFrame
    other_clip: pd.DataFrame
    backwards: pd.DataFrame
    frames: pd.DataFrame
    answers: pd.DataFrame
    strips: tuple[tuple[str, tuple[bytes, ...]], ...] = ()  # of a few clips: what it is called, and its frames as PNG

    @property
    def target(self) -> str:
        """What is quoted: the movement or, where no two signs are known to differ in movement alone, the sign."""
        return MOVEMENT if f"{MOVEMENT}_{IN_ORDER}" in self.found else SIGN

    @property
    def targets(self) -> list[str]:
        """What is told, the quoted first."""
        return [target for target in TOLD if f"{target}_{IN_ORDER}" in self.found]

    @property
    def position(self) -> str:
        """The position at which layers are quoted."""
        return str(self.found["position"])

    @property
    def taught(self) -> list[str]:
        """The layers that are known to have been taught to tell movement; none where nothing is known."""
        ends = [block_of(str(self.found.get(f"taught_{end}", ""))) for end in ("from", "to")]
        return [] if None in ends else [layer_site(block) for block in range(ends[0], ends[1] + 1)]

    @property
    def sites(self) -> list[str]:
        """The sites that were probed in order, by depth."""
        return list(self.by_layer(self.target, IN_ORDER)["site"])

    def adds(self, target: str) -> str:
        """The finding that is what order adds to `target`."""
        return "order_adds" if target == MOVEMENT else f"order_adds_to_{target}"

    def by_layer(self, target: str, series: str) -> pd.DataFrame:
        """The accuracy of one reading at every site: before the decoder at its one position, within at the quoted."""
        rows = self.accuracy[(self.accuracy["target"] == target) & (self.accuracy["series"] == series)]
        rows = rows[(rows["kind"] == ALL) & ~rows["site"].isin([BEST, OWN])]
        before = ~rows["site"].str.startswith("layer_") & (rows["position"] == "video_mean")
        return rows[before | (rows["site"].str.startswith("layer_") & (rows["position"] == self.position))]

    def order_rows(self, target: str, of: str = "", kind: str = ALL) -> pd.DataFrame:
        """What order adds to `target`, by site at the quoted position."""
        rows = self.order[(self.order["target"] == target) & (self.order["of"] == of) & (self.order["kind"] == kind)]
        return rows[rows["position"] == self.position]

    def hardest(self, target: str, seeing: bool) -> pd.Series | None:
        """The control that leaves least to what is read in order: of those that see the order, or of the others."""
        rows = self.controls[self.controls["target"] == target]
        rows = rows[rows["control"].isin(SEE_ORDER) == seeing]
        return None if rows.empty else rows.loc[rows["over"].idxmin()]


def called(control: str, site: str = "") -> str:
    """How a reading or a control is called on the page."""
    return NAMES[control] + (", at the layers chosen in order" if control == SHUFFLED and site == BEST else "")


def answer(motion: Motion) -> tuple[str, ...]:
    """What order adds; the hardest controls; what happens backwards and in the twin; the depth; the words."""
    said = [_what_order_adds(motion), _blind(motion), _seeing(motion), _backwards(motion), _depth(motion)]
    return tuple(sentence for sentence in [*said, _words(motion)] if sentence)


def _what_order_adds(motion: Motion) -> str:
    target, found = motion.target, motion.found
    gain = found.share(motion.adds(target))
    p = found.number(f"{motion.adds(target)}_p_value")
    told = p < motion.level
    verdict = "Order adds" if told and gain.value > 0 else "No gain from order is shown:"
    if told and gain.value < 0:
        verdict = "Order takes away:"
    return (
        f"A probe of the decoder, tested on signers it was not trained on, tells {TOLD[target]}, for "
        f"{percent(found.number(f'{target}_{IN_ORDER}'))} of the clips with their frames in order, and for "
        f"{percent(found.number(f'{target}_{SHUFFLED}'))} with the same frames shuffled (chance "
        f"{percent(found.number(f'{target}_chance'))}). {verdict} {points_with_interval(*gain)}, {p_value(p)}."
    )


def _blind(motion: Motion) -> str:
    row = motion.hardest(motion.target, seeing=False)
    if row is None:
        return ""
    more = points_with_interval(row["over"], row["over_low"], row["over_high"])
    return (
        f"The hardest of the controls that do not see the order is {called(row['control'], row['site'])}, with "
        f"{percent(row['accuracy'])}: in order it is {more} "
        f"more, {_apart(motion, row)}."
    )


def _apart(motion: Motion, row: pd.Series) -> str:
    """Whether a control is told apart from the frames in order, with its p-value."""
    told = "told apart" if row["p_max"] < motion.level else "not told apart"
    return f"{told} ({p_value(row['p_max'])} over all controls)"


def _seeing(motion: Motion) -> str:
    """What holds the order by its making: the honest bound of every claim that the decoder holds it."""
    rows = motion.controls[(motion.controls["target"] == motion.target) & motion.controls["control"].isin(SEE_ORDER)]
    if rows.empty:
        return ""
    said = listing([f"{called(row['control'])} {percent(row['accuracy'])}" for row in rows.to_dict("records")])
    less = rows["accuracy"].max() >= motion.found.number(f"{motion.target}_{IN_ORDER}")
    bound = "The decoder tells no more than the picture gives away." if less else "The decoder tells more than these."
    return f"Frames laid side by side hold their order without any model: {said}. {bound}"


def _backwards(motion: Motion) -> str:
    found, said = motion.found, []
    if "reversed_names_other" in found:
        said.append(
            "Shown backwards, a clip is taken by the same probe for another sign of its shape in "
            f"{percent(found.number('reversed_names_other'))} of the cases (in order: "
            f"{percent(found.number('in_order_names_other'))})"
        )
    if "twin_order_adds" in found:
        said.append(f"in the untrained twin order adds {points_with_interval(*found.share('twin_order_adds'))}")
    sentence = "; ".join(said)
    return f"{sentence[0].upper()}{sentence[1:]}." if said else ""


def _depth(motion: Motion) -> str:
    first = str(motion.found.get("order_from", ""))
    if not first:
        return ""
    said = "No layer by itself is told apart" if first == NOWHERE else f"The first layer at which order adds is {first}"
    step = str(motion.found.get("order_step", NOWHERE))
    said += f"; the gain rises most at {step}" if step != NOWHERE else ""
    if not motion.taught:
        return f"{said}."
    numbers = [str(block_of(site)) for site in motion.taught]
    taught = f"{'block' if len(numbers) == 1 else 'blocks'} {listing(numbers)} alone learnt to tell the movement"
    verdict = (
        "so it is found where it was taught" if step in motion.taught else "so it is not found where it was taught"
    )
    return f"{said}. Of this model it is known that {taught}, {verdict}."


def _words(motion: Motion) -> str:
    found = motion.found
    if f"text_{IN_ORDER}" not in found:
        return ""
    named = "movement" if found["text_names"] == MOVEMENT else "sign"
    shuffled = f", and of {percent(found.number(f'text_{SHUFFLED}'))} shuffled" if f"text_{SHUFFLED}" in found else ""
    return (
        f"The model's own answer names the {named} of {percent(found.number(f'text_{IN_ORDER}'))} of the clips in "
        f"order{shuffled} (always the commonest: {percent(found.number('text_chance'))})."
    )


def curve(motion: Motion) -> Picture:
    """What is told by layer, in order and in the readings that are controls."""
    target = motion.target
    shown = {reading: series for reading, series in READINGS.items() if len(motion.by_layer(target, reading))}
    parts = [motion.by_layer(target, reading).assign(series=series.name) for reading, series in shown.items()]
    sites, chance = motion.sites, motion.found.number(f"{target}_chance")
    level = pd.DataFrame({"series": CHANCE.name, "site": sites, "accuracy": chance, "low": chance, "high": chance})
    table = pd.concat([*parts, level], ignore_index=True).rename(columns={"accuracy": "value"})
    table = table[["series", "site", "value", "low", "high"]]
    title = f"What a probe tells by layer: {TOLD[target]}"
    sees = (
        f"Where the line of frames in order lies above that of frames shuffled, the decoder holds their order. Layers "
        f"are read at {_where(motion)}, sites before the decoder as the mean over the clip, which no order changes "
        f"there. Bands: intervals over {count(motion.found.number('signers'))} signers."
    )
    spec = lines_by_site(table, sites, [*shown.values(), CHANCE], "told")
    return Picture("motion-curve", title, sees, layer_table(title, table, share_with_interval), spec)


def _where(motion: Motion) -> str:
    return {"prompt_last": "the last token of the prompt", "answer_last": "the last token of the answer"}.get(
        motion.position, "the mean over all tokens of the clip"
    )


def kinds(motion: Motion) -> list[str]:
    """The kinds of pairs that are known, in order of appearance."""
    rows = motion.order[(motion.order["target"] == MOVEMENT) & (motion.order["site"] == BEST)]
    return list(dict.fromkeys(chain(rows.loc[rows["kind"] != ALL, "kind"])))
