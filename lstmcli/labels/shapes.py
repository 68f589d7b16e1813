"""Upright hulls of shapes: polygons, rotated boxes, ellipses, run-length encoded masks.

All are (x1, y1, x2, y2) in the unit of the points; angles are degrees, clockwise in a picture whose
y axis points down.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from itertools import accumulate

import numpy as np

Box = tuple[float, float, float, float]
Point = tuple[float, float]


def hull_of(points: Iterable[Sequence[float]]) -> Box | None:
    """Return the smallest upright box around points; None where it has no area."""
    listed = [(point[0], point[1]) for point in points]
    if len(listed) < 2:
        return None
    x, y = [point[0] for point in listed], [point[1] for point in listed]
    box = (min(x), min(y), max(x), max(y))
    return box if box[2] > box[0] and box[3] > box[1] else None


def pairs_of(numbers: Sequence[float]) -> list[Point]:
    """Return x, y, x, y ... as points; a last number without a partner is left out."""
    return list(zip(numbers[::2], numbers[1::2], strict=False))


def rotated_hull(box: Sequence[float], degrees: float, pivot: Point | None = None) -> Box:
    """Return the hull of a box turned about a point.

    Args:
        box: x1, y1, x2, y2 before the turn; its sides may be in either order.
        degrees: clockwise.
        pivot: the point that stays; None: the centre of the box.
    """
    x1, y1, x2, y2 = box[:4]
    if degrees % 360 == 0:
        return (x1, y1, x2, y2)
    px, py = pivot if pivot is not None else ((x1 + x2) / 2, (y1 + y2) / 2)
    turn = math.radians(degrees)
    quarter = degrees / 90 == round(degrees / 90)
    cos, sin = math.cos(turn), math.sin(turn)
    if quarter:  # no rounding errors where the sides stay upright
        cos, sin = float(round(cos)), float(round(sin))
    x, y = [], []
    for cx, cy in ((x1, y1), (x2, y1), (x2, y2), (x1, y2)):
        x.append(px + (cx - px) * cos - (cy - py) * sin)
        y.append(py + (cx - px) * sin + (cy - py) * cos)
    return (min(x), min(y), max(x), max(y))


def ellipse_hull(cx: float, cy: float, rx: float, ry: float, degrees: float = 0.0) -> Box:
    """Return the hull of an ellipse whose first axis is turned clockwise from the x axis."""
    cos, sin = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    half_w, half_h = math.hypot(rx * cos, ry * sin), math.hypot(rx * sin, ry * cos)
    return (cx - half_w, cy - half_h, cx + half_w, cy + half_h)


def counts_of(text: str) -> list[int]:
    """Return the run lengths of COCO's compressed RLE text.

    Each number is written in groups of five bits, the lowest first, with a sixth bit where more
    follow, as ASCII from 48; from the third on it is the difference to the number two before
    (cocoapi maskApi.c, rleToString).
    """
    counts: list[int] = []
    value = shift = 0
    for character in text:
        bits = ord(character) - 48
        value |= (bits & 0x1F) << shift
        shift += 5
        if bits & 0x20:
            continue
        if bits & 0x10:
            value -= 1 << shift
        counts.append(value + (counts[-2] if len(counts) > 2 else 0))
        value = shift = 0
    return counts


def rle_hull(counts: Sequence[int], height: int, *, by_column: bool = True) -> Box | None:
    """Return the hull of a run-length encoded mask; None of an empty or broken one.

    Args:
        counts: lengths of runs of pixels, outside and inside in turn.
        height: pixels of a column (of a row, where `by_column` is False).
        by_column: whether runs go down the columns, as COCO's do, or along rows.
    """
    if height <= 0 or any(count < 0 for count in counts):
        return None
    ends = list(accumulate(counts))
    runs = [(a, b) for a, b in zip(ends[::2], ends[1::2], strict=False) if b > a]
    if not runs:
        return None
    first, last = runs[0][0] // height, (runs[-1][1] - 1) // height
    low, high = height, -1
    for start, end in runs:
        if start // height != (end - 1) // height:
            low, high = 0, height - 1
            break
        low, high = min(low, start % height), max(high, (end - 1) % height)
    box = (float(first), float(low), float(last + 1), float(high + 1))
    return box if by_column else (box[1], box[0], box[3], box[2])


def coco_hull(segmentation: object) -> Box | None:
    """Return the hull of COCO's `segmentation`: polygons, or RLE with counts and size."""
    if isinstance(segmentation, dict):
        counts, size = segmentation.get("counts"), segmentation.get("size")
        if not isinstance(size, list | tuple) or len(size) != 2:
            return None
        if isinstance(counts, str):
            counts = counts_of(counts)
        if not isinstance(counts, list):
            return None
        return rle_hull([int(count) for count in counts], int(size[0]))
    if not isinstance(segmentation, list):
        return None
    parts = segmentation if segmentation and isinstance(segmentation[0], list) else [segmentation]
    points = [point for part in parts for point in pairs_of([float(side) for side in part])]
    return hull_of(points)


def mask_hull(inside: np.ndarray[tuple[int, ...], np.dtype[np.bool_]]) -> Box | None:
    """Return the hull of the true pixels of a mask [H, W]; None where there are none."""
    rows, columns = np.flatnonzero(inside.any(axis=1)), np.flatnonzero(inside.any(axis=0))
    if not len(rows):
        return None
    return (float(columns[0]), float(rows[0]), float(columns[-1] + 1), float(rows[-1] + 1))


class _Bits:
    """Reads numbers of any width from bytes, the highest bit first."""

    def __init__(self, data: bytes) -> None:
        self._bits = np.unpackbits(np.frombuffer(data, np.uint8))
        self._at = 0

    def take(self, width: int) -> int:
        if self._at + width > len(self._bits):
            raise ValueError("the bits end too early")
        value = 0
        for bit in self._bits[self._at : self._at + width].tolist():
            value = value << 1 | bit
        self._at += width
        return value


def brush_hull(data: Sequence[int], size_hw: tuple[int, int]) -> Box | None:
    """Return the hull of a brush mask of Label Studio; None of an empty or broken one.

    The bytes are the RLE of @thi.ng/rle-pack over the RGBA bytes of the picture: 32 bits of length,
    5 bits of word size - 1, four times 4 bits of run sizes - 1; then a flag of one bit, two bits
    that choose a run size, a run length - 1, and one word (flag 1) or as many as the run (flag 0).
    """
    height, width = size_hw
    total = height * width * 4
    try:
        bits = _Bits(bytes(data))
        count, word = bits.take(32), bits.take(5) + 1
        sizes = [bits.take(4) + 1 for _ in range(4)]
        if count != total or word > 8:
            return None
        values = np.zeros(total, np.uint8)
        at = 0
        while at < count:
            repeats = bits.take(1)
            end = min(count, at + 1 + bits.take(sizes[bits.take(2)]))
            if repeats:
                values[at:end] = bits.take(word)
            else:
                for n in range(at, end):
                    values[n] = bits.take(word)
            at = end
    except ValueError:
        return None
    return mask_hull(values.reshape(height, width, 4)[..., 3] > 0)
