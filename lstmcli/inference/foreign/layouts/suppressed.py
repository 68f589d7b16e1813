"""Detectors with NMS inside, or that need none: a list of boxes, each with score and class.

The forms, by shapes and names: rows (x1, y1, x2, y2, score, class) [1, N, 6]; Paddle's rows (class,
score, x1, y1, x2, y2) [N, 6]; rows (batch, x1, y1, x2, y2, class, score) [N, 7]; OpenVINO's and
Caffe's rows (image, class, score, x1, y1, x2, y2) [1, 1, N, 7] in shares of the input; and separate
outputs for boxes, scores and classes, as torchvision, TensorFlow's detection API and TensorRT's
NMS name them.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

import numpy as np

from lstmcli.core.types import FloatArray
from lstmcli.inference.foreign.preprocessing import IMAGENET_MEAN, IMAGENET_STD, Preprocessing
from lstmcli.inference.foreign.signature import (
    Array,
    Decoder,
    Outputs,
    Signature,
    scores_of_labels,
)


@dataclass(frozen=True, slots=True)
class Rows:
    """Which column of a row is what.

    Args:
        box: of x1; the other three follow.
        score: of the score.
        label: of the class.
        are_shares: whether boxes are shares of the input.
    """

    box: int
    score: int
    label: int
    are_shares: bool = False


@dataclass(frozen=True, slots=True)
class Lists:
    """Names of separate outputs.

    Args:
        boxes: [N, 4]; scores: [N]; labels: [N]; count: how many are valid, "" for all.
        is_y_first: whether boxes are (y1, x1, y2, x2) in shares of the input.
    """

    boxes: str
    scores: str
    labels: str
    count: str = ""
    is_y_first: bool = False


LISTS = (
    Lists("detection_boxes", "detection_scores", "detection_classes", "num_detections", True),
    Lists("det_boxes", "det_scores", "det_classes", "num_dets"),
    Lists("boxes", "scores", "labels"),
)
PADDLE = Preprocessing(mean=IMAGENET_MEAN, std=IMAGENET_STD)


def recognize(signature: Signature) -> Decoder | None:
    """Recognise a list of boxes that need no further suppression."""
    outputs, canvas_hw = signature.outputs, signature.canvas_hw
    for names in LISTS:
        if {names.boxes, names.scores, names.labels} <= set(outputs):
            decode = partial(_decode_lists, names=names, canvas_hw=canvas_hw)
            return Decoder(decode, None, Preprocessing())
    name, first = next(iter(outputs.items()))
    rows = _rows_of(first)
    others = [value for key, value in outputs.items() if key != name]
    if rows is None or any(value.size > 1 for value in others):
        return None
    preprocessing = (
        PADDLE if first.ndim == 2 and first.shape[1] == 6 else Preprocessing(fit="center")
    )
    return Decoder(
        partial(_decode_rows, name=name, rows=rows, canvas_hw=canvas_hw), None, preprocessing
    )


def _rows_of(first: Array) -> Rows | None:
    match first.shape:
        case (1, n, 6) if n > 6:
            return Rows(box=0, score=4, label=5)
        case (_, 6):
            return Rows(box=2, score=1, label=0)
        case (_, 7):
            return Rows(box=1, score=6, label=5)
        case (1, 1, _, 7):
            return Rows(box=3, score=2, label=1, are_shares=True)
    return None


def _decode_rows(
    outputs: Outputs, *, name: str, rows: Rows, canvas_hw: tuple[int, int]
) -> tuple[FloatArray, FloatArray]:
    values = outputs[name].reshape(-1, outputs[name].shape[-1]).astype(np.float32, copy=False)
    values = values[
        (values[:, rows.label] >= 0) & (values[:, rows.score] > 0)
    ]  # the rest is filling
    boxes = values[:, rows.box : rows.box + 4]
    if rows.are_shares:
        boxes = boxes * np.array((*canvas_hw[::-1], *canvas_hw[::-1]), np.float32)
    return scores_of_labels(boxes, values[:, rows.score], values[:, rows.label].astype(np.int64))


def _decode_lists(
    outputs: Outputs, *, names: Lists, canvas_hw: tuple[int, int]
) -> tuple[FloatArray, FloatArray]:
    boxes = outputs[names.boxes].reshape(-1, 4).astype(np.float32, copy=False)
    scores = outputs[names.scores].reshape(-1).astype(np.float32, copy=False)
    labels = outputs[names.labels].reshape(-1).astype(np.int64)
    if names.count:
        count = int(outputs[names.count].reshape(-1)[0])
        boxes, scores, labels = boxes[:count], scores[:count], labels[:count]
    if names.is_y_first:
        boxes = boxes[:, [1, 0, 3, 2]] * np.array((*canvas_hw[::-1],) * 2, np.float32)
    return scores_of_labels(boxes, scores, labels)
