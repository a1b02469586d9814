"""The settings and versions that made what a page shows: params, chosen entries of the catalogs, tables' metadata."""

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from signbridge.core import params, tables
from signbridge.core.groups import By
from signbridge.report.page_parts import DATA, Section, Table
from signbridge.report.shown_images import why_hidden

TITLE = "Settings and versions"
SAMPLE = "data/sample.parquet"
LINE = re.compile(r"(?P<depth> *)(?P<key>[\w./-]+):(?P<value>(?: [^#]*?)?)(?: *# ?(?P<note>.*))?")
CATALOGS = {"dataset": params.DATASETS, "model": params.MODELS}  # by the choice that names an entry


@dataclass(frozen=True)
class Settings:
    """What a page says of how it was made."""

    made_by: dict[str, dict[str, Any]]  # what each Parquet table says of its making, by its path
    listings: dict[str, str]  # params files and entries of catalogs as they are, by what they are called
    grouped_by: By = "auto"  # of `probe.grouped.by`
    hidden: str = ""  # why no image of the dataset is shown; empty where they are


def read_settings(
    made: Iterable[Path | str], files: Iterable[Path] = (), catalogs: Mapping[str, tuple[Path, Path]] | None = None
) -> Settings:
    """The metadata of the tables `made`; params.yaml and the params in `files`; and the entries that they choose.

    Entries are those of model and dataset, and of `catalogs`: by the key that chooses, the params file it lies in and
    the catalog. Raises `SignBridgeError` if a file is missing.
    """
    entries = {}
    chosen = {key: (params.PARAMS, catalog) for key, catalog in CATALOGS.items()} | dict(catalogs or {})
    for key, (file, catalog) in chosen.items():
        name, _ = params.selected(key, catalog, dict, file)
        entries[f"{catalog}: {name}"] = entry(catalog.read_text(encoding="utf-8"), name)
    listings = {str(file): file.read_text(encoding="utf-8") for file in (params.PARAMS, *files)}
    made_by = {str(path): tables.made_by(path) for path in made}
    hidden = why_hidden(made_by.get(SAMPLE, {}).get("images", {}))
    return Settings(made_by, listings | entries, params.section("probe.grouped.by", By), hidden)


def entry(catalog: str, name: str) -> str:
    """The lines of the YAML text `catalog` from the top-level key `name` to the next one, with their comments.

    Of a model that no entry describes, `some-org/some-name@commit`, the name alone.
    """
    lines = catalog.splitlines()
    if "/" in name:
        return f"{name}\n"
    [first] = [place for place, line in enumerate(lines) if line.startswith(f"{name}:")]
    rest = lines[first + 1 :]
    end = next((place for place, line in enumerate(rest) if line and not line.startswith((" ", "\t"))), len(rest))
    return "\n".join([lines[first], *rest[:end]]).rstrip() + "\n"


def section(settings: Settings) -> Section | None:
    """All settings as one table that a reader searches; None where there are none."""
    rows = [
        (path, *setting, "") for path, made_by in sorted(settings.made_by.items()) for setting in flattened(made_by)
    ]
    rows += [(title, *line) for title, text in settings.listings.items() for line in listed(text)]
    if not rows:
        return None
    lead = ("What each table says of its own making, the params, and the entries of the catalogs that were used.",)
    table = Table(
        "Every setting and where it stands", ("where", "setting", "value", "note"), tuple(rows), "settings-table"
    )
    return Section("settings", TITLE, lead, tables=(table,), part=DATA)


def listed(text: str) -> Iterator[tuple[str, str, str]]:
    """The settings of a YAML text as rows: `probe.layers`, its value as it is written, and its comment."""
    stem: list[tuple[int, str]] = []  # how far the keys above are set in, and the keys
    row = ["", "", ""]
    for line in text.splitlines():
        said = LINE.fullmatch(line)
        if said is None:  # one of a list, or a line of a text
            row[1] = f"{row[1]}\n{line.strip()}".strip()
            continue
        if row[1]:
            yield tuple(row)
        depth = len(said["depth"])
        stem = [(far, key) for far, key in stem if far < depth] + [(depth, said["key"])]
        row = [".".join(key for _, key in stem), (said["value"] or "").strip(), (said["note"] or "").strip()]
    if row[1]:
        yield tuple(row)


def flattened(settings: Mapping[str, Any], stem: str = "") -> Iterator[tuple[str, str]]:
    """Nested settings as rows: `model.prompt` and its value; what is empty is left out."""
    for key, value in settings.items():
        if isinstance(value, dict):
            yield from flattened(value, f"{stem}{key}.")
        elif isinstance(value, list):
            yield f"{stem}{key}", ", ".join(map(str, value))
        elif value is not None:
            yield f"{stem}{key}", str(value)
