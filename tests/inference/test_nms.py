"""Greedy NMS in NumPy."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torchvision.ops import batched_nms

from lstmcli.core.types import FloatArray
from lstmcli.inference.nms import (
    PRE_NMS_TOP_K,
    class_max,
    class_sum,
    multiclass_nms,
    nms,
    vote,
)


def array(values: object) -> FloatArray:
    return np.array(values, np.float32)


def boxes_of(*rows: tuple[float, float, float, float]) -> FloatArray:
    return array(rows).reshape(-1, 4)


def test_the_best_of_overlapping_boxes_is_kept() -> None:
    boxes = boxes_of((0, 0, 10, 10), (0, 0, 10, 9), (20, 20, 30, 30))
    scores = array([[0.5], [0.9], [0.7]])
    kept, values, labels = multiclass_nms(boxes, scores, threshold=0.1, iou=0.6, limit=10)
    assert kept.tolist() == [[0, 0, 10, 9], [20, 20, 30, 30]]
    np.testing.assert_allclose(values, array([0.9, 0.7]))
    assert labels.tolist() == [0, 0]


def test_a_cell_has_one_class_or_several_with_multi_label() -> None:
    boxes = boxes_of((0, 0, 10, 10), (0, 0, 10, 10))
    scores = array([[0.5, 0.4], [0.1, 0.45]])
    _, values, labels = multiclass_nms(boxes, scores, threshold=0.05, iou=0.6, limit=10)
    assert (values.tolist(), labels.tolist()) == ([0.5], [0])
    _, values, labels = multiclass_nms(
        boxes, scores, threshold=0.05, iou=0.6, limit=10, multi_label=True
    )
    assert labels.tolist() == [0, 1]
    np.testing.assert_allclose(values, array([0.5, 0.45]))


def test_the_threshold_and_the_limit_are_kept() -> None:
    boxes = np.arange(50, dtype=np.float32)[:, None] * 20 + array([0.0, 0.0, 10.0, 10.0])
    scores = np.linspace(0.0, 0.98, 50, dtype=np.float32)[:, None]
    _, values, _ = multiclass_nms(boxes, scores, threshold=0.5, iou=0.6, limit=100)
    assert float(values.min()) > 0.5
    _, values, _ = multiclass_nms(boxes, scores, threshold=0.0, iou=0.6, limit=3)
    np.testing.assert_allclose(values, array([0.98, 0.96, 0.94]))


def test_no_boxes_give_no_detections() -> None:
    for multi_label in (False, True):
        boxes, values, labels = multiclass_nms(
            boxes_of((0, 0, 1, 1)),
            np.zeros((1, 2), np.float32),
            threshold=0.1,
            iou=0.6,
            limit=5,
            multi_label=multi_label,
        )
        assert boxes.shape == (0, 4)
        assert len(values) == len(labels) == 0


def test_a_score_of_nan_is_dropped() -> None:
    scores = array([[math.nan], [0.5]])
    boxes = boxes_of((0, 0, 10, 10), (20, 20, 30, 30))
    _, values, _ = multiclass_nms(boxes, scores, threshold=0.1, iou=0.6, limit=5)
    assert values.tolist() == [0.5]


@pytest.mark.parametrize("multi_label", [False, True])
@pytest.mark.parametrize("seed", range(5))
def test_it_keeps_what_torchvision_keeps(seed: int, multi_label: bool) -> None:
    rng = np.random.default_rng(seed)
    corners = rng.uniform(0, 60, (300, 2))
    boxes = np.hstack((corners, corners + rng.uniform(5, 40, (300, 2)))).astype(np.float32)
    scores = rng.permutation(900).reshape(300, 3).astype(np.float32) / 900
    limit = 90
    rows, labels = nms(boxes, scores, threshold=0.2, iou=0.5, limit=limit, multi_label=multi_label)
    if multi_label:
        all_rows, all_labels = np.nonzero(scores > 0.2)
        values = scores[all_rows, all_labels]
    else:
        all_rows, all_labels, values = np.arange(300), scores.argmax(1), scores.max(1)
    best = np.argsort(-values)[: PRE_NMS_TOP_K * limit]
    all_rows, all_labels, values = all_rows[best], all_labels[best], values[best]
    kept = batched_nms(
        torch.from_numpy(boxes[all_rows]),
        torch.from_numpy(values),
        torch.from_numpy(all_labels if multi_label else np.zeros_like(all_labels)),
        0.5,
    ).numpy()[:limit]
    np.testing.assert_array_equal(rows, all_rows[kept])
    np.testing.assert_array_equal(labels, all_labels[kept])


def test_a_voted_box_is_the_mean_of_the_predictions_around_it() -> None:
    boxes = boxes_of((0, 0, 10, 10), (0, 0, 10, 12), (0, 0, 10, 40), (0, 0, 10, 11))
    objectness = array([0.6, 0.2, 0.9, 0.01])
    voted = vote(boxes, objectness, np.array([0]), 0.6)
    # 10 high by 0.6 and 12 high by 0.2; too far off and too weak are the others
    np.testing.assert_allclose(voted, [[0, 0, 10, 10.5]])
    assert boxes[0].tolist() == [0, 0, 10, 10]


def test_without_voters_a_box_stays() -> None:
    boxes = boxes_of((0, 0, 10, 10), (5, 5, 5, 5), (0, 0, 10, 12))
    rows = np.array([0, 1])
    weak = array([0.04, 0.04, 0.04])
    assert vote(boxes, weak, rows, 0.6).tolist() == boxes[rows].tolist()
    strong = array([0.9, 0.9, 0.0])
    assert vote(boxes, strong, rows, 0.6).tolist() == boxes[rows].tolist()  # one has no area
    assert vote(boxes, strong, rows, 0.0).tolist() == boxes[rows].tolist()
    assert vote(boxes, strong, rows[:0], 0.6).shape == (0, 4)


@pytest.mark.parametrize("classes", [1, 2, 4, 7, 8, 80])
def test_class_by_class_scores_reduce_to_the_same_bits(classes: int) -> None:
    scores = np.random.default_rng(classes).random((300, classes), np.float32) ** 3
    np.testing.assert_array_equal(class_max(scores), scores.max(axis=1, keepdims=True))
    np.testing.assert_array_equal(class_sum(scores), scores.sum(axis=1, keepdims=True))
