"""Share tests: when most boxes of a file break a rule, the file is wrong and not the box.

A slip of the pen is corrected and counted; a rule that many boxes of one file break says that the
file holds something else (sizes for corners, fractions for pixels, y before x). Guessing would put
labels on the wrong pixels without a trace, so that is an error.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from lstmcli.core.errors import DataError
from lstmcli.core.types import BoolArray

Floats = npt.NDArray[np.floating[Any]]

SLIPS = 0.1
"""Up to this share of the boxes of a file, broken rules are slips."""
FEWEST = 2
"""Broken boxes below which nothing is said of a file."""


def check_corners(boxes: Floats, source: str) -> BoolArray:
    """Return which boxes have their corners in the wrong order; those are slips.

    Args:
        boxes: float [N, 4] of one file, as written.
        source: the file, for the error.

    Raises:
        DataError: so many are no corners that the file holds something else.
    """
    inverted = np.asarray((boxes[:, 2:] < boxes[:, :2]).any(axis=1))
    flat = (boxes[:, 2:] == boxes[:, :2]).sum(axis=1) == 1  # both: a click without a drag
    broken = int((inverted | flat).sum())
    if inverted.any() and broken >= FEWEST and broken > SLIPS * len(boxes):
        raise DataError(
            f"{source}: {broken} of {len(boxes)} boxes end before they begin "
            "(right edge left of the left one, or bottom above top)",
            hint="width and height where the right and lower edge belong, or corners in another "
            "order? write left, top, right, bottom",
        )
    return inverted


def check_fractions(boxes: Floats, size_hw: tuple[int, int] | None, source: str) -> None:
    """Refuse a file whose boxes are all smaller than two pixels and within the unit square.

    Args:
        boxes: float [N, 4] of one file, in pixels as the format has it.
        size_hw: (height, width) of a picture, None where it is not known.
        source: the file, for the error.

    Raises:
        DataError: the numbers are fractions of the picture.
    """
    if len(boxes) < FEWEST or size_hw is None or min(size_hw) <= 32:
        return
    if boxes.min() >= 0 and boxes.max() <= 1.0 and (boxes % 1 != 0).any():
        raise DataError(
            f"{source}: all of the {len(boxes)} boxes lie within one pixel of "
            f"{size_hw[1]}x{size_hw[0]}",
            hint="fractions where pixels belong? multiply them by width and height",
        )


def outside(boxes: Floats, sizes_hw: Floats) -> BoolArray:
    """Return which boxes [N, 4] leave their pictures [N, 2] (height, width) by over a pixel."""
    beyond = (boxes[:, 2] > sizes_hw[:, 1] + 1) | (boxes[:, 3] > sizes_hw[:, 0] + 1)
    return np.asarray((boxes[:, :2] < -1).any(axis=1) | beyond)


def check_axes(boxes: Floats, sizes_hw: Floats, source: str) -> None:
    """Refuse a file most of whose boxes fit their pictures only with x and y exchanged.

    Args:
        boxes: float [N, 4] of one file, in pixels, uncut.
        sizes_hw: float [N, 2], (height, width) of the picture of each.
        source: the file, for the error.

    Raises:
        DataError: y is written before x.
    """
    if not len(boxes):
        return
    beyond = outside(boxes, sizes_hw)
    if beyond.sum() < 3 or beyond.mean() <= 0.2:
        return
    if outside(boxes[:, [1, 0, 3, 2]], sizes_hw).mean() < 0.05:
        raise DataError(
            f"{source}: {int(beyond.sum())} of {len(boxes)} boxes leave the picture and fit it "
            "only with x and y exchanged",
            hint="write x before y: left, top, right, bottom",
        )
