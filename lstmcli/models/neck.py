"""The neck: fuses the backbone's feature maps into one."""

from __future__ import annotations

from collections.abc import Sequence

import torch.nn.functional as F
from torch import Tensor, nn


class Neck(nn.Module):
    """Fuses feature maps of several strides into one (after FPN, 1612.03144).

    Args:
        channels: channels of each map.
        strides: their strides in pixels.
        outputs: channels of the fused map.
        stride: of the fused map in pixels.
        coarse_levels: whether maps coarser than `stride` are fused too.
        dropout: share of the fused channels that are dropped in training.
    """

    def __init__(
        self,
        channels: Sequence[int],
        strides: Sequence[int],
        *,
        outputs: int,
        stride: int,
        coarse_levels: bool = True,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        self.strides = (stride,)
        self.used = [i for i, s in enumerate(strides) if s <= stride or coarse_levels]
        finer = [i for i in self.used if strides[i] < stride]
        self.used = [i for i in self.used if i not in finer[:-1]]  # one finer map is enough
        self.pools = [max(1, stride // strides[i]) for i in self.used]
        self.lateral = nn.ModuleList(
            nn.Conv2d(channels[i], outputs, pool, stride=pool, bias=False)
            for i, pool in zip(self.used, self.pools, strict=True)
        )
        self.norm = nn.Sequential(nn.BatchNorm2d(outputs), nn.ReLU())
        self.mix = nn.Sequential(
            nn.Conv2d(outputs, outputs, 3, padding=1, bias=False),
            nn.BatchNorm2d(outputs),
            nn.ReLU(),
            nn.Dropout2d(dropout),
        )

    def forward(self, maps: Sequence[Tensor], size_hw: tuple[int, int]) -> list[Tensor]:
        """Return the fused map [N, outputs, h, w] of the given size, alone in a list."""
        fused: Tensor | None = None
        for i, lateral in zip(self.used, self.lateral, strict=True):
            part = lateral(maps[i])
            if part.shape[-2:] != size_hw:
                part = F.interpolate(part, size=size_hw, mode="nearest")
            fused = part if fused is None else fused + part
        return [self.mix(self.norm(fused))]
