"""How a model is named wherever its results are shown: with its note in params.yaml, where it has one."""

from pathlib import Path

from pydantic import RootModel

from signbridge import params, tables


class ModelNotes(RootModel[dict[str, str]]):
    """`model_notes` of `params.yaml`: by the model's name in the catalog."""


def model_name(table: Path | str) -> str:
    """The model behind a table that `extract` wrote: `miniature (test bed with ...)`, or its bare name.

    Reads the section `model_notes` of params.yaml, which has a text for some of the models.
    """
    name = tables.made_by(table)["model"]["name"]
    note = params.section("model_notes", ModelNotes).root.get(name)
    return f"{name} ({note})" if note else name
