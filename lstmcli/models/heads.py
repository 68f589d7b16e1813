"""From the map to classes and boxes: one answer a grid cell."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping

import torch
from torch import Tensor, nn

from lstmcli.core.config import HeadConfig
from lstmcli.core.errors import choose

BOX_RANGE = 8.0
"""Largest exponent of a side in strides; keeps an untrained box finite."""


class DetectionHead(nn.Module, ABC):
    """What every head offers; `raw` is [N, outputs, h, w], one column of numbers a cell.

    Args:
        stride: pixels of the canvas a cell is wide and high.
        classes: number of classes without the background.
    """

    def __init__(self, *, stride: int, classes: int) -> None:
        super().__init__()
        self.stride, self.classes = stride, classes

    def boxes(self, raw: Tensor) -> Tensor:
        """Return the boxes of all cells, [N, h*w, 4] in pixels of the canvas."""
        return distances_to_boxes(raw[:, 1:5], raw, self.stride)

    @abstractmethod
    def scores(self, raw: Tensor) -> Tensor:
        """Return the scores of all cells, [N, h*w, classes] in 0..1."""


def cell_centres(raw: Tensor, stride: int) -> Tensor:
    """Return the centres (x, y) of the grid cells in pixels of the canvas, [h*w, 2]."""
    height, width = raw.shape[-2:]
    y, x = torch.meshgrid(
        torch.arange(height, device=raw.device, dtype=torch.float32),
        torch.arange(width, device=raw.device, dtype=torch.float32),
        indexing="ij",
    )
    return (torch.stack((x.flatten(), y.flatten()), dim=1) + 0.5) * stride


def distances_to_boxes(distances: Tensor, raw: Tensor, stride: int) -> Tensor:
    """Turn raw distances to the four sides [N, 4, h, w] into boxes [N, h*w, 4] (FCOS, 1904.01355).

    A distance is exp(raw) strides, so that it is positive and a step means the same at any size.
    """
    centres = cell_centres(raw, stride)
    sides = distances.flatten(2).transpose(1, 2).float().clamp(-BOX_RANGE, BOX_RANGE).exp() * stride
    return torch.cat((centres - sides[..., :2], centres + sides[..., 2:]), dim=-1)


def _set_bias(layer: nn.Conv2d, values: list[float]) -> None:
    assert layer.bias is not None
    with torch.no_grad():
        layer.bias.copy_(torch.tensor(values))


class _Tower(nn.Sequential):
    def __init__(self, channels: int, depth: int) -> None:
        layers: list[nn.Module] = []
        for _ in range(depth):
            layers += [
                nn.Conv2d(channels, channels, 3, padding=1, bias=False),
                nn.BatchNorm2d(channels),
                nn.ReLU(),
            ]
        super().__init__(*layers)


class AnchorFreeHead(DetectionHead):
    """An objectness, a class distribution and a box for every cell, from two towers.

    Decoupled as in YOLOX (2107.08430). "Is something here" and "what is it" are asked apart: an
    objectness (sigmoid, quality-aware) times a distribution over the classes (softmax, learned
    where there is an object), so that background cannot drown a rare class.

    Args:
        channels: channels of the features.
        classes: number of classes.
        stride: pixels of the canvas a cell is wide and high.
        depth: 3x3 layers in each tower.
    """

    def __init__(self, channels: int, classes: int, *, stride: int, depth: int = 1) -> None:
        super().__init__(stride=stride, classes=classes)
        self.box_tower = _Tower(channels, depth)
        self.class_tower = _Tower(channels, depth)
        self.place = nn.Conv2d(channels, 5, 1)
        self.kind = nn.Conv2d(channels, classes, 1)
        nn.init.normal_(self.place.weight, std=0.01)
        nn.init.normal_(self.kind.weight, std=0.01)
        # a prior of 1 % objects (RetinaNet, 1708.02002); boxes of about three cells
        _set_bias(self.place, [-4.6, 0.5, 0.5, 0.5, 0.5])
        _set_bias(self.kind, [0.0] * classes)

    def forward(self, features: Tensor) -> Tensor:
        """Return raw [N, 5 + classes, h, w]: objectness, four distances, class logits."""
        place = self.place(self.box_tower(features))
        return torch.cat((place, self.kind(self.class_tower(features))), dim=1)

    def scores(self, raw: Tensor) -> Tensor:
        """Return objectness times class probability, [N, h*w, classes]."""
        maps = raw.flatten(2).float()  # a class a row: several times quicker than a cell a row
        return (maps[:, :1].sigmoid() * maps[:, 5:].softmax(dim=1)).transpose(1, 2)


class ClassicHead(DetectionHead):
    """The textbook recipe: every cell is one of the classes or background, and has a box.

    Args:
        channels: channels of the features.
        classes: number of classes without the background.
        stride: pixels of the canvas a cell is wide and high.
        depth: 3x3 layers before the answers.
    """

    def __init__(self, channels: int, classes: int, *, stride: int, depth: int = 1) -> None:
        super().__init__(stride=stride, classes=classes)
        self.tower = _Tower(channels, depth)
        self.answers = nn.Conv2d(channels, 5 + classes, 1)
        nn.init.normal_(self.answers.weight, std=0.01)
        _set_bias(self.answers, [4.0] + [0.0] * (4 + classes))  # background is the rule

    def forward(self, features: Tensor) -> Tensor:
        """Return raw [N, 5 + classes, h, w]: background logit, four distances, class logits."""
        raw: Tensor = self.answers(self.tower(features))
        return raw

    def cell_logits(self, raw: Tensor) -> Tensor:
        """Return logits of background and classes, [N, h*w, 1 + classes]."""
        cells = raw.flatten(2).transpose(1, 2).float()
        return torch.cat((cells[..., :1], cells[..., 5:]), dim=-1)

    def scores(self, raw: Tensor) -> Tensor:
        """Return the class probabilities, background left out, [N, h*w, classes]."""
        return self.cell_logits(raw).softmax(dim=-1)[..., 1:]


HEADS: Mapping[str, Callable[..., DetectionHead]] = {
    "anchor_free": AnchorFreeHead,
    "classic": ClassicHead,
}


def build_head(config: HeadConfig, channels: int, classes: int, stride: int) -> DetectionHead:
    """Make the head that a HeadConfig names; ConfigError with a near name if there is none."""
    return choose(HEADS, config.name, "head")(channels, classes, stride=stride, depth=config.depth)
