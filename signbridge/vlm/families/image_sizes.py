"""How many tokens an image of the study takes in a prompt, and how many patches in the tower, by the configuration.

An image of the study is small and square, 28 pixels as those of Sign Language MNIST. What a processor's own file says
of sizes is not read: where it decides, the published models' is taken.
"""

from typing import NamedTuple

from transformers import PreTrainedConfig
from transformers.models.llava_next.modeling_llava_next import get_anyres_image_grid_shape

STUDY_IMAGE = (28, 28)  # pixels
# Pixels a side that Qwen-VL's processors make of a smaller image.
SMALLEST = {"qwen2_vl": 56, "qwen2_5_vl": 56, "qwen3_vl": 256}
TILES = 4 * 4  # that Idefics3's processors cut a square image into, however small, beside the whole


class OfImage(NamedTuple):
    """What one image takes."""

    tokens: int
    patches: int


def of_image(config: PreTrainedConfig) -> OfImage:
    """What an image of the study takes of a model of that `config`, of a family that is known."""
    tower, family = config.vision_config, config.model_type
    if family in SMALLEST:
        side = SMALLEST[family] // tower.patch_size // tower.spatial_merge_size * tower.spatial_merge_size
        return OfImage((side // tower.spatial_merge_size) ** 2, side**2)
    if tower.model_type == "pixtral":
        merged = getattr(config, "spatial_merge_size", 1)
        rows = -(-STUDY_IMAGE[0] // (tower.patch_size * merged))
        return OfImage(rows**2, (rows * merged) ** 2)
    if family in ("instructblip", "blip-2"):
        return OfImage(config.num_query_tokens, _side(tower) ** 2)
    if family == "gemma3":
        return OfImage(config.mm_tokens_per_image, _side(tower) ** 2)
    if family == "internvl":
        return OfImage(config.image_seq_length, _side(tower) ** 2)
    if family in ("idefics3", "smolvlm"):
        side = _side(tower)
        return OfImage((TILES + 1) * (side // config.scale_factor) ** 2, (TILES + 1) * side**2)
    if family in ("llava_next", "llava_onevision", "llava_next_video"):
        return _of_tiles(config)
    return OfImage(_side(tower) ** 2, _side(tower) ** 2)


def _of_tiles(config: PreTrainedConfig) -> OfImage:
    """Of LLaVA-NeXT: the whole, the tiles, and a token at the end of each of their lines; padding is cut off."""
    side = _side(config.vision_config)
    rows, columns = get_anyres_image_grid_shape(
        STUDY_IMAGE, config.image_grid_pinpoints, config.vision_config.image_size
    )
    across = min(rows, columns) * side
    return OfImage(side**2 + across**2 + across, side**2 * (1 + rows * columns))


def _side(tower: PreTrainedConfig) -> int:
    """Patches in a row; some configurations give height and width."""
    image, patch = (of if isinstance(of, int) else of[0] for of in (tower.image_size, tower.patch_size))
    return image // patch
