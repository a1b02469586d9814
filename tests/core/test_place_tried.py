"""A path of the params that leads nowhere is named as it was looked for: an experiment may run in another folder."""

from pathlib import Path

import pytest

from signbridge.core.errors import SignBridgeError
from signbridge.core.model_folder import check_model_folder
from signbridge.datasets.image_folder import read_folder
from signbridge.datasets.sign_mnist import read_archive
from signbridge.pretrained.files import fetched
from signbridge.pretrained.neuronpedia import files_of_export
from signbridge.pretrained.settings import OfFolder
from signbridge.statistics.judged import question_text
from signbridge.vlm.text import phrases


def autoencoder(path: Path):
    """What the catalog of autoencoders does with a path."""
    entry = {"source": "folder", "path": str(path), "format": "sae_lens", "model": "m", "layer": 0, "prompt": "<image>"}
    return fetched("mine", OfFolder.model_construct(**entry, norm_scaling_factor=None))


NAMED = {
    "an image folder": read_folder,
    "an archive": lambda path: read_archive(path, None),
    "a model": check_model_folder,
    "a corpus": lambda path: phrases(str(path), []),
    "a question": question_text,
    "an export": files_of_export,
    "an autoencoder": autoencoder,
}


@pytest.mark.parametrize("read", NAMED.values(), ids=NAMED)
def test_a_relative_path_that_leads_nowhere_is_named_as_an_absolute_one(tmp_path, monkeypatch, read):
    (tmp_path / "exps").mkdir()
    monkeypatch.chdir(tmp_path / "exps")
    with pytest.raises(SignBridgeError) as error:
        read(Path("../my-signs"))
    assert f"Looked for at {tmp_path}/my-signs: `dvc exp run --queue` and `--temp` need an absolute" in str(error.value)
    with pytest.raises(SignBridgeError) as error:
        read(tmp_path / "my-signs")
    assert "Looked for" not in str(error.value)
