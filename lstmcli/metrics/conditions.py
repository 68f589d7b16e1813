"""Conditions of ground-truth boxes: size, motion, visibility, time since the start, occlusion.

What a label format calls visibility is not kept, so it is estimated: the share of a box that no
other box of the frame with a lower edge further down (that is, nearer to the camera) covers.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt

from lstmcli.core.boxes import box_area, box_overlap_of_first
from lstmcli.core.types import BoolArray, FloatArray, IntArray
from lstmcli.metrics.comparison import Comparison
from lstmcli.metrics.motion import track_rows

Floats = npt.NDArray[np.float64]

SLOW, FAST = 0.02, 0.1
"""Displacement a frame, in sides of the object: slow below the first, fast above the second."""
HIDDEN = 0.5
"""A box of less visibility is occluded."""
SINCE_REAPPEARING = 5
"""Annotated frames after an occlusion that still belong to it: the object comes back."""

SIZES = {"side 0-4 %": (0, 0.04), "side 4-8 %": (0.04, 0.08), "side 8 %+": (0.08, math.inf)}
"""Side of a square of the box's area, as a share of the frame's."""
MOTIONS = {"slow": (0, SLOW), "medium": (SLOW, FAST), "fast": (FAST, math.inf)}
VISIBILITIES = {"covered": (-1, HIDDEN), "partly": (HIDDEN, 0.9), "free": (0.9, 2)}
STEPS = {"frame 0-4": (0, 5), "frame 5-19": (5, 20), "frame 20+": (20, math.inf)}
OCCLUSIONS = {
    "never": (-1, 0),
    "up to 0.5 s": (0, 0.5),
    "0.5-2 s": (0.5, 2),
    "2 s and more": (2, math.inf),
}


def conditions(comparison: Comparison) -> dict[str, dict[str, BoolArray]]:
    """Return for each condition and each of its ranges which ground-truth rows are in it.

    Rows of no known track are in no range of motion and occlusion.
    """
    gt, results = comparison.gt, comparison.results
    frame_areas = np.array([r.size_hw[0] * r.size_hw[1] for r in results], np.float64)
    sides = np.sqrt(box_area(gt.boxes) / frame_areas[gt.results])
    steps = np.array([r.frame if r.steps_before is None else r.steps_before for r in results])
    frames = np.array([r.frame for r in results], np.int64)[gt.results]
    times = np.array([r.time_s for r in results], np.float64)[gt.results]
    tracks = track_rows(comparison.videos[gt.results], gt.tracks, frames)
    visible = visibility(gt.results, gt.boxes)
    return {
        "size": _ranges(sides, SIZES),
        "motion": _ranges(displacement(tracks, frames, gt.boxes), MOTIONS),
        "visibility": _ranges(visible, VISIBILITIES),
        "since start": _ranges(steps[gt.results].astype(np.float64), STEPS),
        "occlusion": _ranges(occlusion_s(tracks, gt.results, times, visible), OCCLUSIONS),
    }


def displacement(tracks: Sequence[IntArray], frames: IntArray, boxes: FloatArray) -> Floats:
    """Return how far each box's centre moved a frame, in sides of the box; NaN where unknown.

    Args:
        tracks: rows of each track in the order of time.
        frames: int64 [N], source frames.
        boxes: [N, 4].
    """
    moved = np.full(len(boxes), np.nan)
    centres = (boxes[:, :2].astype(np.float64) + boxes[:, 2:]) / 2
    sides = np.sqrt(np.maximum(box_area(boxes).astype(np.float64), 1.0))
    for rows in tracks:
        if len(rows) < 2:
            continue
        gaps = np.maximum(np.diff(frames[rows]), 1)
        step = np.linalg.norm(np.diff(centres[rows], axis=0), axis=1) / gaps / sides[rows[1:]]
        moved[rows] = np.concatenate((step[:1], step))
    return moved


def visibility(results: IntArray, boxes: FloatArray) -> Floats:
    """Return the estimated visible share of each box, 0..1; see the module.

    Args:
        results: int64 [N], rising: the frame of each box.
        boxes: [N, 4].
    """
    visible = np.ones(len(boxes))
    edges = np.flatnonzero(np.diff(results)) + 1
    for rows in np.split(np.arange(len(boxes)), edges):
        if len(rows) < 2:
            continue
        some = boxes[rows]
        covered = box_overlap_of_first(some, some)
        in_front = some[None, :, 3] > some[:, None, 3]
        visible[rows] = 1 - np.where(in_front, covered, 0.0).max(axis=1)
    return visible


def occlusion_s(
    tracks: Sequence[IntArray], results: IntArray, times: Floats, visible: Floats
) -> Floats:
    """Return the length in seconds of the occlusion that each box lies in or has just left.

    A gap in a track's ground truth counts as occlusion, too.

    Args:
        tracks: rows of each track in the order of time.
        results: int64 [N], the frame of each box among the results.
        times: float64 [N], seconds.
        visible: float64 [N] of `visibility`.

    Returns:
        float64 [N]: -0.5 for boxes without occlusion, NaN where the track is unknown.
    """
    lengths = np.full(len(visible), np.nan)
    for rows in tracks:
        of_track = np.full(len(rows), -0.5)
        hidden = visible[rows] < HIDDEN
        edges = np.flatnonzero(np.diff(np.concatenate(([False], hidden, [False])).astype(np.int8)))
        for begin, end in zip(edges[::2], edges[1::2], strict=True):
            after = min(end, len(rows) - 1)
            length = max(times[rows[after]] - times[rows[begin]], 0.0)
            part = of_track[begin : end + SINCE_REAPPEARING]
            np.maximum(part, length, out=part)
        for gap in np.flatnonzero(np.diff(results[rows]) > 1) + 1:
            part = of_track[gap : gap + SINCE_REAPPEARING]
            np.maximum(part, times[rows[gap]] - times[rows[gap - 1]], out=part)
        lengths[rows] = of_track
    return lengths


def _ranges(values: Floats, ranges: Mapping[str, tuple[float, float]]) -> dict[str, BoolArray]:
    """Return which values lie in each range, the lower edge included; NaN lies in none."""
    return {name: (values >= low) & (values < high) for name, (low, high) in ranges.items()}
