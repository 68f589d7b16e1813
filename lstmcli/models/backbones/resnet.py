"""ResNet-18 of torchvision without its classifier."""

from __future__ import annotations

from torch import Tensor, nn
from torchvision import models

from lstmcli.core.errors import ConfigError
from lstmcli.models.backbones.weights import take_channels


class ResNet18(nn.Module):
    """A ResNet of 18 layers (He et al. 2015, https://arxiv.org/abs/1512.03385), untrained.

    The names of the weights are torchvision's.

    Args:
        in_channels: 3 for RGB, 6 with frame difference.
        width: 1; it has one width only.
        activation: unused: it has its own.
        pooling: unused: it has its own.
    """

    strides = (4, 8, 16, 32)
    channels = (64, 128, 256, 512)

    def __init__(
        self,
        in_channels: int = 3,
        *,
        width: float = 1.0,
        activation: str = "",
        pooling: str = "",
    ) -> None:
        super().__init__()
        if width != 1.0:
            raise ConfigError(
                f"resnet18 of width {width:g}: it has one width", hint="set backbone.width=1"
            )
        network = models.resnet18(weights=None)
        self.conv1 = take_channels(network.conv1, in_channels)
        self.bn1, self.relu, self.maxpool = network.bn1, network.relu, network.maxpool
        self.layer1, self.layer2 = network.layer1, network.layer2
        self.layer3, self.layer4 = network.layer3, network.layer4
        self._stages: tuple[str, ...] = ("layer1", "layer2", "layer3", "layer4")

    def keep(self, levels: int) -> None:
        """Drop the layers after the first `levels` maps."""
        for name in self._stages[levels:]:
            delattr(self, name)
        self._stages = self._stages[:levels]

    def forward(self, images: Tensor) -> list[Tensor]:
        """Return one map a stride for images [N, in_channels, H, W]."""
        maps = []
        features = self.maxpool(self.relu(self.bn1(self.conv1(images))))
        for name in self._stages:
            features = getattr(self, name)(features)
            maps.append(features)
        return maps
