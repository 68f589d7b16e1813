"""A small dense residual network, for chips that multiply matrices well."""

from __future__ import annotations

from torch import Tensor, nn

from lstmcli.core.errors import choose

ACTIVATIONS: dict[str, type[nn.Module]] = {
    "relu": nn.ReLU,
    "leaky_relu": nn.LeakyReLU,
    "prelu": nn.PReLU,
    "silu": nn.SiLU,
}


class ConvUnit(nn.Sequential):
    """Convolution, batch normalisation, activation."""

    def __init__(
        self, inputs: int, outputs: int, *, kernel_size: int = 3, stride: int = 1, activation: str
    ) -> None:
        super().__init__(
            nn.Conv2d(inputs, outputs, kernel_size, stride, padding=kernel_size // 2, bias=False),
            nn.BatchNorm2d(outputs),
            choose(ACTIVATIONS, activation, "activation")(),
        )


class Residual(nn.Module):
    """Basic block of a ResNet, two 3x3 convolutions and a skip (He et al. 2015, 1512.03385)."""

    def __init__(self, channels: int, *, activation: str) -> None:
        super().__init__()
        self.first = ConvUnit(channels, channels, activation=activation)
        norm = nn.BatchNorm2d(channels)
        nn.init.zeros_(norm.weight)
        self.second = nn.Sequential(nn.Conv2d(channels, channels, 3, padding=1, bias=False), norm)
        self.activation = choose(ACTIVATIONS, activation, "activation")()

    def forward(self, features: Tensor) -> Tensor:
        """Return features of the same shape."""
        result: Tensor = self.activation(features + self.second(self.first(features)))
        return result


def halving(inputs: int, outputs: int, *, pooling: str, activation: str) -> nn.Module:
    """Return layers that halve height and width: a strided convolution, or a pool after one."""
    if pooling == "conv":
        return ConvUnit(inputs, outputs, stride=2, activation=activation)
    pool = nn.MaxPool2d(2, ceil_mode=True) if pooling == "max" else nn.AvgPool2d(2, ceil_mode=True)
    return nn.Sequential(ConvUnit(inputs, outputs, activation=activation), pool)


class Dense(nn.Module):
    """Dense 3x3 convolutions in four stages, maps at strides 4, 8, 16 and 32.

    With bf16 matrix units, dense 3x3 convolutions cost about as little as depthwise ones and train
    three times as fast.

    Args:
        in_channels: 3 for RGB, 6 with frame difference.
        width: multiplies the channels (24 at stride 2, then 48, 96, 160, 192), in steps of 8.
        activation: a name of `ACTIVATIONS`.
        pooling: `conv`, `max` or `avg`.
    """

    strides = (4, 8, 16, 32)

    def __init__(
        self,
        in_channels: int = 3,
        *,
        width: float = 1.0,
        activation: str = "silu",
        pooling: str = "conv",
    ) -> None:
        super().__init__()
        stem, *stages = (max(8, round(c * width / 8) * 8) for c in (24, 48, 96, 160, 192))
        self.channels = tuple(stages)
        self.stem = ConvUnit(in_channels, stem, stride=2, activation=activation)
        layers: list[nn.Module] = []
        inputs = stem
        for outputs, depth in zip(stages, (1, 2, 2, 1), strict=True):
            layers.append(
                nn.Sequential(
                    halving(inputs, outputs, pooling=pooling, activation=activation),
                    *(Residual(outputs, activation=activation) for _ in range(depth)),
                )
            )
            inputs = outputs
        self.stages = nn.ModuleList(layers)

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
