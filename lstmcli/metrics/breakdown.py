"""Metrics by object size, by object motion, and by the number of frames since the last reset."""

from __future__ import annotations

import math
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from lstmcli.core.boxes import box_area
from lstmcli.core.types import BoolArray, IntArray
from lstmcli.metrics.average_precision import mean_of_known
from lstmcli.metrics.coco import COCO_SIZES
from lstmcli.metrics.comparison import Comparison, Json
from lstmcli.metrics.motion import motion_iou

RELATIVE_SIZES = (0.0, 0.02, 0.04, 0.08, 0.16, math.inf)
"""Edges of sqrt(box area / frame area)."""

SLOW, FAST = 0.9, 0.7
"""A motion IoU above the first is slow, one below the second fast, the rest medium."""

STEPS: dict[str, tuple[int, float]] = {"0-4": (0, 5), "5-19": (5, 20), "20+": (20, math.inf)}
"""Ranges of the number of frames since the state was reset."""


def by_size(comparison: Comparison) -> dict[str, Json]:
    """Return AP and recall for COCO's small, medium and large, then by side relative to the frame.

    A false positive counts in the range of its own size, as in COCO.
    """
    gt, scored = comparison.gt, comparison.scored
    table: dict[str, Json] = {}
    areas, detected_areas = box_area(gt.boxes), box_area(scored.boxes)
    for column, (name, (low, high)) in enumerate(COCO_SIZES.items(), start=1):
        counted = (detected_areas >= low) & (detected_areas <= high)
        table[name] = comparison.subset_scores((areas >= low) & (areas <= high), counted) | {
            "map": mean_of_known(comparison.coco.ap[:, column]),
            "map50": mean_of_known(comparison.coco.ap50[:, column]),
        }
    frame_areas = np.array([r.size_hw[0] * r.size_hw[1] for r in comparison.results], np.float64)
    sides = _relative_sides(areas, frame_areas, gt.results)
    detected_sides = _relative_sides(detected_areas, frame_areas, scored.results)
    for low, high in pairwise(RELATIVE_SIZES):
        name = f"{100 * low:.0f}-{high:.0%} of frame" if high < 1 else f"{low:.0%}+ of frame"
        table[name] = comparison.subset_scores(
            _within(sides, low, high), _within(detected_sides, low, high)
        )
    return table


def by_motion(comparison: Comparison) -> dict[str, Json]:
    """Return AP and recall of slow, medium and fast objects (FGFA, Zhu et al. 2017, https://arxiv.org/abs/1703.10025).

    Motion is how much a box overlaps the same track's boxes within ten frames. Boxes without a
    known neighbour are in none of the three and are counted as `unknown`. A false positive has no
    motion and counts in each.
    """
    gt = comparison.gt
    frames = np.array([result.frame for result in comparison.results], np.int64)
    motion = motion_iou(comparison.videos[gt.results], gt.tracks, frames[gt.results], gt.boxes)
    everything = np.ones(len(comparison.scored.scores), np.bool_)
    known = ~np.isnan(motion)
    rows = {
        "slow": known & (motion > SLOW),
        "medium": known & (motion <= SLOW) & (motion >= FAST),
        "fast": known & (motion < FAST),
    }
    table: dict[str, Json] = {
        name: comparison.subset_scores(rows_of, everything) for name, rows_of in rows.items()
    }
    table["unknown"] = {"boxes": int((~known).sum()), "map50": None, "recall": None}
    return table


def by_step(comparison: Comparison) -> dict[str, Json]:
    """Return AP and recall by the number of frames since the last reset (warm-up of the memory)."""
    steps = np.array(
        [r.frame if r.steps_before is None else r.steps_before for r in comparison.results],
        np.int64,
    )
    table: dict[str, Json] = {}
    for name, (low, high) in STEPS.items():
        within = (steps >= low) & (steps < high)
        scores = comparison.subset_scores(
            within[comparison.gt.results], within[comparison.scored.results]
        )
        table[name] = {"frames": int(within.sum())} | scores
    return table


def _relative_sides(
    areas: npt.NDArray[np.floating], frame_areas: npt.NDArray[np.float64], rows: IntArray
) -> npt.NDArray[np.float64]:
    return np.sqrt(areas / frame_areas[rows])


def _within(values: npt.NDArray[np.floating], low: float, high: float) -> BoolArray:
    return np.asarray((values >= low) & (values < high))
