"""project: UMAP of one site, the best or a named one."""

from pathlib import Path

from signbridge.core import activations, params, tables
from signbridge.core.command_line import run
from signbridge.probing.projection import ProjectParams, choose_site, project

ACTIVATIONS = Path("data/activations")


def main() -> None:
    """Write data/umap.parquet."""
    chosen = params.section("project", ProjectParams)
    seed = params.seed()
    images = tables.read("data/sample.parquet", columns=["image_id", "label", "photo"])
    choices = tables.read("data/choices.parquet")

    site = choose_site(chosen, activations.sites(ACTIVATIONS), choices)
    vectors = activations.read(ACTIVATIONS, site, chosen.position, list(images["image_id"]))
    images[["x", "y"]] = project(vectors, chosen, seed)
    tables.write(images, "data/umap.parquet", {"site": site, "seed": seed, **chosen.model_dump(exclude={"site"})})


if __name__ == "__main__":
    run(main)
