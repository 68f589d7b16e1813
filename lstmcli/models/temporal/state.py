"""The state of a temporal core: its contract, its initial value, its reset by row."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol, TypeAlias

import torch
from torch import Tensor, nn

State: TypeAlias = tuple[Tensor, ...]
"""Float tensors with the batch first; empty for a core without memory."""


class TemporalCore(Protocol):
    """The contract of every core of `TEMPORAL_CORES`, besides being an `nn.Module`."""

    def __call__(self, features: Tensor, state: State | None = None) -> tuple[Tensor, State]:
        """Return the features with memory [B, T, C, H, W], and the state after the last frame.

        Args:
            features: [B, T, C, H, W].
            state: of the previous call, or None where every video begins.
        """

    def initial_state(self, features: Tensor) -> State:
        """Return the state in which a video begins, for features [B, T, C, H, W]."""

    def parameters(self, recurse: bool = True) -> Iterator[nn.Parameter]:
        """Return the trainable parameters."""


def reset_rows(state: State | None, starts: Tensor, initial: State) -> State:
    """Return the state with the rows that start a video set to the initial state.

    Nothing of the old rows survives, NaN included (0 * NaN would).

    Args:
        state: of the previous call, or None for the initial state in every row.
        starts: bool [B], True where a row starts a new video.
        initial: the core's `initial_state` for the features to come.
    """
    if state is None:
        return initial
    assert len(state) == len(initial), (len(state), len(initial))
    return tuple(
        torch.where(starts.view(-1, *(1,) * (old.dim() - 1)), new, old)
        for old, new in zip(state, initial, strict=True)
    )


def state_dtype(features: Tensor) -> torch.dtype:
    """Return the dtype of a state: at least float32, so that small updates are not rounded away.

    A bfloat16 cell near 1 has a resolution of 0.004 and loses any smaller contribution.
    """
    return torch.promote_types(features.dtype, torch.float32)


def initial_maps(features: Tensor, channels: int, count: int) -> State:
    """Return `count` maps of zeros [B, channels, H, W], the state in which a video begins.

    Args:
        features: [B, T, C, H, W], for the batch, height, width, device and type.
        channels: of each map.
        count: how many maps.
    """
    batch, _, _, height, width = features.shape
    shape = (batch, channels, height, width)
    return tuple(features.new_zeros(shape, dtype=state_dtype(features)) for _ in range(count))
