"""What the cache of the hub's client looks like once it has fetched a file of a dataset."""

from pathlib import Path

COMMIT = "0123456789abcdef0123456789abcdef01234567"


def in_cache(cache: Path, hub_id: str, name: str, content: bytes, revision: str = COMMIT) -> Path:
    """Put the file there; where it then lies."""
    path = cache / f"datasets--{hub_id.replace('/', '--')}" / "snapshots" / revision / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path
