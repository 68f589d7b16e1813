"""The LSTM with peephole connections."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from lstmcli.models.temporal.gates import (
    CELL_LIMIT,
    along_time,
    gate_convolution,
    init_forget_bias,
)
from lstmcli.models.temporal.state import State, initial_maps


class PeepholeLSTM(nn.Module):
    """A convolutional LSTM whose gates are also computed from the cell (peephole connections).

    Gers and Schmidhuber 2000, "Recurrent nets that time and count", in the convolutional form of
    Shi et al. 2015, https://arxiv.org/abs/1506.04214: the input and forget gates read the cell of
    the frame before, the output gate the new cell. It differs from Shi in that a peephole has
    one weight a channel, not one a position, so that maps of any size fit; the peepholes start at
    0, the forget gate's bias at 1, and the cells are clamped to `gates.CELL_LIMIT`.

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
        self.from_input = gate_convolution(channels, 4 * channels, kernel_size=kernel_size)
        self.from_hidden = gate_convolution(
            channels, 4 * channels, kernel_size=kernel_size, bias=False
        )
        self.peepholes = nn.Parameter(torch.zeros(3, channels, 1, 1))
        init_forget_bias(self.from_input.bias, 1, 4)

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
        w_i, w_f, w_o = self.peepholes.to(cell.dtype).unbind(0)
        outputs = []
        for frame in along_time(self.from_input, features).unbind(dim=1):
            gates = (frame + self.from_hidden(hidden.to(features.dtype))).to(cell.dtype)
            i, f, g, o = gates.chunk(4, dim=1)
            i = (i + w_i * cell).sigmoid()
            f = (f + w_f * cell).sigmoid()
            cell = (f * cell + i * g.tanh()).clamp(-CELL_LIMIT, CELL_LIMIT)
            hidden = (o + w_o * cell).sigmoid() * cell.tanh()
            outputs.append(hidden)
        return torch.stack(outputs, dim=1).to(features.dtype), (hidden, cell)
