"""The convolutional LSTM."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from lstmcli.models.temporal.gates import (
    along_time,
    gate_convolution,
    init_forget_bias,
    lstm_step,
    split_gates,
)
from lstmcli.models.temporal.state import State, initial_maps, initial_parameter


class ConvLSTM(nn.Module):
    """Carries a feature map through time; a cell's gates see its neighbours.

    Shi et al. 2015, https://arxiv.org/abs/1506.04214, without the peepholes; the forget gate's bias
    starts at 1 and the cells are clamped to `gates.CELL_LIMIT`. With a 1x1 kernel it is
    `torch.nn.LSTM` for every cell. The input's share of the gates is computed for all frames of a
    clip at once.

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
        outputs = []
        for frame in along_time(self.from_input, features).unbind(dim=1):
            gates = frame + self.from_hidden(hidden.to(features.dtype))
            hidden, cell = lstm_step(split_gates(gates.to(cell.dtype), 4, self.groups), cell)
            outputs.append(hidden)
        return torch.stack(outputs, dim=1).to(features.dtype), (hidden, cell)
