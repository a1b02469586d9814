"""DVC, with quicker parsers of two kinds of files: what `Clone.dvc` of tests/dvc_clone.py runs in place of `dvc`.

After each stage DVC parses the whole lock file with a parser that keeps comments, of which a lock file has none. For
each stage it parses pyproject.toml with one that keeps the layout, though it writes nothing there. What these read is
the same; what DVC writes stays the same to the byte.
"""

import sys
import tomllib
from typing import Any

from dvc.cli import main
from dvc.utils.serialize import _toml, _yaml

_keeping_comments, _keeping_layout = _yaml.parse_yaml_for_update, _toml.parse_toml


def _parse_yaml_for_update(text: str, path: Any) -> Any:
    lock_file = str(path).endswith("dvc.lock")
    return _yaml.parse_yaml(text, path) if lock_file else _keeping_comments(text, path)


def _load_toml(path: Any, fs: Any = None, **options: Any) -> Any:
    def parse(text: str, path: Any) -> Any:
        try:
            return tomllib.loads(text)
        except tomllib.TOMLDecodeError:
            return _keeping_layout(text, path)  # which says what is wrong in DVC's words

    return _toml._load_data(path, parser=parse, fs=fs, **options)


if __name__ == "__main__":
    from dvc.utils import serialize

    _yaml.parse_yaml_for_update = _parse_yaml_for_update
    serialize.LOADERS[".toml"] = _load_toml
    sys.exit(main(sys.argv[1:]))
