"""Pictures of everything but a hand, drawn from a seed, that the demo must not take for one."""

from collections.abc import Callable

import numpy as np
from PIL import Image, ImageDraw

SIDE = 240  # pixels


def noise(seed: int) -> Image.Image:
    """Each pixel by itself; every second one grey and coarse, as a photo of nothing in the dark."""
    generator = np.random.default_rng(seed)
    cells = SIDE if seed % 2 == 0 else 28
    pixels = generator.integers(0, 256, (cells, cells, 3 if seed % 2 == 0 else 1), np.uint8)
    return Image.fromarray(np.broadcast_to(pixels, (cells, cells, 3)).copy()).resize((SIDE, SIDE), 0)


def grey(seed: int) -> Image.Image:
    """One shade all over: from nearly black to nearly white."""
    return Image.new("RGB", (SIDE, SIDE), (40 + 37 * (seed % 6),) * 3)


def stripes(seed: int) -> Image.Image:
    """Upright, lying and slanting, of several widths."""
    rows, columns = np.mgrid[:SIDE, :SIDE]
    along = (rows, columns, rows + columns)[seed % 3]
    shades = 128 + 90 * np.sign(np.sin(along / (6 + 5 * (seed % 4))))
    return Image.fromarray(shades.astype(np.uint8)).convert("RGB")


def face(seed: int) -> Image.Image:
    """An ellipse with eyes and a mouth, in the shade of skin, before a wall."""
    picture, pen, generator = _canvas(seed, 60)
    skin = tuple(int(shade) for shade in generator.integers(150, 230, 1).repeat(3) - (0, 30, 55))
    pen.ellipse((60, 25, 180, 215), fill=skin)
    for left in (85, 135):
        pen.ellipse((left, 90, left + 20, 102), fill=(40, 30, 30))
    pen.arc((90, 130, 150, 180), 20, 160, fill=(120, 40, 40), width=6)
    return picture


def room(seed: int) -> Image.Image:
    """Walls, floor, a window and a table, seen from the door."""
    picture, pen, generator = _canvas(seed, 190)
    floor, table = (tuple(int(shade) for shade in generator.integers(60, 150, 3)) for _ in range(2))
    pen.polygon([(0, 240), (70, 160), (170, 160), (240, 240)], fill=floor)
    for corner, end in (((70, 160), (70, 50)), ((170, 160), (170, 50)), ((70, 50), (0, 0)), ((170, 50), (240, 0))):
        pen.line((*corner, *end), fill=(70, 70, 70), width=3)
    pen.line((70, 50, 170, 50), fill=(70, 70, 70), width=3)
    pen.rectangle((95, 70, 145, 115), fill=(245, 250, 255), outline=(60, 60, 60), width=3)
    pen.rectangle((40, 170, 130, 182), fill=table)
    for left in (46, 118):
        pen.rectangle((left, 182, left + 8, 228), fill=table)
    return picture


def text(seed: int) -> Image.Image:
    """A page of large words."""
    picture, pen, generator = _canvas(seed, 235)
    words = ["quick", "brown", "foxes", "jump", "over", "lazy", "dogs", "while", "nobody", "looks"]
    for line in range(7):
        pen.text((12, 10 + 32 * line), " ".join(generator.choice(words, 3)), fill=(20, 20, 20), font_size=24)
    return picture


def animal(seed: int) -> Image.Image:
    """A cat, as a child draws it."""
    picture, pen, generator = _canvas(seed, 200)
    fur = tuple(int(shade) for shade in generator.integers(50, 140, 3))
    pen.arc((150, 110, 225, 205), 250, 100, fill=fur, width=12)
    pen.ellipse((60, 110, 190, 220), fill=fur)
    pen.ellipse((45, 55, 125, 130), fill=fur)
    for ear in (((50, 80), (52, 30), (82, 60)), ((90, 58), (118, 30), (122, 82))):
        pen.polygon(ear, fill=fur)
    for left in (65, 95):
        pen.ellipse((left, 82, left + 10, 94), fill=(240, 240, 120))
    for left in (80, 110, 140, 170):
        pen.rectangle((left, 200, left + 12, 232), fill=fur)
    return picture


KINDS: dict[str, Callable[[int], Image.Image]] = {
    "noise": noise,
    "grey": grey,
    "stripes": stripes,
    "face": face,
    "room": room,
    "text": text,
    "animal": animal,
}


def _canvas(seed: int, shade: int) -> tuple[Image.Image, ImageDraw.ImageDraw, np.random.Generator]:
    generator = np.random.default_rng(seed)
    wall = tuple(int(value) for value in np.clip(shade + generator.integers(-20, 21, 3), 0, 255))
    picture = Image.new("RGB", (SIDE, SIDE), wall)
    return picture, ImageDraw.Draw(picture), generator
