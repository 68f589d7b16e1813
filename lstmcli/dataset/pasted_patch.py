"""Blends an object of one video into another, so that location cannot give away the class.

Copy-paste (Ghiasi et al. 2020, 2012.07177; cut and paste with soft edges, 1708.01642) for boxes
without masks: what surrounds the object is lifted to the colours of its new position, as seamless
cloning does (Perez et al. 2003), here with a plane for its membrane.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from lstmcli.core.types import FloatArray, Picture

MARGIN = 0.35
"""Margin of a patch around its box on each side, as a share of the box's sides."""
AROUND = 0.3
"""Blending weight below which a pixel belongs to the surroundings, not to the object."""


def region_of(box: FloatArray) -> tuple[int, int, int, int]:
    """Return (left, top, right, bottom) of an object [4] with its surroundings, in whole pixels."""
    width, height = float(box[2] - box[0]), float(box[3] - box[1])
    left, top = box[0] - MARGIN * width - 2, box[1] - MARGIN * height - 2
    right, bottom = box[2] + MARGIN * width + 2, box[3] + MARGIN * height + 2
    return int(np.floor(left)), int(np.floor(top)), int(np.ceil(right)), int(np.ceil(bottom))


def paste_into(window: Picture, patch: Picture, *, left: int, top: int) -> Picture:
    """Return a window with a patch laid into it.

    Args:
        window: uint8 [h, w, 3].
        patch: uint8 [m, n, 3], an object in the middle, its surroundings around it.
        left: where the patch's first column lies in the window; the patch may reach beyond it.
        top: likewise its first row.
    """
    height, width = window.shape[:2]
    y0, y1 = max(0, top), min(height, top + patch.shape[0])
    x0, x1 = max(0, left), min(width, left + patch.shape[1])
    if y0 >= y1 or x0 >= x1:
        return window
    share = np.outer(_ramp(patch.shape[0]), _ramp(patch.shape[1]))
    inside = slice(y0 - top, y1 - top), slice(x0 - left, x1 - left)
    below, above = window[y0:y1, x0:x1].astype(np.float32), patch[inside].astype(np.float32)
    share = share[inside]
    above += _offset(below - above, share)
    mixed = below + share[..., None] * (above - below)
    result = window.copy()
    result[y0:y1, x0:x1] = np.clip(mixed + 0.5, 0, 255)
    return result


def _ramp(size: int) -> npt.NDArray[np.float32]:
    """Return the patch's share along one axis, 0 at its border and 1 over the object, [size]."""
    reach = size * MARGIN / (1 + 2 * MARGIN)
    away = np.minimum(np.arange(size) + 0.5, size - np.arange(size) - 0.5)
    return np.asarray(np.clip(away / reach, 0, 1), np.float32)


def _offset(
    difference: npt.NDArray[np.float32], share: npt.NDArray[np.float32]
) -> npt.NDArray[np.float32]:
    """Return the colour offset of a patch [m, n, 3]: a plane fitted to the pixels around it."""
    rows, columns = np.nonzero(share < AROUND)
    if len(rows) < 3:
        rows, columns = np.nonzero(share <= 1)
    height, width = share.shape
    ones = np.ones(len(rows), np.float32)
    known = np.stack((ones, rows / height, columns / width), axis=1).astype(np.float32)
    plane, *_ = np.linalg.lstsq(known, difference[rows, columns], rcond=1e-3)
    v, u = np.arange(height)[:, None, None] / height, np.arange(width)[None, :, None] / width
    return np.asarray(plane[0] + v * plane[1] + u * plane[2], np.float32)
