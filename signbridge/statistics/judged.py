"""What share of patches says a word that a judge, a vision model, finds related to what is there.

The measure of LatentLens (2026): a patch is drawn as a red box on its image (`lenses/red_box.py`). The judge is given
the words of the patch, and names those that are related to it concretely, abstractly or globally. A patch with one such
word or more is interpretable, as in the paper's published code (github.com/McGill-NLP/latentlens,
reproduce/scripts/evaluate, MIT licence). There the judge is GPT-5, asked about 100 patches a layer and lens.

The question (`lenses/question.txt`) asks what the published one asks (`IMAGE_PROMPT_WITH_CROP` of its prompts.py: the
same two pictures, three relations and JSON fields), in other words, so shares need not equal the paper's to the digit.
The params can name another text, the published one among them.

Judges are lenient, and every image of a study of hands shows a hand. So there is a null: the same question with the
words that the same patch has in an image of another class, at that layer under that lens.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Literal

import numpy as np
import pandas as pd
import pyarrow as pa
from pydantic import BaseModel, ConfigDict, Field

from signbridge.core.errors import SignBridgeError, place_tried
from signbridge.core.names import LENSES
from signbridge.core.params import Section
from signbridge.core.tables import Metric
from signbridge.statistics.effects import effects
from signbridge.statistics.intervals import StatisticsParams

WORDS_GO_HERE = "{candidate_words}"
KEYS = ["image_id", "patch", "site", "lens"]
RELATED = ("concrete_words", "abstract_words", "global_words")
JUDGED = pa.schema(
    {
        "image_id": pa.string(),
        "patch": pa.int64(),
        "site": pa.string(),
        "lens": pa.string(),
        "null": pa.bool_(),  # whether the words are those of another image
        "words_of": pa.string(),  # the image whose words they are
        "words": pa.string(),  # a JSON list, the nearest first
        "interpretable": pa.bool_(),  # null: the answer was unreadable
        **dict.fromkeys(RELATED, pa.string()),  # as the judge lists them, a JSON list each
        "reason": pa.string(),  # the judge's own; of an unreadable answer all that it says
    }
)
ASKED = JUDGED.names[:7]
VALUES = {"share": ("share", "low", "high"), "null": ("null", "null_low", "null_high"),
          "over_null": ("over_null", "over_null_low", "over_null_high")}  # fmt: skip
SHARES = ["lens", "site", *(name for names in VALUES.values() for name in names), "asked", "unreadable"]


# Names in metrics/lenses/judge.json, and the findings that they are: shares of patches, 0 to 1.
HEADLINE = {
    f"{lens}_lens_{name}": f"{lens}_{finding}"
    for lens in ("logit", "latent", "embedding")
    for name, finding in {
        "over_null": "over_null",
        "over_null_low": "over_null_low",
        "over_null_high": "over_null_high",
        "readable": "share",
        "null": "null",
    }.items()
} | {name: name for name in ("questions", "unreadable", "patches", "images", "judge_model", "server_model", "model")}


class JudgeParams(Section):
    """The section `judge`."""

    server: str = Field(pattern=r"^https?://[^\s/@]+(/[^\s@?#]*)?$")  # without credentials: params are published
    model: str = Field(min_length=1)  # as the server names it
    question: str  # a text file with {candidate_words}
    patches: int = Field(ge=1)  # a layer and lens, at most
    box: Literal[1, 3, 5]  # patches a side
    temperature: float | None = Field(ge=0, le=2)  # None: the server's own
    answer_tokens: int = Field(ge=1)  # of an answer, at most
    at_once: int = Field(ge=1, le=256)  # requests under way


class Judgement(BaseModel):
    """What a judge answers of one patch."""

    model_config = ConfigDict(strict=True)

    interpretable: bool
    concrete_words: list[str]
    abstract_words: list[str]
    global_words: list[str]
    reasoning: str = ""

    @property
    def finds_one(self) -> bool:
        """Whether a word is related: by the lists, not by `interpretable`, as the published code counts."""
        return bool(self.concrete_words or self.abstract_words or self.global_words)


def question_text(path: Path | str) -> str:
    """The text of the question. Raises `SignBridgeError` if it is missing, no UTF-8, or has no place for the words."""
    try:
        text = Path(path).expanduser().read_text(encoding="utf-8")
    except (FileNotFoundError, IsADirectoryError):
        raise SignBridgeError(
            f"{path}: no such file. Set judge.question in stages/judge/params.yaml to a text file with the question."
            f"{place_tried(path)}"
        ) from None
    except UnicodeDecodeError:
        raise SignBridgeError(f"{path}: not UTF-8 text. Save it as UTF-8.") from None
    if WORDS_GO_HERE not in text:
        raise SignBridgeError(f"{path}: the question has no {WORDS_GO_HERE}. Put it where the words belong.")
    return text


def patches_to_judge(
    table: pd.DataFrame, labels: Mapping[str, str], most: int, generator: np.random.Generator
) -> pd.DataFrame:
    """What a judge is asked: a row a patch, layer, lens and whose words they are, with the columns `ASKED` of `JUDGED`.

    `table` is `data/lenses/words.parquet`. At most `most` patches are drawn, as many from each image as from any other
    or one more, and the same at all layers under all lenses. A larger `most` keeps these and adds others. Where all
    images are of one class there is no null.
    """
    words = table.sort_values("rank", kind="stable").groupby(["site", "lens", "image_id", "patch"], sort=False)["word"]
    said = words.agg(_as_json).rename("words").reset_index().rename(columns={"image_id": "words_of"})
    drawn = _drawn_patches(table, labels, generator)[:most]
    own = [(image, patch, False, image) for image, patch, _ in drawn]
    null = [(image, patch, True, other) for image, patch, other in drawn if other is not None]
    asked = pd.DataFrame([*own, *null], columns=["image_id", "patch", "null", "words_of"])
    asked = asked.merge(said, on=["words_of", "patch"])
    sites = list(dict.fromkeys(table["site"]))
    places = {"lens": LENSES.index, "site": sites.index}
    asked = asked.sort_values(
        ["lens", "site", "image_id", "patch", "null"], ignore_index=True,
        key=lambda column: column.map(places[column.name]) if column.name in places else column,
    )  # fmt: skip
    return asked[ASKED]


def _as_json(words: Iterable[str]) -> str:
    """White space, a token of LogitLens at times, is no word."""
    return json.dumps([word for word in words if word.strip()], ensure_ascii=False)


def _drawn_patches(
    table: pd.DataFrame, labels: Mapping[str, str], generator: np.random.Generator
) -> list[tuple[str, int, str | None]]:
    """All patches in the order in which they are drawn, one of every image in turn, each with an image for its null."""
    images, patches = sorted(set(table["image_id"])), sorted(set(table["patch"]))
    others = {image: [other for other in images if labels[other] != labels[image]] for image in images}
    turn = generator.permutation(len(images))
    of_image = np.array([generator.permutation(patches) for _ in images])
    return [
        (image, int(patch), others[image][generator.integers(len(others[image]))] if others[image] else None)
        for of_round in of_image.T
        for image, patch in ((images[index], of_round[index]) for index in turn)
    ]


def read_answer(text: str) -> Judgement | None:
    """The judgement in an answer: the last JSON object in it that has the fields asked for; None without one."""
    found, start = None, text.find("{")
    while start >= 0:
        end = start + 1
        try:
            value, after = json.JSONDecoder().raw_decode(text, start)
            found, end = Judgement.model_validate(value), after
        except (ValueError, RecursionError):  # no JSON, other fields, or brackets without end
            pass
        start = text.find("{", end)
    return found


def judged_patches(asked: pd.DataFrame, answers: Sequence[str]) -> pd.DataFrame:
    """The rows of `asked` with all columns of `JUDGED`: what the answer to each says."""
    read = [read_answer(answer) for answer in answers]
    columns = {
        "interpretable": pd.array([found.finds_one if found else None for found in read], dtype="boolean"),
        **{
            name: [json.dumps(getattr(found, name), ensure_ascii=False) if found else "" for found in read]
            for name in RELATED
        },
        "reason": [found.reasoning if found else answer for found, answer in zip(read, answers, strict=True)],
    }
    return asked.assign(**columns)[JUDGED.names]


def judged_shares(
    judged: pd.DataFrame, keys: Sequence[str], statistics: StatisticsParams, generator: np.random.Generator
) -> pd.DataFrame:
    """The share of patches that are interpretable for each combination of `keys`: lens, or lens and site.

    Beside it that of the same patches with words of another image (null), and the difference patch by patch, each with
    its interval over photos, of which every image shows another. The columns are `SHARES`. Patches whose answer is
    unreadable are left out: `unreadable` of those `asked`.
    """
    read = judged.dropna(subset="interpretable").astype({"interpretable": float})
    own, null = read[~read["null"]], read[read["null"]]
    pairs = own.merge(null, on=KEYS, suffixes=("", "_null"))
    pairs["interpretable"] -= pairs["interpretable_null"]
    first = judged[~judged["null"]]
    counts = first.groupby(list(keys), sort=False)["interpretable"].agg(asked="size", readable="count").reset_index()
    found = counts.assign(unreadable=counts["asked"] - counts["readable"])
    for name, rows in (("share", own), ("null", null), ("over_null", pairs)):
        if rows.empty:
            found[list(VALUES[name])] = np.nan
            continue
        curves = effects(rows, keys, "image_id", "interpretable", statistics, generator)
        curves = curves.table(name, statistics.confidence, share=name != "over_null")
        curves.columns = [*keys, *VALUES[name]]
        found = found.merge(curves, on=list(keys), how="left")
    return found.reindex(columns=[column for column in SHARES if column in found])


def judge_metrics(judged: pd.DataFrame, of_lenses: pd.DataFrame) -> dict[str, Metric]:
    """What was asked, and for each lens the shares over all patches asked about, at whatever layer."""
    metrics: dict[str, Metric] = {
        "questions": len(judged),
        "unreadable": int(judged["interpretable"].isna().sum()),
        "images": int(judged["image_id"].nunique()),
        "patches": len(judged[["image_id", "patch"]].drop_duplicates()),
    }
    for row in of_lenses.to_dict("records"):
        for name, columns in VALUES.items():
            values = {f"{row['lens']}_{name}{end}": row[column]
                      for end, column in zip(("", "_low", "_high"), columns, strict=True)}  # fmt: skip
            metrics |= {key: value for key, value in values.items() if not np.isnan(value)}
    return metrics


def as_table(judged: pd.DataFrame) -> pa.Table:
    """`judged_patches` as it is stored: in the types of `JUDGED`, however few rows there are."""
    return pa.Table.from_pandas(judged, schema=JUDGED, preserve_index=False)
