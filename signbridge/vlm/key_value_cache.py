"""A key-value cache with room for the answer.

Transformers' `DynamicCache` copies every key and value at each new token: on LLaVA-1.5-7B 0.6 GB an image and token.
Here the room for the answer is taken once, behind the prompt's keys and values, and these are held there alone.
"""

from torch import Tensor
from transformers.cache_utils import Cache, DynamicLayer


class RoomyLayer(DynamicLayer):
    """One block's keys and values, batch x heads x tokens x width, growing in place by at most `room` tokens."""

    def __init__(self, room: int):
        super().__init__()
        self.room = room

    def update(self, key_states: Tensor, value_states: Tensor, *args, **kwargs) -> tuple[Tensor, Tensor]:
        """Append, and return all keys and values so far."""
        first = not self.is_initialized
        if first:
            self.lazy_initialization(key_states, value_states)
            self._all = _with_room(key_states, self.room), _with_room(value_states, self.room)
            self.length = 0
        end = self.length + key_states.shape[-2]
        for roomy, states in zip(self._all, (key_states, value_states), strict=True):
            roomy[..., self.length : end, :] = states
        self.keys, self.values = (roomy[..., :end, :] for roomy in self._all)
        self.length = end
        # The prompt's own attention reads them as they came, contiguous; nobody holds them after it.
        return (key_states, value_states) if first else (self.keys, self.values)


def roomy_cache(blocks: int, room: int) -> Cache:
    """An empty cache for `blocks` decoder blocks: any prompt, then at most `room` more tokens."""
    return Cache(layers=[RoomyLayer(room) for _ in range(blocks)])


def _with_room(states: Tensor, room: int) -> Tensor:
    batch, heads, tokens, width = states.shape
    return states.new_empty(batch, heads, tokens + room, width)
