"""Detection heads: the contract and shared layers."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import ClassVar

import torch
from torch import Tensor, nn

from lstmcli.core.config import LossConfig
from lstmcli.models.cells import distances_to_boxes
from lstmcli.models.losses import Targets


class DetectionHead(nn.Module, ABC):
    """Predicts boxes and class scores from feature maps, and computes its own loss.

    `raw` is a tensor of the head's own layout, one column of numbers a cell: [N, outputs, h, w] of
    one grid, [N, outputs, cells] of several.

    Args:
        strides: pixels of the canvas a cell is wide and high, of each map.
        classes: number of classes without the background.
    """

    all_levels: ClassVar[bool] = False
    """Whether it takes a pyramid of maps; otherwise one map of the finest stride."""

    class_rows: ClassVar[Mapping[str, int]] = {}
    """Layers with a row a class, and how many other rows come before those."""

    def __init__(self, *, strides: Sequence[int], classes: int) -> None:
        super().__init__()
        self.strides, self.classes = tuple(strides), classes

    @abstractmethod
    def forward(self, maps: Sequence[Tensor]) -> Tensor:
        """Return raw outputs for maps [N, channels, h, w], the finest first."""

    @abstractmethod
    def boxes(self, raw: Tensor) -> Tensor:
        """Return the boxes of all cells, [N, cells, 4] in pixels of the canvas."""

    @abstractmethod
    def scores(self, raw: Tensor) -> Tensor:
        """Return the scores of all cells, [N, cells, classes] in 0..1."""

    @abstractmethod
    def loss(
        self,
        raw: Tensor,
        targets: Targets,
        config: LossConfig,
        *,
        class_weights: Tensor | None = None,
        normaliser: Tensor | None = None,
    ) -> dict[str, Tensor]:
        """Return the parts of the loss by name, already weighted; their sum is the loss.

        Args:
            raw: output of `forward`.
            targets: the ground truth of the same N frames.
            config: weights and rules.
            class_weights: [classes], mean 1; None counts every class alike.
            normaliser: divisor of the sums; None: `count_positives`. Processes that share
                a batch pass their common mean.
        """

    @abstractmethod
    def count_positives(self, raw: Tensor, targets: Targets, config: LossConfig) -> Tensor:
        """Return how many cells are assigned to a box, a float scalar."""


class GridHead(DetectionHead):
    """A head over one map, whose raw rows 1 to 4 are distances to the four sides."""

    @property
    def stride(self) -> int:
        """Pixels of the canvas a cell is wide and high."""
        return self.strides[0]

    def boxes(self, raw: Tensor) -> Tensor:
        """Return the boxes of all cells, [N, h*w, 4] in pixels of the canvas."""
        return distances_to_boxes(raw[:, 1:5], raw, self.stride)


class Tower(nn.Sequential):
    """3x3 convolutions with norms.

    Args:
        channels: of the input and of the output.
        depth: convolutions.
    """

    def __init__(self, channels: int, depth: int) -> None:
        layers: list[nn.Module] = []
        for _ in range(depth):
            layers += [
                nn.Conv2d(channels, channels, 3, padding=1, bias=False),
                nn.BatchNorm2d(channels),
                nn.ReLU(),
            ]
        super().__init__(*layers)


def set_bias(layer: nn.Conv2d, values: Sequence[float]) -> None:
    """Set the bias of a convolution, one value a channel."""
    assert layer.bias is not None
    with torch.no_grad():
        layer.bias.copy_(torch.tensor(list(values)))
