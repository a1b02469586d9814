"""The settings and versions that made what the page shows."""

from collections.abc import Iterator
from typing import Any

from signbridge.report.page_parts import Section, Table
from signbridge.report.study import Study

TITLE = "Settings and versions"


def section(study: Study) -> Section:
    """`params.yaml` as it was, and what each table says of its own making."""
    lead = (
        "What each table carries in its own metadata, then params.yaml as it was. Of its catalogs only the chosen "
        "dataset and model were used.",
    )
    tables = tuple(
        Table(f"What made {path}", ("setting", "value"), tuple(flattened(made_by)))
        for path, made_by in sorted(study.made_by.items())
        if made_by
    )
    return Section("settings", TITLE, lead, tables=tables, listing=study.params)


def flattened(settings: dict[str, Any], stem: str = "") -> Iterator[tuple[str, str]]:
    """Nested settings as rows: `model.prompt` and its value; what is empty is left out."""
    for key, value in settings.items():
        if isinstance(value, dict):
            yield from flattened(value, f"{stem}{key}.")
        elif isinstance(value, list):
            yield f"{stem}{key}", ", ".join(map(str, value))
        elif value is not None:
            yield f"{stem}{key}", str(value)
