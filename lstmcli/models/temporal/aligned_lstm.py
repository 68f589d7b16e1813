"""Convolutional LSTM with a motion-aligned state."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from lstmcli.core.errors import ConfigError
from lstmcli.models.temporal.gates import (
    along_time,
    gate_convolution,
    init_forget_bias,
    lstm_step,
)
from lstmcli.models.temporal.state import State, initial_maps, state_dtype

WINDOW = 5
"""Side of the search window in cells."""
KEYS = 8
"""Channels that are compared."""
STILL_LOGIT = 2.0
"""Added where nothing moved before training: most of a picture stands still."""


class AlignedLSTM(nn.Module):
    """Reads hidden map and cell from where the features came from, then takes an LSTM step.

    A cell compares its features with those of the frame before in a window of `WINDOW` squared
    cells (a local correlation, as in FlowNet, Dosovitskiy et al. 2015,
    https://arxiv.org/abs/1504.06852), and its past is the mean of hidden map and cell, weighted by
    the softmax of these likenesses (as in matched memory, Xiao and Lee 2018,
    https://arxiv.org/abs/1712.06317). The gates are separable convolutions of features and past.

    Args:
        channels: of the input, of the hidden map and of the output.
        kernel_size: odd; of the gates.
    """

    def __init__(self, channels: int, *, kernel_size: int = 3) -> None:
        super().__init__()
        if kernel_size % 2 == 0:
            raise ConfigError(
                f"temporal.kernel_size is {kernel_size}", hint="use an odd number, as 3"
            )
        self.channels = channels
        self.query = gate_convolution(channels, KEYS, kernel_size=1)
        self.key = gate_convolution(channels, KEYS, kernel_size=1)
        self.bias = nn.Parameter(torch.zeros(WINDOW**2))
        self.mix = gate_convolution(
            2 * channels, 2 * channels, kernel_size=kernel_size, groups=2 * channels, bias=False
        )
        self.gates = gate_convolution(2 * channels, 4 * channels, kernel_size=1)
        with torch.no_grad():
            self.bias[WINDOW**2 // 2] += STILL_LOGIT
        init_forget_bias(self.gates.bias, 1, 4)

    def initial_state(self, features: Tensor) -> State:
        """Return (hidden, cell, keys), [B, C, H, W] twice and [B, KEYS, H, W]."""
        return (*initial_maps(features, self.channels, 2), *initial_maps(features, KEYS, 1))

    def forward(self, features: Tensor, state: State | None = None) -> tuple[Tensor, State]:
        """Return the output features [B, T, C, H, W] and the state after the last frame.

        Args:
            features: [B, T, C, H, W].
            state: what the previous call returned, or None where a video begins.
        """
        hidden, cell, key = self.initial_state(features) if state is None else state
        dtype = state_dtype(features)
        queries = along_time(self.query, features).to(dtype)
        keys = along_time(self.key, features).to(dtype)
        outputs = []
        for frame, query, next_key in zip(
            features.unbind(1), queries.unbind(1), keys.unbind(1), strict=True
        ):
            hidden, cell = self._moved(query, key, hidden, cell)
            mixed = self.mix(torch.cat((frame, hidden.to(frame.dtype)), dim=1))
            gates = self.gates(mixed).to(dtype)
            hidden, cell = lstm_step(gates.chunk(4, dim=1), cell)
            key = next_key
            outputs.append(hidden)
        return torch.stack(outputs, dim=1).to(features.dtype), (hidden, cell, key)

    def _moved(
        self, query: Tensor, key: Tensor, hidden: Tensor, cell: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Return hidden map and cell, each cell's read from where its features came from."""
        height, width = query.shape[-2:]
        margin = (WINDOW // 2,) * 4
        past = functional.pad(torch.cat((hidden, cell), dim=1), margin)
        key = functional.pad(key, margin)
        windows = [
            (..., slice(y, y + height), slice(x, x + width))
            for y in range(WINDOW)
            for x in range(WINDOW)
        ]
        query = query * KEYS**-0.5
        likeness = torch.stack([(query * key[window]).sum(dim=1) for window in windows], dim=1)
        weights = (likeness + self.bias.to(likeness.dtype)[:, None, None]).softmax(dim=1)
        moved = torch.zeros_like(past[..., :height, :width])
        for window, weight in zip(windows, weights.unbind(1), strict=True):
            moved = moved + weight.unsqueeze(1) * past[window]
        return moved[:, : hidden.shape[1]], moved[:, hidden.shape[1] :]
