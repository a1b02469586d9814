"""The sentences that the miniature's image tokens are compared with: as it has read them, each once.

python -m models.miniature.corpus
"""

from pathlib import Path

import numpy as np

from models.miniature.lessons import plain_sentence
from signbridge.core.tables import whole_file

# Not beside the model: a text file there would count as one of its own.
CORPUS = Path(__file__).parents[2] / "corpora" / "miniature.txt"
DRAWN, SEED = 4000, 0


def corpus() -> list[str]:
    """The sentences, in the order in which they are first drawn."""
    generator = np.random.default_rng(SEED)
    return list(dict.fromkeys(plain_sentence(generator) for _ in range(DRAWN)))


if __name__ == "__main__":
    with whole_file(CORPUS) as unfinished:
        unfinished.write_text("\n".join(corpus()) + "\n", encoding="utf-8", newline="\n")
