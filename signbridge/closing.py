"""The last lines of `make repro`: what was found, where the page is, what to run next.

python -m signbridge.closing             after the study
python -m signbridge.closing causal      after a further question
python -m signbridge.closing all         after the study and its questions
"""

import json
import sys
from collections.abc import Mapping
from pathlib import Path

from signbridge.core.command_line import run
from signbridge.core.errors import SignBridgeError
from signbridge.report import questions as index

Value = int | float | str | bool
QUESTIONS = {
    "causal": "is what the probe reads used?",
    "lenses": "what do image tokens say in words?",
    "judge": "which patches can a vision model read?",
    "sae": "which sparse features?",
    "planted": "which methods find a variable whose depth is known?",
    "pretrained": "what do autoencoders that others trained see?",
    "models": "how do other models compare on the same images?",
    "resolution": "how much of the finding is the picture's size?",
    "finetune": "does fine-tuning close the gap?",
    "motion": "does the decoder hold movement, or a bag of hand shapes?",
}


def main() -> None:
    """Print what was found by the study, or where the page of the question is that the first argument names."""
    question = sys.argv[1] if len(sys.argv) > 1 else None
    if question in (None, "all"):
        lines = study(_read("probe"), _read("leakage"), _read("answers"))
        lines[3:] = pages() if question == "all" else lines[3:]
    elif question in QUESTIONS:
        lines = further(question)
    else:
        raise SignBridgeError(f"no question '{question}'. There are: {', '.join(QUESTIONS)}.")
    print("\n".join(lines))
    if Path("report").is_dir():
        print(f"All:   {index.write(Path('report'))} (which questions were run, for which model, when)")


def study(probe: Mapping[str, Value], leakage: Mapping[str, Value], answers: Mapping[str, Value]) -> list[str]:
    """The five lines of the study, from its metrics files. A metric that is missing is left out of its sentence."""
    page = Path("report/index.html")
    return [
        _found(probe),
        _baselines(probe, answers),
        _leakage(probe, leakage),
        f"Page:  {page} (open it in a browser)",
        f"Next:  make check, make demo, or {', '.join(f'make {name} ({asks})' for name, asks in _others())}",
    ]


def pages() -> list[str]:
    """The lines after all questions: the pages that are there."""
    there = [f"report/{name}.html" for name, _ in _others() if Path(f"report/{name}.html").exists()]
    return [
        f"Pages: {', '.join(['report/index.html', *there])} (open them in a browser)",
        "Next:  make check, make demo",
    ]


def further(question: str) -> list[str]:
    """The lines after a further question: its page, and what else there is."""
    others = ", ".join(f"make {name}" for name, _ in _others() if name != question)
    page = "Found: metrics/lenses/judge.json" if question == "judge" else f"Page:  report/{question}.html"
    return [f"{page} ({QUESTIONS[question]})", f"Next:  make check, or {others}"]


def _found(probe: Mapping[str, Value]) -> str:
    if "accuracy" not in probe:
        return "Found: no layer was probed on held-out photos (probe.layers, probe.protocols in params.yaml)"
    interval = ""
    if {"accuracy_low", "accuracy_high"} <= probe.keys():
        interval = f" (interval {_percent(probe['accuracy_low'])} to {_percent(probe['accuracy_high'])})"
    chance = f"; chance is {_percent(probe['chance'])}" if "chance" in probe else ""
    best = f", most often chosen: {probe['best_layer']}" if "best_layer" in probe else ""
    return (
        f"Found: a probe of the decoder reads {_percent(probe['accuracy'])} of held-out letters{interval}{best}{chance}"
    )


def _baselines(probe: Mapping[str, Value], answers: Mapping[str, Value]) -> str:
    named = {"the vision tower": probe.get("over_vision"), "pixels": probe.get("over_pixels")}
    named |= {"an untrained twin": probe.get("over_untrained_twin")}
    known = {name: float(value) for name, value in named.items() if value is not None}
    strongest = min(known, key=known.__getitem__, default=None)
    over = [] if strongest is None else [f"{_points(known[strongest])} over {strongest}, the strongest baseline"]
    text = answers.get("text_names_right_letter")
    said = [] if text is None else [f"the model's own text names the right letter for {_percent(text)}"]
    return f"       {'; '.join(over + said)}" if over or said else "       no baseline was measured"


def _leakage(probe: Mapping[str, Value], leakage: Mapping[str, Value]) -> str:
    copies, reached = leakage.get("signbridge_copies_in_train"), probe.get("leaking_split_accuracy")
    if not copies:
        return "       the notebook's split puts no copy of a test image into training"
    scored = f", and scores {_percent(reached)}" if reached is not None else ""
    return f"       the notebook's split has a copy of {_percent(copies)} of its test images in training{scored}"


def _others() -> list[tuple[str, str]]:
    return [(name, asks) for name, asks in QUESTIONS.items() if name not in ("judge", "pretrained")]


def _read(name: str) -> dict[str, Value]:
    path = Path(f"metrics/{name}.json")
    if not path.exists():
        raise SignBridgeError(f"{path}: not there. Make it with `dvc repro`.")
    return json.loads(path.read_text(encoding="utf-8"))


def _percent(share: Value) -> str:
    return f"{100 * float(share):.1f} %"


def _points(difference: Value) -> str:
    return f"{100 * float(difference):+.1f} points"


if __name__ == "__main__":
    run(main)
