"""What is asked of which image of the sample, such that neither image nor question tells the answer.

Of each finger as many images are asked where it is up as where it is not, and each of them in both words. So Yes is the
answer to half of the questions about any image, any finger, and in either word.
"""

import numpy as np
import pandas as pd

from signbridge.core.errors import SignBridgeError
from signbridge.core.params import MODELS
from signbridge.planted.questions import FINGERS, WORDS, Question, fingers_up
from signbridge.vlm.catalog import Model

COLUMNS = ["question_id", "image_id", "photo", "label", "finger", "word", "answer"]


def check_truth(name: str, model: Model, blocks: int | None = None) -> list[int]:
    """The blocks that compute the answer. Raises `SignBridgeError` for a model that says none, or more than it has.

    A twin that is like the model of another entry, but untrained, computes nothing.
    """
    planted = None if model.untrained is not None else model.planted
    if planted is None:
        raise SignBridgeError(
            f"{MODELS}: {name}: no `planted`, so the depth at which it computes an answer is not known and no method "
            "can be scored. Choose `model: miniature`, or state `planted: {blocks: [...]}` of a model that was made so."
        )
    if blocks is not None and max(planted.blocks) >= blocks:
        raise SignBridgeError(f"{MODELS}: {name}: planted.blocks: no block {max(planted.blocks)}. It has {blocks}.")
    return sorted(planted.blocks)


def questions_asked(sample: pd.DataFrame, drawn: np.ndarray, most: int, generator: np.random.Generator) -> pd.DataFrame:
    """The questions, a row each: `COLUMNS`, an image's two words about a finger one after the other.

    `sample` has image_id, photo and label; `drawn` whether the renderer drew the hand of each. Raises `SignBridgeError`
    if it did not, or no finger is up in one image and down in another.
    """
    if not drawn.all():
        raise SignBridgeError(
            f"{int((~drawn).sum())} of {len(drawn)} hands of the sample were not drawn here, so it is not known which "
            "fingers are up. Choose `dataset: rendered` in params.yaml."
        )
    up, rows = fingers_up(), []
    known = sample[sample["label"].isin(list(up))].reset_index(drop=True)
    for finger in FINGERS:
        is_up = np.array([up[label][finger] for label in known["label"]], dtype=bool)
        sides = [generator.permutation(np.flatnonzero(side)) for side in (is_up, ~is_up)]
        each = min(most // 2, *map(len, sides))
        for row in np.sort(np.concatenate([side[:each] for side in sides])):
            image_id, photo, label = known.loc[row, ["image_id", "photo", "label"]]
            for word in WORDS:
                answer = Question(finger, word).answer(label)
                rows.append((f"{image_id} {finger} {word}", image_id, photo, label, finger, word, answer))
    if not rows:
        raise SignBridgeError(
            "No finger is up in one image of the sample and down in another. Add letters to `sample`."
        )
    return pd.DataFrame(rows, columns=COLUMNS)
