"""Names of classes and models as figures draw them: glyphs that are there, else an escape; never maths.

A name is whatever a folder is called: draw it with `parse_math=False`, so that `$` is a dollar. Every machine has
Matplotlib's own font, and none need have another: a script that it lacks is written as code points.
"""

from functools import cache

from matplotlib.font_manager import FontProperties, findfont, get_font
from matplotlib.ft2font import FT2Font

FAMILY = "DejaVu Sans"  # comes with Matplotlib, so every machine has it


def as_drawn(name: str) -> str:
    """The name with an escape for each character that the font does not have: a backslash, u and its code point."""
    return "".join(c if c.isprintable() and has_glyph(c) else _escape(c) for c in name)


def has_glyph(character: str) -> bool:
    """Whether the font has the character."""
    return bool(font(False).get_char_index(ord(character)))


@cache
def font(bold: bool) -> FT2Font:
    """Matplotlib's own font."""
    return get_font(findfont(FontProperties(family=FAMILY, weight="bold" if bold else "normal")))


def _escape(character: str) -> str:
    code = ord(character)
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"
