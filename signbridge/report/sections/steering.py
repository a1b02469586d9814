"""Steering: does adding a direction between two classes change the answer from one to the other, and at what cost?"""

import math

import pandas as pd

from signbridge.report import palette
from signbridge.report.charts.by_site import map_by_site
from signbridge.report.charts.planes import dose_response
from signbridge.report.inputs import Causal
from signbridge.report.page_parts import (
    Cell,
    Picture,
    Section,
    Table,
    Thumbnail,
    dose_table,
    thumbnail,
)
from signbridge.report.wording import (
    DIRECTIONS,
    EDITED,
    listing,
    number,
    percent,
    plural,
    points_with_interval,
    share_with_interval,
    short,
)

TITLE = "Does a direction added to the stream change the answer: steering"
MEANS = "steering_class_means"  # begins the findings of the difference of class means
OF_CLASSES = ("class_means", "probe", "unembedding")
DURING = {"prefill": "while the prompt is read", "every_step": "at every step"}
AT = ("image", "prompt_last", "every")
MOST_TEXTS = 12
DAMAGE_AREA = ["damage_area", "damage_area_low", "damage_area_high"]


def section(causal: Causal) -> Section | None:
    """Efficacy against two nulls, damage, and texts before and after."""
    if causal.steering.empty:
        return None
    pictures = [_dose_response(causal, at) for at in AT if at in set(causal.steering["at"])]
    return Section("steering", TITLE, _lead(causal), (*pictures, _areas(causal)), tables=_texts(causal))


def answer(causal: Causal) -> tuple[str, ...]:
    """Whether the difference of class means steers, as a sentence; none where nothing was steered."""
    if f"{MEANS}_probability" not in causal.found:
        return ()
    over = [causal.found.share(f"{MEANS}_over_{null}") for null in ("random", "shuffled_means")]
    steers = "steers the answer" if min(one.low for one in over) > 0 else "is not shown to steer the answer"
    probability = share_with_interval(*causal.found.share(f"{MEANS}_probability"))
    return (
        f"Adding the difference of class means to the stream {steers}: the other {causal.kind}'s answer has a "
        f"probability of {probability}, {_over_hardest(causal, MEANS)}.",
    )


def _lead(causal: Causal) -> tuple[str, ...]:
    steered, pairs, described, draws = (
        causal.found.number(f"steering_{name}") for name in ("images", "class_pairs", "described_images", "draws")
    )
    return (
        f"A direction from one {causal.kind} to another with a different commonest answer is fitted on half of the "
        f"{causal.group.many} and added to the stream of {causal.group.images} of the other half. A direction of "
        "strength 1 is as long as the "
        "stream. Efficacy is the probability of the other answer. Damage is how much less likely the model's own "
        "descriptions of other images become. Two nulls have the same length: random directions, and differences of "
        f"class means after the {causal.kind}s were shuffled over the photos.",
        "The best place of a direction is chosen on one half of the pairs and evaluated on the other, then the halves "
        "are exchanged; places with more damage than allowed (steering_effects.most_damage in "
        f"stages/causal/params.yaml) are left out. There are {plural(steered, 'steered image')} of "
        f"{plural(pairs, 'pair')} of {causal.kind}s, {plural(described, 'described image')} and "
        f"{plural(draws, 'draw')} of each null. Images of a pair share its direction, and all share the draws: "
        "intervals resample pairs, images within them, and draws.",
        *(_verdict(causal, direction) for direction in OF_CLASSES),
    )


def _verdict(causal: Causal, direction: str) -> str:
    key = f"steering_{direction}"
    name = DIRECTIONS[direction]
    name = name[0].upper() + name[1:]
    if f"{key}_probability" not in causal.found:
        return f"{name}: on one half or both, no place was found that does no more damage than allowed."
    random, shuffled = (causal.found.share(f"{key}_over_{null}") for null in ("random", "shuffled_means"))
    holds = "It is not shown to do more than random directions"
    if random.low > 0 and shuffled.low > 0:
        holds = "It steers"
    elif random.low > 0:
        holds = (
            f"It does more than random directions, but is not shown to do more than means of shuffled {causal.kind}s"
        )
    site, at, strength = (causal.found[f"{key}_best_{what}"] for what in ("site", "at", "strength"))
    during = DURING[str(causal.found[f"{key}_best_during"])]
    where = f"at the {EDITED[str(at)]} of {site}, {during}, strength {float(strength):g}"
    if not causal.found[f"{key}_halves_agree"]:
        where = f"best {where} (the two halves chose different places; the figures are those of both choices)"
    says, damages = (
        [causal.found.number(f"{key}_{null}{what}") for null in ("", "random_", "shuffled_means_")]
        for what in ("says", "damage")
    )
    return (
        f"{name}, {where}: the probability of the other answer is "
        f"{share_with_interval(*causal.found.share(f'{key}_probability'))}. The text says it for {percent(says[0])} of "
        f"the images (random {percent(says[1])}, shuffled {percent(says[2])}). Damage: {number(damages[0], 2)} nats a "
        f"token (random {number(damages[1], 2)}, shuffled {number(damages[2], 2)}). {holds}: "
        f"{_over_hardest(causal, key)}."
    )


def _over_hardest(causal: Causal, key: str) -> str:
    """How far the direction is above the null that does most, in words."""
    nulls = {"random": "random directions", "shuffled_means": f"means of shuffled {causal.kind}s"}
    hardest = min(nulls, key=lambda null: causal.found.number(f"{key}_over_{null}"))
    return (
        f"{points_with_interval(*causal.found.share(f'{key}_over_{hardest}'))} over {nulls[hardest]}, the harder null"
    )


def _site_of(causal: Causal, at: str, direction: str = "class_means") -> tuple[str, str]:
    """Where (during, site) the area is largest at these tokens, for the difference of class means."""
    rows = causal.steering_area[(causal.steering_area["at"] == at) & (causal.steering_area["direction"] == direction)]
    best = rows.loc[rows["area"].idxmax()]
    return str(best["during"]), str(best["site"])


def _dose_response(causal: Causal, at: str) -> Picture:
    during, site = _site_of(causal, at)
    rows = causal.steering
    rows = rows[(rows["at"] == at) & (rows["during"] == during) & (rows["site"] == site)]
    looks = palette.of_kind(palette.DIRECTIONS, causal.kind)
    table = rows.assign(series=[looks[name].name for name in rows["direction"]]).rename(
        columns={"probability_low": "low", "probability_high": "high"}
    )
    twin = dose_table(f"Dose and response at {site}", table, "direction", "probability of the other answer")
    spec = dose_response(
        table[["series", "strength", "damage", "probability", "low", "high"]], list(looks.values()),
        "probability of the other answer",
    )  # fmt: skip
    title = f"Dose and response: {EDITED[at]}, {site}, {DURING[during]}"
    return Picture(f"steering-{at.replace('_', '-')}", title, _sees_doses(causal, at, during, site), twin, spec)


def _sees_doses(causal: Causal, at: str, during: str, site: str) -> str:
    rows = causal.steering_area
    rows = rows[(rows["at"] == at) & (rows["during"] == during) & (rows["site"] == site)].set_index("direction")
    broken = rows["breakdown_strength"]
    ends = [
        f"{look.name} {'never' if math.isnan(broken[name]) else f'at {broken[name]:g}'}"
        for name, look in palette.of_kind(palette.DIRECTIONS, causal.kind).items() if name in broken.index
    ]  # fmt: skip
    sees = (
        "Each line goes from strength 0 (bottom left) to the strongest; efficacy rises upwards, damage to the right. "
        "The site is the one where the difference of class means has the largest area over random: "
        f"{points_with_interval(*rows.loc['class_means', ['area', 'area_low', 'area_high']])} over the strengths "
        f"tried, and at equal damage {points_with_interval(*rows.loc['class_means', DAMAGE_AREA])}."
    )
    return sees + (f" The strength at which the text breaks down: {listing(ends)}." if ends else "")


def _areas(causal: Causal) -> Picture:
    rows = causal.steering_area[causal.steering_area["direction"].isin(OF_CLASSES)]
    last = rows.groupby("at", sort=False)["during"].transform("last")
    rows = rows[rows["during"] == last]
    sites = sorted(rows["site"].unique())
    order = [(at, name) for at in AT for name in OF_CLASSES if at in set(rows["at"])]
    label = {(at, name): f"{DIRECTIONS[name]},\n{EDITED[at]}" for at, name in order}
    drawn = pd.concat([rows[(rows["at"] == at) & (rows["direction"] == name)] for at, name in order])
    keys = zip(drawn["at"], drawn["direction"], strict=True)
    drawn = drawn.assign(name=[label[key] for key in keys], value=drawn["area"].clip(lower=0))
    spec = map_by_site(drawn[["site", "name", "value"]], sites, "area over random", row=40)
    cells = {(row["at"], row["direction"], row["site"]): points_with_interval(*row[["area", "area_low", "area_high"]])
             for _, row in drawn.iterrows()}  # fmt: skip
    columns = tuple(label[key].replace("\n", " ") for key in order)
    twin = Table(
        "Area between steered and random, over the strengths tried", ("site", *columns),
        tuple((site, *(cells.get((*key, site), "–") for key in order)) for site in sites),
    )  # fmt: skip
    best = drawn.loc[drawn["area"].idxmax()]
    sees = (
        "The area between the curve of a direction and that of random ones, over the strengths tried, divided by the "
        f"largest strength. The largest area: {DIRECTIONS[best['direction']]} at the {EDITED[best['at']]} of "
        f"{best['site']}, {points_with_interval(*best[['area', 'area_low', 'area_high']])}."
    )
    return Picture("steering-areas", "Where a direction steers", sees, twin, spec)


def _texts(causal: Causal) -> tuple[Table, ...]:
    """Descriptions before and after, where the difference of class means works best at each kind of token."""
    told = causal.descriptions
    png = causal.png
    rows = []
    for at in [at for at in AT if at in set(told["at"])]:
        here = told[told["at"] == at]
        during = str(here["during"].iloc[0])
        site = _told_site(causal, at, during, list(here["site"].unique()))
        here = here[(here["site"] == site) & (here["strength"] == _told_strength(causal, at, during, site))]
        for (a, b), pair in here.groupby(["a", "b"], sort=False):
            after = pair.set_index("direction")["after"]
            image_id, strength = pair["image_id"].iloc[0], pair["strength"].iloc[0]
            shown: Cell = "–"
            if image_id in png:
                shown = Thumbnail(thumbnail(png[image_id]), f"{short(str(a))}, steered to {short(str(b))}")
            where = f"{short(str(a))} to {short(str(b))}, {EDITED[at]} of {site}, strength {strength:g}"
            rows.append(
                (where, shown, short(pair["before"].iloc[0]), short(after["class_means"]), short(after["random"]))
            )
    columns = ("steered", "image", "before", "steered", "random direction")
    return (Table("Descriptions before and after", columns, tuple(_spread(rows))),) if rows else ()


def _spread(rows: list) -> list:
    """At most `MOST_TEXTS` of the rows, evenly."""
    step = max(1, math.ceil(len(rows) / MOST_TEXTS))
    return rows[::step]


def _told_site(causal: Causal, at: str, during: str, sites: list[str]) -> str:
    rows = causal.steering_area
    rows = rows[(rows["at"] == at) & (rows["during"] == during) & (rows["direction"] == "class_means")]
    rows = rows[rows["site"].isin(sites)]
    return str(rows.loc[rows["area"].idxmax(), "site"])


def _told_strength(causal: Causal, at: str, during: str, site: str) -> float:
    """The smallest strength at which the other answer has a probability of 0.5 or more, or the largest of all."""
    rows = causal.steering
    rows = rows[(rows["at"] == at) & (rows["during"] == during) & (rows["site"] == site)]
    rows = rows[rows["direction"] == "class_means"]
    likely = rows[(rows["probability"] >= 0.5)]
    return float(likely["strength"].min() if len(likely) else rows["strength"].max())
