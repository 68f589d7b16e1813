"""Detection heads: from feature maps to classes and boxes, by name."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from lstmcli.core.config import HeadConfig
from lstmcli.core.errors import choose
from lstmcli.models.heads.anchor_free import AnchorFreeHead
from lstmcli.models.heads.classic import ClassicHead
from lstmcli.models.heads.head import DetectionHead
from lstmcli.models.heads.multi_scale import MultiScaleHead

__all__ = ["HEADS", "DetectionHead", "build_head", "takes_pyramid"]

HEADS: Mapping[str, Callable[..., DetectionHead]] = {
    "anchor_free": AnchorFreeHead,
    "classic": ClassicHead,
    "multi_scale": MultiScaleHead,
}


def build_head(
    config: HeadConfig, channels: int, classes: int, strides: Sequence[int]
) -> DetectionHead:
    """Make the head that a HeadConfig names; ConfigError with a near name if there is none."""
    return choose(HEADS, config.name, "head")(
        channels, classes, strides=strides, depth=config.depth
    )


def takes_pyramid(name: str) -> bool:
    """Return whether a head takes maps of all strides; ConfigError if there is none."""
    head = choose(HEADS, name, "head")
    return isinstance(head, type) and issubclass(head, DetectionHead) and head.all_levels
