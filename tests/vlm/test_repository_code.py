"""No code of a repository is ever run: not a model's, a tokenizer's, an adapter's, a dataset's or an autoencoder's."""

import ast
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from signbridge.core.errors import SignBridgeError
from signbridge.vlm import hub
from signbridge.vlm.catalog import FolderModel, HubModel
from signbridge.vlm.loading import load, stream_width
from tests.conftest import ROOT
from tests.vlm.conftest import CPU, PROMPT

FOLDERS = ("signbridge", "stages", "benchmarks", "models", "tests")
# Calls that run code of a repository unless they are told not to, and those that unpickle.
LOADERS = {"from_pretrained", "load_dataset", "load_dataset_builder", "get_dataset_config_names", "pipeline"}
UNPICKLE = {("torch", "load"), ("pickle", "load"), ("pickle", "loads"), ("joblib", "load"), ("dill", "load")}
RUN_OTHERS = {("hub", "load"), ("kernels", "get_kernel"), ("runpy", "run_path")}
TAKES_NO_SUCH_OPTION = {"SAE", "TrainingSAE"}  # SAELens reads JSON and safetensors, and has no code to run


def calls(source: str) -> Iterator[tuple[ast.Call, str, str]]:
    """Every call in a file, with the last two names of what is called: `AutoModel`, `from_pretrained`."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Call):
            called = node.func
            owner = called.value if isinstance(called, ast.Attribute) else None
            of = owner.attr if isinstance(owner, ast.Attribute) else getattr(owner, "id", "")
            yield node, of, called.attr if isinstance(called, ast.Attribute) else getattr(called, "id", "")


def unsafe(source: str) -> list[str]:
    """The calls in a file by which code of a repository could run, each with its line."""
    found = []
    for call, of, name in calls(source):
        said = {keyword.arg: ast.unparse(keyword.value) for keyword in call.keywords}
        loads = name in LOADERS or (name == "from_config" and of.startswith("Auto"))
        if loads and of not in TAKES_NO_SUCH_OPTION and said.get("trust_remote_code") != "False":
            found.append(f"line {call.lineno}: {of}.{name} without trust_remote_code=False")
        if said.get("trust_remote_code", "False") != "False":
            found.append(f"line {call.lineno}: {of}.{name} trusts code")
        if (of, name) in UNPICKLE and said.get("weights_only") != "True":
            found.append(f"line {call.lineno}: {of}.{name} unpickles")
        if (of, name) in RUN_OTHERS or said.get("allow_pickle", "False") != "False":
            found.append(f"line {call.lineno}: {of}.{name} runs what it loads")
    return found


def test_no_call_of_the_project_lets_code_of_a_repository_run():
    files = [file for folder in FOLDERS for file in sorted((ROOT / folder).rglob("*.py"))]
    assert len(files) > 100
    found = {str(file.relative_to(ROOT)): unsafe(file.read_text(encoding="utf-8")) for file in files}
    assert {file: lines for file, lines in found.items() if lines} == {}


@pytest.mark.parametrize(
    "source",
    [
        "AutoModel.from_pretrained(folder)",
        "transformers.AutoTokenizer.from_pretrained(folder, trust_remote_code=trust)",
        "AutoConfig.from_pretrained(folder, trust_remote_code=True)",
        "AutoModel.from_config(config)",
        "PeftModel.from_pretrained(model, folder)",
        "datasets.load_dataset('some/data')",
        "load_dataset('some/data', trust_remote_code=1)",
        "pipeline('image-to-text', model=folder)",
        "build(trust_remote_code=True)",
        "torch.load(path)",
        "torch.hub.load('some/repo', 'model')",
        "np.load(path, allow_pickle=True)",
    ],
)
def test_the_walk_finds_every_kind_of_unsafe_call(source):
    assert unsafe(source)


def test_the_walk_lets_safe_calls_be():
    safe = [
        "AutoModel.from_pretrained(folder, trust_remote_code=False)",
        "SAE.from_pretrained(release, id)",
        "torch.load(path, weights_only=True)",
        "json.load(file)",
        "LlavaConfig.from_config(config)",
    ]
    assert unsafe("\n".join(safe)) == []


OWN_CODE = """
open({marker!r}, "w").write("ran")
from transformers import CLIPImageProcessorPil, LlavaProcessor, PretrainedConfig, PreTrainedTokenizerFast
class Config(PretrainedConfig):
    model_type = "own"
class Tokenizer(PreTrainedTokenizerFast):
    pass
class Images(CLIPImageProcessorPil):
    pass
class Processor(LlavaProcessor):
    pass
"""


def edit(file: Path, **values) -> None:
    """Change a JSON file; None removes a key."""
    content = json.loads(file.read_text()) | values
    file.write_text(json.dumps({key: value for key, value in content.items() if value is not None}))


def own_model(folder: Path) -> None:
    edit(folder / "config.json", model_type="own", auto_map={"AutoConfig": "own.Config"})


def own_model_of_another_repository(folder: Path) -> None:
    edit(folder / "config.json", model_type="own", auto_map={"AutoConfig": "some/repository--own.Config"})


def own_text_model(folder: Path) -> None:
    text = json.loads((folder / "config.json").read_text())["text_config"]
    edit(folder / "config.json", text_config=text | {"model_type": "own", "auto_map": {"AutoConfig": "own.Config"}})


def own_tokenizer(folder: Path) -> None:
    edit(folder / "tokenizer_config.json", tokenizer_class="Own", auto_map={"AutoTokenizer": ["own.Tokenizer", None]})


def own_tokenizer_and_no_class_of_processor(folder: Path) -> None:
    """Transformers 5.23 drops trust_remote_code here on its way to the tokenizer."""
    own_tokenizer(folder)
    edit(folder / "tokenizer_config.json", processor_class=None)
    edit(folder / "processor_config.json", processor_class=None)


def own_images(folder: Path) -> None:
    images = json.loads((folder / "processor_config.json").read_text())["image_processor"]
    (folder / "processor_config.json").unlink()
    edit(folder / "tokenizer_config.json", processor_class="LlavaProcessor")
    own = {"image_processor_type": "Own", "auto_map": {"AutoImageProcessor": "own.Images"}}
    (folder / "preprocessor_config.json").write_text(json.dumps(images | own))


def own_processor(folder: Path) -> None:
    edit(folder / "processor_config.json", processor_class="Own", auto_map={"AutoProcessor": "own.Processor"})
    edit(folder / "tokenizer_config.json", processor_class=None)


def own_of_each_where_the_library_has_one(folder: Path) -> None:
    edit(folder / "config.json", auto_map={"AutoConfig": "own.Config", "AutoModel": "own.Model"})
    edit(folder / "tokenizer_config.json", auto_map={"AutoTokenizer": ["own.Tokenizer", None]})
    edit(folder / "processor_config.json", auto_map={"AutoProcessor": "own.Processor"})


def kernel_of_the_hub(folder: Path) -> None:
    """With the package `kernels`, Transformers runs what such a repository holds, whatever the call asks for."""
    edit(folder / "config.json", _attn_implementation="some/kernel")


def kernel_of_the_hub_for_a_part(folder: Path) -> None:
    text = json.loads((folder / "config.json").read_text())["text_config"]
    edit(folder / "config.json", text_config=text | {"_attn_implementation": "some/kernel@main"})


REFUSED = [own_model, own_model_of_another_repository, own_text_model, own_images, own_processor]
REFUSED += [kernel_of_the_hub, kernel_of_the_hub_for_a_part]
READ_WITHOUT = [own_tokenizer, own_tokenizer_and_no_class_of_processor, own_of_each_where_the_library_has_one]


@pytest.fixture
def with_code(tmp_path, tiny, monkeypatch):
    """A model folder with Python code beside it, and someone who answers yes to every question."""
    folder, marker = tmp_path / "model", tmp_path / "MARKER"
    tiny.model.save_pretrained(folder)
    tiny.processor.save_pretrained(folder)
    for file in (folder / "own.py", folder / "custom_generate" / "generate.py"):
        file.parent.mkdir(exist_ok=True)
        file.write_text(OWN_CODE.format(marker=str(marker)))
    asked = []
    monkeypatch.setattr("builtins.input", lambda question="": asked.append(question) or "y")
    yield folder
    assert asked == []
    assert not marker.exists()


def entry(folder: Path) -> FolderModel:
    return FolderModel(
        source="folder", path=str(folder), quantization="none", dequantize="auto", dtype="float32", prompt=PROMPT,
        max_new_tokens=2,
    )  # fmt: skip


@pytest.mark.parametrize("names_code", REFUSED, ids=lambda change: change.__name__)
def test_a_model_that_needs_its_own_code_is_refused_at_once_in_a_sentence(with_code, tmp_path, names_code):
    names_code(with_code)
    with pytest.raises(SignBridgeError) as refused:
        load(entry(with_code), tmp_path / "scratch", CPU)
    message = str(refused.value)
    assert "names code of a repository" in message
    assert "never run" in message
    assert ".json" in message
    assert len(message.splitlines()) == 1


@pytest.mark.parametrize("names_code", [own_model, own_text_model], ids=lambda change: change.__name__)
def test_code_is_refused_wherever_a_configuration_is_read(with_code, tmp_path, names_code):
    names_code(with_code)
    with pytest.raises(SignBridgeError, match="never run"):
        load(entry(with_code), tmp_path / "scratch", CPU, twin_seed=0)
    with pytest.raises(SignBridgeError, match="never run"):
        stream_width(entry(with_code))


@pytest.mark.parametrize("names_code", READ_WITHOUT, ids=lambda change: change.__name__)
def test_code_beside_what_the_library_has_itself_is_left_alone(with_code, tmp_path, tiny, names_code):
    names_code(with_code)
    loaded = load(entry(with_code), tmp_path / "scratch", CPU)
    assert type(loaded.model) is type(tiny.model)
    assert loaded.processor.tokenizer(PROMPT)["input_ids"] == tiny.processor.tokenizer(PROMPT)["input_ids"]


@pytest.mark.parametrize(
    "imports_it",
    [
        "import torch; from signbridge.vlm.nf4 import quantization_of; quantization_of('nf4', torch.float16)",
        "import signbridge.finetune.training_step",  # through PEFT
    ],
    ids=["packing weights", "tuning"],
)
def test_bitsandbytes_runs_no_code_of_the_hub_where_the_package_for_it_is_installed(tmp_path, imports_it):
    """As it is imported, bitsandbytes does so where there is `kernels` and a processor with AVX512-BF16."""
    marker = tmp_path / "MARKER"
    (tmp_path / "kernels.py").write_text(f"def get_kernel(*_, **__): open({str(marker)!r}, 'w').write('ran')\n")
    code = f"{imports_it}\nimport sys\nassert 'bitsandbytes' in sys.modules\nimport bitsandbytes\n"
    paths = os.pathsep.join([str(tmp_path), str(ROOT)])
    environment = {**os.environ, "PYTHONPATH": paths, "PYTHONDONTWRITEBYTECODE": ""}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment, timeout=120)
    assert done.returncode == 0, done.stderr
    assert "pip install kernels" not in done.stderr
    assert not marker.exists()


def test_a_hub_model_that_needs_its_own_code_is_refused_for_that(with_code, tmp_path, monkeypatch):
    own_model(with_code)
    monkeypatch.setattr(hub, "unanswered", lambda *_: None)
    monkeypatch.setattr(hub, "snapshot_download", lambda *_, **__: str(with_code))
    settings = entry(with_code).model_dump(exclude={"source", "path"})
    params = HubModel(source="hub", hub_id="some/model", revision="0" * 40, **settings)
    for read in (lambda: stream_width(params), lambda: load(params, tmp_path, CPU)):
        with pytest.raises(SignBridgeError, match=r"config\.json: names code .* never run"):
            read()
