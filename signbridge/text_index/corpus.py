"""The phrases whose words image tokens are compared with."""

from collections.abc import Sequence
from pathlib import Path

from signbridge.errors import SignBridgeError


def phrases(path: Path | str, templates: Sequence[str]) -> list[str]:
    """The lines of the text file at `path`, each once, in order; empty ones are skipped.

    With `templates` each line is a word, and is put into every template at `{word}`. Raises `SignBridgeError` if the
    file is missing, is not UTF-8 or is empty, or a template does not hold `{word}` once.
    """
    lines = _lines(path)
    for template in templates:
        if template.count("{word}") != 1:
            raise SignBridgeError(f"params.yaml: text_index.templates: {template!r} must hold {{word}} exactly once.")
    found = [template.replace("{word}", line) for line in lines for template in templates] if templates else lines
    return list(dict.fromkeys(found))


def _lines(path: Path | str) -> list[str]:
    try:
        text = Path(path).expanduser().read_text(encoding="utf-8")
    except FileNotFoundError:
        raise SignBridgeError(
            f"{path}: no such file. Set text_index.corpus to a text file with one phrase a line."
        ) from None
    except UnicodeDecodeError:
        raise SignBridgeError(f"{path}: not UTF-8 text. Save it as UTF-8, one phrase a line.") from None
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    if not lines:
        raise SignBridgeError(f"{path}: no phrase in it. It should hold one a line.")
    return lines
