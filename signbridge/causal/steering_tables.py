"""The tables of a steering sweep, from its finished shards."""

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd

from signbridge.causal.pairs import says
from signbridge.causal.steering import Course, Doses, durings
from signbridge.core.shards import answers_of, vectors_of


def answers_table(courses: list[Course], sweep: Doses, shards: list[Path]) -> pd.DataFrame:
    """One row an edit and steered image: what it makes of the probability of b's answer, and of the text.

    a, b, answer_a, answer_b, site, at, during, direction, draw (of a random direction), strength (mean residual norms),
    image_id, clean_probability and clean_says (unsteered), probability, says, answer.
    """
    rows = []
    if not courses:
        return pd.DataFrame(columns=_ANSWERS)
    probabilities = _of_courses(vectors_of(shards, "probability"), [_shape(c, sweep, c.images) for c in courses])
    cleans = _of_courses(vectors_of(shards, "clean_probability"), [(len(course.images),) for course in courses])
    found = (probabilities, cleans, _texts(shards, "answers"))
    for course, probability, clean, texts in zip(courses, *found, strict=True):
        for place, edit in _edits(course, sweep):
            site, during, direction, strength = place
            for image, image_id in enumerate(course.image_ids):
                text = texts[site][during][direction * len(sweep.strengths) + strength][image]
                likely, said = probability[(*place, image)], says(text, course.pair.answer_b)
                before = clean[image], says(course.unsteered[image], course.pair.answer_b)
                rows.append((*course.pair, *edit, image_id, *before, likely, said, text))
    return pd.DataFrame(rows, columns=_ANSWERS)


def damage_table(courses: list[Course], sweep: Doses, shards: list[Path]) -> pd.DataFrame:
    """One row an edit and described image: a, b, site, at, during, direction, draw, strength, image_id, damage.

    `damage` is the rise in negative log-likelihood of the unedited model's description, in nats a token.
    """
    rows = []
    if not courses:
        return pd.DataFrame(columns=_DAMAGE)
    damages = _of_courses(vectors_of(shards, "damage"), [_shape(c, sweep, c.others) for c in courses])
    for course, damage in zip(courses, damages, strict=True):
        for place, edit in _edits(course, sweep):
            of_others = zip(course.other_ids, damage[place], strict=True)
            rows += [(course.pair.a, course.pair.b, *edit, *of_one) for of_one in of_others]
    return pd.DataFrame(rows, columns=_DAMAGE)


def descriptions_table(courses: list[Course], sweep: Doses, shards: list[Path]) -> pd.DataFrame:
    """One row a told edit: a, b, site, at, during, direction, strength, image_id, before, after (texts)."""
    rows = []
    for course, by_site in zip(courses, _texts(shards, "descriptions"), strict=True):
        during = durings(course.at, sweep.during)[-1]
        for site, texts in by_site.items():
            edits = [(direction, strength) for direction in course.told for strength in sweep.strengths]
            for edit, after in zip(edits, texts, strict=True):
                place = (course.pair.a, course.pair.b, site, course.at, during)
                rows.append((*place, *edit, course.image_ids[0], course.before, after))
    names = ("a", "b", "site", "at", "during", "direction", "strength", "image_id", "before", "after")
    return pd.DataFrame(rows, columns=list(names))


def _shape(course: Course, sweep: Doses, images: list) -> tuple[int, ...]:
    """Sites, during, directions, strengths, images."""
    during = durings(course.at, sweep.during)
    return len(course.directions), len(during), len(course.names), len(sweep.strengths), len(images)


def _of_courses(flat: np.ndarray, shapes: list[tuple[int, ...]]) -> list[np.ndarray]:
    ends = np.cumsum([np.prod(shape) for shape in shapes])
    return [part.reshape(shape) for part, shape in zip(np.split(flat, ends[:-1]), shapes, strict=True)]


def _texts(shards: list[Path], kind: str) -> list:
    return [json.loads(texts)[kind] for texts in answers_of(shards)]


_EDIT = ("site", "at", "during", "direction", "draw", "strength")
_OF_IMAGE = ("image_id", "clean_probability", "clean_says", "probability", "says", "answer")
_ANSWERS = ["a", "b", "answer_a", "answer_b", *_EDIT, *_OF_IMAGE]
_DAMAGE = ["a", "b", *_EDIT, "image_id", "damage"]


def _edits(course: Course, sweep: Doses) -> Iterator[tuple[tuple[int, int, int, int], tuple]]:
    """Every edit of a course: where it stands in the arrays, and what it is."""
    sites, during = list(course.directions), durings(course.at, sweep.during)
    for place in np.ndindex(*_shape(course, sweep, [])[:-1]):
        site, when, direction, strength = place
        yield place, (sites[site], course.at, during[when], *course.names[direction], sweep.strengths[strength])
