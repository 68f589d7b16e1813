"""Backbone: the common wrapper of all variants, frozen or trained."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import Tensor, nn


class Backbone(nn.Module):
    """A CNN with feature maps at several strides; frozen ones keep weights and statistics.

    Args:
        body: the variant.
        channels: channels of each map.
        strides: pixels from one cell of each map to the next, growing.
        frozen: keep the weights, and the statistics of the normalisation, also in training.
    """

    def __init__(
        self, body: Any, *, channels: Sequence[int], strides: Sequence[int], frozen: bool
    ) -> None:
        super().__init__()
        self.body: Any = body
        self.channels = tuple(channels)
        self.strides = tuple(strides)
        self.frozen = frozen
        if frozen:
            self.requires_grad_(False)
            self.eval()

    def keep(self, levels: int) -> None:
        """Drop the layers after the first `levels` maps."""
        if levels < len(self.strides):
            self.body.keep(levels)
            self.channels, self.strides = self.channels[:levels], self.strides[:levels]

    def train(self, mode: bool = True) -> Backbone:
        """Set training mode, but for a frozen backbone, which stays in evaluation mode."""
        super().train(mode and not self.frozen)
        return self

    def forward(self, images: Tensor) -> list[Tensor]:
        """Return one map a stride for images [N, in_channels, H, W].

        A map [N, channels, h, w] has h = H / stride, w = W / stride, rounded up.
        """
        maps: list[Tensor] = self.body(images)
        return maps
