"""The MobileNets of torchvision without their classifiers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import Tensor, nn
from torchvision import models

from lstmcli.models.backbones.dense import ConvUnit
from lstmcli.models.backbones.weights import take_channels


class MobileNet(nn.Module):
    """The blocks of a MobileNet up to the last one of stride 32.

    The convolution after it, that only widens for the classifier, is left out. The names of the
    weights are torchvision's.

    Args:
        features: torchvision's blocks.
        ends: index of the last block of each stride: 4, 8, 16 and 32.
        in_channels: 3 for RGB, 6 with frame difference.
    """

    strides = (4, 8, 16, 32)

    def __init__(self, features: nn.Sequential, ends: Sequence[int], in_channels: int) -> None:
        super().__init__()
        blocks: Any = features[: ends[-1] + 1]
        blocks[0][0] = take_channels(blocks[0][0], in_channels)
        self.features: Any = blocks
        self.ends = tuple(ends)
        self.channels: tuple[int, ...] = tuple(blocks[end].out_channels for end in ends)

    def keep(self, levels: int) -> None:
        """Drop the blocks after the first `levels` maps."""
        self.ends = self.ends[:levels]
        self.features = self.features[: self.ends[-1] + 1]

    def forward(self, images: Tensor) -> list[Tensor]:
        """Return one map a stride for images [N, in_channels, H, W]."""
        maps = []
        features = images
        for index, block in enumerate(self.features):
            features = block(features)
            if index in self.ends:
                maps.append(features)
        return maps


def mobilenet_v2(
    in_channels: int = 3, *, width: float = 1.0, activation: str = "", pooling: str = ""
) -> MobileNet:
    """Make a MobileNetV2 (Sandler et al. 2018, https://arxiv.org/abs/1801.04381), untrained.

    `width` multiplies the channels; activation and pooling are its own.
    """
    network = models.mobilenet_v2(weights=None, width_mult=width)
    return MobileNet(network.features, (3, 6, 13, 17), in_channels)


SLIM_STAGES = (
    # expansion, channels, blocks, stride; the last stage of stride 32 is left out
    (1, 16, 1, 1),
    (3, 24, 2, 2),
    (3, 32, 3, 2),
    (4, 64, 4, 2),
    (4, 96, 3, 1),
    (4, 160, 3, 2),
)


def mobilenet_v2_slim(
    in_channels: int = 3, *, width: float = 1.0, activation: str = "", pooling: str = ""
) -> MobileNet:
    """Make a MobileNetV2 that expands by 3 and 4 instead of 6: 0.8 of 1.4 GMAC at 640x384.

    The expansions of the fine maps take most of the time. The model `general` began with the
    ImageNet weights of the whole network, thinned as in "Channel Pruning for Accelerating Very
    Deep Neural Networks" (1707.06168): of each block the channels were kept from which least
    squares restore its output best.
    """
    network = models.mobilenet_v2(
        weights=None,
        width_mult=width,
        inverted_residual_setting=[list(stage) for stage in SLIM_STAGES],
    )
    return MobileNet(network.features, (3, 6, 13, 16), in_channels)


def mobilenet_v2_fused(
    in_channels: int = 3, *, width: float = 1.0, activation: str = "", pooling: str = ""
) -> MobileNet:
    """Make a `mobilenet_v2_slim` whose blocks up to stride 4 are four dense convolutions.

    The depthwise layers of the fine maps move more memory than they compute: dense ones take a
    third of their time on matrix units and no more elsewhere ("EfficientNetV2", 2104.00298).
    """
    slim = mobilenet_v2_slim(in_channels, width=width)
    outputs = slim.channels[0]
    stem = (
        ConvUnit(in_channels, 16, stride=2, activation="relu"),
        ConvUnit(16, 32, stride=2, activation="relu"),
        ConvUnit(32, 32, activation="relu"),
        nn.Sequential(nn.Conv2d(32, outputs, 1, bias=False), nn.BatchNorm2d(outputs)),
    )
    slim.features = nn.Sequential(*stem, *slim.features[len(stem) :])
    return slim


def mobilenet_v3_small(
    in_channels: int = 3, *, width: float = 1.0, activation: str = "", pooling: str = ""
) -> MobileNet:
    """Make a small MobileNetV3 (Howard et al. 2019, https://arxiv.org/abs/1905.02244), untrained.

    `width` multiplies the channels; activation and pooling are its own.
    """
    network = models.mobilenet_v3_small(weights=None, width_mult=width)
    return MobileNet(network.features, (1, 3, 8, 11), in_channels)


def mobilenet_v3_large(
    in_channels: int = 3, *, width: float = 1.0, activation: str = "", pooling: str = ""
) -> MobileNet:
    """Make a large MobileNetV3 (Howard et al. 2019, https://arxiv.org/abs/1905.02244), untrained.

    `width` multiplies the channels; activation and pooling are its own.
    """
    network = models.mobilenet_v3_large(weights=None, width_mult=width)
    return MobileNet(network.features, (3, 6, 12, 15), in_channels)
