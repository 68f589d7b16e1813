"""Which cell answers for which box, and what a wrong answer costs; cases worked out by hand."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch
from torch import Tensor

from lstmcli.core.config import LossConfig
from lstmcli.models.cells import cell_centres
from lstmcli.models.heads import HEADS, DetectionHead, takes_pyramid
from lstmcli.models.heads.anchor_free import AnchorFreeHead
from lstmcli.models.heads.classic import ClassicHead
from lstmcli.models.losses import Assignment, Targets, assign

GRID_HEADS = [name for name in HEADS if not takes_pyramid(name)]
GRID_HW = (4, 6)
STRIDE = 8
"""The picture is 48 pixels wide and 32 high; cell (row, column) is number 6 * row + column."""


def targets(
    *frames: list[tuple[float, float, float, float]] | None,
    labels: list[int] | None = None,
    ignored: tuple[int, ...] = (),
) -> Targets:
    """Return ground truth, None for unannotated frames; `ignored` are rows of every frame."""
    most = max((len(frame) for frame in frames if frame is not None), default=0)
    boxes = torch.zeros(len(frames), most, 4)
    valid = torch.zeros(len(frames), most, dtype=torch.bool)
    for row, frame in enumerate(frames):
        if frame:
            boxes[row, : len(frame)] = torch.tensor(frame)
            valid[row, : len(frame)] = True
    ignore = torch.zeros_like(valid)
    ignore[:, list(ignored)] = True
    kinds = torch.tensor((labels or []) + [0] * most)[:most].expand(len(frames), -1)
    annotated_frames = torch.tensor([frame is not None for frame in frames])
    scores = torch.ones(valid.shape)
    return Targets(boxes, kinds.to(torch.int64), valid, ignore & valid, scores, annotated_frames)


def assigned(gt: Targets, radius: float = 1.5) -> Assignment:
    raw = torch.zeros(1, 7, *GRID_HW)
    return assign(gt, cell_centres(raw, STRIDE), stride=STRIDE, radius=radius)


def cells_of(assignment: Assignment, box: int, frame: int = 0) -> set[tuple[int, int]]:
    numbers = (assignment.box[frame] == box).nonzero()[:, 0].tolist()
    return {divmod(number, GRID_HW[1]) for number in numbers}


def make_head(name: str, classes: int = 2) -> DetectionHead:
    torch.manual_seed(0)
    strides = (STRIDE, 2 * STRIDE) if takes_pyramid(name) else (STRIDE,)
    return HEADS[name](4, classes, strides=strides, depth=0)


def raw_of(head: DetectionHead, frames: int = 1) -> Tensor:
    generator = torch.Generator().manual_seed(1)
    sizes = [tuple(side * STRIDE // stride for side in GRID_HW) for stride in head.strides]
    raw: Tensor = head([torch.randn(frames, 4, *size, generator=generator) for size in sizes])
    return raw.detach().requires_grad_()


def test_cells_count_their_centres_from_the_upper_left() -> None:
    centres = cell_centres(torch.zeros(1, 1, 2, 3), STRIDE)
    expected = [[4.0, 4.0], [12.0, 4.0], [20.0, 4.0], [4.0, 12.0], [12.0, 12.0], [20.0, 12.0]]
    assert centres.tolist() == expected


def test_the_cells_around_the_centre_of_a_box_are_assigned_to_it() -> None:
    """The centre (20, 12) is that of cell (1, 2); 1.5 strides reach to its neighbours, not on."""
    found = assigned(targets([(0.0, 0.0, 40.0, 24.0)]))
    assert cells_of(found, 0) == {(row, column) for row in (0, 1, 2) for column in (1, 2, 3)}
    assert cells_of(found, -1) == {divmod(n, 6) for n in range(24)} - cells_of(found, 0)


def test_cells_outside_of_a_box_are_not_assigned_to_it() -> None:
    found = assigned(targets([(13.0, 0.0, 27.0, 24.0)]))
    assert cells_of(found, 0) == {(0, 2), (1, 2), (2, 2)}


@pytest.mark.parametrize("corner", [(0.0, 0.0), (17.0, 9.0), (44.0, 29.0)])
def test_a_box_smaller_than_a_cell_is_not_lost(corner: tuple[float, float]) -> None:
    x, y = corner
    found = assigned(targets([(x, y, x + 2, y + 2)]))
    assert cells_of(found, 0) == {(int(y + 1) // STRIDE, int(x + 1) // STRIDE)}


def test_the_smallest_of_several_boxes_gets_the_cell() -> None:
    found = assigned(targets([(0.0, 0.0, 40.0, 24.0), (16.0, 8.0, 24.0, 16.0)]))
    assert cells_of(found, 1) == {(1, 2)}
    assert len(cells_of(found, 0)) == 8


def test_an_ignored_region_counts_neither_way_but_for_the_objects_in_it() -> None:
    gt = targets([(0.0, 0.0, 24.0, 32.0), (0.0, 0.0, 8.0, 8.0)], ignored=(0,))
    found = assigned(gt)
    assert cells_of(found, 0) == set()
    assert cells_of(found, 1) == {(0, 0)}
    uncounted = {divmod(n, 6) for n in (~found.counted[0]).nonzero()[:, 0].tolist()}
    assert uncounted == {(row, column) for row in range(4) for column in range(3)} - {(0, 0)}


def test_an_ignored_box_smaller_than_a_cell_has_no_loss() -> None:
    """It lies between the centres of cells, in the one at row 1, column 2."""
    found = assigned(targets([(17.0, 9.0, 19.0, 11.0)], ignored=(0,)))
    uncounted = {divmod(n, 6) for n in (~found.counted[0]).nonzero()[:, 0].tolist()}
    assert uncounted == {(1, 2)}


def test_frames_do_not_meet() -> None:
    found = assigned(targets([(0.0, 0.0, 8.0, 8.0)], [], [(40.0, 24.0, 48.0, 32.0)]))
    assert cells_of(found, 0, frame=0) == {(0, 0)}
    assert cells_of(found, 0, frame=1) == set()
    assert cells_of(found, 0, frame=2) == {(3, 5)}


def test_padding_is_no_box() -> None:
    """A padded row is all zeros, so that its centre would be the upper left corner."""
    found = assigned(targets([], [(40.0, 24.0, 48.0, 32.0)]))
    assert cells_of(found, 0, frame=0) == set()


@pytest.mark.parametrize("name", HEADS)
def test_no_gradient_comes_from_an_unannotated_frame(name: str) -> None:
    head, box = make_head(name), [(0.0, 0.0, 40.0, 24.0)]
    raw = raw_of(head, frames=2)
    gt = targets(box, box)
    gt.annotated_frames[1] = False
    parts = head.loss(raw, gt, LossConfig())
    torch.stack(list(parts.values())).sum().backward()
    assert raw.grad is not None
    assert raw.grad[0].abs().sum() > 0
    assert raw.grad[1].abs().sum() == 0


@pytest.mark.parametrize("name", GRID_HEADS)
def test_no_gradient_comes_from_an_ignored_region(name: str) -> None:
    head = make_head(name)
    raw = raw_of(head)
    gt = targets([(0.0, 0.0, 24.0, 32.0), (40.0, 8.0, 48.0, 16.0)], ignored=(0,))
    parts = head.loss(raw, gt, LossConfig())
    torch.stack(list(parts.values())).sum().backward()
    assert raw.grad is not None
    assert raw.grad[..., :3].abs().sum() == 0
    assert raw.grad[..., 3:].abs().sum() > 0


@pytest.mark.parametrize("name", HEADS)
@pytest.mark.parametrize(
    "gt", [targets([]), targets(None), targets([], None), targets([(0.0, 0.0, 9.0, 9.0)], [])]
)
def test_the_loss_is_finite_with_few_boxes_or_none(name: str, gt: Targets) -> None:
    head = make_head(name)
    raw = raw_of(head, frames=len(gt.annotated_frames))
    parts = head.loss(raw, gt, LossConfig())
    total = torch.stack(list(parts.values())).sum()
    total.backward()
    assert math.isfinite(float(total.detach()))
    assert raw.grad is not None
    assert bool(raw.grad.isfinite().all())
    assert (float(total.detach()) > 0) == bool(gt.annotated_frames.any())


@pytest.mark.parametrize("name", GRID_HEADS)
@pytest.mark.parametrize("value", [-100.0, 100.0])
def test_the_loss_is_finite_for_extreme_outputs(name: str, value: float) -> None:
    head = make_head(name)
    raw = torch.full_like(raw_of(head), value).requires_grad_()
    parts = head.loss(raw, targets([(0.0, 0.0, 40.0, 24.0)]), LossConfig())
    total = torch.stack(list(parts.values())).sum()
    total.backward()
    assert raw.grad is not None
    assert math.isfinite(float(total.detach()))
    assert bool(raw.grad.isfinite().all())


def perfect(head: DetectionHead, gt: Targets, kind: int) -> Tensor:
    """Return answers that say the class with certainty, and the box exactly, where it is asked."""
    raw = torch.zeros(1, 5 + head.classes, *GRID_HW)
    found = assigned(gt)
    centres = cell_centres(raw, STRIDE)
    positive = (found.box[0] >= 0).view(GRID_HW)
    box = gt.boxes[0, 0]
    sides = torch.cat((centres - box[:2], box[2:] - centres), dim=1).clamp_min(1e-3) / STRIDE
    raw[0, 1:5] = sides.log().T.view(4, *GRID_HW)
    sure = 30.0 if isinstance(head, AnchorFreeHead) else -30.0
    raw[0, 0] = torch.where(positive, sure, -sure)
    raw[0, 5 + kind] = torch.where(positive, 30.0, 0.0)
    return raw


@pytest.mark.parametrize("name", GRID_HEADS)
def test_a_correct_prediction_has_no_loss_and_a_wrong_class_does(name: str) -> None:
    head = make_head(name)
    gt = targets([(0.0, 0.0, 40.0, 24.0)], labels=[1])
    config = LossConfig(label_smoothing=0.0)
    right = head.loss(perfect(head, gt, 1), gt, config)
    for part, value in right.items():
        # the overlap loss adds 1e-7 to its denominators; float32 rounds the sides
        assert float(value) == pytest.approx(0.0, abs=2e-4), part
    wrong = head.loss(perfect(head, gt, 0), gt, config)
    assert float(wrong["class"]) > 1
    assert float(wrong["box"]) == float(right["box"])


def test_objectness_is_the_quality_focal_loss() -> None:
    """By hand for one cell: y = 1, p = 0.5: -log(0.5) * 0.5 ** 2; for y = 0: the same."""
    head = make_head("anchor_free")
    raw = torch.zeros(1, 7, 1, 1)
    centre = torch.tensor([[[0.0, 0.0, 8.0, 8.0]]])
    one = torch.ones(1, 1, dtype=torch.bool)
    labels, annotated = torch.zeros(1, 1, dtype=torch.int64), torch.ones(1, dtype=torch.bool)
    gt = Targets(centre, labels, one, ~one, torch.ones(1, 1), annotated)
    parts = head.loss(raw, gt, LossConfig(iou_aware=False, label_smoothing=0.0))
    assert float(parts["object"]) == pytest.approx(math.log(2) / 4)
    assert float(parts["class"]) == pytest.approx(math.log(2))  # two classes, even odds
    empty = replace(gt, valid=~one)
    parts = head.loss(raw, empty, LossConfig())
    assert float(parts["object"]) == pytest.approx(math.log(2) / 4)


@pytest.mark.parametrize("name", ["anchor_free", "multi_scale"])
def test_a_soft_label_asks_for_its_own_score(name: str) -> None:
    """An objectness that equals the label's score has no gradient, and only there."""
    head = make_head(name)
    raw = raw_of(head).detach()
    raw[:, 0] = math.log(0.4 / 0.6)
    sure = targets([(0.0, 0.0, 40.0, 24.0)])
    config = LossConfig(iou_aware=False)
    for gt, settled in ((sure, False), (replace(sure, scores=torch.full((1, 1), 0.4)), True)):
        leaf = raw.clone().requires_grad_()
        head.loss(leaf, gt, config)["object"].backward()
        assert leaf.grad is not None
        still = (leaf.grad[:, 0].abs() < 1e-6).sum()
        assert int(still) == (int(head.count_positives(raw, gt, config)) if settled else 0)
        assert int(head.count_positives(raw, gt, config)) > 0


def test_the_classic_loss_is_plain_cross_entropy() -> None:
    """Reference: torch's cross-entropy over all cells, background as class 0."""
    head = make_head("classic")
    raw = raw_of(head).detach()
    gt = targets([(16.0, 8.0, 24.0, 16.0)], labels=[1])
    wanted = torch.zeros(24, dtype=torch.int64)
    wanted[6 + 2] = 2
    assert isinstance(head, ClassicHead)
    expected = torch.nn.functional.cross_entropy(head.cell_logits(raw)[0], wanted)
    parts = head.loss(raw, gt, LossConfig())
    torch.testing.assert_close(parts["class"], expected)


@pytest.mark.parametrize("name", HEADS)
def test_classes_can_weigh_differently(name: str) -> None:
    head = make_head(name)
    raw = raw_of(head).detach()
    gt = targets([(0.0, 0.0, 40.0, 24.0)], labels=[1])
    costs = [
        float(head.loss(raw, gt, LossConfig(), class_weights=torch.tensor(w))["class"])
        for w in ([1.0, 1.0], [1.0, 3.0])
    ]
    assert costs[1] > costs[0]


@pytest.mark.parametrize("name", HEADS)
def test_halves_of_a_batch_with_a_common_count_add_up_to_the_whole(name: str) -> None:
    """What two processes do: each divides by the mean count of both, gradients are averaged."""
    head = make_head(name)
    raw = raw_of(head, frames=2).detach()
    gt = targets([(0.0, 0.0, 40.0, 24.0)], [(16.0, 8.0, 24.0, 16.0)])
    whole = head.loss(raw, gt, LossConfig())
    halves = [
        Targets(*(getattr(gt, field)[row : row + 1] for field in Targets.__slots__))
        for row in (0, 1)
    ]
    counts = [
        head.count_positives(raw[row : row + 1], half, LossConfig())
        for row, half in enumerate(halves)
    ]
    if not takes_pyramid(name):
        assert [float(count) for count in counts] == [9.0, 1.0]
    mean = torch.stack(counts).mean()
    parts = [
        head.loss(raw[row : row + 1], half, LossConfig(), normaliser=mean)
        for row, half in enumerate(halves)
    ]
    for name_of_part, value in whole.items():
        both = (parts[0][name_of_part] + parts[1][name_of_part]) / 2
        torch.testing.assert_close(both, value)
