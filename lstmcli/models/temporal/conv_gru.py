"""The convolutional GRU, and the GRU of the textbooks as its 1x1 case."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from lstmcli.models.temporal.gates import (
    along_time,
    gate_convolution,
    gru_step,
    init_forget_bias,
)
from lstmcli.models.temporal.state import State, initial_maps


class ConvGRU(nn.Module):
    """Carries a feature map through time with one map of state.

    Ballas et al. 2015, https://arxiv.org/abs/1511.06432, but with the reset after the convolution,
    as `torch.nn.GRU` has it, so that a step needs one convolution of the state and not two. With a
    1x1 kernel it is `torch.nn.GRU` for every cell. Its values stay within -1..1 by themselves.

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
        self.from_input = gate_convolution(channels, 3 * channels, kernel_size=kernel_size)
        self.from_hidden = gate_convolution(channels, 3 * channels, kernel_size=kernel_size)
        init_forget_bias(self.from_input.bias, 1, 3)

    def initial_state(self, features: Tensor) -> State:
        """Return (hidden,), [B, C, H, W]."""
        return initial_maps(features, self.channels, 1)

    def forward(self, features: Tensor, state: State | None = None) -> tuple[Tensor, State]:
        """Return the output features [B, T, C, H, W] and the state after the last frame.

        Args:
            features: [B, T, C, H, W].
            state: of the previous call, or None where a video begins.
        """
        (hidden,) = self.initial_state(features) if state is None else state
        outputs = []
        for frame in along_time(self.from_input, features).unbind(dim=1):
            new, old = frame.to(hidden.dtype), self.from_hidden(hidden.to(features.dtype))
            hidden = gru_step(
                new.chunk(3, dim=1),
                old.to(hidden.dtype).chunk(3, dim=1),
                hidden,
            )
            outputs.append(hidden)
        return torch.stack(outputs, dim=1).to(features.dtype), (hidden,)


def gru(channels: int, *, kernel_size: int = 1) -> ConvGRU:
    """Return one GRU shared by all cells of the map: a `ConvGRU` with a 1x1 kernel.

    Cho et al. 2014, https://arxiv.org/abs/1406.1078.

    Args:
        channels: of the input, of the hidden map and of the output.
        kernel_size: ignored.
    """
    return ConvGRU(channels, kernel_size=1)
