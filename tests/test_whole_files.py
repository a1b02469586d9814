"""Every file is written whole or not at all: nothing writes but into what `whole_file` or `whole_folder` yields.

Both rename at the end, so an output that is a link into DVC's cache is replaced and what it led to stays.
"""

import ast
from pathlib import Path

import pytest

from signbridge.core import tables
from tests.conftest import ROOT

WRITERS = {"write_text", "write_bytes", "to_csv", "to_parquet", "to_json", "save_file", "savefig", "write_table"}
WRITERS |= {"save_pretrained", "save_model", "save_inference_model", "copyfile", "copy2", "copytree", "ParquetWriter"}
WRITERS |= {"torch.save", "np.save", "np.savez", "json.dump", "shutil.copy", "touch", "truncate", "write_image"}
WHOLE = {"whole_file", "whole_folder"}
ELSEWHERE = {  # functions that are handed what one of the two yields, and what cannot be half
    "models/miniature/train.py: save": "writes to a folder of its own, from which each file is moved whole",
    "signbridge/demo/site.py: _copied": "within whole_folder",
    "signbridge/demo/site.py: _write_page": "within whole_folder",
    "signbridge/demo/site.py: _write_report": "within whole_folder",
    "signbridge/finetune/training.py: write_tuned": "within whole_folder",
    "signbridge/finetune/training_step.py: write": "within a checkpoint's whole_folder",
    "signbridge/lenses/judge_server.py: keep": "adds a line to a file of scratch; half a line is dropped",
    "signbridge/lenses/text_index.py: _link": "within whole_folder",
    "signbridge/pretrained/files.py: write_pretrained": "within whole_folder",
    "signbridge/sae/autoencoders.py: write_autoencoder": "within whole_folder",
    "signbridge/sae/pca.py: write_pca": "within whole_folder",
    "signbridge/sae/shipped.py: _convert": "within that of unpack; and of pack, for files that git keeps",
    "signbridge/sae/shipped.py: pack": "run by hand, for files that git keeps",
    "signbridge/sae/shipped.py: unpack": "within whole_folder",
    "signbridge/sae/training.py: write": "within a checkpoint's whole_folder",
    "signbridge/vlm/random_weights.py: _write": "to a folder of the process's own, which is renamed",
}
SOURCES = sorted(path for folder in ("signbridge", "stages", "models") for path in (ROOT / folder).rglob("*.py"))


def writes(source: str):
    """The functions of `source` that write a file elsewhere than within one of `WHOLE`, a name for each write."""

    def walk(node, function, whole):
        if isinstance(node, ast.FunctionDef):
            function = node.name
        if isinstance(node, ast.With):
            opened = [ast.unparse(item.context_expr.func) for item in node.items if _is_call(item.context_expr)]
            if whole or any(name.rpartition(".")[2] in WHOLE for name in opened):
                whole = True
        if _is_call(node) and not whole and _writes(node):
            yield function
        for child in ast.iter_child_nodes(node):
            yield from walk(child, function, whole)

    return list(walk(ast.parse(source), "<module>", False))


def _is_call(node: ast.AST) -> bool:
    return isinstance(node, ast.Call)


def _writes(call: ast.Call) -> bool:
    name = ast.unparse(call.func)
    last = name.rpartition(".")[2]
    if last == "open":
        modes = [*call.args, *(keyword.value for keyword in call.keywords if keyword.arg == "mode")]
        return any(
            isinstance(mode, ast.Constant) and isinstance(mode.value, str) and mode.value in _MODES for mode in modes
        )
    return name in WRITERS or last in WRITERS


_MODES = {kind + rest for kind in "wax" for rest in ("", "b", "t", "+", "b+")} | {"r+", "rb+", "r+b"}


def test_every_file_is_written_whole_or_not_at_all():
    found = {f"{path.relative_to(ROOT).as_posix()}: {name}" for path in SOURCES for name in writes(path.read_text())}
    assert found == set(ELSEWHERE)


@pytest.mark.parametrize(
    "source",
    [
        "def f(path): path.write_text('')",
        "def f(path): open(path, 'w')",
        "def f(path):\n  with path.open(mode='ab') as file: file.write(b'')",
        "def f(path):\n  with whole_file(path) as unfinished: pass\n  table.to_csv(path)",
    ],
)
def test_a_write_that_could_be_half_would_be_found(source):
    assert writes(source) == ["f"]


def test_a_write_within_is_none():
    assert writes("def f(path):\n  with tables.whole_file(path) as unfinished: unfinished.write_text('')") == []
    assert writes("def f(path):\n  with whole_file(path) as to, to.open('wb') as file: np.save(file, 1)") == []


@pytest.mark.parametrize("link", [Path.symlink_to, Path.hardlink_to])
def test_what_an_output_links_to_stays_as_it_was(tmp_path, link):
    cached, output = tmp_path / "cache" / "ab12", tmp_path / "data" / "model.json"
    for path in (cached, output):
        path.parent.mkdir()
    cached.write_text("cached")
    link(output, cached)
    tables.write_findings(output, {"accuracy": 1.0})
    assert cached.read_text() == "cached"
    assert not output.is_symlink()
    with tables.whole_folder(output.parent) as unfinished:
        (unfinished / "model.json").write_text("another")
    assert cached.read_text() == "cached"
