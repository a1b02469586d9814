"""What `dvc repro` left behind, as far as the demo needs it: sample, activations, probes, and which layer is best."""

from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
from jaxtyping import Float, Int, UInt8
from PIL import Image
from pydantic import TypeAdapter, ValidationError

from signbridge.core import activations, params, tables
from signbridge.core.errors import SignBridgeError
from signbridge.core.names import model_name
from signbridge.datasets.images import decode_png, decoded, grey_pixels
from signbridge.datasets.near_duplicates import unit_rows
from signbridge.probing.peak import chosen_layer, headline_position
from signbridge.probing.probes import Probe, load
from signbridge.vlm.adapter_files import digest_of
from signbridge.vlm.catalog import FolderModel, HubModel, ModelParams, TinyRandomModel

SAMPLE = Path("data/sample.parquet")
PHOTOS = Path("data/photos.parquet")
ACTIVATIONS = Path("data/activations")
PREDICTIONS = Path("data/predictions.parquet")
CHOICES = Path("data/choices.parquet")
PROBES = Path("data/probes")

Place = tuple[str, str]  # site and position


class Format(NamedTuple):
    """What all images of the sample have in common."""

    square: bool
    side: int | None  # pixels; None where they differ or are not square
    grey: bool


class DemoStudy:
    """One finished study. Everything but the activations is read at once, those when they are asked for."""

    def __init__(self) -> None:
        """Read the study in the working folder. Raises `SignBridgeError` naming what is missing."""
        self.sample = tables.read(SAMPLE)  # image_id, label, photo, image (PNG bytes)
        activations.check_own_basis(ACTIVATIONS)
        self.model_name = model_name(activations.files_of(ACTIVATIONS, "pixels")[0], params.model_notes())
        self.made_by = activations.made_by(ACTIVATIONS, "pixels")
        self.places, self.accuracy = self._places()
        self.probes: dict[Place, Probe] = {
            (site, position): load(PROBES / f"{site}.safetensors", position, "sample") for site, position in self.places
        }
        self.letters = self.probes[self.places[0]].classes
        self.best = self._best()
        self.format = _format_of(self.sample["image"].tolist())
        self._threshold = tables.made_by(PHOTOS)["params"]["threshold"]
        self._pixels = unit_rows(np.stack([grey_pixels(png).reshape(-1) for png in self.sample["image"]]))
        for site in self.sites:  # read when they are asked for; missing is told now
            activations.made_by(ACTIVATIONS, site)

    @property
    def sites(self) -> list[str]:
        """The probed sites in order of depth."""
        return list(dict.fromkeys(site for site, _ in self.places))

    @property
    def positions(self) -> list[str]:
        """The token positions at which more than one site was probed."""
        there = [position for site, position in self.places if site.startswith(("layer_", "embedding"))]
        return list(dict.fromkeys(there))

    def place(self, site: str, position: str | None) -> Place:
        """`site` at `position`, or at the first position that it was probed at."""
        if (site, position) in self.probes:
            return site, position
        return next(place for place in self.places if place[0] == site)

    def photo_of(self, pixels: UInt8[np.ndarray, "width"]) -> str | None:
        """The photo of the sample that a picture is a copy of, as the stage `photos` decides it; None if of none."""
        correlation = self._pixels @ unit_rows(pixels[None])[0]
        nearest = int(correlation.argmax())
        return str(self.sample["photo"].iloc[nearest]) if correlation[nearest] >= self._threshold else None

    def model(self) -> HubModel | FolderModel | TinyRandomModel:
        """The catalog entry that the activations were read from, which params.yaml may no longer name.

        Raises `SignBridgeError` if its folder has changed since.
        """
        entry = {key: value for key, value in self.made_by["model"].items() if key != "name"}
        try:
            model = TypeAdapter(ModelParams).validate_python(entry)
        except ValidationError:
            raise SignBridgeError(
                f"{ACTIVATIONS}: read by another version of this project. Make it anew: `dvc repro`."
            ) from None
        folders = [path for path in (getattr(model, "path", None), model.adapter) if path is not None]
        there = all(Path(path).expanduser().is_dir() for path in folders)  # else loading says what is missing
        if folders and there and digest_of(model) != self.made_by["model_folder_sha256"]:
            raise SignBridgeError(
                f"{folders[-1]}: the model has changed since its activations were read. Bring them up: `dvc repro`."
            )
        return model

    def _places(self) -> tuple[list[Place], dict[Place, float]]:
        """Sites and positions in order of depth, and how well probes there read photos that they had not seen."""
        predictions = tables.read(PREDICTIONS, ["protocol", "site", "position", "label", "predicted"])
        predictions = predictions[predictions["site"] != "answer"]
        grouped = predictions[predictions["protocol"] == "grouped"]
        right = (grouped["label"] == grouped["predicted"]).groupby([grouped["site"], grouped["position"]]).mean()
        places = list(dict.fromkeys(zip(predictions["site"], predictions["position"], strict=True)))
        if not places:
            raise SignBridgeError(f"{PREDICTIONS}: no site was probed. Name some in params.yaml, then `dvc repro`.")
        return places, right.to_dict()

    def _best(self) -> Place:
        """The layer that most folds chose; without one the last place that was probed."""
        choices = tables.read(CHOICES)
        position = headline_position(choices) or ""
        site = chosen_layer(choices, position) if position else None
        return (site, position) if site else self.places[-1]

    def vectors(self, place: Place, rows: Int[np.ndarray, "images"] | None = None) -> Float[np.ndarray, "images width"]:
        """The activations at a place of the sample's images, or of these `rows` of it."""
        images = self.sample["image_id"] if rows is None else self.sample["image_id"].iloc[rows]
        return activations.read(ACTIVATIONS, *place, images.tolist())

    def examples(self) -> pd.DataFrame:
        """The first image of each letter in the sample."""
        return self.sample.drop_duplicates("label").sort_values("label")

    @staticmethod
    def image(png: bytes) -> Image.Image:
        """An image of the sample, in RGB, as `extract` shows it to the model."""
        return decoded([png])[0]


def _format_of(pngs: list[bytes]) -> Format:
    shapes = {decode_png(png).shape for png in pngs}
    sides = {max(shape[:2]) for shape in shapes}
    square = all(shape[0] == shape[1] for shape in shapes)
    return Format(square, sides.pop() if square and len(sides) == 1 else None, all(len(shape) == 2 for shape in shapes))
