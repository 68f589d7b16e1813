"""The convolutional GRU."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from lstmcli.models.temporal.gates import (
    along_time,
    gate_convolution,
    init_forget_bias,
    split_gates,
)
from lstmcli.models.temporal.gru import gru_step
from lstmcli.models.temporal.state import State, initial_maps, initial_parameter


class ConvGRU(nn.Module):
    """Carries a feature map through time with one map of state.

    Ballas et al. 2015, https://arxiv.org/abs/1511.06432, but with the reset after the convolution,
    as `torch.nn.GRU` has it, so that a step needs one convolution of the state and not two. With a
    1x1 kernel it is `torch.nn.GRU` for every cell. Its values stay within -1..1 by themselves.

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
            channels, 3 * channels, kernel_size=kernel_size, groups=groups
        )
        self.from_hidden = gate_convolution(
            channels, 3 * channels, kernel_size=kernel_size, groups=groups
        )
        self.start = initial_parameter(channels, 1, learned_initial_state)
        init_forget_bias(self.from_input.bias, 1, 3, groups)

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
        outputs = []
        for frame in along_time(self.from_input, features).unbind(dim=1):
            new, old = frame.to(hidden.dtype), self.from_hidden(hidden.to(features.dtype))
            hidden = gru_step(
                split_gates(new, 3, self.groups),
                split_gates(old.to(hidden.dtype), 3, self.groups),
                hidden,
            )
            outputs.append(hidden)
        return torch.stack(outputs, dim=1).to(features.dtype), (hidden,)
