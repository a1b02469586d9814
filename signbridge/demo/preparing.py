"""A picture made like those of the dataset: square, grey, as small."""

from PIL import Image

from signbridge.demo.study import Format

LARGEST_SIDE = 2048  # pixels; no model of the catalog takes in more


def prepared(image: Image.Image, form: Format) -> Image.Image:
    """`image` with what all images of the dataset share: the middle square, grey, of their size; in RGB."""
    if form.square:
        side = min(image.size)
        left, top = (image.width - side) // 2, (image.height - side) // 2
        image = image.crop((left, top, left + side, top + side))
    if form.grey:
        image = image.convert("L")
    if form.side is not None and form.side != image.width:
        how = Image.Resampling.BICUBIC if form.side > image.width else Image.Resampling.BOX
        image = image.resize((form.side, form.side), how)
    return image.convert("RGB")


def bounded(image: Image.Image) -> Image.Image:
    """`image`, scaled down where a side is longer than `LARGEST_SIDE`."""
    if max(image.size) <= LARGEST_SIDE:
        return image
    smaller = image.copy()
    smaller.thumbnail((LARGEST_SIDE, LARGEST_SIDE))
    return smaller


def description(form: Format) -> str:
    """What `prepared` does, for the switch: `Cropped to the middle square, grey, 28 x 28 pixels`."""
    shared = [("cropped to the middle square", form.square), ("grey", form.grey)]
    shared.append((f"{form.side} x {form.side} pixels", form.side is not None))
    parts = ", ".join(part for part, is_shared in shared if is_shared)
    return f"{parts[0].upper()}{parts[1:]}" if parts else "The dataset's images have no shape in common"
