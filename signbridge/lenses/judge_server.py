"""Ask a server that speaks OpenAI's chat completions: several questions at once, none of them twice.

The server is the user's own (vLLM, llama.cpp, Ollama, LM Studio, ...) or a paid service. The client library retries
what can pass (no connection, too many requests, the server's own faults) and takes the key from `OPENAI_API_KEY`.
"""

import base64
import hashlib
import json
import logging
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Lock
from typing import Any, NamedTuple

import pandas as pd
from tqdm import tqdm

from signbridge.core.errors import SignBridgeError
from signbridge.core.tables import whole_file
from signbridge.lenses.red_box import Pictures, red_box_pictures
from signbridge.statistics.judged import WORDS_GO_HERE, JudgeParams

LOG = logging.getLogger(__name__)
RETRIES = 4  # of the client library, after 0.5, 1, 2 and 4 seconds or when the server says
NO_KEY = "none"  # servers of one's own want some key in the header and look at none


class Question(NamedTuple):
    """One question about one patch."""

    words: str
    pictures: Pictures

    @property
    def key(self) -> str:
        """The same for the same words and pictures alone."""
        parts = (hashlib.sha256(part).hexdigest() for part in (self.words.encode(), *self.pictures))
        return hashlib.sha256("".join(parts).encode()).hexdigest()


def questions_of(asked: pd.DataFrame, images: pd.Series, grid: Sequence[int], box: int) -> list[Question]:
    """The question of every row of `asked` (`patches_to_judge`); `images` are PNG files by image_id.

    What is shown of a patch is drawn once.
    """
    patches = asked[["image_id", "patch"]].drop_duplicates()
    pictures = {
        (image, patch): red_box_pictures(images[image], patch, grid, box)
        for image, patch in patches.itertuples(index=False)
    }
    return [Question(row.words, pictures[row.image_id, row.patch]) for row in asked.itertuples()]


class Answer(NamedTuple):
    """What a server answered."""

    text: str
    model: str  # as the server names itself


class KeptAnswers:
    """Answers by question, kept in a file of JSON lines, each written as it comes."""

    def __init__(self, path: Path):
        """Read what is there; a last line that a killed run left unfinished is dropped."""
        self._path, self._lock = path, Lock()
        lines = path.read_text(encoding="utf-8").splitlines() if path.is_file() else []
        entries = [entry for entry in map(_entry, lines) if entry]
        self._answers = dict(entries)
        with whole_file(path) as unfinished:
            unfinished.write_text("".join(_line(*entry) for entry in entries), encoding="utf-8", newline="\n")

    def __contains__(self, key: str) -> bool:
        """Whether the question was answered."""
        return key in self._answers

    def __getitem__(self, key: str) -> Answer:
        """The answer to a question."""
        return self._answers[key]

    def keep(self, key: str, answer: Answer) -> None:
        """Add an answer, from any thread."""
        with self._lock, self._path.open("a", encoding="utf-8", newline="\n") as file:
            file.write(_line(key, answer))
            self._answers[key] = answer


def _line(key: str, answer: Answer) -> str:
    return json.dumps({"question": key, **answer._asdict()}) + "\n"


def _entry(line: str) -> tuple[str, Answer] | None:
    try:
        entry = json.loads(line)
        return entry["question"], Answer(entry["text"], entry["model"])
    except (ValueError, KeyError, TypeError):
        return None


def fingerprint(settings: JudgeParams, question: str, seed: int) -> str:
    """A name for the folder of the answers: of all that may change one, beside the words and the pictures."""
    parts = [settings.server, settings.model, settings.temperature, settings.answer_tokens, question, seed]
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:16]


def answers_to(
    questions: Iterable[Question], settings: JudgeParams, question: str, seed: int, folder: Path
) -> list[Answer]:
    """The answers in the order of `questions`; those that lie in `folder` are not asked again, and new ones go there.

    `question` is its text, with a place for the words. Raises `SignBridgeError` if the server cannot be reached or
    refuses a question, once those under way are answered; every answer until then is kept.
    """
    kept, asked = KeptAnswers(folder / "answers.jsonl"), list(questions)
    keys = [one.key for one in asked]
    waiting = {key: one for key, one in zip(keys, asked, strict=True) if key not in kept}
    LOG.info("judge: %d questions, %d of them still to be asked", len(set(keys)), len(waiting))
    if waiting:
        with _client(settings) as client:
            _ask_all(
                waiting, lambda one: _ask(client, settings, _request(one, settings, question, seed)), kept, settings
            )
    return [kept[key] for key in keys]


def _ask_all(
    waiting: Mapping[str, Question], ask: Callable[[Question], Answer], kept: KeptAnswers, settings: JudgeParams
) -> None:
    failures: list[SignBridgeError] = []

    def ask_one(key: str) -> None:
        if failures:  # what fails for one question would fail for the next
            return
        try:
            kept.keep(key, ask(waiting[key]))
        except SignBridgeError as error:
            failures.append(error)

    with ThreadPoolExecutor(settings.at_once) as pool:
        for _ in tqdm(pool.map(ask_one, waiting), desc="judge", total=len(waiting), unit="question"):
            pass
    if failures:
        answered = sum(key in kept for key in waiting)
        raise SignBridgeError(
            f"{failures[0]}\nThe answers so far are kept ({answered} new ones); "
            "`dvc repro stages/judge/dvc.yaml` asks for the others."
        )


def _client(settings: JudgeParams) -> Any:
    try:
        from openai import OpenAI  # it takes long to import, and is needed by this alone
    except ModuleNotFoundError as error:
        raise SignBridgeError(
            f"the judge needs {error.name}: pip install -c requirements.lock -e '.[lenses]'."
        ) from None
    key = os.environ.get("OPENAI_API_KEY", "").strip() or NO_KEY
    return OpenAI(base_url=settings.server, api_key=key, max_retries=RETRIES)


def _request(one: Question, settings: JudgeParams, question: str, seed: int) -> dict[str, Any]:
    """The body of a chat completion: the whole picture, the text, the close-up, in the order of the published code."""
    whole, close_up = (
        {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{base64.b64encode(png).decode()}"}}
        for png in one.pictures
    )
    text = {"type": "text", "text": question.replace(WORDS_GO_HERE, one.words)}
    request = {
        "model": settings.model,
        "messages": [{"role": "user", "content": [whole, text, close_up]}],
        "seed": seed,
        "max_completion_tokens": settings.answer_tokens,
    }
    return request if settings.temperature is None else {**request, "temperature": settings.temperature}


def _ask(client: Any, settings: JudgeParams, request: dict[str, Any]) -> Answer:
    import openai

    try:
        completion = client.chat.completions.create(**request)
    except openai.APITimeoutError:
        raise SignBridgeError(
            f"judge.server: {settings.server} gave no answer in time. Lower judge.at_once, or see how the server is."
        ) from None
    except openai.APIConnectionError:
        raise SignBridgeError(
            f"judge.server: {settings.server} cannot be reached. Start the server, or correct the address in "
            "stages/judge/params.yaml."
        ) from None
    except openai.APIStatusError as error:
        raise SignBridgeError(f"judge.server: {settings.server} {_refusal(error, settings)}") from None
    except openai.APIError as error:
        raise SignBridgeError(f"judge.server: {settings.server} answers badly: {_short(error.message)}") from None
    if not getattr(completion, "choices", None):
        raise SignBridgeError(
            f"judge.server: {settings.server} answers, but with no chat completion. Does its address end in /v1?"
        )
    text = completion.choices[0].message.content or ""  # none where the answer was cut off as the model still thought
    return Answer(
        text.encode(errors="replace").decode(), completion.model or settings.model
    )  # half a character is none


def _refusal(error: Any, settings: JudgeParams) -> str:
    """What a status says, in words, and what to do about it."""
    if error.status_code in (401, 403):  # the message may hold a part of the key
        return f"does not accept the key ({error.status_code}). Set OPENAI_API_KEY to one that it does."
    if error.status_code == 404:
        return (
            f"has no model '{settings.model}', or no chat at this address (404). Set judge.model to one that it lists; "
            "most addresses end in /v1."
        )
    if error.status_code == 429:
        return "takes no more questions for now (429). Wait, lower judge.at_once, or see to the quota."
    return f"refuses the question ({error.status_code}): {_short(error.message)}"


def _short(text: str) -> str:
    text = " ".join(str(text).split())
    return text if len(text) <= 160 else f"{text[:157]}..."
