"""The convolutional LSTM, and the LSTM of the textbooks as its 1x1 case."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from lstmcli.models.temporal.gates import (
    along_time,
    gate_convolution,
    init_forget_bias,
    lstm_step,
)
from lstmcli.models.temporal.state import State, initial_maps


class ConvLSTM(nn.Module):
    """A convolutional LSTM: the gates of a cell are computed from its neighbourhood.

    Shi et al. 2015, https://arxiv.org/abs/1506.04214, without the peepholes; the forget gate's bias
    starts at 1 and the cells are clamped to `gates.CELL_LIMIT`. With a 1x1 kernel it is
    `torch.nn.LSTM` for every cell. The input's share of the gates is computed for all frames of a
    clip at once.

    Args:
        channels: of the input, of the hidden map and of the output.
        kernel_size: odd; the map keeps its height and width.
        hidden_bias: a second bias of the gates, as `torch.nn.LSTM` has it.
    """

    def __init__(
        self,
        channels: int,
        *,
        kernel_size: int = 3,
        hidden_bias: bool = False,
    ) -> None:
        super().__init__()
        self.channels = channels
        self.from_input = gate_convolution(channels, 4 * channels, kernel_size=kernel_size)
        self.from_hidden = gate_convolution(
            channels, 4 * channels, kernel_size=kernel_size, bias=hidden_bias
        )
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
        outputs = []
        for frame in along_time(self.from_input, features).unbind(dim=1):
            gates = frame + self.from_hidden(hidden.to(features.dtype))
            hidden, cell = lstm_step(gates.to(cell.dtype).chunk(4, dim=1), cell)
            outputs.append(hidden)
        return torch.stack(outputs, dim=1).to(features.dtype), (hidden, cell)


def lstm(channels: int, *, kernel_size: int = 1) -> ConvLSTM:
    """Return one LSTM shared by all cells of the map: a `ConvLSTM` with a 1x1 kernel.

    Hochreiter and Schmidhuber 1997 with the forget gate of Gers et al. 2000; with the same weights
    it is `torch.nn.LSTM`, every cell of the map a row of its batch.

    Args:
        channels: of the input, of the hidden map and of the output.
        kernel_size: ignored.
    """
    return ConvLSTM(channels, kernel_size=1, hidden_bias=True)
