"""Share tests: when most boxes of a file break a rule, the file is wrong and not the box.

A slip of the pen is corrected and counted; a rule that many boxes of one file break says that the
file holds something else (sizes for corners, corners for sizes, fractions for pixels, y before x,
numbers counted from another base). Guessing would put labels on the wrong pixels without a trace,
so that is an error. Every reader passes here: `builder.LabelSetBuilder.build` tests the boxes of
each file as they were written, `media.locate_media` again where only the media tell their sizes.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass
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
FEWEST_OUTSIDE = 3
"""Boxes outside of their pictures below which nothing is said of a file."""
ENOUGH = 5
"""Boxes from which on a single file of a folder is tested by itself, too."""


def check_corners(boxes: Floats, source: str) -> None:
    """Refuse a file many of whose boxes have their corners in the wrong order; few are slips.

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


def check_fractions(boxes: Floats, sizes_hw: Floats, source: str) -> None:
    """Refuse a file whose boxes all lie within a pixel, or a hundredth, of the upper left corner.

    Args:
        boxes: float [N, 4] of one file, in pixels as the format has it.
        sizes_hw: float [N, 2], (height, width) of the picture of each; 0 where it is not known.
        source: the file, for the error.

    Raises:
        DataError: the numbers are fractions of the picture.
    """
    if len(boxes) < FEWEST or ((sizes_hw > 0).any() and sizes_hw.max() <= 32):
        return
    if boxes.min() >= 0 and boxes.max() <= 1.0 and (boxes % 1 != 0).any():
        raise DataError(
            f"{source}: all of the {len(boxes)} boxes lie within one pixel of the picture",
            hint="fractions where pixels belong? multiply them by width and height",
        )
    corners = np.tile(sizes_hw[:, ::-1], 2) / 100  # where percent belong, fractions become these
    known = bool((sizes_hw > 0).all())
    if known and len(boxes) >= ENOUGH and boxes.min() >= 0 and (boxes <= corners).all():
        raise DataError(
            f"{source}: all of the {len(boxes)} boxes lie within a hundredth of the picture's "
            "sides from its upper left corner",
            hint="fractions where percent belong? multiply them by 100",
        )


def outside(boxes: Floats, sizes_hw: Floats) -> BoolArray:
    """Return which boxes [N, 4] leave their pictures [N, 2] (height, width) by over a pixel."""
    beyond = (boxes[:, 2] > sizes_hw[:, 1] + 1) | (boxes[:, 3] > sizes_hw[:, 0] + 1)
    return np.asarray((boxes[:, :2] < -1).any(axis=1) | beyond)


@dataclass(frozen=True, slots=True)
class Misreading:
    """Another meaning of the four numbers of a box, under which a file makes sense.

    Args:
        share: of boxes that leave their pictures, above which it is considered.
        read: boxes [N, 4] as the format reads them -> as they are by this meaning.
        sentence: what the boxes do, for the error.
        hint: what to do.
    """

    share: float
    read: Callable[[Floats], Floats]
    sentence: str
    hint: str


def _exchanged(boxes: Floats) -> Floats:
    return np.asarray(boxes[:, [1, 0, 3, 2]])


def _sizes_as_corners(boxes: Floats) -> Floats:
    return np.concatenate((boxes[:, :2], boxes[:, 2:] - boxes[:, :2]), axis=1)


def _centre_and_size_as_corners(boxes: Floats) -> Floats:
    sizes = boxes[:, 2:] - boxes[:, :2]
    return np.concatenate((boxes[:, :2] + sizes / 2, sizes), axis=1)


MISREADINGS = (
    Misreading(
        0.2,
        _exchanged,
        "fit it only with x and y exchanged",
        "write x before y: left, top, right, bottom",
    ),
    Misreading(
        0.3,
        _sizes_as_corners,
        "fit it only with width and height taken for the lower right corner",
        "corners where left, top, width and height belong? subtract left and top",
    ),
    Misreading(
        0.3,
        _centre_and_size_as_corners,
        "fit it only with centre and size taken for two corners",
        "corners where centre, width and height belong? write the middle and the sides",
    ),
)
FITS = 0.05
"""Share of boxes that may break the rules under a misreading that explains the file."""
CENTRES_OUTSIDE = 0.3
"""Share of boxes with their centre outside of the picture above which a file is refused."""


def check_inside(boxes: Floats, sizes_hw: Floats, source: str) -> None:
    """Refuse a file many of whose boxes leave their pictures where another meaning explains them.

    Boxes that leave the picture in part are usual where people draw whole objects, so that their
    number alone says nothing.

    Args:
        boxes: float [N, 4] of one file, in pixels, uncut.
        sizes_hw: float [N, 2], (height, width) of the picture of each.
        source: the file, for the error.

    Raises:
        DataError: x and y are exchanged, corners are written for sizes, or the labels are of
            larger pictures.
    """
    beyond = outside(boxes, sizes_hw)
    if beyond.sum() < FEWEST_OUTSIDE:
        return
    for misreading in MISREADINGS:
        if beyond.mean() > misreading.share and _fit(misreading.read(boxes), sizes_hw):
            raise DataError(
                f"{source}: {int(beyond.sum())} of {len(boxes)} boxes leave the picture and "
                f"{misreading.sentence}",
                hint=misreading.hint,
            )
    centres = (boxes[:, :2] + boxes[:, 2:]) / 2
    away = ((centres < 0) | (centres > sizes_hw[:, ::-1])).any(axis=1)
    if away.sum() >= ENOUGH and away.mean() > CENTRES_OUTSIDE:
        raise DataError(
            f"{source}: {int(away.sum())} of {len(boxes)} boxes have their centre outside of the "
            "picture",
            hint="are the labels of larger pictures, or pixels where fractions belong? give the "
            "media that were labelled, with --media DIR",
        )


def _fit(boxes: Floats, sizes_hw: Floats) -> bool:
    inverted = (boxes[:, 2:] <= boxes[:, :2]).any(axis=1)
    return bool((inverted | outside(boxes, sizes_hw)).mean() < FITS)


def base_hint(used: Collection[int], count: int, *, base: int = 0) -> str:
    """Return the hint for a class number that no name has: counted from another base, or too few.

    Args:
        used: every class number of the set.
        count: how many names there are.
        base: the number of the first name.
    """
    last = count - 1 + base
    names = f"there are {count} names, from {base}"
    if used and min(used) == base + 1 and max(used) == last + 1:
        return f"{names}; no row has {base}: are the classes counted from {base + 1}?"
    if used and min(used) == base - 1 and max(used) < last + 1:
        return f"{names}; are the classes counted from {base - 1}?"
    return names
