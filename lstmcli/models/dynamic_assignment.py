"""Dynamic label assignment over cells of all levels (SimOTA)."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

MAX_CELLS = 10
"""Maximum number of cells of a box."""
RADIUS = 2.5
"""Cells whose centre is within this many strides of a box's centre are candidates."""
OVERLAP_COST = 3.0
"""Weight of the IoU cost relative to the class cost (YOLOX, 2107.08430)."""
MOSTLY_IGNORED = 0.6
"""A cell whose box lies in an ignored region by more than this share does not count."""
OUT_OF_REACH = 1e4


@dataclass(frozen=True, slots=True)
class DynamicAssignment:
    """The target of each cell of all levels.

    Args:
        box: int64 [N, cells], the row of the box that the cell is assigned to, -1 for background.
        quality: [N, cells] in 0..1, IoU of the cell's predicted box with that box.
        counted: bool [N, cells], False in ignored regions and on frames without annotation.
    """

    box: Tensor
    quality: Tensor
    counted: Tensor


@torch.no_grad()
def assign_dynamically(
    *,
    predicted: Tensor,
    scores: Tensor,
    cells: Tensor,
    boxes: Tensor,
    labels: Tensor,
    wanted: Tensor,
    ignored: Tensor,
    annotated_frames: Tensor,
) -> DynamicAssignment:
    """Assign the cells of lowest cost to each box; their number is the sum of the ten best IoUs.

    SimOTA of YOLOX (2107.08430): a cost of class and IoU selects among the cells near the centre,
    so that the level follows from the predictions and not from a table of sizes. A box smaller
    than two of the finest cells always has the cell that holds its centre.

    Args:
        predicted: [N, cells, 4], boxes in pixels.
        scores: [N, classes, cells], 0..1.
        cells: [cells, 3], centre x, y and stride in pixels.
        boxes: [N, M, 4]; labels: int64 [N, M].
        wanted: bool [N, M], boxes to be found; ignored: bool [N, M], regions that do not count.
        annotated_frames: bool [N].
    """
    if boxes.shape[1] == 0:
        background = torch.full(scores[:, 0].shape, -1, dtype=torch.int64, device=boxes.device)
        return DynamicAssignment(
            background,
            torch.zeros_like(scores[:, 0]),
            annotated_frames[:, None].expand_as(background),
        )
    centres, strides = cells[:, :2], cells[:, 2]
    shared = _shared_area(boxes[:, :, None], predicted[:, None])
    overlap = shared / (_area(boxes)[..., None] + _area(predicted)[:, None] - shared).clamp_min(
        1e-6
    )
    corners = boxes[:, :, None]
    inside = ((centres > corners[..., :2]) & (centres < corners[..., 2:])).all(dim=-1)
    middle = (boxes[..., :2] + boxes[..., 2:]) / 2
    away = (centres - middle[:, :, None]).abs().amax(dim=-1)
    is_small = (boxes[..., 2:] - boxes[..., :2]).amin(dim=-1) < 2 * strides.min()
    holds = (away <= strides / 2) & (strides == strides.min()) & is_small[..., None]
    eligible = (inside & (away < RADIUS * strides)) | holds
    of_class = scores.gather(1, labels[..., None].expand(-1, -1, scores.shape[-1]))
    cost = -of_class.clamp_min(1e-6).log() - OVERLAP_COST * overlap.clamp_min(1e-6).log()
    cost = cost + OUT_OF_REACH * (~eligible)

    most = min(MAX_CELLS, scores.shape[-1])
    shares = overlap.masked_fill(~eligible, 0).topk(most, dim=-1).values.sum(dim=-1)
    least, which = cost.topk(most, dim=-1, largest=False)
    within = torch.arange(most, device=boxes.device) < shares.int().clamp_min(1)[..., None]
    taken = within & (least < OUT_OF_REACH) & wanted[..., None]
    claims = torch.full_like(cost, torch.inf)
    claims.scatter_(2, which, least.masked_fill(~taken, torch.inf))
    cheapest, box = claims.min(dim=1)
    box = box.masked_fill(cheapest.isinf(), -1)

    quality = overlap.gather(1, box.clamp_min(0)[:, None])[:, 0].masked_fill(box < 0, 0)
    covered = shared / _area(predicted).clamp_min(1e-6)[:, None] > MOSTLY_IGNORED
    lost = ((inside | covered) & ignored[..., None]).any(dim=1) & (box < 0)
    return DynamicAssignment(box, quality, annotated_frames[:, None] & ~lost)


def _area(boxes: Tensor) -> Tensor:
    return (boxes[..., 2:] - boxes[..., :2]).clamp_min(0).prod(dim=-1)


def _shared_area(first: Tensor, second: Tensor) -> Tensor:
    top_left = torch.maximum(first[..., :2], second[..., :2])
    bottom_right = torch.minimum(first[..., 2:], second[..., 2:])
    return (bottom_right - top_left).clamp_min(0).prod(dim=-1)
