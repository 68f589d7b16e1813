"""The DETR family: queries with a box and scores each, without NMS.

Carion et al. 2020, https://arxiv.org/abs/2005.12872. Exports of DEIMv2, D-FINE and RT-DETR end in
`labels`, `boxes`, `scores` of the best queries, in pixels of the size that `orig_target_sizes`
names; RF-DETR's own in `dets` and `labels`, transformers' in `pred_boxes` and `logits`: all
queries.
"""

from __future__ import annotations

from functools import partial

import numpy as np

from lstmcli.core.types import FloatArray
from lstmcli.inference.foreign.preprocessing import IMAGENET_MEAN, IMAGENET_STD, Preprocessing
from lstmcli.inference.foreign.signature import (
    Decoder,
    Outputs,
    Signature,
    corners_of,
    scores_of_labels,
    sigmoid,
    softmax,
)

LOGITS = (("dets", "labels"), ("pred_boxes", "logits"), ("pred_boxes", "pred_logits"))
"""Names of the outputs with the boxes and with the logits."""
SOFTMAX_COLUMNS = (92,)
"""DETR and YOLOS output 91 classes and `no object`; later models a sigmoid for each class."""


def recognize_labels(signature: Signature) -> Decoder | None:
    """Recognise labels [N, Q], boxes [N, Q, 4] and scores [N, Q] of the best queries."""
    if "orig_target_sizes" not in signature.input_names:
        return None
    if not {"labels", "boxes", "scores"} <= set(signature.outputs):
        return None
    return Decoder(_decode_labels, None, Preprocessing())


def _decode_labels(outputs: Outputs) -> tuple[FloatArray, FloatArray]:
    boxes, scores, labels = (outputs[name][0] for name in ("boxes", "scores", "labels"))
    return scores_of_labels(boxes, scores.astype(np.float32), labels.astype(np.int64))


def recognize_logits(signature: Signature) -> Decoder | None:
    """Recognise boxes [1, Q, 4] (center, size, as shares of the input) and logits [1, Q, C]."""
    for boxes, logits in LOGITS:
        if not {boxes, logits} <= set(signature.outputs):
            continue
        shape = signature.outputs[logits].shape
        if signature.outputs[boxes].shape != (1, shape[1], 4) or len(shape) != 3:
            return None
        is_softmax = shape[2] in SOFTMAX_COLUMNS and signature.class_count != shape[2]
        decode = partial(
            _decode_logits,
            boxes=boxes,
            logits=logits,
            canvas_hw=signature.canvas_hw,
            is_softmax=is_softmax,
        )
        normalized = Preprocessing(mean=IMAGENET_MEAN, std=IMAGENET_STD)
        return Decoder(decode, shape[2] - is_softmax, normalized)
    return None


def _decode_logits(
    outputs: Outputs, *, boxes: str, logits: str, canvas_hw: tuple[int, int], is_softmax: bool
) -> tuple[FloatArray, FloatArray]:
    height, width = canvas_hw
    values = outputs[logits][0]
    scores = softmax(values)[:, :-1] if is_softmax else sigmoid(values)
    corners = corners_of(outputs[boxes][0].astype(np.float32))
    return corners * np.array((width, height, width, height), np.float32), scores
