"""Stability of detections along ground-truth tracks: flicker, jitter and delay.

After Zhang & Wang 2016, https://arxiv.org/abs/1611.06467 (fragment, centre and scale error) and
Mao et al. 2019, https://arxiv.org/abs/1908.06368 (delay). They average over recalls or fix a rate
of false alarms; here everything is counted at the threshold, as `detect` outputs it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from lstmcli.core.types import BoolArray, FloatArray, IntArray
from lstmcli.metrics.comparison import Comparison, Json
from lstmcli.metrics.matching import Matching
from lstmcli.metrics.motion import track_rows


@dataclass(frozen=True, slots=True)
class Flicker:
    """How often tracks change between found and lost.

    Args:
        changes: of all tracks.
        minutes: time of all tracks without the gaps in their annotations.
        fragment_error: changes by possible changes, the mean over the tracks; None without tracks.
    """

    changes: int
    minutes: float
    fragment_error: float | None

    @property
    def per_minute(self) -> float | None:
        """Changes per minute of the objects' own time; None without any."""
        return self.changes / self.minutes if self.minutes > 0 else None


def stability(comparison: Comparison) -> dict[str, Json]:
    """Return flicker, errors and delay of the tracks, at the threshold.

    Keys:
        flicker_per_minute: changes between found and lost per minute of object time.
        flicker_per_minute_any_class: the same where any class's detection finds a track.
        fragment_error: changes by possible changes, the mean over tracks.
        centre_error: spread (standard deviation over a track) of the offset of the box's centre,
            in widths plus in heights of the ground truth, the mean over tracks.
        scale_error: spread of the side's ratio plus that of the aspect's ratio, likewise.
        delay_frames: source frames from a track's first box to its first detection; a track that is
            never found counts with its whole length.
        tracks, tracks_never_found: how many.
    """
    gt = comparison.gt
    frames = np.array([result.frame for result in comparison.results], np.int64)[gt.results]
    tracks = track_rows(comparison.videos[gt.results], gt.tracks, frames)
    found = comparison.shown.by_gt(len(gt))
    found_any = comparison.shown_any.by_gt(len(gt))
    flicker = count_flicker(comparison, tracks, found >= 0)
    any_class = count_flicker(comparison, tracks, found_any >= 0)
    centre, scale = _jitter(tracks, gt.boxes, comparison.shown, found)
    delays = [_delay(frames[rows], found[rows] >= 0) for rows in tracks]
    return {
        "flicker_per_minute": flicker.per_minute,
        "flicker_per_minute_any_class": any_class.per_minute,
        "fragment_error": flicker.fragment_error,
        "centre_error": centre,
        "scale_error": scale,
        "delay_frames": float(np.mean(delays)) if delays else None,
        "tracks": len(tracks),
        "tracks_never_found": sum(not (found[rows] >= 0).any() for rows in tracks),
    }


def count_flicker(comparison: Comparison, tracks: list[IntArray], found: BoolArray) -> Flicker:
    """Return how often tracks change between found and lost.

    Args:
        comparison: all results.
        tracks: ground-truth rows of each track in the order of time.
        found: bool [N], which ground-truth boxes are matched.
    """
    results = comparison.gt.results
    times = np.array([result.time_s for result in comparison.results], np.float64)
    changes, seconds, shares = 0, 0.0, []
    for rows in tracks:
        # Results are sorted, so that a track in two consecutive annotated frames has no gap.
        joined = np.diff(results[rows]) == 1
        changed = (found[rows[1:]] != found[rows[:-1]]) & joined
        changes += int(changed.sum())
        seconds += float(np.diff(times[results[rows]])[joined].sum())
        if joined.any():
            shares.append(changed.sum() / joined.sum())
    return Flicker(changes, seconds / 60, float(np.mean(shares)) if shares else None)


def _jitter(
    tracks: list[IntArray], boxes: FloatArray, shown: Matching, found: IntArray
) -> tuple[float | None, float | None]:
    centre, scale = [], []
    for rows in tracks:
        rows = rows[found[rows] >= 0]
        if len(rows) < 2:
            continue
        gt_centre, gt_sides = _centre_and_sides(boxes[rows])
        found_centre, found_sides = _centre_and_sides(shown.boxes[found[rows]])
        ratio = found_sides / gt_sides
        centre.append(((found_centre - gt_centre) / gt_sides).std(axis=0).sum())
        scale.append(np.sqrt(ratio.prod(axis=1)).std() + (ratio[:, 0] / ratio[:, 1]).std())
    return (float(np.mean(centre)), float(np.mean(scale))) if centre else (None, None)


def _centre_and_sides(
    boxes: FloatArray,
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    wide = boxes.astype(np.float64)
    # A box without width matches only at an IoU threshold of 0; keep the ratio finite.
    return (wide[:, :2] + wide[:, 2:]) / 2, np.maximum(wide[:, 2:] - wide[:, :2], 1e-3)


def _delay(frames: IntArray, found: BoolArray) -> int:
    if not found.any():
        return int(frames[-1] - frames[0]) + 1
    return int(frames[np.argmax(found)] - frames[0])
