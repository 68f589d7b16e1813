"""The LSTM whose gates see the cell."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from lstmcli.models.temporal.gates import (
    CELL_LIMIT,
    along_time,
    gate_convolution,
    init_forget_bias,
    split_gates,
)
from lstmcli.models.temporal.state import State, initial_maps, initial_parameter


class PeepholeLSTM(nn.Module):
    """A convolutional LSTM whose gates look into the cell, so that it can time and count.

    Gers and Schmidhuber 2000, "Recurrent nets that time and count", in the convolutional form of
    Shi et al. 2015, https://arxiv.org/abs/1506.04214: the input and forget gates see the cell of
    the frame before, the output gate sees the new cell. It differs from Shi in that a peephole has
    one weight a channel, not one a place, so that maps of any size fit; the peepholes start at 0,
    the forget gate's bias at 1, and the cells are clamped to `gates.CELL_LIMIT`.

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
        self.from_input = gate_convolution(
            channels, 4 * channels, kernel_size=kernel_size, groups=groups
        )
        self.from_hidden = gate_convolution(
            channels, 4 * channels, kernel_size=kernel_size, groups=groups, bias=False
        )
        self.peepholes = nn.Parameter(torch.zeros(3, channels, 1, 1))
        self.start = initial_parameter(channels, 2, learned_initial_state)
        init_forget_bias(self.from_input.bias, 1, 4, groups)

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
        to_enter, to_keep, to_leave = self.peepholes.to(cell.dtype).unbind(0)
        outputs = []
        for frame in along_time(self.from_input, features).unbind(dim=1):
            gates = (frame + self.from_hidden(hidden.to(features.dtype))).to(cell.dtype)
            i, keep, g, o = split_gates(gates, 4, self.groups)
            i = (i + to_enter * cell).sigmoid()
            keep = (keep + to_keep * cell).sigmoid()
            cell = (keep * cell + i * g.tanh()).clamp(-CELL_LIMIT, CELL_LIMIT)
            hidden = (o + to_leave * cell).sigmoid() * cell.tanh()
            outputs.append(hidden)
        return torch.stack(outputs, dim=1).to(features.dtype), (hidden, cell)
