"""A key-value cache with room for the answer.

Transformers' `DynamicCache` copies every key and value at each new token: on LLaVA-1.5-7B 0.6 GB an image and token.
Here the room for the answer is taken once, behind the prompt's keys and values.
"""

import torch
from torch import Tensor
from transformers.cache_utils import Cache, DynamicLayer


class RoomyLayer(DynamicLayer):
    """One block's keys and values, batch x heads x tokens x width, growing in place by at most `room` tokens."""

    def __init__(self, room: int):
        super().__init__()
        self.room = room

    def update(self, key_states: Tensor, value_states: Tensor, *args, **kwargs) -> tuple[Tensor, Tensor]:
        """Append, and return all keys and values so far."""
        if not self.is_initialized:
            self.lazy_initialization(key_states, value_states)
            self._all_keys = _with_room(key_states, self.room)
            self._all_values = _with_room(value_states, self.room)
            self.keys, self.values = key_states, value_states
            self.length = key_states.shape[-2]
            return key_states, value_states
        end = self.length + key_states.shape[-2]
        self._all_keys[..., self.length : end, :] = key_states
        self._all_values[..., self.length : end, :] = value_states
        self.keys, self.values = self._all_keys[..., :end, :], self._all_values[..., :end, :]
        self.length = end
        return self.keys, self.values


def roomy_cache(blocks: int, room: int) -> Cache:
    """An empty cache for `blocks` decoder blocks: any prompt, then at most `room` more tokens."""
    return Cache(layers=[RoomyLayer(room) for _ in range(blocks)])


def _with_room(states: Tensor, room: int) -> Tensor:
    if not room:
        return states
    batch, heads, tokens, width = states.shape
    roomy = torch.empty((batch, heads, tokens + room, width), dtype=states.dtype, device=states.device)
    roomy[..., :tokens, :] = states
    return roomy
