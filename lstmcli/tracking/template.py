"""Template tracking: follows one box through grey pictures by normalized cross-correlation.

After Lewis 1995, "Fast Normalized Cross-Correlation", over a few scales, around the position that a
constant velocity predicts. It needs no training, so it also tracks classes without a detector.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from lstmcli.core.types import FloatArray

Floats = npt.NDArray[np.float64]

TEMPLATE = 20
"""Side of the template in samples, for any box size."""
CONTEXT = 1.2
"""Side of the template in sides of the box: a rim of background makes its edges count."""
REACH = 0.9
"""How far the box is searched from its predicted position, in its own sides and at most."""
SCALES = (0.95, 1.0, 1.05)
SCALE_GAIN = 0.01
"""Correlation by which a change of scale must be better than none."""
UPDATE, UPDATE_FROM = 0.15, 0.7
"""Share of the newest appearance in the template, and the correlation from which it is taken."""
_TINY = 1e-6


@dataclass(frozen=True, slots=True)
class TemplateTrack:
    """Where a template was found.

    Args:
        boxes: float32 [T, 4] in pixels, a row a picture.
        correlations: float64 [T] in -1..1; 1 is the same picture but for brightness and contrast.
    """

    boxes: FloatArray
    correlations: Floats


def follow(pictures: Sequence[FloatArray], first: FloatArray, box: FloatArray) -> TemplateTrack:
    """Return where a box of the first picture lies in each of the following ones.

    Args:
        pictures: float32 [H, W], grey, in the order in which they are searched.
        first: float32 [H, W], the picture of `box`.
        box: float32 [4] (x1, y1, x2, y2) in pixels.
    """
    center, sides = _center_and_sides(np.asarray(box, np.float64))
    template = _sample(first, center, sides * CONTEXT, TEMPLATE)
    velocity = np.zeros(2)
    boxes, correlations = [], []
    for picture in pictures:
        found, scale, correlation = _search(picture, template, center + velocity, sides)
        velocity = 0.5 * velocity + 0.5 * (found - center)
        center, sides = found, sides * scale
        if correlation >= UPDATE_FROM:
            newest = _sample(picture, center, sides * CONTEXT, TEMPLATE)
            template = (1 - UPDATE) * template + UPDATE * newest
        boxes.append(np.concatenate((center - sides / 2, center + sides / 2)))
        correlations.append(correlation)
    rows = np.array(boxes, np.float32).reshape(-1, 4)
    return TemplateTrack(rows, np.array(correlations, np.float64))


def _search(
    picture: FloatArray, template: Floats, center: Floats, sides: Floats
) -> tuple[Floats, float, float]:
    """Return the center, the scale and the correlation of the best match around a position."""
    half = round(TEMPLATE * REACH / CONTEXT)
    size = TEMPLATE + 2 * half
    best: tuple[Floats, float, float, float] | None = None
    for scale in SCALES:
        step = sides * scale * CONTEXT / TEMPLATE
        scores = _correlate(_sample(picture, center, step * size, size), template)
        row, column = np.unravel_index(int(np.argmax(scores)), scores.shape)
        value = float(scores[row, column])
        gain = value - (0.0 if scale == 1 else SCALE_GAIN)
        if best is None or gain > best[3]:
            shift = np.array((column - half, row - half), np.float64) * step
            best = center + shift, scale, value, gain
    assert best is not None
    return best[:3]


def _correlate(search: Floats, template: Floats) -> Floats:
    """Return the normalized cross-correlation at every position of the template."""
    windows = np.lib.stride_tricks.sliding_window_view(search, template.shape)
    flat = windows.reshape(*windows.shape[:2], -1)
    centered = template.ravel() - template.mean()
    count = template.size
    means = flat.mean(axis=2)
    spread = np.sqrt(np.maximum((flat**2).sum(axis=2) - count * means**2, 0))
    norm = float(np.linalg.norm(centered))
    return np.asarray(flat @ centered / np.maximum(spread * norm, _TINY))


def _sample(picture: FloatArray, center: Floats, sides: Floats, size: int) -> Floats:
    """Return `size` x `size` bilinear samples of a box; pixels outside repeat the border."""
    grid = (np.arange(size) + 0.5) / size - 0.5
    x = np.clip(center[0] + grid * sides[0] - 0.5, 0, picture.shape[1] - 1)
    y = np.clip(center[1] + grid * sides[1] - 0.5, 0, picture.shape[0] - 1)
    left, top = np.floor(x).astype(int), np.floor(y).astype(int)
    right = np.minimum(left + 1, picture.shape[1] - 1)
    below = np.minimum(top + 1, picture.shape[0] - 1)
    across, down = x - left, (y - top)[:, None]
    upper = picture[np.ix_(top, left)] * (1 - across) + picture[np.ix_(top, right)] * across
    lower = picture[np.ix_(below, left)] * (1 - across) + picture[np.ix_(below, right)] * across
    return np.asarray(upper * (1 - down) + lower * down, np.float64)


def _center_and_sides(box: Floats) -> tuple[Floats, Floats]:
    return (box[:2] + box[2:]) / 2, np.maximum(box[2:] - box[:2], 1.0)
