"""Redacts detections: blurs or pixelates their boxes."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from PIL import Image

from lstmcli.core.types import FloatArray
from lstmcli.video import Planes

Plane = npt.NDArray[np.uint8]

MARGIN = 0.1
"""Share of the box's sides that is redacted around it, because boxes are never exact."""
CELLS = 6
"""A redacted box keeps at most this many cells a side: too few to know a face by."""


def redact(planes: Planes, boxes: FloatArray, *, smooth: bool) -> None:
    """Blur (smooth) or pixelate the boxes [N, 4] of a picture in place."""
    height, width = planes.size_hw
    for x1, y1, x2, y2 in boxes.tolist():
        dx, dy = MARGIN * (x2 - x1), MARGIN * (y2 - y1)
        left, top = max(0, int(x1 - dx)) // 2 * 2, max(0, int(y1 - dy)) // 2 * 2
        right, bottom = min(width, int(x2 + dx) + 2), min(height, int(y2 + dy) + 2)
        if right - left < 2 or bottom - top < 2:
            continue
        _coarsen(planes.y[top:bottom, left:right], smooth=smooth)
        half = np.s_[top // 2 : (bottom + 1) // 2, left // 2 : (right + 1) // 2]
        _coarsen(planes.u[half], smooth=smooth)
        _coarsen(planes.v[half], smooth=smooth)


def _coarsen(part: Plane, *, smooth: bool) -> None:
    height, width = part.shape
    picture = Image.fromarray(np.ascontiguousarray(part))
    longest = max(height, width)
    cells = (max(1, round(CELLS * width / longest)), max(1, round(CELLS * height / longest)))
    small = picture.resize(cells, Image.Resampling.BOX)
    way = Image.Resampling.BICUBIC if smooth else Image.Resampling.NEAREST
    part[:] = np.asarray(small.resize((width, height), way))
