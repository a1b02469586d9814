"""What Transformers raises over a model's files, said in the project's words; and that it never asks to run code."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import transformers
from transformers import PreTrainedConfig, dynamic_module_utils

from signbridge.core.errors import SignBridgeError, is_out_of_memory, refusal
from signbridge.core.model_folder import blocks_in_weights

dynamic_module_utils.TIME_OUT_REMOTE_CODE = 0  # seconds to wait for "Do you wish to run the custom code?": never asked


@contextmanager
def said_of_files(folder: Path) -> Iterator[None]:
    """What the library raises over a model's files, said in the project's words; it itself is silent.

    It raises all kinds of exceptions over them, and `tokenizers` the very class `Exception`.
    """
    loud = transformers.logging.get_verbosity()
    transformers.logging.set_verbosity(transformers.logging.ERROR)  # its reports of weights fill screens
    try:
        yield
    except SignBridgeError:
        raise
    except Exception as error:
        if is_out_of_memory(error):
            raise
        if said := refusal(error):
            raise said from error
        named = [
            file
            for file in sorted(folder.glob("*.json"))
            if '"auto_map"' in file.read_text(encoding="utf-8", errors="replace")
        ]
        if named and any(words in str(error) for words in ("trust_remote_code", "custom code", "nrecognized")):
            raise own_code(named[0], "auto_map") from None
        if isinstance(error, ImportError):
            raise SignBridgeError(
                f"{folder}: cannot be loaded, a Python package is missing: {first_line(error)}"
            ) from error
        raise SignBridgeError(
            f"{folder}: cannot be loaded ({type(error).__name__}: {first_line(error)}). "
            "Its files are damaged or do not belong together: fetch it again, or save it again with save_pretrained()."
        ) from error
    finally:
        transformers.logging.set_verbosity(loud)


def check_complete(found: dict[str, Any], folder: Path) -> None:
    """Transformers draws at random what it does not find: here that is an error."""
    for problem in ("missing_keys", "mismatched_keys"):
        if found[problem]:
            first = sorted(map(str, found[problem]))[0]
            raise SignBridgeError(
                f"{folder}: the weights do not fit config.json: {len(found[problem])} {problem.replace('_', ' ')}, "
                f"first {first}. Save model and configuration again, together."
            )


def check_blocks(config: PreTrainedConfig, folder: Path) -> None:
    """Raises `SignBridgeError` if the weights in `folder` are of another number of decoder blocks than `config` says.

    Of a decoder with more of them, Transformers would read a part.
    """
    there, said = blocks_in_weights(folder), config.get_text_config().num_hidden_layers
    if there is not None and there != said:
        raise SignBridgeError(
            f"{folder}: the weights hold {there} decoder blocks, and config.json says {said}. "
            "Save model and configuration again, together."
        )


def own_code(file: Path, key: str) -> SignBridgeError:
    """The refusal of a model whose `file` names, at `key`, code of a repository."""
    return SignBridgeError(
        f"{file}: names code of a repository ({key}), which is never run. "
        "Choose a model of a family that Transformers knows, or save this one with its classes."
    )


def first_line(error: Exception) -> str:
    """The first line of what an exception says, at most 200 characters, without a full stop."""
    lines = str(error).strip().splitlines()
    return lines[0][:200].rstrip(".") if lines else type(error).__name__
