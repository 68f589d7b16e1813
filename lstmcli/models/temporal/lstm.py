"""The LSTM of the textbooks, one for all cells of the map."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from lstmcli.models.temporal.gates import init_forget_bias, lstm_step
from lstmcli.models.temporal.state import State, initial_maps, initial_parameter


class LSTM(nn.Module):
    """One LSTM that every cell of the map runs for itself, each with its own memory.

    Hochreiter and Schmidhuber 1997 with the forget gate of Gers et al. 2000. On the same weights it
    is `torch.nn.LSTM` to the last digit, with each cell of the map as a row of the batch; the
    memory's cells are clamped to `gates.CELL_LIMIT`. Cells of the map do not meet.

    Args:
        channels: channels of the input, of the memory and of the output.
        kernel_size: unused: a cell sees itself only.
        groups: unused.
        learned_start: learn the state in which a video begins instead of taking zeros.
    """

    def __init__(
        self,
        channels: int,
        *,
        kernel_size: int = 1,
        groups: int = 1,
        learned_initial_state: bool = False,
    ) -> None:
        super().__init__()
        self.channels = channels
        self.from_input = nn.Linear(channels, 4 * channels)
        self.from_hidden = nn.Linear(channels, 4 * channels)
        self.start = initial_parameter(channels, 2, learned_initial_state)
        init_forget_bias(self.from_input.bias, 1, 4)

    def initial_state(self, features: Tensor) -> State:
        """Return (hidden, cell), each [B, C, H, W]."""
        return initial_maps(features, self.channels, 2, self.start)

    def forward(self, features: Tensor, state: State | None = None) -> tuple[Tensor, State]:
        """Return the features with memory, and the state after the last frame.

        Args:
            features: [B, T, C, H, W].
            state: what the previous call returned, or None where a video begins.
        """
        hidden, cell = (
            tensor.movedim(1, -1)
            for tensor in (self.initial_state(features) if state is None else state)
        )
        outputs = []
        for frame in self.from_input(features.movedim(2, -1)).unbind(dim=1):
            gates = frame + self.from_hidden(hidden.to(features.dtype))
            hidden, cell = lstm_step(gates.to(cell.dtype).chunk(4, dim=-1), cell)
            outputs.append(hidden)
        remembered = torch.stack(outputs, dim=1).movedim(-1, 2).to(features.dtype)
        return remembered, (hidden.movedim(-1, 1), cell.movedim(-1, 1))
