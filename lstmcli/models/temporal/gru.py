"""The gated recurrent unit, one for all cells of the map."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from lstmcli.models.temporal.gates import init_forget_bias
from lstmcli.models.temporal.state import State, initial_maps, initial_parameter


def gru_step(
    from_input: tuple[Tensor, ...], from_hidden: tuple[Tensor, ...], hidden: Tensor
) -> Tensor:
    """Return the hidden values after one step.

    Args:
        from_input: reset, update and candidate as the input gives them, in `torch.nn.GRU`'s order.
        from_hidden: the same as the hidden values give them.
        hidden: of the step before.
    """
    reset = (from_input[0] + from_hidden[0]).sigmoid()
    keep = (from_input[1] + from_hidden[1]).sigmoid()
    g = (from_input[2] + reset * from_hidden[2]).tanh()
    return g + keep * (hidden - g)


class GRU(nn.Module):
    """One GRU that every cell of the map runs for itself, each with its own memory.

    Cho et al. 2014, https://arxiv.org/abs/1406.1078, with the reset after the matrix as
    `torch.nn.GRU` has it, to which it is equal on the same weights. Its values stay within -1..1
    by themselves. The bias of the gate that keeps the old values starts at 1.

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
        self.from_input = nn.Linear(channels, 3 * channels)
        self.from_hidden = nn.Linear(channels, 3 * channels)
        self.start = initial_parameter(channels, 1, learned_initial_state)
        init_forget_bias(self.from_input.bias, 1, 3)

    def initial_state(self, features: Tensor) -> State:
        """Return (hidden,), [B, C, H, W]."""
        return initial_maps(features, self.channels, 1, self.start)

    def forward(self, features: Tensor, state: State | None = None) -> tuple[Tensor, State]:
        """Return the features with memory, and the state after the last frame.

        Args:
            features: [B, T, C, H, W].
            state: what the previous call returned, or None where a video begins.
        """
        (hidden,) = self.initial_state(features) if state is None else state
        hidden = hidden.movedim(1, -1)
        outputs = []
        for frame in self.from_input(features.movedim(2, -1)).unbind(dim=1):
            old = self.from_hidden(hidden.to(features.dtype)).to(hidden.dtype)
            new = frame.to(hidden.dtype)
            hidden = gru_step(new.chunk(3, dim=-1), old.chunk(3, dim=-1), hidden)
            outputs.append(hidden)
        remembered = torch.stack(outputs, dim=1).movedim(-1, 2).to(features.dtype)
        return remembered, (hidden.movedim(-1, 1),)
