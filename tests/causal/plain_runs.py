"""Edited runs the plain way: a whole pass for every token, with nothing kept of another."""

from collections.abc import Callable

import torch
from transformers import BatchFeature

from signbridge.vlm.residual import Edit, editing

Change = Callable[[torch.Tensor], torch.Tensor]


def edit_at(chosen: str, where: list[slice], change: Change) -> Edit:
    """An edit of one site, at the tokens of each of `where`."""

    def edit(site: str, stream: torch.Tensor) -> torch.Tensor:
        if site != chosen:
            return stream
        stream = stream.clone()
        for tokens in where:
            stream[:, tokens] = change(stream[:, tokens])
        return stream

    return edit


def no_edit(site: str, stream: torch.Tensor) -> torch.Tensor:
    """The stream as it is."""
    return stream


@torch.inference_mode()
def last_logits(loaded, inputs: BatchFeature, behind: torch.Tensor, edit: Edit) -> torch.Tensor:
    """The logits of the token after the prompts with `behind` (images x tokens) behind them."""
    fed = {**inputs, "input_ids": torch.cat([inputs["input_ids"], behind], dim=1)}
    with editing(loaded.parts, edit):
        return loaded.model(**fed, use_cache=False, logits_to_keep=1).logits[:, -1]


def log_probabilities(loaded, inputs: BatchFeature, tokens: list[int], edit: Edit) -> torch.Tensor:
    """Of each of `tokens`, after the prompt and those before it: images x tokens, a pass each."""
    rows = len(inputs["input_ids"])
    found = []
    for number, token in enumerate(tokens):
        behind = torch.tensor(tokens[:number], dtype=torch.long).expand(rows, -1)
        found.append(last_logits(loaded, inputs, behind, edit).double().log_softmax(-1)[:, token])
    return torch.stack(found, dim=1)


def greedy(loaded, inputs: BatchFeature, most: int, edit: Edit) -> list[list[int]]:
    """The greedy answers, up to and including the end token."""
    so_far = inputs["input_ids"][:, :0]
    for _ in range(most):
        chosen = last_logits(loaded, inputs, so_far, edit).argmax(-1, keepdim=True)
        so_far = torch.cat([so_far, chosen], dim=1)
    answers = []
    for row in so_far.tolist():
        ends = [index for index, token in enumerate(row) if token in loaded.end_tokens]
        answers.append(row[: ends[0] + 1] if ends else row)
    return answers


def texts(loaded, answers: list[list[int]]) -> list[str]:
    """The answers as text."""
    return [text.strip() for text in loaded.processor.batch_decode(answers, skip_special_tokens=True)]
