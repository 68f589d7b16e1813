"""HOTA, CLEAR MOT and identity metrics of tracks, counted by TrackEval.

Luiten et al. 2020 (HOTA, https://arxiv.org/abs/2009.07736), Bernardin & Stiefelhagen 2008 (CLEAR),
Ristani et al. 2016 (IDF1, https://arxiv.org/abs/1609.01775). Detections that count neither way
(in ignored regions) are left out, as MOTChallenge does. A track matches ground truth of its class
only.
"""

from __future__ import annotations

from importlib.util import find_spec
from itertools import pairwise
from typing import Any

import numpy as np

from lstmcli.core.boxes import box_iou
from lstmcli.core.types import IntArray
from lstmcli.metrics.comparison import Comparison, Json

KEYS = (
    "hota",
    "detection_accuracy",
    "association_accuracy",
    "mota",
    "idf1",
    "id_switches",
    "fragmentations",
    "mostly_tracked",
    "mostly_lost",
    "ground_truth_tracks",
)


def track_metrics(comparison: Comparison) -> dict[str, Json]:
    """Return the metrics of tracks at the threshold, the sums over all videos.

    Every value is None where nothing was tracked, the ground truth has no tracks, or TrackEval is
    not installed (`pip install 'lstmcli[tracks]'`).

    Keys:
        hota, detection_accuracy, association_accuracy: means over overlaps 0.05 to 0.95.
        mota, idf1: at an overlap of 0.5.
        id_switches, fragmentations: how many.
        mostly_tracked, mostly_lost, ground_truth_tracks: how many.
    """
    unknown: dict[str, Json] = dict.fromkeys(KEYS)
    if find_spec("trackeval") is None:
        return unknown
    videos = range(len(comparison.video_names))
    ids = _shown_track_ids(comparison)
    found = (_sequence(comparison, ids, video) for video in videos)
    sequences = [data for data in found if data is not None]
    if not sequences or not any(sequence["num_tracker_ids"] for sequence in sequences):
        return unknown
    from trackeval.metrics import CLEAR, HOTA, Identity

    quiet = {"PRINT_CONFIG": False}
    hota, clear, identity = HOTA(), CLEAR(quiet), Identity(quiet)
    sums = [
        metric.combine_sequences(
            {str(number): metric.eval_sequence(data) for number, data in enumerate(sequences)}
        )
        for metric in (hota, clear, identity)
    ]
    return {
        "hota": float(np.mean(sums[0]["HOTA"])),
        "detection_accuracy": float(np.mean(sums[0]["DetA"])),
        "association_accuracy": float(np.mean(sums[0]["AssA"])),
        "mota": float(sums[1]["MOTA"]),
        "idf1": float(sums[2]["IDF1"]),
        "id_switches": int(sums[1]["IDSW"]),
        "fragmentations": int(sums[1]["Frag"]),
        "mostly_tracked": int(sums[1]["MT"]),
        "mostly_lost": int(sums[1]["ML"]),
        "ground_truth_tracks": sum(sequence["num_gt_ids"] for sequence in sequences),
    }


def _sequence(comparison: Comparison, ids: IntArray, video: int) -> dict[str, Any] | None:
    """Return one video as TrackEval takes it; None where its ground truth has no tracks.

    Args:
        comparison: of all videos.
        ids: int64, the track of every row of `shown`.
        video: its number.
    """
    gt, shown = comparison.gt, comparison.shown
    frames = np.flatnonzero(comparison.videos == video)
    gt_rows = np.flatnonzero(comparison.videos[gt.results] == video)
    if not len(gt_rows) or (gt.tracks[gt_rows] < 0).any():
        return None
    of_video = comparison.videos[shown.results] == video
    rows = np.flatnonzero(of_video & ~shown.ignored & (ids >= 0))
    gt_ids, gt_of = _numbered(gt.tracks[gt_rows])
    det_ids, det_of = _numbered(ids[rows])
    gt_ends = np.searchsorted(gt.results[gt_rows], np.append(frames, frames[-1] + 1)).tolist()
    det_ends = np.searchsorted(shown.results[rows], np.append(frames, frames[-1] + 1)).tolist()
    gt_frames, det_frames, overlaps = [], [], []
    for g, d in zip(pairwise(gt_ends), pairwise(det_ends), strict=True):
        some, others = gt_rows[slice(*g)], rows[slice(*d)]
        gt_frames.append(gt_of[slice(*g)])
        det_frames.append(det_of[slice(*d)])
        overlap = np.zeros((len(some), len(others)), np.float32)
        if overlap.size:
            same = gt.labels[some][:, None] == shown.labels[others][None, :]
            iou = box_iou(gt.boxes[some].astype(np.float32), shown.boxes[others])
            overlap = np.where(same, iou, 0.0)
        overlaps.append(overlap)
    return {
        "num_timesteps": len(frames),
        "num_gt_ids": gt_ids,
        "num_tracker_ids": det_ids,
        "num_gt_dets": len(gt_rows),
        "num_tracker_dets": len(rows),
        "gt_ids": gt_frames,
        "tracker_ids": det_frames,
        "similarity_scores": overlaps,
    }


def _shown_track_ids(comparison: Comparison) -> IntArray:
    """Return the track of every row of `shown`, int64 [D]."""
    detections = comparison.joined.detections
    return detections.track_ids[detections.scores >= comparison.threshold]


def _numbered(ids: IntArray) -> tuple[int, IntArray]:
    """Return how many ids there are, and each as a number from 0 in a row."""
    names, numbers = np.unique(ids, return_inverse=True)
    return len(names), numbers.reshape(-1).astype(np.int64)
