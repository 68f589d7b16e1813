"""The textbook head: cross-entropy over the cells of one grid."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lstmcli.core.config import LossConfig
from lstmcli.models.heads.head import GridHead, Tower, set_bias
from lstmcli.models.losses import Targets, assign_centres


class ClassicHead(GridHead):
    """Classifies every cell as background or one of the classes, and predicts its box.

    Args:
        channels: channels of the features.
        classes: number of classes without the background.
        strides: one, pixels of the canvas a cell is wide and high.
        depth: 3x3 layers before the prediction.
    """

    class_rows: ClassVar[Mapping[str, int]] = {"pred": 5}

    def __init__(
        self, channels: int, classes: int, *, strides: Sequence[int], depth: int = 1
    ) -> None:
        super().__init__(strides=strides, classes=classes)
        self.tower = Tower(channels, depth)
        self.pred = nn.Conv2d(channels, 5 + classes, 1)
        nn.init.normal_(self.pred.weight, std=0.01)
        set_bias(self.pred, [4.0] + [0.0] * (4 + classes))  # most cells are background

    def forward(self, maps: Sequence[Tensor]) -> Tensor:
        """Return raw [N, 5 + classes, h, w]: background logit, four distances, class logits."""
        raw: Tensor = self.pred(self.tower(maps[0]))
        return raw

    def cell_logits(self, raw: Tensor) -> Tensor:
        """Return logits of background and classes, [N, h*w, 1 + classes]."""
        cells = raw.flatten(2).transpose(1, 2).float()
        return torch.cat((cells[..., :1], cells[..., 5:]), dim=-1)

    def scores(self, raw: Tensor) -> Tensor:
        """Return the class probabilities, background left out, [N, h*w, classes]."""
        return self.cell_logits(raw).softmax(dim=-1)[..., 1:]

    def loss(
        self,
        raw: Tensor,
        targets: Targets,
        config: LossConfig,
        *,
        class_weights: Tensor | None = None,
        normaliser: Tensor | None = None,
    ) -> dict[str, Tensor]:
        """Return cross-entropy over the counted cells and smooth L1 of the boxes."""
        raw = raw.float()
        positives = assign_centres(targets, raw, self.stride, config.center_radius)
        rows, total = positives.rows, positives.total if normaliser is None else normaliser
        logits = self.cell_logits(raw)
        labels = torch.zeros(logits.shape[:2], dtype=torch.int64, device=raw.device)
        labels[rows] = positives.labels + 1
        weights = None
        if class_weights is not None:
            weights = torch.cat((class_weights.new_ones(1), class_weights))
        cost = F.cross_entropy(logits.flatten(0, 1), labels.flatten(), weights, reduction="none")
        cost = (cost.view_as(labels) * positives.counted).sum()
        boxes, gt = self.boxes(raw)[rows] / self.stride, positives.boxes / self.stride
        return {
            "class": config.class_weight * cost / positives.counted.sum().clamp_min(1),
            "box": config.box_weight * F.smooth_l1_loss(boxes, gt, reduction="sum") / total,
        }

    def count_positives(self, raw: Tensor, targets: Targets, config: LossConfig) -> Tensor:
        """Return how many cells are assigned to a box, a float scalar."""
        return assign_centres(targets, raw, self.stride, config.center_radius).count
