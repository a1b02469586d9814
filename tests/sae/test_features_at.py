"""Features at one place of the prompt, against each image read alone."""

import numpy as np
import pytest
import torch

from signbridge.core.errors import SignBridgeError
from signbridge.sae.autoencoders import check_fits_model
from signbridge.sae.features import AT_POSITION, features_at
from signbridge.sae.splicing import read_together
from signbridge.vlm.extraction import Reader
from signbridge.vlm.loading import FolderModel, load
from tests.sae.hand_made import identity
from tests.vlm import other_families
from tests.vlm.test_other_families import picture, streams_of

SITE = "layer_01"
SIZES = [(28, 28), (56, 28), (50, 50)]  # which take different numbers of tokens


@pytest.fixture(scope="module")
def reader(tmp_path_factory) -> Reader:
    folder = tmp_path_factory.mktemp("llava_next")
    other_families.write_llava_next(folder / "model")
    prompt = other_families.PROMPTS["llava-next"]
    entry = FolderModel(
        source="folder", path=str(folder / "model"), quantization="none", dequantize="never", dtype="float32",
        prompt=prompt, max_new_tokens=1,
    )  # fmt: skip
    return Reader(load(entry, folder, torch.device("cpu")), prompt, 1, 4)


@pytest.mark.parametrize("position", [2, 40, "prompt_last", "image_mean"])
def test_features_are_those_of_each_image_alone_and_the_token_is_named(reader, position):
    autoencoder = identity(other_families.WIDTH)
    images = [picture(seed, *size) for seed, size in enumerate(SIZES)]
    shard = reader.read(images, features_at(reader, SITE, autoencoder, position))
    tokenizer = reader.loaded.processor.tokenizer
    for row, image in enumerate(images):
        inputs = reader.prepare([image])
        ids, stream = inputs["input_ids"][0], streams_of(reader.loaded, inputs)[SITE][0]
        if position == "image_mean":
            # Of the features of each, as their mean is not the feature of the mean.
            expected = autoencoder.encode(stream[ids == reader.loaded.parts.image_token_id]).mean(0)
            assert shard.answers[row] == ""
        else:
            place = -1 if position == "prompt_last" else position
            expected = autoencoder.encode(stream[place])
            assert shard.answers[row] == tokenizer.decode([int(ids[place])])
        np.testing.assert_allclose(shard.vectors[AT_POSITION][row], expected.detach().numpy(), atol=1e-4)


def test_a_position_that_only_the_longest_prompt_has_is_refused(reader):
    lengths = [reader.prepare([picture(0, *size)])["input_ids"].shape[1] for size in SIZES]
    position = max(lengths) - 1
    work = features_at(reader, SITE, identity(other_families.WIDTH), position)
    with pytest.raises(SignBridgeError, match=f"the prompt has {min(lengths)} tokens"):
        reader.read([picture(0, *size) for size in SIZES], work)


def test_the_token_behind_a_named_one_is_found_wherever_it_stands(reader):
    """The last `<image>` of prompts of several lengths, filled up on the left."""
    tokenizer, images = reader.loaded.processor.tokenizer, [picture(seed, *size) for seed, size in enumerate(SIZES)]
    autoencoder = identity(other_families.WIDTH)
    shard = reader.read(images, features_at(reader, SITE, autoencoder, "after <image>"))
    for row, image in enumerate(images):
        inputs = reader.prepare([image])
        ids = inputs["input_ids"][0]
        place = int((ids == reader.loaded.parts.image_token_id).nonzero().max()) + 1
        assert shard.answers[row] == tokenizer.decode([int(ids[place])])
        expected = autoencoder.encode(streams_of(reader.loaded, inputs)[SITE][0, place]).detach().numpy()
        np.testing.assert_allclose(shard.vectors[AT_POSITION][row], expected, atol=1e-4)


def test_a_named_token_that_is_not_there_is_refused(reader):
    autoencoder, tokenizer = identity(other_families.WIDTH), reader.loaded.processor.tokenizer
    with pytest.raises(SignBridgeError, match="has no token '<end_of_turn>'"):
        features_at(reader, SITE, autoencoder, "after <end_of_turn>")
    other = next(token for token in tokenizer.all_special_tokens if token not in reader.prompt and token != "<s>")
    with pytest.raises(SignBridgeError, match="no token behind"):
        reader.read([picture(0, *SIZES[0])], features_at(reader, SITE, autoencoder, f"after {other}"))


def test_an_autoencoder_of_another_width_is_refused(reader):
    with pytest.raises(SignBridgeError, match=r"takes vectors of 16 numbers, and the model's residual stream has 32"):
        check_fits_model("mine", identity(16), 1, reader.loaded)
    with pytest.raises(SignBridgeError, match="blocks 0 to 2, not 3"):
        check_fits_model("mine", identity(32), 3, reader.loaded)
    check_fits_model("mine", identity(32), 2, reader.loaded)


def test_images_of_several_sizes_are_read_one_by_one_where_prompts_must_not_differ():
    assert read_together([picture(0), picture(1)], 8) == 8
    assert read_together([picture(0), picture(1, 56, 28)], 8) == 1


def test_no_block_behind_the_site_is_run(reader):
    run = []
    handles = [
        block.register_forward_hook(lambda *_, number=number: run.append(number))
        for number, block in enumerate(reader.loaded.parts.blocks)
    ]
    reader.read([picture(0, *SIZES[0])], features_at(reader, SITE, identity(other_families.WIDTH), "prompt_last"))
    for handle in handles:
        handle.remove()
    assert run == [0, 1]
