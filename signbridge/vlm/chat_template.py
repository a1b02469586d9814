"""The study's question in the chat template of a model's own processor, and whether a model reads a prompt so long."""

from pathlib import Path

from PIL import Image
from transformers import PreTrainedConfig, ProcessorMixin

from signbridge.core.errors import SignBridgeError
from signbridge.vlm.families.image_sizes import STUDY_IMAGE
from signbridge.vlm.library_errors import first_line
from signbridge.vlm.prompts import check_prompt

# What models were trained on whose processors have no chat template, by the class of the processor.
WRITTEN_OUT = {
    "PaliGemmaProcessor": "<image>answer en {question}",
    "Blip2Processor": "<image>Question: {question} Answer:",
    "InstructBlipProcessor": "<image>{question}",
}


def in_chat_template(question: str, processor: ProcessorMixin, folder: Path) -> str:
    """The prompt that asks `question` about one image, as the chat template of `processor`, of `folder`, has it.

    It ends where the answer begins. A token for the start of the text that the template writes is left out where the
    tokenizer adds it by itself. Raises `SignBridgeError` if there is no chat template.
    """
    if not getattr(processor, "chat_template", None):
        known = WRITTEN_OUT.get(type(processor).__name__)
        form = repr(known.format(question=question)) if known else "as its card shows, with <image> for the image"
        raise SignBridgeError(
            f"{folder}: its processor has no chat template, so prompt: auto says nothing. Write the prompt of this "
            f"model out in models.yaml: {form}."
        )
    content = [{"type": "image"}, {"type": "text", "text": question}]
    chat = [{"role": "user", "content": content}]
    prompt = processor.apply_chat_template(chat, add_generation_prompt=True, tokenize=False)
    tokenizer = processor.tokenizer
    start = tokenizer.bos_token
    if start and prompt.startswith(start) and tokenizer("a")["input_ids"][0] == tokenizer.bos_token_id:
        prompt = prompt.removeprefix(start)
    check_prompt(prompt, f"{folder}: its chat template", processor.image_token)
    return prompt


def asking_instead(prompt: str, question: str, other: str, processor: ProcessorMixin) -> str:
    """A model's own `prompt` with an `other` question in place of the study's `question`: asked in the same form.

    Raises `SignBridgeError` if the prompt does not hold the question, and the form of the model is not known.
    """
    if question in prompt:
        return prompt.replace(question, other)
    if (known := WRITTEN_OUT.get(type(processor).__name__)) is not None:
        return known.format(question=other)
    raise SignBridgeError(
        f"models.yaml: <model>.prompt does not hold `question` of params.yaml, so another question has no place in it: "
        f"{prompt[:100]!r}. Write that question into the prompt, or set prompt: auto."
    )


def check_length(prompt: str, processor: ProcessorMixin, config: PreTrainedConfig, max_new_tokens: int) -> None:
    """Raises `SignBridgeError` if the prompt with an image, and an answer, are longer than the model of `config` reads.

    What lies beyond is cut off, or has a position that the model has never seen.
    """
    most = getattr(config.get_text_config(), "max_position_embeddings", None)
    try:
        inputs = processor(images=[[Image.new("RGB", STUDY_IMAGE)]], text=[prompt], return_tensors="pt")
    except ValueError as error:
        raise SignBridgeError(
            f"models.yaml: <model>.prompt: its processor does not take it with an image ({first_line(error)}). "
            "If its settings cut texts short (truncation, max_length), take that out."
        ) from None
    tokens = inputs["input_ids"].shape[1]
    if most is not None and tokens + max_new_tokens > most:
        raise SignBridgeError(
            f"models.yaml: <model>: the prompt takes {tokens} tokens with an image, and an answer up to "
            f"{max_new_tokens} more; the model reads {most}. Shorten the prompt, or lower max_new_tokens."
        )
