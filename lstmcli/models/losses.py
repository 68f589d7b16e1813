"""Which cell answers for which box, and what a wrong answer costs."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor
from torchvision.ops import complete_box_iou_loss

from lstmcli.core.config import LossConfig
from lstmcli.models.heads import ClassicHead, DetectionHead, cell_centres


@dataclass(frozen=True, slots=True)
class Targets:
    """The truth of N frames, padded to the same number of boxes M.

    Args:
        boxes: [N, M, 4] in pixels of the picture that the network was shown.
        labels: int64 [N, M].
        valid: bool [N, M], False for padding.
        ignore: bool [N, M], True for a box that must neither be found nor be punished.
        looked_at: bool [N], False where nobody looked: no loss comes from such a frame.
    """

    boxes: Tensor
    labels: Tensor
    valid: Tensor
    ignore: Tensor
    annotated_frames: Tensor

    def to(self, device: torch.device) -> Targets:
        """Return the same truth on another device."""
        return Targets(
            *(getattr(self, name).to(device, non_blocking=True) for name in self.__slots__)
        )


@dataclass(frozen=True, slots=True)
class Assignment:
    """What each cell must answer.

    Args:
        box: int64 [N, cells], the row of the box that the cell answers for, -1 for background.
        counted: bool [N, cells], False in ignored regions and on frames without truth.
    """

    box: Tensor
    counted: Tensor


def assign(targets: Targets, centres: Tensor, *, stride: int, radius: float) -> Assignment:
    """Give each cell near a box's centre that box; where several claim it, the smallest.

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
    wanted = (targets.valid & ~targets.ignore)[:, None]
    sides = (boxes[..., 2:] - boxes[..., :2]).clamp_min(0)
    area = (sides[..., 0] * sides[..., 1]).expand_as(claims)
    area = area.masked_fill(~(claims & wanted), torch.inf)
    if area.shape[-1] == 0:
        box = torch.full(area.shape[:2], -1, dtype=torch.int64, device=centres.device)
        return Assignment(box, targets.annotated_frames[:, None].expand_as(box))
    smallest, box = area.min(dim=-1)
    box = box.masked_fill(smallest.isinf(), -1)
    # as for an object, the cell that holds the centre of what is smaller than it
    covered = inside | (away <= stride / 2)
    ignored = (covered & (targets.valid & targets.ignore)[:, None]).any(dim=-1) & (box < 0)
    return Assignment(box, targets.annotated_frames[:, None] & ~ignored)


def detection_loss(
    head: DetectionHead,
    raw: Tensor,
    targets: Targets,
    config: LossConfig,
    *,
    class_weights: Tensor | None = None,
    normaliser: Tensor | None = None,
) -> dict[str, Tensor]:
    """Return the parts of the loss by name, already weighted; their sum is the loss.

    Args:
        head: whose answers they are.
        raw: [N, outputs, h, w].
        targets: the truth of the same N frames.
        config: weights and rules.
        class_weights: [classes], mean 1; None counts every class alike.
        normaliser: what the sums are divided by; None: the number of positive cells. Processes
            that share a batch pass their common mean.
    """
    raw = raw.float()
    assignment = assign(
        targets, cell_centres(raw, head.stride), stride=head.stride, radius=config.center_radius
    )
    positive = (assignment.box >= 0) & assignment.counted
    rows = positive.nonzero(as_tuple=True)
    if normaliser is None:
        normaliser = positive.sum().clamp_min(1)
    which = assignment.box[rows]
    gt = targets.boxes[rows[0], which].float()
    labels = targets.labels[rows[0], which]
    boxes = head.boxes(raw)[rows]
    weights = None if class_weights is None else class_weights[labels]
    if isinstance(head, ClassicHead):
        parts = _classic(head, raw, assignment, labels, rows, boxes, gt, class_weights)
        count = assignment.counted.sum().clamp_min(1)
        return {
            "class": config.class_weight * parts[0] / count,
            "box": config.box_weight * parts[1] / normaliser,
        }
    cells = raw.flatten(2).transpose(1, 2)
    overlap = complete_box_iou_loss(boxes, gt, reduction="none", eps=1e-7)
    target = torch.zeros_like(cells[..., 0])
    if config.iou_aware:
        target[rows] = _paired_iou(boxes.detach(), gt).to(target.dtype)
    else:
        target[rows] = 1.0
    logits = cells[..., 0]
    modulation = (target - logits.sigmoid()).abs().square()  # quality focal loss, 2006.04388
    found = F.binary_cross_entropy_with_logits(logits, target, reduction="none") * modulation
    kinds = F.cross_entropy(
        cells[rows][:, 5:], labels, reduction="none", label_smoothing=config.label_smoothing
    )
    if weights is not None:
        kinds = kinds * weights
    return {
        "object": (found * assignment.counted).sum() / normaliser,
        "class": config.class_weight * kinds.sum() / normaliser,
        "box": config.box_weight * overlap.sum() / normaliser,
    }


def count_positives(head: DetectionHead, raw: Tensor, targets: Targets, *, radius: float) -> Tensor:
    """Return how many cells answer for a box, a float scalar."""
    assignment = assign(targets, cell_centres(raw, head.stride), stride=head.stride, radius=radius)
    return ((assignment.box >= 0) & assignment.counted).sum().float()


def _classic(
    head: ClassicHead,
    raw: Tensor,
    assignment: Assignment,
    labels: Tensor,
    rows: tuple[Tensor, ...],
    boxes: Tensor,
    gt: Tensor,
    class_weights: Tensor | None,
) -> tuple[Tensor, Tensor]:
    """Return the summed cross-entropy over counted cells and the summed smooth L1 of the boxes."""
    logits = head.cell_logits(raw)
    wanted = torch.zeros(logits.shape[:2], dtype=torch.int64, device=raw.device)
    wanted[rows] = labels + 1
    weights = None
    if class_weights is not None:
        weights = torch.cat((class_weights.new_ones(1), class_weights))
    cost = F.cross_entropy(logits.flatten(0, 1), wanted.flatten(), weights, reduction="none")
    cost = (cost.view_as(wanted) * assignment.counted).sum()
    return cost, F.smooth_l1_loss(boxes / head.stride, gt / head.stride, reduction="sum")


def _paired_iou(first: Tensor, second: Tensor) -> Tensor:
    """Return the overlap of each box with the one in the same row, [N] in 0..1."""
    if len(first) == 0:
        return first.new_zeros(0)
    top_left = torch.maximum(first[:, :2], second[:, :2])
    bottom_right = torch.minimum(first[:, 2:], second[:, 2:])
    sides = (bottom_right - top_left).clamp_min(0)
    overlap = sides.prod(dim=1)
    areas = [(b[:, 2:] - b[:, :2]).clamp_min(0).prod(dim=1) for b in (first, second)]
    return overlap / (areas[0] + areas[1] - overlap).clamp_min(1e-9)
