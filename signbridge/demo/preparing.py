"""A picture made like those of the dataset: square, grey, as small."""

from PIL import Image

from signbridge.demo.study import Format

LARGEST_SIDE = 2048  # pixels; no model of the catalog takes in more


def prepared(image: Image.Image, form: Format) -> Image.Image:
    """The middle square of `image`, in grey and of the dataset's size where its images share these; in RGB."""
    side = min(image.size)
    left, top = (image.width - side) // 2, (image.height - side) // 2
    square = image.crop((left, top, left + side, top + side))
    if form.grey:
        square = square.convert("L")
    if form.side is not None and form.side != side:
        enlarging = form.side > side
        how = Image.Resampling.BICUBIC if enlarging else Image.Resampling.BOX
        square = square.resize((form.side, form.side), how)
    return square.convert("RGB")


def bounded(image: Image.Image) -> Image.Image:
    """`image`, scaled down where a side is longer than `LARGEST_SIDE`."""
    if max(image.size) <= LARGEST_SIDE:
        return image
    smaller = image.copy()
    smaller.thumbnail((LARGEST_SIDE, LARGEST_SIDE))
    return smaller


def description(form: Format) -> str:
    """What `prepared` does, for the switch: `Crop to the middle square, grey, 28 x 28 pixels`."""
    parts = ["Crop to the middle square"]
    if form.grey:
        parts.append("grey")
    if form.side is not None:
        parts.append(f"{form.side} x {form.side} pixels")
    return ", ".join(parts)
