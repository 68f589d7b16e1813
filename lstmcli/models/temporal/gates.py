"""Parts that recurrent cells share: gate convolutions, their order, the LSTM's step."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from lstmcli.core.errors import ConfigError

CELL_LIMIT = 10.0
"""Cells stay within +-10. There tanh is 1 to the last digit of float32, so the answer is the same;
but a cell that counted without end would take as long to forget, and overflow half precision."""


def gate_convolution(
    inputs: int, outputs: int, *, kernel_size: int, groups: int = 1, bias: bool = True
) -> nn.Conv2d:
    """Return a convolution that keeps height and width.

    Raises:
        ConfigError: an even kernel, or groups that do not divide the channels.
    """
    if kernel_size % 2 == 0:
        raise ConfigError(f"temporal.kernel_size is {kernel_size}", hint="use an odd number, as 3")
    if groups < 1 or inputs % groups or outputs % groups:
        raise ConfigError(
            f"{groups} groups in a temporal core of {inputs} channels",
            hint="use a number of groups that divides the channels",
        )
    return nn.Conv2d(
        inputs, outputs, kernel_size, padding=kernel_size // 2, groups=groups, bias=bias
    )


def split_gates(values: Tensor, count: int, groups: int = 1) -> tuple[Tensor, ...]:
    """Return the `count` gates of [B, count * C, H, W], each [B, C, H, W].

    The channels are ordered by group, then by gate, so that every gate of a group is computed from
    the group's own channels; with one group this is `chunk`, the order of `torch.nn.LSTM`.
    """
    if groups == 1:
        return values.chunk(count, dim=1)
    return tuple(
        gate.flatten(1, 2) for gate in torch.unflatten(values, 1, (groups, count, -1)).unbind(2)
    )


def init_forget_bias(bias: Tensor | None, gate: int, count: int, groups: int = 1) -> None:
    """Raise the bias of one gate by 1 in place, so that a new cell remembers before it learns to.

    Jozefowicz et al. 2015, "An Empirical Exploration of Recurrent Network Architectures".
    """
    assert bias is not None
    with torch.no_grad():
        bias.view(groups, count, -1)[:, gate] += 1.0


def lstm_step(gates: tuple[Tensor, ...], cell: Tensor) -> tuple[Tensor, Tensor]:
    """Return the hidden values and the cell after one step of an LSTM.

    Args:
        gates: input, forget, candidate and output before their functions, as in `torch.nn.LSTM`.
        cell: of the step before.
    """
    i, keep, g, o = gates
    cell = keep.sigmoid() * cell + i.sigmoid() * g.tanh()
    cell = cell.clamp(-CELL_LIMIT, CELL_LIMIT)
    return o.sigmoid() * cell.tanh(), cell


def along_time(layer: nn.Module, clip: Tensor) -> Tensor:
    """Return a layer for images [N, C, H, W] applied to every frame of [B, T, C, H, W] at once."""
    result: Tensor = layer(clip.flatten(0, 1))
    return torch.unflatten(result, 0, clip.shape[:2])
