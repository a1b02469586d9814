"""One picture through the model: its words, and what the probe of every site says."""

from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float
from PIL import Image
from transformers import BatchFeature, ProcessorMixin

from signbridge.core.finite import check_finite, way_out
from signbridge.datasets.images import grey_of
from signbridge.demo.study import DemoStudy, Place
from signbridge.vlm.answering import read_and_answer
from signbridge.vlm.extraction import Reader
from signbridge.vlm.store import stored_dtype

Vectors = dict[Place, Float[np.ndarray, "_width"]]


class Reading(NamedTuple):
    """What the model and the probes made of one picture."""

    answer: str  # the model's own words
    seen: Image.Image  # what its vision tower took in
    vectors: Vectors  # by site and position
    probabilities: dict[Place, Float[np.ndarray, "letters"]]  # where probed; in the order of the study's letters
    photo: str | None  # of the sample, if the picture is a copy of one of its photos


def read(study: DemoStudy, reader: Reader, image: Image.Image) -> Reading:
    """Read an RGB picture as `extract` reads the sample, alone in its batch.

    Raises `SignBridgeError` if a number that is read is not finite.
    """
    model, processor, parts, end_tokens, device = reader.loaded
    inputs = reader.prepare([image])
    seen = seen_image(inputs, processor) or image  # now: `to` moves the inputs themselves
    inputs = inputs.to(device, dtype=model.dtype)
    answered = read_and_answer(model, parts, inputs, reader.max_new_tokens, end_tokens)
    stored = stored_dtype(model.dtype)
    pixels = grey_of(image).reshape(-1)
    vectors = {("pixels", "flat"): pixels.astype(np.float32)}
    for site, positions in answered.vectors.items():
        for position, vector in positions.items():
            vectors[site, position] = vector[0].to(stored).to(torch.float32).cpu().numpy()
    for place, vector in vectors.items():
        check_finite(
            vector[None], " at ".join(place), ["picture"], way_out(str(model.dtype).removeprefix("torch.")), "this"
        )
    probabilities = {place: study.probes[place].predict_probability(vectors[place][None])[0] for place in study.places}
    answer = processor.batch_decode(answered.answers, skip_special_tokens=True)[0].strip()
    return Reading(answer, seen, vectors, probabilities, study.photo_of(pixels))


def seen_image(inputs: BatchFeature, processor: ProcessorMixin) -> Image.Image | None:
    """The pixels that went into the tower, scaled back to 0 to 255; None where the family packs them otherwise."""
    pixels = inputs.get("pixel_values")
    preprocessing = processor.image_processor
    if pixels is None or pixels.ndim != 4 or pixels.shape[:2] != (1, 3):
        return None
    colours = pixels[0].float().permute(1, 2, 0).numpy()
    if preprocessing.do_normalize:
        colours = colours * np.array(preprocessing.image_std) + np.array(preprocessing.image_mean)
    return Image.fromarray(np.round(np.clip(colours, 0, 1) * 255).astype(np.uint8))
