"""Prompts that the params hold."""

from signbridge.core.errors import SignBridgeError

IMAGE = "<image>"  # in a study's prompts: where the model takes the image, whatever its own token for it


def prompt_for(prompt: str, key: str, image_token: str) -> str:
    """A study's prompt, which the params have at `key` (`located`), with the model's own `image_token` for `<image>`.

    Raises `SignBridgeError` if it does not say once where the image goes.
    """
    own = prompt.replace(IMAGE, image_token)
    _check_once(own, image_token, key, IMAGE if image_token == IMAGE else f"{IMAGE} (or {image_token})")
    return own


def check_prompt(prompt: str, key: str, image_token: str) -> None:
    """Raises `SignBridgeError` if a model's prompt, which the params have at `key`, does not hold its token once."""
    _check_once(prompt, image_token, key, image_token)


def located(key: str) -> str:
    """Where to look for `key`: in `params.yaml`, unless it names another file (`models.yaml: <model>.prompt`)."""
    return key if ": " in key else f"params.yaml: {key}"


def _check_once(prompt: str, image_token: str, key: str, expected: str) -> None:
    if prompt.count(image_token) != 1:
        raise SignBridgeError(
            f"{located(key)} must hold {expected} exactly once, not {prompt.count(image_token)} times: {prompt[:100]!r}"
        )
