"""The smallest backbone, for tests, toys and the textbook recipe."""

from __future__ import annotations

from torch import Tensor, nn

from lstmcli.models.backbones.dense import halving


class Tiny(nn.Module):
    """Three convolutions, each followed by halving; maps at strides 4 and 8; some 5,000 weights.

    With `pooling="max"` and `activation="relu"` it is the CNN of the textbooks.

    Args:
        in_channels: 3 for RGB, 6 with frame difference.
        width: multiplies the channels (8, 16 and 24), in steps of 8.
        activation: a name of `dense.ACTIVATIONS`.
        pooling: `conv`, `max` or `avg`.
    """

    strides = (4, 8)

    def __init__(
        self,
        in_channels: int = 3,
        *,
        width: float = 1.0,
        activation: str = "silu",
        pooling: str = "conv",
    ) -> None:
        super().__init__()
        stem, *stages = (max(8, round(c * width / 8) * 8) for c in (8, 16, 24))
        self.channels = tuple(stages)
        self.stem = halving(in_channels, stem, pooling=pooling, activation=activation)
        self.stages = nn.ModuleList(
            halving(inputs, outputs, pooling=pooling, activation=activation)
            for inputs, outputs in zip((stem, *stages[:-1]), stages, strict=True)
        )

    def keep(self, levels: int) -> None:
        """Drop the stages after the first `levels` maps."""
        self.stages = self.stages[:levels]

    def forward(self, images: Tensor) -> list[Tensor]:
        """Return one map a stride for images [N, in_channels, H, W]."""
        maps = []
        features = self.stem(images)
        for stage in self.stages:
            features = stage(features)
            maps.append(features)
        return maps
