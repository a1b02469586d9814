"""Texts about a hand, from a template: {label} is its class, {words} the ways in which its fingers are held."""

from collections.abc import Collection

from signbridge.errors import SignBridgeError
from signbridge.lenses.hand_words import WORDS


def check_caption(template: str, param: str) -> None:
    """Raises `SignBridgeError`, naming `param`, if the template has other braces than `{label}` and `{words}`."""
    rest = template.replace("{label}", "").replace("{words}", "")
    if "{" in rest or "}" in rest:
        raise SignBridgeError(
            f"params.yaml: {param}: {template!r} may hold {{label}} and {{words}}, and no other braces."
        )


def caption(template: str, label: str, words: Collection[str] | None) -> str | None:
    """The template filled in for a hand, of whose `words` those for fingers are named; None where they are not known.

    >>> caption("The fingers are {words}.", "U", {"up", "together", "bent", "peace"})
    'The fingers are bent, together and up.'
    """
    if words is None and "{words}" in template:
        return None
    held = sorted(set(words or ()) & set(WORDS))
    listed = " and ".join(part for part in (", ".join(held[:-1]), *held[-1:]) if part)
    return template.format(label=label, words=listed)
