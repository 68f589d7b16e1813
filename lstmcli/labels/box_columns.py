"""Checks the boxes of all videos of a label set at once, as columns."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any, Protocol

import numpy as np

from lstmcli.core.errors import DataError
from lstmcli.core.limits import limit
from lstmcli.core.types import (
    BoolArray,
    FloatArray,
    IntArray,
)
from lstmcli.labels.plausibility import (
    ENOUGH,
    Floats,
    check_corners,
    check_fractions,
    check_inside,
)
from lstmcli.labels.shapes import Box
from lstmcli.labels.warning_collector import WarningCollector

MOST_FRAMES = 10_000_000
"""Frames of a video beyond which a number in a file is taken for an error (four days at 30 Hz)."""


class RawVideo(Protocol):
    """The boxes of one video as a reader adds them."""

    name: str
    source: str
    size_hw: tuple[int, int] | None
    frames: list[int]
    boxes: list[Box]
    labels: list[int]
    tracks: list[int]
    ignore: list[bool]
    scores: list[float]

    def __len__(self) -> int: ...


@dataclass(frozen=True, slots=True)
class BoxColumns:
    """The boxes of all videos, sorted by video and frame; `bounds` says where each begins."""

    frames: IntArray
    boxes: FloatArray
    labels: IntArray
    tracks: IntArray
    ignore: BoolArray
    scores: FloatArray
    bounds: list[int]


def checked_columns(videos: Sequence[RawVideo], warnings: WarningCollector) -> BoxColumns:
    """Return the boxes with sides in order; those without area are left out and counted.

    Raises:
        DataError: a box is not made of finite numbers, a frame is out of all bounds.
    """
    total = sum(len(video) for video in videos)
    owner = np.repeat(np.arange(len(videos)), [len(video) for video in videos])

    def column(name: str, kind: type) -> Any:
        values = chain.from_iterable(getattr(video, name) for video in videos)
        return np.fromiter(values, kind, total)

    frames = column("frames", np.int64)
    sides = chain.from_iterable(chain.from_iterable(video.boxes for video in videos))
    boxes = np.fromiter(sides, np.float64, 4 * total).reshape(-1, 4)

    def where(wrong: Any) -> str:
        row = int(np.argmax(wrong))
        video = videos[owner[row]]
        return f"{video.source}, {video.name!r}, frame {frames[row]}"

    lost = (frames < 0) | (frames >= limit("frames"))
    if lost.any():
        raise DataError(where(lost), hint=f"frames count from 0 and stay below {limit('frames')}")
    broken = ~(np.abs(boxes) < 1e7).all(axis=1)
    if broken.any():
        row = [float(side) for side in boxes[int(np.argmax(broken))]]
        raise DataError(f"{where(broken)}: a box {row}", hint="boxes are finite numbers of pixels")
    ignore = column("ignore", np.bool_)
    inverted = _check_files(videos, owner, boxes, ignore)
    if inverted.any():
        text = "a box with its corners in the wrong order; reordered"
        warnings.add(text, where(inverted), int(inverted.sum()))
        low = np.minimum(boxes[:, :2], boxes[:, 2:])
        boxes = np.concatenate((low, np.maximum(boxes[:, :2], boxes[:, 2:])), axis=1)
    found: FloatArray = boxes.astype(np.float32)
    labels, tracks = column("labels", np.int64), column("tracks", np.int64)
    flat = (found[:, 2:] <= found[:, :2]).any(axis=1)
    if flat.any():
        warnings.add("a box without area; left out", where(flat), int(flat.sum()))
    again = _repeated(np.column_stack((owner, frames, labels, tracks, ignore)), found)
    if again.any():
        warnings.add(
            "the same box of the same object written again; one is kept",
            where(again),
            int(again.sum()),
        )
    keep = np.flatnonzero(~flat & ~again)
    keep = keep[np.lexsort((frames[keep], owner[keep]))]
    return BoxColumns(
        frames[keep],
        found[keep],
        labels[keep],
        tracks[keep],
        ignore[keep],
        column("scores", np.float32)[keep],
        np.searchsorted(owner[keep], np.arange(len(videos) + 1)).tolist(),
    )


def _check_files(
    videos: Sequence[RawVideo], owner: IntArray, boxes: Floats, ignore: BoolArray
) -> BoolArray:
    """Return which boxes are inverted; see `plausibility` for what refuses the set.

    All files together are tested, and each that holds enough boxes: one of a hundred files of a
    folder may come from another tool.
    """
    if not len(boxes):
        return np.zeros(0, np.bool_)
    sizes = np.array([video.size_hw or (0, 0) for video in videos], np.float64)[owner]
    inverted = _check_rows(boxes, sizes, ignore, _common_source(videos))
    names = [video.source for video in videos]
    if len(set(names)) > 1:
        index = {name: n for n, name in enumerate(dict.fromkeys(names))}
        of_file = np.array([index[name] for name in names])[owner]
        order = np.argsort(of_file, kind="stable")
        bounds = np.searchsorted(of_file[order], np.arange(len(index) + 1))
        for name, first, last in zip(index, bounds, bounds[1:], strict=False):
            rows = order[first:last]
            if len(rows) >= ENOUGH:
                _check_rows(boxes[rows], sizes[rows], ignore[rows], name)
    return inverted


def _check_rows(boxes: Floats, sizes_hw: Floats, ignore: BoolArray, source: str) -> BoolArray:
    """Test the boxes that count; regions may stand for lost shapes."""
    check_fractions(boxes[~ignore], sizes_hw[~ignore], source)
    check_corners(boxes[~ignore], source)
    inverted = np.asarray((boxes[:, 2:] < boxes[:, :2]).any(axis=1))
    rows = (sizes_hw > 0).all(axis=1) & ~inverted & ~ignore
    check_inside(boxes[rows], sizes_hw[rows], source)
    return inverted


def _common_source(videos: Sequence[RawVideo]) -> str:
    """Return the label file of the videos, or the folder of all of them."""
    sources = {video.source for video in videos if len(video)}
    if len(sources) == 1:
        return sources.pop()
    return os.path.commonpath([os.path.abspath(source) for source in sources])  # noqa: PTH100


def _repeated(keys: IntArray, boxes: FloatArray) -> BoolArray:
    """Return which rows repeat an earlier one: same frame, class, track, flag and box."""
    if len(keys) < 2:
        return np.zeros(len(keys), np.bool_)
    rows = np.column_stack((keys, boxes.view(np.int32)))
    order = np.lexsort(rows.T[::-1])
    equal = (rows[order][1:] == rows[order][:-1]).all(axis=1)
    again = np.zeros(len(rows), np.bool_)
    again[order[1:][equal]] = True
    return again
