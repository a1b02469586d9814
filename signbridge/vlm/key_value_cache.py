"""Key-value caches: with room for the answer, and of branches that leave a clean run.

Transformers' `DynamicCache` copies every key and value at each new token: on LLaVA-1.5-7B 0.6 GB an image and token.
Here the room for the answer is taken once, behind the prompt's keys and values, and these are held there alone.
"""

import torch
from torch import Tensor
from transformers.cache_utils import Cache, DynamicLayer

KeysValues = tuple[Tensor, Tensor]  # of one block, each prompts x heads x tokens x head width


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
            rows, tokens = len(key_states), key_states.shape[-2] + self.room
            self._all = _room_for(key_states, rows, tokens), _room_for(value_states, rows, tokens)
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


class Scratch:
    """Where a walk keeps one block's keys and values, whose place the next block's take.

    It is taken once, for all `rows` of the walk: in a place of its own for each block, which needs more rows than the
    one below, a GPU's memory would fill with places that are too small for the next.
    """

    def __init__(self, rows: int):
        self.rows = rows
        self._taken: dict[int, Tensor] = {}

    def states(self, which: int, clean: Tensor, rows: int, tokens: int) -> Tensor:
        """Room for `rows` of keys (`which` 0) or values (1) with so many tokens, else shaped as `clean`."""
        _, heads, _, width = clean.shape
        if which not in self._taken or self._taken[which].shape[1:] != (heads, tokens, width):
            self._taken[which] = clean.new_empty(max(rows, self.rows), heads, tokens, width)
        return self._taken[which][:rows]


class BranchedLayer(DynamicLayer):
    """One block's keys and values: those of a clean run before token `start`, then each row's own."""

    def __init__(self, clean: KeysValues, start: int, room: int, scratch: Scratch | None):
        super().__init__()
        self.clean, self.start, self.room, self.scratch = clean, start, room, scratch
        self.is_initialized = start > 0  # else the first tokens are still to come, and a prompt sees all of itself
        self.length = start
        self.all: KeysValues | None = None  # with room

    def get_seq_length(self) -> int:
        """The tokens so far."""
        return self.length

    def get_mask_sizes(self, query_length: int) -> tuple[int, int]:
        """How many keys `query_length` more tokens see, and where they begin."""
        return self.length + query_length, 0

    def update(self, key_states: Tensor, value_states: Tensor, *args, **kwargs) -> KeysValues:
        """Append, and return all keys and values so far."""
        new, end = (key_states, value_states), self.length + key_states.shape[-2]
        if self.all is None:
            rows, room = len(key_states), end + self.room
            self.all = tuple(
                _begun(
                    clean[..., : self.start, :],
                    self.scratch.states(which, clean, rows, room) if self.scratch else _room_for(clean, rows, room),
                )
                for which, clean in enumerate(self.clean)
            )
        for all_states, states in zip(self.all, new, strict=True):
            all_states[..., self.length : end, :] = states
        self.length = end
        so_far = tuple(states[..., :end, :] for states in self.all)
        if self.room:
            self.keys, self.values = so_far
        else:  # nothing follows: no row's keys and values outlive the block
            self.all = None
        return so_far

    def settle(self, rows: int, own: int) -> None:
        """Give the rows behind the first `own`, which left further up, the clean run's keys and values here."""
        if own < rows:
            room = self.length + self.room
            theirs = [_begun(states, _room_for(states, rows - own, room)) for states in self.clean]
            self.all = tuple(torch.cat([mine[:own], clean]) for mine, clean in zip(self.all, theirs, strict=True))
            self.keys, self.values = (states[..., : self.length, :] for states in self.all)


def _room_for(states: Tensor, rows: int, tokens: int) -> Tensor:
    """Room for `rows` of keys or values with so many tokens, else shaped as `states`."""
    _, heads, _, width = states.shape
    return states.new_empty(rows, heads, tokens, width)


def _begun(clean: Tensor, begun: Tensor) -> Tensor:
    """The clean states of the prompts, over and over at the beginning of the rows of `begun`."""
    prompts, heads, tokens, width = clean.shape
    if len(begun) < prompts:  # the one row that walks up before any branch
        begun[:, :, :tokens] = clean[: len(begun)]
    else:
        begun.view(-1, prompts, heads, begun.shape[2], width)[:, :, :, :tokens] = clean
    return begun
