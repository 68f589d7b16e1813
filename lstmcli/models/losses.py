"""Targets, label assignment by centre sampling, and loss functions."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor
from torchvision.ops import complete_box_iou_loss

from lstmcli.models.cells import cell_centres


@dataclass(frozen=True, slots=True)
class Targets:
    """The ground truth of N frames, padded to the same number of boxes M.

    Args:
        boxes: [N, M, 4] in pixels of the network's input.
        labels: int64 [N, M].
        valid: bool [N, M], False for padding.
        ignore: bool [N, M], True for a box that is neither a positive nor a negative.
        scores: [N, M] in 0..1, how sure a label is; 1 unless it is soft.
        annotated_frames: bool [N], False for an unannotated frame, which has no loss.
    """

    boxes: Tensor
    labels: Tensor
    valid: Tensor
    ignore: Tensor
    scores: Tensor
    annotated_frames: Tensor

    def to(self, device: torch.device) -> Targets:
        """Return the same targets on another device."""
        return Targets(
            *(getattr(self, name).to(device, non_blocking=True) for name in self.__slots__)
        )


@dataclass(frozen=True, slots=True)
class Assignment:
    """The target of each cell.

    Args:
        box: int64 [N, cells], the row of the box that the cell is assigned to, -1 for background.
        counted: bool [N, cells], False in ignored regions and on unannotated frames.
    """

    box: Tensor
    counted: Tensor


def assign(targets: Targets, centres: Tensor, *, stride: int, radius: float) -> Assignment:
    """Assign the cells near a box's centre to it; where several boxes overlap, to the smallest.

    Centre sampling of FCOS (1904.01355): a cell is positive if its centre lies within `radius`
    strides of the box's centre and inside the box; the cell that holds the centre always is, so
    that a box smaller than a cell is not lost.
    """
    boxes = targets.boxes[:, None]  # [N, 1, M, 4]
    points = centres[None, :, None]  # [1, cells, 1, 2]
    middle = (boxes[..., :2] + boxes[..., 2:]) / 2
    away = (points - middle).abs().amax(dim=-1)  # [N, cells, M]
    inside = ((points >= boxes[..., :2]) & (points <= boxes[..., 2:])).all(dim=-1)
    claims = ((away < radius * stride) & inside) | (away <= stride / 2)
    candidates = (targets.valid & ~targets.ignore)[:, None]
    sides = (boxes[..., 2:] - boxes[..., :2]).clamp_min(0)
    area = (sides[..., 0] * sides[..., 1]).expand_as(claims)
    area = area.masked_fill(~(claims & candidates), torch.inf)
    if area.shape[-1] == 0:
        box = torch.full(area.shape[:2], -1, dtype=torch.int64, device=centres.device)
        return Assignment(box, targets.annotated_frames[:, None].expand_as(box))
    smallest, box = area.min(dim=-1)
    box = box.masked_fill(smallest.isinf(), -1)
    # as for an object, a region smaller than a cell covers the cell that holds its centre
    covered = inside | (away <= stride / 2)
    ignored = (covered & (targets.valid & targets.ignore)[:, None]).any(dim=-1) & (box < 0)
    return Assignment(box, targets.annotated_frames[:, None] & ~ignored)


@dataclass(frozen=True, slots=True)
class Positives:
    """The cells that are assigned to a box, P of all of them.

    Args:
        rows: (frame, cell) of each, two int64 [P].
        boxes: [P, 4], the box of each; labels: int64 [P]; scores: [P], how sure those are.
        counted: bool [N, cells], False in ignored regions and on frames without annotation.
    """

    rows: tuple[Tensor, ...]
    boxes: Tensor
    labels: Tensor
    scores: Tensor
    counted: Tensor

    @property
    def count(self) -> Tensor:
        """How many, a float scalar."""
        return torch.ones_like(self.labels, dtype=torch.float32).sum()

    @property
    def total(self) -> Tensor:
        """Divisor of sums over them: their number, at least one."""
        return self.count.clamp_min(1)


def assign_centres(targets: Targets, raw: Tensor, stride: int, radius: float) -> Positives:
    """Return the positive cells of a grid by `assign`; raw is [N, outputs, h, w]."""
    centres = cell_centres(raw, stride)
    assignment = assign(targets, centres, stride=stride, radius=radius)
    rows = ((assignment.box >= 0) & assignment.counted).nonzero(as_tuple=True)
    which = assignment.box[rows]
    return Positives(
        rows,
        targets.boxes[rows[0], which].float(),
        targets.labels[rows[0], which],
        targets.scores[rows[0], which],
        assignment.counted,
    )


def quality_focal_loss(logits: Tensor, target: Tensor) -> Tensor:
    """Return the quality focal loss (2006.04388) of each logit; targets are in 0..1."""
    modulation = (target - logits.sigmoid()).abs().square()
    return F.binary_cross_entropy_with_logits(logits, target, reduction="none") * modulation


def box_loss(boxes: Tensor, gt: Tensor) -> Tensor:
    """Return the complete-IoU loss (1911.08287) of each pair of rows, [P]."""
    loss: Tensor = complete_box_iou_loss(boxes, gt, reduction="none", eps=1e-7)
    return loss


def paired_iou(first: Tensor, second: Tensor) -> Tensor:
    """Return the overlap of each box with the one in the same row, [N] in 0..1."""
    if len(first) == 0:
        return first.new_zeros(0)
    top_left = torch.maximum(first[:, :2], second[:, :2])
    bottom_right = torch.minimum(first[:, 2:], second[:, 2:])
    sides = (bottom_right - top_left).clamp_min(0)
    overlap = sides.prod(dim=1)
    areas = [(b[:, 2:] - b[:, :2]).clamp_min(0).prod(dim=1) for b in (first, second)]
    return overlap / (areas[0] + areas[1] - overlap).clamp_min(1e-9)
