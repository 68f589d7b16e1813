"""Backbones: the CNNs that turn a frame into feature maps, by name.

Every variant takes (in_channels, *, width, activation, pooling), has `channels` and `strides`, and
returns one map a stride, the image's size divided by the stride and rounded up. Images come
normalised as for ImageNet.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from torch import nn
from torchvision import models

from lstmcli.core.config import BackboneConfig
from lstmcli.core.errors import ConfigError, choose
from lstmcli.models.backbones.backbone import Backbone
from lstmcli.models.backbones.dense import Dense
from lstmcli.models.backbones.mobilenet import (
    mobilenet_v2,
    mobilenet_v2_fused,
    mobilenet_v2_slim,
    mobilenet_v3_large,
    mobilenet_v3_small,
)
from lstmcli.models.backbones.resnet import ResNet18
from lstmcli.models.backbones.shufflenet import ShuffleNetV2
from lstmcli.models.backbones.tiny import Tiny
from lstmcli.models.backbones.weights import download, fit_weights, read_weights

__all__ = ["BACKBONES", "IMAGENET", "Backbone", "build_backbone"]

BACKBONES: Mapping[str, Callable[..., nn.Module]] = {
    "tiny": Tiny,
    "dense": Dense,
    "mobilenet_v2": mobilenet_v2,
    "mobilenet_v2_slim": mobilenet_v2_slim,
    "mobilenet_v2_fused": mobilenet_v2_fused,
    "mobilenet_v3_small": mobilenet_v3_small,
    "mobilenet_v3_large": mobilenet_v3_large,
    "resnet18": ResNet18,
    "shufflenet_v2": ShuffleNetV2,
}

IMAGENET: Mapping[str, Any] = {
    "mobilenet_v2": models.MobileNet_V2_Weights.DEFAULT,
    "mobilenet_v3_small": models.MobileNet_V3_Small_Weights.DEFAULT,
    "mobilenet_v3_large": models.MobileNet_V3_Large_Weights.DEFAULT,
    "resnet18": models.ResNet18_Weights.DEFAULT,
    "shufflenet_v2": models.ShuffleNet_V2_X1_0_Weights.DEFAULT,
}
"""The weights that torchvision downloads, all of width 1."""


def build_backbone(config: BackboneConfig, in_channels: int = 3) -> Backbone:
    """Build the backbone of a configuration with its initial weights.

    Args:
        config: name, weights, width and so on.
        in_channels: 3 for RGB; with trained weights, further ones start without influence.

    Raises:
        ConfigError: no such backbone, a width that it does not have, no ImageNet weights for it.
        ModelError: the weights cannot be downloaded, read, or are another network's.
    """
    body: Any = choose(BACKBONES, config.name, "backbone")(
        in_channels, width=config.width, activation=config.activation, pooling=config.pooling
    )
    if config.weights == "imagenet":
        fit_weights(body, download(_imagenet(config), config.name), "the ImageNet weights")
    elif config.weights != "none":
        fit_weights(body, read_weights(Path(config.weights)), config.weights)
    return Backbone(body, channels=body.channels, strides=body.strides, frozen=config.freeze)


def _imagenet(config: BackboneConfig) -> Any:
    if config.name not in IMAGENET:
        raise ConfigError(
            f"there are no ImageNet weights for the backbone {config.name!r}",
            hint=f"set backbone.weights=none, or use one of: {', '.join(IMAGENET)}",
        )
    if config.width != 1.0:
        raise ConfigError(
            f"ImageNet weights for {config.name!r} of width {config.width:g}",
            hint="set backbone.width=1 or backbone.weights=none",
        )
    return IMAGENET[config.name]
