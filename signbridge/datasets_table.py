"""The datasets of datasets.yaml as the table of docs/datasets.md: `python -m signbridge.datasets_table`."""

from signbridge.core import params
from signbridge.core.command_line import run
from signbridge.datasets.entry import Entry

HEAD = ("entry", "from", "content", "signers", "download, GB", "licence", "may be passed on")
KAGGLE, HUB = "https://www.kaggle.com/datasets", "https://huggingface.co/datasets"


def main() -> None:
    """Print the table."""
    print(datasets_table())


def datasets_table() -> str:
    """A row an entry, in the order of datasets.yaml; none for those that only this machine has."""
    rows = [HEAD, ("---",) * len(HEAD)]
    for name, said in params.whole(dict, params.DATASETS).items():
        if not said["source"].startswith("rendered") and not _links(said):
            continue
        entry = Entry.model_validate({key: said[key] for key in Entry.model_fields if key in said})
        places = " or ".join(_links(said)) or "drawn by the project"
        signers = entry.signers_said or said.get("signers")  # as its authors say, or as many as are drawn
        cells = (places, entry.content, signers, entry.download, entry.licence, _passed_on(entry))
        rows.append((f"`{name}`", *("–" if cell is None else str(cell) for cell in cells)))
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def _links(said: dict) -> list[str]:
    """Links to all places that the entry can be downloaded from."""
    links = []
    if handle := said.get("kaggle"):
        name = "/".join(handle.split("/")[:2])
        links.append(f"[Kaggle, {name}]({KAGGLE}/{name})")
    if hub_id := (said.get("hub") or said).get("hub_id"):
        links.append(f"[hub, {hub_id}]({HUB}/{hub_id})")
    if url := (said.get("web") or {}).get("url"):
        links.append(f"[{url.split('/')[2]}]({url})")
    return links


def _passed_on(entry: Entry) -> str:
    return {True: "yes", False: "no"}.get(entry.pass_on, entry.pass_on)


if __name__ == "__main__":
    run(main)
