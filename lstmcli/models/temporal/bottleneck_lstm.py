"""The bottleneck LSTM of mobile video detectors."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from lstmcli.models.temporal.gates import (
    along_time,
    gate_convolution,
    init_forget_bias,
)
from lstmcli.models.temporal.state import State, initial_maps

BOTTLENECK_CELL_LIMIT = 6.0
"""Cells are clamped to 0..6: with ReLU instead of tanh nothing else bounds the output."""


def _separable(inputs: int, outputs: int, *, kernel_size: int) -> nn.Sequential:
    return nn.Sequential(
        gate_convolution(inputs, inputs, kernel_size=kernel_size, groups=inputs, bias=False),
        gate_convolution(inputs, outputs, kernel_size=1),
    )


class BottleneckLSTM(nn.Module):
    """A convolutional LSTM whose gates are computed from a depthwise mix of input and state.

    Liu and Zhu 2018, https://arxiv.org/abs/1711.06368: depthwise separable convolutions, ReLU
    instead of tanh. As in the authors' later code, one separable convolution makes all four gates,
    the forget gate's bias starts at 1 and the cells are clamped, here to `BOTTLENECK_CELL_LIMIT`.

    Args:
        channels: of the input, of the hidden map and of the output.
        kernel_size: odd; the map keeps its height and width.
    """

    def __init__(
        self,
        channels: int,
        *,
        kernel_size: int = 3,
    ) -> None:
        super().__init__()
        self.channels = channels
        self.from_input = _separable(channels, channels, kernel_size=kernel_size)
        self.from_hidden = _separable(channels, channels, kernel_size=kernel_size)
        self.gates = _separable(channels, 4 * channels, kernel_size=kernel_size)
        init_forget_bias(self.gates.get_parameter("1.bias"), 1, 4)

    def initial_state(self, features: Tensor) -> State:
        """Return (hidden, cell), each [B, C, H, W]."""
        return initial_maps(features, self.channels, 2)

    def forward(self, features: Tensor, state: State | None = None) -> tuple[Tensor, State]:
        """Return the output features [B, T, C, H, W] and the state after the last frame.

        Args:
            features: [B, T, C, H, W].
            state: of the previous call, or None where a video begins.
        """
        hidden, cell = self.initial_state(features) if state is None else state
        outputs = []
        for frame in along_time(self.from_input, features).unbind(dim=1):
            bottleneck = (frame + self.from_hidden(hidden.to(features.dtype))).relu()
            gates = self.gates(bottleneck).to(cell.dtype)
            i, f, g, o = gates.chunk(4, dim=1)
            cell = f.sigmoid() * cell + i.sigmoid() * g.relu()
            cell = cell.clamp(0.0, BOTTLENECK_CELL_LIMIT)
            hidden = o.sigmoid() * cell
            outputs.append(hidden)
        return torch.stack(outputs, dim=1).to(features.dtype), (hidden, cell)
