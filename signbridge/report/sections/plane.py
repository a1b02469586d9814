"""The UMAP plane, with the images on hover."""

import pandas as pd
from scipy.spatial import cKDTree

from signbridge.report.charts.planes import umap_plane
from signbridge.report.inputs import Study
from signbridge.report.page_parts import (
    Picture,
    Section,
    Table,
    Thumbnail,
    thumbnail,
    within_budget,
)
from signbridge.report.wording import count, percent, short

TITLE = "The images in the plane of one layer"
NEAREST = 5
BUDGET = 4_000_000  # characters of images in the page; with the drawing library and 35,000 marks it stays below 10 MB


def section(study: Study) -> Section | None:
    """Every image of the sample at its place in the plane."""
    if study.umap.empty:
        return None
    made_by = study.settings.made_by.get("data/umap.parquet", {})
    place = f"{made_by.get('site', 'one site')}, {made_by.get('position', 'one position')}"
    png = study.png
    known = [image_id for image_id in study.umap["image_id"] if image_id in png]
    shown = {known[index]: uri for index, uri in within_budget([png[image_id] for image_id in known], BUDGET).items()}
    table = study.umap.assign(
        x=study.umap["x"].astype(float).round(3),
        y=study.umap["y"].astype(float).round(3),
        image=study.umap["image_id"].map(shown),
        near=[", ".join(map(short, labels)) for labels in nearest_labels(study.umap)],
    )
    near = same_letter_nearby(study.umap)
    sees = (
        f"Each dot is an image; hover to see it and the {study.kind}s of the {NEAREST} nearest ones of other photos. "
        f"For {percent(float(near.mean()))} of the {count(len(table))} images the nearest one of another photo shows "
        f"the same {study.kind}. Distances between clusters mean little in UMAP."
    )
    if len(shown) < len(table):
        sees += f" To keep the page small, {count(len(shown))} of them, evenly, carry their image."
    picture = Picture("plane", f"UMAP of {place}", sees, _twin(study, near, png), umap_plane(table, study.kind))
    return Section("umap", TITLE, (), (picture,))


def same_letter_nearby(plane: pd.DataFrame) -> pd.Series:
    """For each image whether the nearest one of another photo shows the same letter; False where there is none."""
    first = [labels[:1] for labels in nearest_labels(plane, 1)]
    return pd.Series([own in near for own, near in zip(plane["label"], first, strict=True)], index=plane.index)


def nearest_labels(plane: pd.DataFrame, wanted: int = NEAREST) -> list[list[str]]:
    """For each image the labels of the `wanted` nearest ones of other photos, the nearest first; fewer of few."""
    coordinates = plane[["x", "y"]].to_numpy(dtype=float)
    photos, labels = plane["photo"].to_numpy(), plane["label"].to_numpy()
    neighbours = min(int(plane["photo"].value_counts().max()) + wanted, len(plane))
    _, near = cKDTree(coordinates).query(coordinates, k=neighbours)
    near = near.reshape(len(plane), -1)
    other = photos[near] != photos[:, None]
    return [list(labels[of_one[kept][:wanted]]) for of_one, kept in zip(near, other, strict=True)]


def _twin(study: Study, near: pd.Series, png: dict[str, bytes]) -> Table:
    plane = study.umap.assign(near=near)
    rows = []
    for label, images in plane.groupby("label"):
        example = images["image_id"].iloc[0]
        picture = (
            Thumbnail(thumbnail(png[example]), f"{short(str(label))}: {short(example)}") if example in png else "–"
        )
        centre = f"{images['x'].median():.1f}, {images['y'].median():.1f}"
        rows.append(
            (
                short(str(label)),
                picture,
                count(len(images)),
                count(images["photo"].nunique()),
                centre,
                percent(float(images["near"].mean())),
            )
        )
    columns = (study.kind, "example", "images", "photos", "centre (x, y)", "nearest shows the same")
    return Table(f"The plane, {study.kind} by {study.kind}", columns, tuple(rows))
