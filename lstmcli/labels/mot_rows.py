"""Rows of MOTChallenge files, both ways: frames and classes count from 1 in them, pixels from 0.

Milan et al. 2016, https://arxiv.org/abs/1603.00831: frame, id, left, top, width, height, then a
flag or a score, class and visibility. Here frames and classes count from 0; boxes are corners.
"""

from __future__ import annotations

from collections.abc import Sequence

from lstmcli.core.errors import DataError
from lstmcli.labels.shapes import Box

BASE = 1
"""The first frame and the first class of a file."""


def mot_row(frame: int, track: int, sides: Sequence[str], flag: str, label: int) -> str:
    """Return a row with its line end.

    Args:
        frame: from 0.
        track: -1 without one.
        sides: left, top, width and height as texts.
        flag: 1 for a box that counts and 0 for an ignored region, or a score.
        label: class index from 0.
    """
    return f"{frame + BASE},{track},{','.join(sides)},{flag},{label + BASE},1\n"


def left_top_width_height(box: Box) -> Box:
    """Return the sides of a row from corners (x1, y1, x2, y2)."""
    x1, y1, x2, y2 = box
    return x1, y1, x2 - x1, y2 - y1


def corners(row: Sequence[float]) -> Box:
    """Return the corners (x1, y1, x2, y2) of the box of a row."""
    left, top, width, height = row[2:6]
    return left, top, left + width, top + height


def frame_of(row: Sequence[float], where: str) -> int:
    """Return the frame of a row, from 0.

    Raises:
        DataError: it is no whole number from 1.
    """
    if row[0] < BASE or row[0] != int(row[0]):
        raise DataError(f"{where}: frame {row[0]:g}", hint="MOT counts frames from 1")
    return int(row[0]) - BASE


def label_of(row: Sequence[float]) -> int | None:
    """Return the class index of a row from 0, None where it names no class."""
    return int(row[7]) - BASE if len(row) > 7 and row[7] >= BASE else None


def sequence_info(
    name: str,
    *,
    frames: int,
    rate: float | None,
    size_hw: tuple[int, int] | None,
    image_folder: str = "img1",
    suffix: str = ".jpg",
) -> str:
    """Return the text of `seqinfo.ini`.

    Args:
        name: of the sequence; "%" is doubled, which is special to INI files.
        frames: length of the sequence.
        rate: frames per second, None where unknown.
        size_hw: (height, width) in pixels, None where unknown.
        image_folder: the folder of the images, or the video file.
        suffix: of the images.
    """
    lines = ["[Sequence]", f"name={name.replace('%', '%%')}", f"imDir={image_folder}"]
    if rate is not None:
        lines.append(f"frameRate={rate:g}")
    lines.append(f"seqLength={frames}")
    if size_hw is not None:
        lines += [f"imWidth={size_hw[1]}", f"imHeight={size_hw[0]}"]
    return "\n".join([*lines, f"imExt={suffix}", ""])
