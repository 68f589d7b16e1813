"""ShuffleNetV2 of torchvision without its classifier."""

from __future__ import annotations

from torch import Tensor, nn
from torchvision import models

from lstmcli.core.errors import ConfigError
from lstmcli.models.backbones.weights import take_channels

WIDTHS = {
    0.5: models.shufflenet_v2_x0_5,
    1.0: models.shufflenet_v2_x1_0,
    1.5: models.shufflenet_v2_x1_5,
    2.0: models.shufflenet_v2_x2_0,
}


class ShuffleNetV2(nn.Module):
    """A ShuffleNetV2 (Ma et al. 2018, https://arxiv.org/abs/1807.11164), untrained.

    The map of stride 4 is the pooled output of the first convolution; the last convolution, that
    only widens for the classifier, is left out. The names of the weights are torchvision's.

    Args:
        in_channels: 3 for RGB, 6 with frame difference.
        width: a key of `WIDTHS`.
        activation: unused: it has its own.
        pooling: unused: it has its own.
    """

    strides = (4, 8, 16, 32)

    def __init__(
        self,
        in_channels: int = 3,
        *,
        width: float = 1.0,
        activation: str = "",
        pooling: str = "",
    ) -> None:
        super().__init__()
        if width not in WIDTHS:
            allowed = ", ".join(f"{value:g}" for value in WIDTHS)
            raise ConfigError(
                f"shufflenet_v2 of width {width:g}", hint=f"set backbone.width to one of {allowed}"
            )
        network = WIDTHS[width](weights=None)
        self.conv1, self.maxpool = network.conv1, network.maxpool
        self.stage2, self.stage3, self.stage4 = network.stage2, network.stage3, network.stage4
        self.conv1[0] = take_channels(self.conv1[0], in_channels)
        self.channels: tuple[int, ...] = (
            self.conv1[0].out_channels,
            *(2 * s[-1].branch2[-3].out_channels for s in (self.stage2, self.stage3, self.stage4)),
        )

        self._stages: tuple[str, ...] = ("stage2", "stage3", "stage4")

    def keep(self, levels: int) -> None:
        """Drop the stages after the first `levels` maps."""
        for name in self._stages[levels - 1 :]:
            delattr(self, name)
        self._stages = self._stages[: levels - 1]

    def forward(self, images: Tensor) -> list[Tensor]:
        """Return one map a stride for images [N, in_channels, H, W]."""
        maps = [self.maxpool(self.conv1(images))]
        for name in self._stages:
            maps.append(getattr(self, name)(maps[-1]))
        return maps
