"""Which files make up a model, and what tells one local model from another: their content."""

import hashlib
from pathlib import Path

# In a hub repository or a folder: no pickles, no code.
MODEL_FILES = ("*.json", "*.safetensors", "*.model", "*.txt", "*.jinja")


def folder_sha256(folder: Path) -> str:
    """Of the names and content of the model's files in `folder`; a card or a script beside them does not count."""
    digest = hashlib.sha256()
    for file in sorted({file for pattern in MODEL_FILES for file in folder.glob(pattern)}):
        with file.open("rb") as content:
            digest.update(f"{file.name} {hashlib.file_digest(content, 'sha256').hexdigest()}\n".encode())
    return digest.hexdigest()
