"""The anchor-free head: objectness, class distribution and box for every cell of one map."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lstmcli.core.config import LossConfig
from lstmcli.models.heads.head import GridHead, Tower, set_bias
from lstmcli.models.losses import (
    Targets,
    assign_centres,
    box_loss,
    paired_iou,
    quality_focal_loss,
)


class AnchorFreeHead(GridHead):
    """Predicts an objectness, a class distribution and a box for every cell, with two towers.

    Decoupled as in YOLOX (2107.08430). The score is an objectness (sigmoid, IoU-aware) times a
    distribution over the classes (softmax, trained on positive cells only), so that background
    cannot drown a rare class.

    Args:
        channels: channels of the features.
        classes: number of classes.
        strides: one, pixels of the canvas a cell is wide and high.
        depth: 3x3 layers in each tower.
    """

    class_rows: ClassVar[Mapping[str, int]] = {"cls_pred": 0}

    def __init__(
        self, channels: int, classes: int, *, strides: Sequence[int], depth: int = 1
    ) -> None:
        super().__init__(strides=strides, classes=classes)
        self.box_tower = Tower(channels, depth)
        self.class_tower = Tower(channels, depth)
        self.box_pred = nn.Conv2d(channels, 5, 1)
        self.cls_pred = nn.Conv2d(channels, classes, 1)
        nn.init.normal_(self.box_pred.weight, std=0.01)
        nn.init.normal_(self.cls_pred.weight, std=0.01)
        # a prior of 1 % objects (RetinaNet, 1708.02002); boxes of about three cells
        set_bias(self.box_pred, [-4.6, 0.5, 0.5, 0.5, 0.5])
        set_bias(self.cls_pred, [0.0] * classes)

    def forward(self, maps: Sequence[Tensor]) -> Tensor:
        """Return raw [N, 5 + classes, h, w]: objectness, four distances, class logits."""
        box = self.box_pred(self.box_tower(maps[0]))
        return torch.cat((box, self.cls_pred(self.class_tower(maps[0]))), dim=1)

    def scores(self, raw: Tensor) -> Tensor:
        """Return objectness times class probability, [N, h*w, classes]."""
        maps = raw.flatten(2).float()  # a class a row: several times quicker than a cell a row
        return (maps[:, :1].sigmoid() * maps[:, 5:].softmax(dim=1)).transpose(1, 2)

    def loss(
        self,
        raw: Tensor,
        targets: Targets,
        config: LossConfig,
        *,
        class_weights: Tensor | None = None,
        normaliser: Tensor | None = None,
    ) -> dict[str, Tensor]:
        """Return the losses of objectness, class and box; see `DetectionHead.loss`."""
        raw = raw.float()
        positives = assign_centres(targets, raw, self.stride, config.center_radius)
        rows, total = positives.rows, positives.total if normaliser is None else normaliser
        boxes = self.boxes(raw)[rows]
        cells = raw.flatten(2).transpose(1, 2)
        target = torch.zeros_like(cells[..., 0])
        if config.iou_aware:
            target[rows] = paired_iou(boxes.detach(), positives.boxes).to(target.dtype)
        else:
            target[rows] = 1.0
        target[rows] = target[rows] * positives.scores.to(target.dtype)
        objectness = quality_focal_loss(cells[..., 0], target)
        classes = F.cross_entropy(
            cells[rows][:, 5:],
            positives.labels,
            reduction="none",
            label_smoothing=config.label_smoothing,
        )
        if class_weights is not None:
            classes = classes * class_weights[positives.labels]
        return {
            "object": (objectness * positives.counted).sum() / total,
            "class": config.class_weight * classes.sum() / total,
            "box": config.box_weight * box_loss(boxes, positives.boxes).sum() / total,
        }

    def count_positives(self, raw: Tensor, targets: Targets, config: LossConfig) -> Tensor:
        """Return how many cells are assigned to a box, a float scalar."""
        return assign_centres(targets, raw, self.stride, config.center_radius).count
