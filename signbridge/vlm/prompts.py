"""Prompts that the params hold."""

from transformers import ProcessorMixin

from signbridge.errors import SignBridgeError


def check_prompt(prompt: str, key: str, processor: ProcessorMixin) -> None:
    """Raises `SignBridgeError` if the prompt, which the params have at `key`, does not hold the image token once."""
    image_token = processor.image_token
    if prompt.count(image_token) != 1:
        raise SignBridgeError(
            f"params.yaml: {key} must hold {image_token} exactly once, not {prompt.count(image_token)} times: "
            f"{prompt[:100]!r}"
        )
