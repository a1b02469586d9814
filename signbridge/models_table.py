"""The models of models.yaml as the table of docs/models.md: `python -m signbridge.models_table`."""

from signbridge.core import params
from signbridge.core.command_line import run
from signbridge.vlm.catalog import HubModel, ModelParams

HEAD = ("model", "repository, at its commit", "licence", "gated", "weights in NF4, GiB")


def main() -> None:
    """Print the table."""
    print(models_table())


def models_table() -> str:
    """A row a model of the hub, in the order of models.yaml."""
    rows = [HEAD, ("---",) * len(HEAD)]
    for name, said in params.whole(dict, params.MODELS).items():
        entry = params.entry(name, params.MODELS, ModelParams)
        if isinstance(entry, HubModel) and "like" not in said:
            rows.append((f"`{name}`", f"`{entry.hub_id}` `{entry.revision[:8]}`", *_about(entry)))
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def _about(entry: HubModel) -> tuple[str, str, str]:
    if entry.about is None:
        return "–", "–", "–"
    size = "–" if entry.about.nf4_gib is None else f"{entry.about.nf4_gib:.1f}"
    return entry.about.licence, "yes" if entry.about.gated else "no", size


if __name__ == "__main__":
    run(main)
