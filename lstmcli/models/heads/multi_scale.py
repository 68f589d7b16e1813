"""Multi-scale head: shared towers over maps of several strides."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lstmcli.core.config import LossConfig
from lstmcli.models.dynamic_assignment import DynamicAssignment, assign_dynamically
from lstmcli.models.heads.head import DetectionHead, set_bias
from lstmcli.models.losses import Targets, box_loss, quality_focal_loss
from lstmcli.models.pyramid import level_name

LARGEST_EXPONENT = 6.0
"""Of a side in strides; keeps an untrained box finite."""
PRIOR_LOGIT = -4.6
"""Objectness before training: a prior of 1 % objects (RetinaNet, 1708.02002)."""
FIRST_EXPONENT = 0.7
"""Boxes before training are about four cells wide, so that each level is assigned its own sizes."""
OBJECT_WEIGHT = 3.0
"""Of the objectness loss, whose targets sum up to less than the number of positive cells."""


class SharedTower(nn.Module):
    """Separable layers that every level shares; the norms are each level's own.

    Weights learned on small objects serve large ones; only the statistics differ.

    Args:
        channels: of the input, between the layers and of the output.
        depth: separable layers.
        levels: names of the levels.
    """

    def __init__(self, channels: int, depth: int, levels: Sequence[str]) -> None:
        super().__init__()
        self.depthwise = nn.ModuleList(
            nn.Conv2d(channels, channels, 5, padding=2, groups=channels, bias=False)
            for _ in range(depth)
        )
        self.pointwise = nn.ModuleList(
            nn.Conv2d(channels, channels, 1, bias=False) for _ in range(depth)
        )
        self.norms = nn.ModuleDict(
            {
                level: nn.ModuleList(nn.BatchNorm2d(channels) for _ in range(2 * depth))
                for level in levels
            }
        )

    def forward(self, features: Tensor, level: str) -> Tensor:
        """Return features of the same shape."""
        norms = self.norms[level]
        assert isinstance(norms, nn.ModuleList)
        for index, (wide, mix) in enumerate(zip(self.depthwise, self.pointwise, strict=True)):
            features = norms[2 * index](wide(features))
            features = F.relu(norms[2 * index + 1](mix(features)))
        return features


class MultiScaleHead(DetectionHead):
    """Predicts an objectness, a class distribution and a box for every cell of every level.

    As `AnchorFreeHead`, over several strides. `raw` is [N, 5 + classes + 3, cells], the cells of
    the finest level first: objectness logit, box (x1, y1, x2, y2) in pixels of the canvas, class
    logits, and the cell's centre and stride, which the assignment of the loss needs.

    Args:
        channels: channels of the features.
        classes: number of classes.
        strides: pixels of the canvas a cell is wide and high, for each level.
        depth: separable layers in each tower.
    """

    all_levels: ClassVar[bool] = True
    class_rows: ClassVar[Mapping[str, int]] = {"cls_pred": 0}

    def __init__(
        self, channels: int, classes: int, *, strides: Sequence[int], depth: int = 2
    ) -> None:
        super().__init__(strides=strides, classes=classes)
        self.levels = tuple(level_name(stride) for stride in strides)
        self.box_tower = SharedTower(channels, depth, self.levels)
        self.class_tower = SharedTower(channels, depth, self.levels)
        self.box_pred = nn.Conv2d(channels, 5, 1)
        self.cls_pred = nn.Conv2d(channels, classes, 1)
        self.scale = nn.ParameterDict({level: nn.Parameter(torch.ones(1)) for level in self.levels})
        nn.init.normal_(self.box_pred.weight, std=0.01)
        nn.init.normal_(self.cls_pred.weight, std=0.01)
        set_bias(self.box_pred, [PRIOR_LOGIT, *[FIRST_EXPONENT] * 4])
        set_bias(self.cls_pred, [0.0] * classes)

    def forward(self, maps: Sequence[Tensor]) -> Tensor:
        """Return raw [N, 5 + classes + 3, cells] for maps [N, channels, h, w], the finest first."""
        parts = []
        for level, stride, features in zip(self.levels, self.strides, maps, strict=True):
            predicted = self.box_pred(self.box_tower(features, level))
            class_logits = self.cls_pred(self.class_tower(features, level))
            exponents = (predicted[:, 1:] * self.scale[level]).float()
            sides = exponents.clamp(-LARGEST_EXPONENT, LARGEST_EXPONENT).exp() * stride
            cells = cell_rows(features, stride)
            boxes = torch.cat((cells[:, :2] - sides[:, :2], cells[:, :2] + sides[:, 2:]), dim=1)
            cells = cells.expand(len(features), -1, -1, -1)
            parts.append(
                torch.cat((predicted[:, :1], boxes, class_logits, cells), dim=1).flatten(2)
            )
        return torch.cat(parts, dim=2)

    def boxes(self, raw: Tensor) -> Tensor:
        """Return the boxes of all cells, [N, cells, 4] in pixels of the canvas."""
        return raw[:, 1:5].transpose(1, 2)

    def scores(self, raw: Tensor) -> Tensor:
        """Return objectness times class probability, [N, cells, classes]."""
        probabilities = raw[:, 5 : 5 + self.classes].float().softmax(dim=1)
        return (raw[:, :1].float().sigmoid() * probabilities).transpose(1, 2)

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
        assignment = self._assign(raw, targets)
        rows = (assignment.counted & (assignment.box >= 0)).nonzero(as_tuple=True)
        which = assignment.box[rows]
        labels = targets.labels[rows[0], which]
        total = _count(labels).clamp_min(1) if normaliser is None else normaliser
        target = torch.zeros_like(raw[:, 0])
        sure = targets.scores[rows[0], which].to(target.dtype)
        target[rows] = sure * assignment.quality[rows] if config.iou_aware else sure
        objectness = quality_focal_loss(raw[:, 0], target)
        classes = F.cross_entropy(
            raw[:, 5 : 5 + self.classes].transpose(1, 2)[rows],
            labels,
            reduction="none",
            label_smoothing=config.label_smoothing,
        )
        if class_weights is not None:
            classes = classes * class_weights[labels]
        overlaps = box_loss(self.boxes(raw)[rows], targets.boxes[rows[0], which].float())
        return {
            "object": OBJECT_WEIGHT * (objectness * assignment.counted).sum() / total,
            "class": config.class_weight * classes.sum() / total,
            "box": config.box_weight * overlaps.sum() / total,
        }

    def count_positives(self, raw: Tensor, targets: Targets, config: LossConfig) -> Tensor:
        """Return how many cells are assigned to a box, a float scalar."""
        assignment = self._assign(raw.float(), targets)
        return (assignment.counted & (assignment.box >= 0)).sum().float()

    def _assign(self, raw: Tensor, targets: Targets) -> DynamicAssignment:
        return assign_dynamically(
            predicted=self.boxes(raw),
            scores=self.scores(raw).transpose(1, 2),
            cells=raw[0, 5 + self.classes :].T,
            boxes=targets.boxes.float(),
            labels=targets.labels,
            wanted=targets.valid & ~targets.ignore,
            ignored=targets.valid & targets.ignore,
            annotated_frames=targets.annotated_frames,
        )


def _count(labels: Tensor) -> Tensor:
    return torch.ones_like(labels, dtype=torch.float32).sum()


def cell_rows(features: Tensor, stride: int) -> Tensor:
    """Return centre x, centre y and stride in pixels of the canvas of every cell, [1, 3, h, w]."""
    height, width = features.shape[-2:]
    y, x = torch.meshgrid(
        torch.arange(height, device=features.device, dtype=torch.float32),
        torch.arange(width, device=features.device, dtype=torch.float32),
        indexing="ij",
    )
    size = torch.full_like(x, float(stride))
    return torch.stack(((x + 0.5) * stride, (y + 0.5) * stride, size)).unsqueeze(0)
