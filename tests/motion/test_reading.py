"""Clips read through a small model of every family: which tokens are a frame's, and what its library would do."""

import numpy as np
import pytest
import torch

from signbridge.core.errors import SignBridgeError
from signbridge.motion.reading import clips_work, frame_mean, metadata
from signbridge.vlm.families.parts import completed
from signbridge.vlm.residual import decoder_sites
from tests.motion.conftest import FRAMES, ONE_IMAGE, SEVERAL_IMAGES, WITH_VIDEO, seen
from tests.vlm.conftest import plain_streams

MERGED = ("qwen2-vl", "qwen2-5-vl", "qwen3-vl")  # two frames are one patch in time
TOKENS = {  # of one frame of 32 pixels, or of two that are merged
    "llava-gemma": 16, "gemma3": 4, "llava-next": 88, "paligemma": 16, "mistral3": 9, "pixtral": 25, "idefics3": 4,
    "qwen2-vl": 4, "qwen2-5-vl": 4, "qwen3-vl": 4, "internvl": 4, "smolvlm": 4, "llava-onevision": 4,
    "llava-next-video": 4,
}  # fmt: skip


ALIKE = ("llava_next", "llava-next", "mistral3", "pixtral", "idefics3")  # read as LLaVA and SmolVLM are: slow


@pytest.fixture(
    params=[
        pytest.param(name, marks=pytest.mark.slow) if name in ALIKE else name for name in (*WITH_VIDEO, *SEVERAL_IMAGES)
    ]
)
def family(request) -> str:
    return request.param


@pytest.fixture
def clips(family, clip_reader):
    return clip_reader(family)


def inputs_of(clips, items, prompts=None):
    return completed(clips.reader.loaded.parts, (prompts or clips.prompts).prepare(items))


def read(clips, items):
    return clips.reader.read(items, clips_work(clips.reader, clips.prompts))


def test_a_frames_tokens_are_those_that_change_with_it_and_no_others(family, clips):
    """At the embedding, where no token has seen another; LLaVA-NeXT ends lines with a token that is of no pixel."""
    model, parts = clips.reader.loaded.model, clips.reader.loaded.parts
    whole = inputs_of(clips, [seen(0)])
    groups = clips.prompts.tokens_of_groups(whole["input_ids"])
    assert len(groups) == clips.prompts.groups == (FRAMES // 2 if family in MERGED else FRAMES)
    assert [int(group.sum()) for group in groups] == [TOKENS[family]] * len(groups)
    behind = 1 if family == "llava-onevision" else 0
    ours = (whole["input_ids"] == clips.prompts.token_id).sum() - behind
    assert sum(group.sum() for group in groups) == ours, "the library's own placeholders, all of them"
    before = plain_streams(clips.reader.loaded, whole)["embedding"]
    for frame in range(FRAMES):
        changed = inputs_of(clips, [seen(0, tuple(9 if at == frame else at for at in range(FRAMES)))])
        differs = (plain_streams(clips.reader.loaded, changed)["embedding"] != before).any(-1)
        group = groups[frame * len(groups) // FRAMES]
        assert not (differs & ~group).any(), f"frame {frame}"
        left = group & ~differs
        newlines = getattr(model.model, "image_newline", None)
        assert not left.any() or (before[left] == newlines).all(), f"frame {frame}"
    assert parts.image_token_id == clips.prompts.token_id or family in WITH_VIDEO


def test_sites_are_the_librarys_hidden_states_at_the_tokens_of_clip_and_frames(family, clips):
    """Which lack what Qwen3-VL adds to the tokens of a clip behind its first blocks: the sites have it."""
    inputs = inputs_of(clips, [seen(0)])
    with torch.inference_mode():
        states = clips.reader.loaded.model(**inputs, output_hidden_states=True).hidden_states
    vectors = read(clips, [seen(0)]).vectors
    groups = clips.prompts.tokens_of_groups(inputs["input_ids"])
    of_clip = inputs["input_ids"][0] == clips.prompts.token_id
    parts = clips.reader.loaded.parts
    for site, state in zip(decoder_sites(parts)[:-1], states, strict=False):
        np.testing.assert_allclose(vectors[f"{site}.prompt_last"][0], state[0, -1], atol=2e-5, err_msg=site)
        if site in decoder_sites(parts)[1 : 1 + len(parts.injected)]:
            assert np.abs(vectors[f"{site}.video_mean"][0] - state[0, of_clip].mean(0).numpy()).max() > 1e-2
            continue
        np.testing.assert_allclose(vectors[f"{site}.video_mean"][0], state[0, of_clip].mean(0), atol=2e-5)
        for number, group in enumerate(groups):
            mean = vectors[f"{site}.{frame_mean(number)}"][0]
            np.testing.assert_allclose(mean, state[0, group[0]].mean(0), atol=2e-5, err_msg=f"{site} {number}")


def test_a_frames_mean_follows_it_where_order_is_not_yet_mixed_in_and_the_stream_does_not(family, clips):
    moved = (2, 3, 0, 1)  # in pairs, which is what a patch in time holds
    straight, other = (read(clips, [seen(0, frames)]).vectors for frames in ((0, 1, 2, 3), moved))
    groups = clips.prompts.groups
    for site in ("vision", "projector", "embedding"):
        for group in range(groups):
            came_from = moved[group * FRAMES // groups] * groups // FRAMES
            now, before = other[f"{site}.{frame_mean(group)}"], straight[f"{site}.{frame_mean(came_from)}"]
            np.testing.assert_allclose(now, before, atol=2e-5, err_msg=f"{site} {group}")
        np.testing.assert_allclose(other[f"{site}.video_mean"], straight[f"{site}.video_mean"], atol=2e-5)
    last = decoder_sites(clips.reader.loaded.parts)[-1]
    assert np.abs(other[f"{last}.prompt_last"] - straight[f"{last}.prompt_last"]).max() > 1e-3


def test_a_clip_reads_alone_as_in_a_batch_whose_other_prompt_is_longer(family, clips):
    """Qwen3-VL writes the seconds, so that prompts have different lengths; elsewhere they have one."""
    first, second = seen(0), seen(1, seconds=20.0)
    lengths = {clips.prompts.tokens(item) for item in (first, second)}
    assert len(lengths) == (2 if family == "qwen3-vl" else 1)
    alone, together = read(clips, [first]), read(clips, [first, second])
    assert alone.answers[0] == together.answers[0]
    for name, array in together.vectors.items():
        np.testing.assert_allclose(array[:1], alone.vectors[name], atol=5e-5, err_msg=name)


def test_the_answer_is_that_of_the_librarys_own_loop(clips):
    loaded = clips.reader.loaded
    inputs = clips.prompts.prepare([seen(0)])
    said = loaded.model.generate(
        **{name: given for name, given in inputs.items() if name != "labels"}, max_new_tokens=3, do_sample=False
    )[0, inputs["input_ids"].shape[1] :]
    for module in loaded.model.modules():
        if hasattr(module, "rope_deltas"):
            module.rope_deltas = None
    said = loaded.processor.batch_decode([said], skip_special_tokens=True)[0].strip()
    assert read(clips, [seen(0)]).answers == [said]


@pytest.mark.parametrize("family", ["qwen2-5-vl", "qwen3-vl", "smolvlm"])
def test_the_seconds_between_frames_reach_the_model(family, clips):
    slow, fast = seen(0, seconds=2.0), seen(0, seconds=0.5)
    inputs = {item.times[1]: inputs_of(clips, [item]) for item in (slow, fast)}
    said = {step: clips.reader.loaded.processor.tokenizer.decode(of["input_ids"][0]) for step, of in inputs.items()}
    if family == "qwen2-5-vl":
        (group, *_, last), ids = clips.prompts.tokens_of_groups(inputs[2.0]["input_ids"]), inputs[2.0]["position_ids"]
        in_time = {step: of["position_ids"][0, 0, last[0]][0] - of["position_ids"][0, 0, group[0]][0]
                   for step, of in inputs.items()}  # fmt: skip
        tokens_per_second = clips.reader.loaded.model.config.vision_config.tokens_per_second
        assert ids.shape[0] == 3
        assert in_time == {2.0: 4 * tokens_per_second, 0.5: 1 * tokens_per_second}
    elif family == "qwen3-vl":
        assert "<1.0 seconds>" in said[2.0]
        assert "<5.0 seconds>" in said[2.0]
        assert "<0.2 seconds>" in said[0.5]
        assert "<1.2 seconds>" in said[0.5]
    else:
        assert "four frames from a 0:00:08 [H:MM:SS] video" in said[2.0]
        assert "Frame from 00:06:" in said[2.0]
        assert "Frame from 00:06:" not in said[0.5]


def test_a_frame_alone_is_as_large_as_in_its_clip(family, clips):
    """Or Qwen3-VL would make it the larger, and what is blind to order would see more."""
    alone = clips.of_frames(1)
    one = seen(0, (2,))
    tokens = alone.tokens_of_groups(alone.prepare([one])["input_ids"])
    assert [int(group.sum()) for group in tokens] == [TOKENS[family]]
    vectors = clips.reader.read([one], clips_work(clips.reader, alone)).vectors
    assert {name.partition(".")[2] for name in vectors} == {"prompt_last", "answer_last", "video_mean"}


@pytest.mark.parametrize("family", ["internvl", "smolvlm", "llava-onevision", "qwen3-vl"])
def test_a_family_with_video_reads_frames_as_images_where_that_is_asked(family, clips):
    """Each frame whole, and not as tiles."""
    prompts = clips.of_frames(FRAMES, "images")
    vectors = clips.reader.read([seen(0)], clips_work(clips.reader, prompts)).vectors
    assert prompts.groups == FRAMES
    assert prompts.read_as == "images"
    assert f"layer_00.{frame_mean(FRAMES - 1)}" in vectors
    tokens = int(prompts.tokens_of_groups(prompts.prepare([seen(0)])["input_ids"])[0].sum())
    assert tokens == {"llava-onevision": 17}.get(family, 4)


@pytest.mark.parametrize("family", ONE_IMAGE)
def test_a_family_of_one_image_a_prompt_reads_single_frames_alone(family, clips):
    assert read(clips, [seen(0, (1,))]).vectors["embedding.video_mean"].shape == (1, 32)
    with pytest.raises(
        SignBridgeError, match=r"reads one image a prompt, so no clip of 4 frames. Choose another `model`"
    ):
        clips.of_frames(FRAMES)


def test_video_is_refused_of_a_family_that_has_none(clip_reader):
    with pytest.raises(SignBridgeError, match=r"read_as: video, but a model of family 'gemma3' takes no video here"):
        clip_reader("gemma3").of_frames(FRAMES, "video")


def test_a_processor_that_cuts_prompts_short_is_refused(clip_reader, monkeypatch):
    clips = clip_reader("llava-next-video")
    tokenizer = clips.reader.loaded.processor.tokenizer
    monkeypatch.setitem(tokenizer.init_kwargs, "truncation", True)
    monkeypatch.setitem(tokenizer.init_kwargs, "max_length", 10)
    with pytest.raises(SignBridgeError, match="does not take it with 4 frames"):
        clips.prompts.prepare([seen(0)])


def test_the_length_of_a_clip_counts_its_last_frame():
    """Four frames, one every half second, are two seconds of video; one frame alone is a second."""
    told = metadata(seen(0, seconds=0.5))
    assert told.sampled_fps == pytest.approx(2.0)
    assert told.timestamps == [0.0, 0.5, 1.0, 1.5]
    assert metadata(seen(0, (3,))).timestamps == [0.0]
