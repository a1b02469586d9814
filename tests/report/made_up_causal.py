"""A made-up run of the causal stages: the last token takes over half-way up, and all that was tried does something."""

from typing import Any

import numpy as np
import pandas as pd

from signbridge.report.columns import COLUMNS

ERASERS = {"leace": 0.7, "random_subspace": 0.05, "shuffled_labels": 0.2}
DIRECTIONS = {"class_means": 0.9, "probe": 0.3, "unembedding": 0.6, "shuffled_means": 0.1, "random": 0.0}
OF_CLASSES = ("class_means", "probe", "unembedding")
STRENGTHS = (0.0, 1.0, 2.0)


def tables(blocks: list[str], sample: pd.DataFrame) -> dict[str, Any]:
    """The tables that `Causal` has of them, by name, and the findings."""
    return {
        "found": _metrics(blocks),
        "patching": _patching(["embedding", *blocks] if blocks else []),
        "parts": _parts(blocks),
        "knockout": _knockout(blocks),
        "minimal_read": _fingers_read(blocks),
        "minimal_patched": _patching(["embedding", *blocks] if blocks else []),
        "minimal_said": _said(blocks, sample),
        "steering": _steering(blocks),
        "steering_area": _areas(blocks),
        "descriptions": _descriptions(blocks, sample),
        "erasure": _erasure(blocks),
        "erasure_answers": _erased_answers(blocks),
    }


def _around(name: str, value: float, half: float = 0.05) -> dict[str, float]:
    return {name: value, f"{name}_low": value - half, f"{name}_high": value + half}


def _patching(sites: list[str]) -> pd.DataFrame:
    rows = []
    for depth, site in enumerate(sites):
        carried = depth / max(len(sites) - 1, 1)
        for position, effect in (
            ("prompt_last", carried), ("question", 0.0), ("image", 1 - carried), ("all", 1.0),
        ):  # fmt: skip
            row = {"site": site, "depth": depth, "position": position, **_around("effect", effect)}
            rows.append(row | {"says_donor": float(effect > 0.5), "noise": 0.002})
    return pd.DataFrame(rows, columns=COLUMNS["patching"])


def _parts(blocks: list[str]) -> pd.DataFrame:
    rows = [
        {
            "position": "prompt_last",
            "part": part,
            "site": site,
            "depth": depth,
            **_around("effect", effect / (1 + depth)),
        }
        for depth, site in enumerate(blocks)
        for part, effect in (("attention", 0.3), ("mlp", 0.2), ("head_00", 0.1), ("head_01", 0.2))
    ]
    return pd.DataFrame(rows, columns=COLUMNS["parts"])


def _knockout(blocks: list[str]) -> pd.DataFrame:
    rows = []
    for edges, most in (("last_to_image", 0.9), ("last_to_question", 0.3), ("question_to_image", 0.1)):
        for keys, share in (("named", 1.0), ("random", 0.1)):
            for span in ("onwards", "window"):
                for depth, site in enumerate(blocks):
                    lost = most * share * (1 - depth / len(blocks)) / (1 if span == "onwards" else 20)
                    place = {"edges": edges, "keys": keys, "span": span, "first": site, "stop": blocks[-1], "tokens": 9}
                    rows.append(place | {**_around("lost", lost, 0.01), "changed": lost})
    return pd.DataFrame(rows, columns=COLUMNS["knockout"])


def _fingers_read(blocks: list[str]) -> pd.DataFrame:
    places = [("pixels", "flat", 0.7), *((site, at, 0.5) for site in blocks for at in ("image_tokens", "prompt_last"))]
    rows = [
        {"site": site, "position": at, "fitted_on": kind, **_around("accuracy", value)}
        for site, at, right in places if blocks
        for kind, value in (("named", right), ("random", 0.25))
    ]  # fmt: skip
    return pd.DataFrame(rows, columns=COLUMNS["minimal_read"])


def _said(blocks: list[str], sample: pd.DataFrame) -> pd.DataFrame:
    png = sample["image"].iloc[0]
    rows = [
        (photo, "B", finger, "A palm.", "A palm." if photo else "A fist.", not photo, png, png)
        for photo in (0, 1) for finger in ("index", "ring") if blocks
    ]  # fmt: skip
    return pd.DataFrame(rows, columns=["photo", "letter", "finger", "before", "after", "changed", "unmoved", "moved"])


def _steering(blocks: list[str]) -> pd.DataFrame:
    rows = []
    for depth, site in enumerate(blocks):
        for at, during in (("image", "prefill"), ("prompt_last", "every_step")):
            for direction, most in DIRECTIONS.items():
                for strength in STRENGTHS:
                    place = {"site": site, "depth": depth, "at": at, "during": during, "direction": direction}
                    response = _around("probability", most * strength / 2)
                    rise = _around("damage", 0.6 * strength)
                    rows.append({**place, "strength": strength, **response, "says": most * strength / 2, **rise})
    return pd.DataFrame(rows, columns=COLUMNS["steering"])


def _areas(blocks: list[str]) -> pd.DataFrame:
    rows = []
    for depth, site in enumerate(blocks):
        for at, during in (("image", "prefill"), ("prompt_last", "every_step")):
            deep = depth if at == "prompt_last" else len(blocks) - 1 - depth
            for direction, most in DIRECTIONS.items():
                area = _around("area", most * (1 + deep) / (2 * len(blocks)))
                area |= _around("damage_area", most * (1 + deep) / (4 * len(blocks)))
                broken = 2.0 if direction == "class_means" else np.nan
                rows.append({"site": site, "at": at, "during": during, "direction": direction, **area,
                             "breakdown_strength": broken})  # fmt: skip
    return pd.DataFrame(rows, columns=COLUMNS["steering_area"])


def _descriptions(blocks: list[str], sample: pd.DataFrame) -> pd.DataFrame:
    columns = ["a", "b", "site", "at", "during", "direction", "strength", "image_id", "before", "after"]
    letters = list(sample["label"].unique())
    rows = []
    for site in dict.fromkeys(blocks[:1] + blocks[-1:]):
        for at, during in (("image", "prefill"), ("prompt_last", "every_step")):
            for direction in ("class_means", "random"):
                for strength in STRENGTHS[1:]:
                    place = (letters[0], letters[-1], site, at, during, direction, strength)
                    rows.append((*place, sample["image_id"].iloc[0], "A fist.", f"After {direction}, {at}."))
    return pd.DataFrame(rows, columns=columns)


def _erasure(blocks: list[str]) -> pd.DataFrame:
    nothing = {"at": "nothing", "eraser": "nothing", "read_position": "prompt_last"}
    rows = [nothing | {"site": site, "read_site": site, **_around("accuracy", 0.8)} for site in blocks]
    for at in ("prompt_last", "image"):
        for index, site in enumerate(blocks):
            for eraser in ERASERS:
                for later in blocks[index:]:
                    gone = eraser == "leace" and later == site and at == "prompt_last"
                    place = {"at": at, "site": site, "eraser": eraser, "read_site": later}
                    accuracy = _around("accuracy", 0.25 if gone else 0.75)
                    rows.append(place | {"read_position": "prompt_last", **accuracy})
    return pd.DataFrame(rows, columns=COLUMNS["erasure"])


def _erased_answers(blocks: list[str]) -> pd.DataFrame:
    rows = [
        {"at": at, "site": site, "eraser": eraser, **_around("changed", changed), **_around("damage", changed / 10)}
        for at in ("prompt_last", "image")
        for site in blocks
        for eraser, changed in ERASERS.items()
    ]
    return pd.DataFrame(rows, columns=COLUMNS["erasure_answers"])


def _metrics(blocks: list[str]) -> dict[str, Any]:
    if not blocks:
        return {"model": "tiny (a test bed)", "patching_pairs": 0}
    first, last = blocks[0], blocks[-1]
    found = {
        "model": "tiny (a test bed)", "patching_pairs": 30, "patching_noise": 0.002, "patching_handover_site": last,
        "patching_handover_site_low": first, "patching_handover_site_high": last, "patching_largest_step": 0.4,
        "patching_largest_step_site": last, "confidence": 0.95, "patching_question": "answer",
        "patching_handover_prompt_last": 0.6, "patching_handover_image": 0.4, "steering_images": 12,
        "steering_class_pairs": 3, "steering_described_images": 5, "steering_draws": 4,
        "erasure_accuracy_left_in_sample": 0.03, "erasure_drawn_images": 600,
        "erasure_accuracy_left_at_one_image_token": 0.7,
        "erasure_accuracy_left": 0.27, **_around("erasure_comes_back", 0.75),
        **_around("erasure_given_back_by_image_tokens", 0.3),
        "erasure_comes_back_site": last, "erasure_comes_back_erased_site": first, "erasure_nothing_erased": 0.8,
    }  # fmt: skip
    for edges, lost in (("last_to_image", 0.9), ("last_to_question", 0.3), ("question_to_image", 0.1)):
        key = f"knockout_{edges}"
        found |= {**_around(f"{key}_lost", lost), **_around(f"{key}_over_random", lost * 0.9)}
        found |= {f"{key}_half_site{end}": site for end, site in (("", last), ("_low", first), ("_high", last))}
        found |= {f"{key}_window_lost": 0.04, f"{key}_window_site": first}
    for name, value in (("changed", 0.1), ("read_pixels", 0.7), ("read_prompt_last", 0.5), ("steered_over_other", 0.2)):
        found |= _around(f"minimal_{name}", value)
    found |= {
        "minimal_photos": 20, "minimal_pairs": 80, "minimal_patched_pairs": 9, "minimal_degrees": 40.0,
        "minimal_read_shuffled": 0.26, "minimal_steered": 0.4, "minimal_steered_site": first,
    }  # fmt: skip
    found |= {"knockout_images": 30, "knockout_window": 2}
    for kind in ("attention", "mlp", "head"):
        found |= {**_around(f"parts_{kind}_effect", 0.2), f"parts_{kind}_site": first, f"parts_{kind}_part": kind}
    for direction in OF_CLASSES:
        most, key = DIRECTIONS[direction], f"steering_{direction}"
        found |= _around(f"{key}_over_shuffled_means", most - 0.1)
        found |= {
            f"{key}_best_site": last, f"{key}_best_at": "prompt_last", f"{key}_best_strength": 2.0,
            f"{key}_best_during": "every_step", f"{key}_halves_agree": True,
            **_around(f"{key}_probability", most), **_around(f"{key}_over_random", most), f"{key}_says": most,
            f"{key}_random_says": 0.0, f"{key}_damage": 0.2, f"{key}_random_damage": 0.05,
            f"{key}_shuffled_means_says": 0.1, f"{key}_shuffled_means_damage": 0.1,
        }  # fmt: skip
    for at in ("prompt_last", "image"):
        found |= {f"erasure_{at}_site": last, f"erasure_{at}_halves_agree": True}
        for control in ("random_subspace", "shuffled_labels"):
            found |= _around(f"erasure_{at}_over_{control}", ERASERS["leace"] - ERASERS[control])
        for eraser, changed in ERASERS.items():
            found |= _around(f"erasure_{at}_{eraser}_changed", changed)
            found |= {f"erasure_{at}_{eraser}_damage": changed / 10}
    return found
