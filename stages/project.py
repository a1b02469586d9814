"""project: UMAP of one site, the best or a named one."""

from pathlib import Path

from signbridge.core import activations, params, tables
from signbridge.core.command_line import run
from signbridge.core.names import model_name
from signbridge.probing.projection import ProjectParams, choose_site, project
from signbridge.report.figures.saving import save_figure
from signbridge.report.figures.umap_projection import umap_projection

ACTIVATIONS = Path("data/activations")


def main() -> None:
    """Write data/umap.parquet and plots/umap_projection.png."""
    chosen = params.section("project", ProjectParams)
    seed = params.seed()
    images = tables.read("data/sample.parquet", columns=["image_id", "label", "photo"])
    choices = tables.read("data/choices.parquet")

    site = choose_site(chosen, activations.sites(ACTIVATIONS), choices)
    vectors = activations.read(ACTIVATIONS, site, chosen.position, list(images["image_id"]))
    images[["x", "y"]] = project(vectors, chosen, seed)

    tables.write(images, "data/umap.parquet", {"site": site, "seed": seed, **chosen.model_dump(exclude={"site"})})
    figure = umap_projection(images, site, chosen.position, model_name(ACTIVATIONS / "pixels.parquet"))
    save_figure(figure, "plots/umap_projection.png")


if __name__ == "__main__":
    run(main)
