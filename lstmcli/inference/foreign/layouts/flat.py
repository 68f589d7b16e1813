"""One tensor of boxes in pixels: [1, 4 + C, N], or [1, N, 5 + C] with an objectness.

The common form of one-stage detectors that decode inside: center x, center y, width, height, then
scores. Without NMS.
"""

from __future__ import annotations

from functools import partial

import numpy as np

from lstmcli.core.types import FloatArray
from lstmcli.inference.foreign.preprocessing import Preprocessing
from lstmcli.inference.foreign.signature import (
    Decoder,
    Outputs,
    Signature,
    corners_of,
    find_strides,
    sigmoid,
)

NMS_IOU = 0.7
COMMON_COUNTS = (80, 90, 91)
MIN_BOXES = 32
"""A tensor of fewer boxes is something else."""


def recognize(signature: Signature) -> Decoder | None:
    """Recognise one output [1, D, N] or [1, N, D] with D = 4 + C or 5 + C."""
    ((name, values), *others) = signature.outputs.items()
    if others or values.ndim != 3 or values.shape[0] != 1 or min(values.shape[1:]) < 5:
        return None
    by_grid = [find_strides(signature.canvas_hw, side) is not None for side in values.shape[1:]]
    is_channels_first = by_grid[1] if any(by_grid) else values.shape[1] < values.shape[2]
    rows = values[0].T if is_channels_first else values[0]
    if len(rows) < MIN_BOXES:
        return None
    has_objectness = _has_objectness(rows.shape[1], signature.class_count, is_channels_first)
    columns = rows.shape[1] - 4 - has_objectness
    if columns < 1 or not np.isfinite(rows).all():
        return None
    decode = partial(
        _decode,
        name=name,
        is_channels_first=is_channels_first,
        has_objectness=has_objectness,
        is_raw=bool(rows[:, 4:].min() < 0 or rows[:, 4:].max() > 1),
        # boxes as shares of the input are not much larger than 1
        scale_wh=signature.canvas_hw[::-1] if rows[:, :4].max() <= 2 else (1, 1),
    )
    return Decoder(decode, columns, Preprocessing(fit="center"), NMS_IOU)


def _has_objectness(width: int, class_count: int | None, is_channels_first: bool) -> bool:
    """Return whether an objectness column precedes the classes."""
    for count in (class_count,) if class_count else COMMON_COUNTS:
        if width - 4 == count:
            return False
        if width - 5 == count:
            return True
    return not is_channels_first


def _decode(
    outputs: Outputs,
    *,
    name: str,
    is_channels_first: bool,
    has_objectness: bool,
    is_raw: bool,
    scale_wh: tuple[int, int],
) -> tuple[FloatArray, FloatArray]:
    rows = outputs[name][0].astype(np.float32, copy=False)
    rows = rows.T if is_channels_first else rows
    scores = sigmoid(rows[:, 4:]) if is_raw else rows[:, 4:]
    if has_objectness:
        scores = scores[:, :1] * scores[:, 1:]
    return corners_of(rows[:, :4] * np.array(scale_wh * 2, np.float32)), scores
