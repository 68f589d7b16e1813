"""From raw maps to boxes and scores, and to the few answers that are kept."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from lstmcli.core.config import HeadConfig
from lstmcli.core.errors import ConfigError
from lstmcli.models.head import BOX_RANGE, HEADS, build_head, distances_to_boxes, keep_best


def boxes_of(*rows: tuple[float, float, float, float]) -> Tensor:
    return torch.tensor(rows, dtype=torch.float32).reshape(-1, 4)


def test_distances_become_boxes_around_the_centres_of_cells() -> None:
    """By hand: exp(0) is one stride to every side, exp(log 2) two."""
    raw = torch.zeros(1, 4, 1, 2)
    raw[0, 2, 0, 1] = math.log(2)  # the second cell, to the right
    boxes = distances_to_boxes(raw, raw, 8)
    expected = torch.tensor([[[-4.0, -4.0, 12.0, 12.0], [4.0, -4.0, 28.0, 12.0]]])
    torch.testing.assert_close(boxes, expected)


def test_boxes_stay_finite_whatever_the_network_says() -> None:
    raw = torch.full((1, 4, 2, 2), 1e30)
    boxes = distances_to_boxes(raw, raw, 8)
    assert bool(boxes.isfinite().all())
    assert float(boxes.max()) == pytest.approx(12 + 8 * math.exp(BOX_RANGE))


@pytest.mark.parametrize("name", HEADS)
@pytest.mark.parametrize("depth", [0, 2])
def test_every_head_keeps_its_promise(name: str, depth: int) -> None:
    head = build_head(HeadConfig(name=name, depth=depth), 8, 3, 4).eval()
    raw = head(torch.randn(2, 8, 4, 6))
    boxes, scores = head.boxes(raw), head.scores(raw)
    assert boxes.shape == (2, 24, 4)
    assert scores.shape == (2, 24, 3)
    assert bool(((scores >= 0) & (scores <= 1)).all())
    assert bool((scores.sum(dim=-1) <= 1 + 1e-5).all())
    assert bool((boxes[..., 2:] > boxes[..., :2]).all())
    assert float(scores.detach().max()) < 0.1  # untrained, it finds nothing


def test_an_unknown_head_is_told() -> None:
    with pytest.raises(ConfigError, match="no head named 'clasic'") as told:
        build_head(HeadConfig(name="clasic"), 8, 3, 4)
    assert told.value.hint == "did you mean 'classic'?"


def test_the_best_of_overlapping_boxes_is_kept() -> None:
    boxes = boxes_of((0, 0, 10, 10), (0, 0, 10, 9), (20, 20, 30, 30))
    scores = torch.tensor([[0.5], [0.9], [0.7]])
    kept, values, labels = keep_best(boxes, scores, threshold=0.1, iou=0.6, limit=10)
    assert kept.tolist() == [[0, 0, 10, 9], [20, 20, 30, 30]]
    torch.testing.assert_close(values, torch.tensor([0.9, 0.7]))
    assert labels.tolist() == [0, 0]


def test_a_cell_has_one_answer_for_people_and_one_for_every_class_for_the_metric() -> None:
    boxes = boxes_of((0, 0, 10, 10), (0, 0, 10, 10))
    scores = torch.tensor([[0.5, 0.4], [0.1, 0.45]])
    _, values, labels = keep_best(boxes, scores, threshold=0.05, iou=0.6, limit=10)
    assert (values.tolist(), labels.tolist()) == ([0.5], [0])
    _, values, labels = keep_best(
        boxes, scores, threshold=0.05, iou=0.6, limit=10, multi_label=True
    )
    assert labels.tolist() == [0, 1]
    torch.testing.assert_close(values, torch.tensor([0.5, 0.45]))


def test_the_threshold_and_the_limit_are_kept() -> None:
    boxes = torch.arange(50).float()[:, None] * 20 + torch.tensor([0.0, 0.0, 10.0, 10.0])
    scores = torch.linspace(0.0, 0.98, 50)[:, None]
    _, values, _ = keep_best(boxes, scores, threshold=0.5, iou=0.6, limit=100)
    assert float(values.min()) > 0.5
    _, values, _ = keep_best(boxes, scores, threshold=0.0, iou=0.6, limit=3)
    torch.testing.assert_close(values, torch.tensor([0.98, 0.96, 0.94]))


def test_nothing_is_kept_where_nothing_is_found() -> None:
    for multi_label in (False, True):
        boxes, values, labels = keep_best(
            boxes_of((0, 0, 1, 1)),
            torch.zeros(1, 2),
            threshold=0.1,
            iou=0.6,
            limit=5,
            multi_label=multi_label,
        )
        assert boxes.shape == (0, 4)
        assert len(values) == len(labels) == 0


def test_an_answer_that_is_no_number_is_not_given() -> None:
    scores = torch.tensor([[math.nan], [0.5]])
    boxes = boxes_of((0, 0, 10, 10), (20, 20, 30, 30))
    _, values, _ = keep_best(boxes, scores, threshold=0.1, iou=0.6, limit=5)
    assert values.tolist() == [0.5]
