"""Which cells of which level learn which box; cases worked out by hand."""

from __future__ import annotations

import torch
from torch import Tensor

from lstmcli.models.dynamic_assignment import DynamicAssignment, assign_dynamically

STRIDES = (8, 16)
SIZE_HW = (32, 48)


def cells() -> Tensor:
    """Return the cells of two levels: 4 x 6 of 8 pixels, then 2 x 3 of 16."""
    rows = [
        [(x + 0.5) * stride, (y + 0.5) * stride, stride]
        for stride in STRIDES
        for y in range(SIZE_HW[0] // stride)
        for x in range(SIZE_HW[1] // stride)
    ]
    return torch.tensor(rows)


def assigned(
    boxes: list[list[float]], predicted: Tensor | None = None, ignored: tuple[int, ...] = ()
) -> DynamicAssignment:
    """Assign boxes of class 0; by default every cell predicts a box of four strides around it."""
    where = cells()
    if predicted is None:
        half = where[:, 2:] * 2
        predicted = torch.cat((where[:, :2] - half, where[:, :2] + half), dim=1)
    gt = torch.tensor(boxes).view(1, -1, 4)
    out = torch.zeros(gt.shape[:2], dtype=torch.bool)
    out[:, list(ignored)] = True
    return assign_dynamically(
        predicted=predicted[None],
        scores=torch.full((1, 2, len(where)), 0.1),
        cells=where,
        boxes=gt,
        labels=torch.zeros(gt.shape[:2], dtype=torch.int64),
        wanted=~out,
        ignored=out,
        annotated_frames=torch.ones(1, dtype=torch.bool),
    )


def strides_of(found: DynamicAssignment, box: int) -> set[int]:
    return {int(stride) for stride in cells()[(found.box[0] == box), 2].tolist()}


def test_a_box_goes_to_the_level_whose_boxes_are_as_large() -> None:
    """32 pixels are four cells of 8; 64 are four cells of 16, beyond the picture's edges too."""
    best_small = assigned([[4.0, 0.0, 36.0, 32.0]])
    at_small = int(best_small.quality[0].argmax())
    assert cells()[at_small, 2] == 8
    best_large = assigned([[-8.0, -16.0, 56.0, 48.0]])
    assert 16 in strides_of(best_large, 0)


def test_a_box_smaller_than_a_cell_is_not_lost() -> None:
    found = assigned([[17.0, 9.0, 19.0, 11.0]])
    assert (found.box[0] == 0).nonzero()[:, 0].tolist() == [6 + 2]


def test_a_perfect_box_has_quality_one_and_others_have_none() -> None:
    where = cells()
    predicted = torch.cat((where[:, :2] - 1, where[:, :2] + 1), dim=1)
    predicted[8] = torch.tensor([12.0, 4.0, 28.0, 20.0])
    found = assigned([[12.0, 4.0, 28.0, 20.0]], predicted)
    assert found.box[0, 8] == 0
    assert float(found.quality[0, 8]) == 1
    assert float(found.quality[0][found.box[0] < 0].sum()) == 0


def test_an_ignored_region_does_not_count() -> None:
    """Neither the cells in it nor those whose box lies in it by more than a part."""
    found = assigned([[0.0, 0.0, 24.0, 32.0]], ignored=(0,))
    assert not bool((found.box >= 0).any())
    left = cells()[:, 0] < 24
    assert not bool(found.counted[0][left & (cells()[:, 2] == 8)].any())
    assert bool(found.counted[0][(cells()[:, 0] > 40)].all())


def test_frames_without_boxes_are_background() -> None:
    found = assigned([])
    assert bool((found.box == -1).all())
    assert bool(found.counted.all())
