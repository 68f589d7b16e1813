"""Pyramid neck: one map a stride, fused from coarse to fine and back."""

from __future__ import annotations

from collections.abc import Sequence

import torch.nn.functional as F
from torch import Tensor, nn

COARSEST_STRIDE = 32
"""Pixels; objects of several hundred pixels are a few such cells wide."""


def pyramid_strides(finest: int) -> tuple[int, ...]:
    """Return the strides of a pyramid: the finest, and each twice the one before up to 32."""
    strides = [finest]
    while strides[-1] < COARSEST_STRIDE:
        strides.append(2 * strides[-1])
    return tuple(strides)


def level_name(stride: int) -> str:
    """Return the name of a level's weights, independent of the other levels."""
    return f"stride_{stride}"


def separable(channels: int, *, stride: int = 1) -> nn.Sequential:
    """Make a depthwise 5x5 and a pointwise convolution (MobileNet, 1704.04861), ReLU behind.

    Depthwise kernels are cheap, and 5x5 has the receptive field of two 3x3 (PicoDet, 2111.00902).
    """
    return nn.Sequential(
        nn.Conv2d(channels, channels, 5, stride, 2, groups=channels, bias=False),
        nn.BatchNorm2d(channels),
        nn.Conv2d(channels, channels, 1, bias=False),
        nn.BatchNorm2d(channels),
        nn.ReLU(inplace=True),
    )


class PyramidNeck(nn.Module):
    """Fuses maps of several strides, from coarse to fine and back.

    FPN (1612.03144) with the second way of PANet (1803.01534), of separable convolutions.

    Args:
        channels: channels of each map of the backbone.
        strides: their strides in pixels, growing.
        outputs: channels of every fused map.
        finest: stride of the finest fused map; each further one has twice the stride.
        dropout: share of the fused channels that are dropped in training.
    """

    def __init__(
        self,
        channels: Sequence[int],
        strides: Sequence[int],
        *,
        outputs: int,
        finest: int,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        self.strides = tuple(s for s in pyramid_strides(finest) if s in strides)
        self.used = [list(strides).index(s) for s in self.strides]
        names = [level_name(s) for s in self.strides]
        self.lateral = nn.ModuleDict(
            {
                name: nn.Sequential(
                    nn.Conv2d(channels[i], outputs, 1, bias=False),
                    nn.BatchNorm2d(outputs),
                    nn.ReLU(inplace=True),
                )
                for name, i in zip(names, self.used, strict=True)
            }
        )
        self.finer = nn.ModuleDict({name: separable(outputs) for name in names[:-1]})
        self.halved = nn.ModuleDict({name: separable(outputs, stride=2) for name in names[:-1]})
        self.coarser = nn.ModuleDict({name: separable(outputs) for name in names[1:]})
        self.dropout = nn.Dropout2d(dropout)

    def forward(self, maps: Sequence[Tensor], size_hw: tuple[int, int]) -> list[Tensor]:
        """Return one map [N, outputs, h, w] a stride, the finest, of the given size, first."""
        names = list(self.lateral)
        fused = [self.lateral[n](maps[i]) for n, i in zip(names, self.used, strict=True)]
        for level in range(len(fused) - 2, -1, -1):
            size_hw = fused[level].shape[-2:]
            above = F.interpolate(fused[level + 1], size=size_hw, mode="nearest")
            fused[level] = self.finer[names[level]](fused[level] + above)
        for level in range(len(fused) - 1):
            below = self.halved[names[level]](fused[level])
            fused[level + 1] = self.coarser[names[level + 1]](fused[level + 1] + below)
        return [self.dropout(one) for one in fused]
