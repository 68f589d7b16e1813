"""Parts that recurrent cells share: gate convolutions, their order, the steps of LSTM and GRU.

The gates are named as in torch: i (input), f (forget), g (cell candidate), o (output).
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from lstmcli.core.errors import ConfigError

CELL_LIMIT = 10.0
"""Cells are clamped to +-10. There tanh is 1 to the last digit of float32, so the output is the
same; but an unbounded cell would take as long to decay, and overflow half precision."""


def gate_convolution(
    inputs: int, outputs: int, *, kernel_size: int, groups: int = 1, bias: bool = True
) -> nn.Conv2d:
    """Return a convolution that keeps height and width.

    Raises:
        ConfigError: an even kernel.
    """
    if kernel_size % 2 == 0:
        raise ConfigError(f"temporal.kernel_size is {kernel_size}", hint="use an odd number, as 3")
    return nn.Conv2d(
        inputs, outputs, kernel_size, padding=kernel_size // 2, groups=groups, bias=bias
    )


def init_forget_bias(bias: Tensor | None, gate: int, count: int) -> None:
    """Raise the bias of one of `count` gates by 1 in place, so that a new cell keeps its value.

    Jozefowicz et al. 2015, "An Empirical Exploration of Recurrent Network Architectures".
    """
    assert bias is not None
    with torch.no_grad():
        bias.view(count, -1)[gate] += 1.0


def lstm_step(gates: tuple[Tensor, ...], cell: Tensor) -> tuple[Tensor, Tensor]:
    """Return the hidden values and the cell after one step of an LSTM.

    Args:
        gates: i, f, g and o before their activations, as in `torch.nn.LSTM`.
        cell: of the step before.
    """
    i, f, g, o = gates
    cell = f.sigmoid() * cell + i.sigmoid() * g.tanh()
    cell = cell.clamp(-CELL_LIMIT, CELL_LIMIT)
    return o.sigmoid() * cell.tanh(), cell


def gru_step(
    from_input: tuple[Tensor, ...], from_hidden: tuple[Tensor, ...], hidden: Tensor
) -> Tensor:
    """Return the hidden values after one step of a GRU.

    Args:
        from_input: the input's part of reset, update and candidate, in `torch.nn.GRU`'s order.
        from_hidden: the hidden values' part of the same.
        hidden: of the step before.
    """
    r = (from_input[0] + from_hidden[0]).sigmoid()
    z = (from_input[1] + from_hidden[1]).sigmoid()
    n = (from_input[2] + r * from_hidden[2]).tanh()
    return n + z * (hidden - n)


def along_time(layer: nn.Module, clip: Tensor) -> Tensor:
    """Return a layer for images [N, C, H, W] applied to every frame of [B, T, C, H, W] at once."""
    result: Tensor = layer(clip.flatten(0, 1))
    return torch.unflatten(result, 0, clip.shape[:2])
