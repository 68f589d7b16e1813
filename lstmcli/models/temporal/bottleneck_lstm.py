"""The bottleneck LSTM of mobile video detectors."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from lstmcli.models.temporal.gates import (
    along_time,
    gate_convolution,
    init_forget_bias,
    split_gates,
)
from lstmcli.models.temporal.state import State, initial_maps, initial_parameter

BOTTLENECK_CELL_LIMIT = 6.0
"""Cells stay within 0..6: with ReLU instead of tanh nothing else bounds what leaves the memory."""


def _separable(inputs: int, outputs: int, *, kernel_size: int, groups: int) -> nn.Sequential:
    return nn.Sequential(
        gate_convolution(inputs, inputs, kernel_size=kernel_size, groups=inputs, bias=False),
        gate_convolution(inputs, outputs, kernel_size=1, groups=groups),
    )


class BottleneckLSTM(nn.Module):
    """A convolutional LSTM whose gates see a depthwise mix of input and state.

    Liu and Zhu 2018, https://arxiv.org/abs/1711.06368: depthwise separable convolutions, ReLU
    instead of tanh. As in the authors' later code, one separable convolution makes all four gates,
    the forget gate's bias starts at 1 and the cells are clamped, here to `BOTTLENECK_CELL_LIMIT`.
    `groups` divides the pointwise parts (Liu et al. 2019, https://arxiv.org/abs/1903.10172).

    Args:
        channels: channels of the input, of the memory and of the output.
        kernel_size: odd; the map keeps its height and width.
        groups: parts of the channels that do not see each other, for fewer weights.
        learned_start: learn the state in which a video begins instead of taking zeros.
    """

    def __init__(
        self,
        channels: int,
        *,
        kernel_size: int = 3,
        groups: int = 1,
        learned_initial_state: bool = False,
    ) -> None:
        super().__init__()
        self.channels, self.groups = channels, groups
        self.from_input = _separable(channels, channels, kernel_size=kernel_size, groups=groups)
        self.from_hidden = _separable(channels, channels, kernel_size=kernel_size, groups=groups)
        self.gates = _separable(channels, 4 * channels, kernel_size=kernel_size, groups=groups)
        self.start = initial_parameter(channels, 2, learned_initial_state)
        init_forget_bias(self.gates.get_parameter("1.bias"), 1, 4, groups)

    def initial_state(self, features: Tensor) -> State:
        """Return (hidden, cell), each [B, C, H, W]."""
        return initial_maps(features, self.channels, 2, self.start)

    def forward(self, features: Tensor, state: State | None = None) -> tuple[Tensor, State]:
        """Return the features with memory, and the state after the last frame.

        Args:
            features: [B, T, C, H, W].
            state: what the previous call returned, or None where a video begins.
        """
        hidden, cell = self.initial_state(features) if state is None else state
        outputs = []
        for frame in along_time(self.from_input, features).unbind(dim=1):
            bottleneck = (frame + self.from_hidden(hidden.to(features.dtype))).relu()
            gates = self.gates(bottleneck).to(cell.dtype)
            i, keep, g, o = split_gates(gates, 4, self.groups)
            cell = keep.sigmoid() * cell + i.sigmoid() * g.relu()
            cell = cell.clamp(0.0, BOTTLENECK_CELL_LIMIT)
            hidden = o.sigmoid() * cell
            outputs.append(hidden)
        return torch.stack(outputs, dim=1).to(features.dtype), (hidden, cell)
