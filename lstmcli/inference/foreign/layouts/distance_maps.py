"""PicoDet and NanoDet: class scores and distributions over the four distances to a box's sides.

Li et al. 2020, https://arxiv.org/abs/2006.04388 (generalized focal loss): each distance is the mean
of a distribution over `bins` strides. PicoDet (Yu et al. 2021, https://arxiv.org/abs/2111.00902)
has two tensors a level, NanoDet one of all levels with classes and distances side by side.
"""

from __future__ import annotations

from functools import partial

import numpy as np

from lstmcli.core.types import FloatArray
from lstmcli.inference.foreign.preprocessing import IMAGENET_MEAN, IMAGENET_STD, Preprocessing
from lstmcli.inference.foreign.signature import (
    Array,
    Decoder,
    Outputs,
    Signature,
    best_class_only,
    cell_grid,
    find_strides,
    level_sizes,
    sigmoid,
    softmax,
)

NMS_IOU, MAX_DETECTIONS = 0.6, 100
PICODET = Preprocessing(mean=IMAGENET_MEAN, std=IMAGENET_STD)
NANODET = Preprocessing(
    bgr=True, scale=1.0, mean=(103.53, 116.28, 123.675), std=(57.375, 57.12, 58.395)
)
STRIDES = (4, 8, 16, 32, 64, 128)
BINS = (8, 17)
"""Distributions reach over 7 strides in small detectors, over 16 in large ones."""
COMMON_COUNTS = (80, 90, 91)
NO_OFFSET_LEVELS = 4
"""NanoDet-Plus, which has four levels, counts from a cell's corner; the others from its center."""

Level = tuple[str, str]
"""Names of a level's outputs: scores and distances."""


def recognize_maps(signature: Signature) -> Decoder | None:
    """Recognise two tensors a level: [1, cells, C] and [1, cells, 4 * bins], or as [1, D, H, W]."""
    if len(signature.outputs) < 4 or len(signature.outputs) % 2:
        return None
    rows = {name: as_rows(value) for name, value in signature.outputs.items()}
    strides = tuple(
        stride
        for stride, (height, width) in zip(
            STRIDES, level_sizes(signature.canvas_hw, STRIDES), strict=True
        )
        if sum(len(value) == height * width for value in rows.values()) == 2
    )
    if 2 * len(strides) != len(rows):
        return None
    levels = []
    for height, width in level_sizes(signature.canvas_hw, strides):
        pair = [name for name, value in rows.items() if len(value) == height * width]
        sides = [rows[name].shape[1] for name in pair]
        if not any(side % 4 == 0 and side // 4 in BINS for side in sides):
            return None
        # Distances are logits of any size; of two tensors that could be, scores come first.
        is_second = (
            sides[1] % 4 == 0 and sides[1] // 4 in BINS and sides[1] != signature.class_count
        )
        levels.append((pair[0], pair[1]) if is_second else (pair[1], pair[0]))
    counts = {rows[scores].shape[1] for scores, _ in levels}
    bins = {rows[distances].shape[1] // 4 for _, distances in levels}
    if len(counts) != 1 or len(bins) != 1:
        return None
    is_raw = any(_leaves_unit(rows[scores]) for scores, _ in levels)
    cells, sizes = cell_grid(signature.canvas_hw, strides)
    decode = partial(
        _decode_maps,
        levels=tuple(levels),
        centers=(cells + 0.5) * sizes,
        strides=sizes,
        is_raw=is_raw,
    )
    return Decoder(decode, counts.pop(), PICODET, NMS_IOU, MAX_DETECTIONS)


def recognize_tensor(signature: Signature) -> Decoder | None:
    """Recognise one tensor [1, cells, C + 4 * bins] of all levels."""
    ((name, values), *others) = signature.outputs.items()
    if others or values.ndim != 3 or values.shape[0] != 1:
        return None
    found = find_strides(signature.canvas_hw, values.shape[1])
    known = (signature.class_count,) if signature.class_count else COMMON_COUNTS
    columns = next((c for c in known for b in BINS if values.shape[2] == c + 4 * b), None)
    if found is None or found[1] != 1 or columns is None:
        return None
    cells, sizes = cell_grid(signature.canvas_hw, found[0])
    offset = 0.0 if len(found[0]) >= NO_OFFSET_LEVELS else 0.5
    decode = partial(
        _decode_tensor,
        name=name,
        columns=columns,
        centers=(cells + offset) * sizes,
        strides=sizes,
        is_raw=_leaves_unit(values[0, :, :columns]),
    )
    return Decoder(decode, columns, NANODET, NMS_IOU, MAX_DETECTIONS)


def as_rows(value: Array) -> Array:
    """Return a level as [cells, D], whether it came as [1, cells, D] or as [1, D, H, W]."""
    if value.ndim == 4:
        return np.asarray(value[0].reshape(value.shape[1], -1).T)
    return np.asarray(value[0] if value.ndim == 3 else np.zeros((0, 0), np.float32))


def _leaves_unit(values: Array) -> bool:
    """Return whether scores are still logits."""
    return bool(values.min(initial=0) < 0 or values.max(initial=0) > 1)


def _decode_maps(
    outputs: Outputs,
    *,
    levels: tuple[Level, ...],
    centers: FloatArray,
    strides: FloatArray,
    is_raw: bool,
) -> tuple[FloatArray, FloatArray]:
    scores = np.concatenate([as_rows(outputs[name]) for name, _ in levels])
    distances = np.concatenate([as_rows(outputs[name]) for _, name in levels])
    scores = sigmoid(scores) if is_raw else scores
    return _boxes_of(distances, centers, strides), best_class_only(scores)


def _decode_tensor(
    outputs: Outputs,
    *,
    name: str,
    columns: int,
    centers: FloatArray,
    strides: FloatArray,
    is_raw: bool,
) -> tuple[FloatArray, FloatArray]:
    values = outputs[name][0].astype(np.float32, copy=False)
    scores = values[:, :columns]
    boxes = _boxes_of(values[:, columns:], centers, strides)
    return boxes, best_class_only(sigmoid(scores) if is_raw else scores)


def _boxes_of(distances: Array, centers: FloatArray, strides: FloatArray) -> FloatArray:
    """Return boxes [N, 4] of distributions [N, 4 * bins] to the left, upper, right, lower side."""
    shares = softmax(distances.reshape(len(distances), 4, -1))
    sides = shares @ np.arange(shares.shape[2], dtype=np.float32) * strides
    return np.concatenate((centers - sides[:, :2], centers + sides[:, 2:]), axis=1)
