"""Where a prompt has the model take the image."""

import pytest

from signbridge.core.errors import SignBridgeError
from signbridge.vlm.prompts import check_prompt, prompt_for

OWN = "<start_of_image>"


@pytest.mark.parametrize("image_token", ["<image>", OWN])
def test_image_stands_for_the_models_own_token(image_token):
    assert prompt_for("USER: <image>\nWhich?", "causal.describe", image_token) == f"USER: {image_token}\nWhich?"


def test_a_prompt_that_has_the_models_own_token_is_left_as_it_is():
    prompt = f"user\n{OWN}Which?"
    assert prompt_for(prompt, "causal.describe", OWN) == prompt


@pytest.mark.parametrize(
    ("prompt", "image_token", "expected"),
    [
        ("Which?", "<image>", "<image> exactly once, not 0 times: 'Which"),
        ("<image><image>", "<image>", "<image> exactly once, not 2 times"),
        ("Which?", OWN, f"<image> \\(or {OWN}\\) exactly once, not 0 times"),
        (f"<image>{OWN}", OWN, f"<image> \\(or {OWN}\\) exactly once, not 2 times"),
        (OWN, "<image>", "<image> exactly once, not 0 times"),
    ],
)
def test_a_prompt_with_no_place_for_the_image_or_several_is_refused(prompt, image_token, expected):
    with pytest.raises(SignBridgeError, match=f"causal.describe must hold {expected}"):
        prompt_for(prompt, "causal.describe", image_token)


def test_a_models_own_prompt_has_its_own_token():
    check_prompt(f"user\n{OWN}Which?", "models.<model>.prompt", OWN)
    with pytest.raises(SignBridgeError, match=f"prompt must hold {OWN} exactly once, not 0 times"):
        check_prompt("USER: <image>\nWhich?", "models.<model>.prompt", OWN)
