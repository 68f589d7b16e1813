"""Cuts long videos at key frames, and joins the detections of the pieces."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from scipy.optimize import linear_sum_assignment

from lstmcli.core.boxes import box_iou
from lstmcli.core.types import Detections, no_boxes
from lstmcli.workflows.distribute.options import TAIL_S, WARM_UP_S

SAME_IOU = 0.5
"""Boxes of one frame that overlap more are the same object in both pieces."""
MIN_FRAMES = 2
"""Frames in which two tracks are the same object before they are joined."""

Record = Mapping[str, Any]
"""A line of `*.detections.jsonl`."""


@dataclass(frozen=True, slots=True)
class Piece:
    """A part of a video, in seconds from its beginning.

    Args:
        begins_s: of its own frames; it is read from `WARM_UP_S` earlier.
        ends_s: of its own frames; it is read until `TAIL_S` later. None: the end of the video.
    """

    begins_s: float
    ends_s: float | None

    @property
    def reads_from_s(self) -> float | None:
        """Where reading begins; None at the beginning of the video."""
        return max(0.0, self.begins_s - WARM_UP_S) or None

    @property
    def reads_until_s(self) -> float | None:
        """Where reading ends; None at the end of the video."""
        return None if self.ends_s is None else self.ends_s + TAIL_S

    def owns(self, time_s: float) -> bool:
        """Return whether a frame belongs to it."""
        return self.begins_s <= time_s and (self.ends_s is None or time_s < self.ends_s)


def cut(duration_s: float, keys: Sequence[float], piece_s: float) -> list[Piece]:
    """Return the pieces of a video, each at least half as long as wanted.

    Args:
        duration_s: of the video.
        keys: times of its key frames.
        piece_s: about the length of a piece.
    """
    seams: list[float] = []
    for key in keys:
        last = seams[-1] if seams else 0.0
        if key - last >= piece_s and duration_s - key >= piece_s / 2:
            seams.append(key - 1e-3)  # before the key frame, whatever is rounded
    edges: list[float | None] = [0.0, *seams, None]
    return [Piece(begin or 0.0, end) for begin, end in pairwise(edges)]


def join(
    pieces: Sequence[tuple[Piece, Path]], *, origin_s: float
) -> Iterator[tuple[int, Detections]]:
    """Yield frame number and detections of a whole video from the files of its pieces.

    Tracks that are the same object where two pieces overlap get one id; the others of a later
    piece get new ones.

    Args:
        pieces: each with its `*.detections.jsonl`, in order.
        origin_s: what the video's clock shows at its beginning.
    """
    names: dict[int, int] = {}
    free, before = 1, None
    for piece, path in pieces:
        if before is not None:
            names = _continued(before, (piece, path), names, origin_s)
        for record in read_records(path):
            if not piece.owns(record["time"] - origin_s):
                continue
            found = detections_of(record)
            for track in sorted(found.track_ids.tolist()):
                if track >= 0 and track not in names:
                    # the first piece keeps its ids
                    names[track] = track if before is None else free
                    free = max(free, names[track] + 1)
            ids = [names.get(track, -1) for track in found.track_ids.tolist()]
            yield record["frame"], replace(found, track_ids=np.array(ids, np.int64))
        before = (piece, path)


def _continued(
    before: tuple[Piece, Path], after: tuple[Piece, Path], names: Mapping[int, int], origin_s: float
) -> dict[int, int]:
    """Return the ids of the next piece's tracks that continue tracks of the one before."""
    seam_s = after[0].begins_s + origin_s
    window = (seam_s - WARM_UP_S, seam_s + TAIL_S)
    olds, news = (
        {r["frame"]: r for r in read_records(path) if window[0] <= r["time"] < window[1]}
        for _, path in (before, after)
    )
    votes: dict[tuple[int, int], float] = defaultdict(float)
    frames: dict[tuple[int, int], int] = defaultdict(int)
    for number in olds.keys() & news.keys():
        old, new = detections_of(olds[number]), detections_of(news[number])
        weight = float(np.exp(-abs(olds[number]["time"] - seam_s)))  # near the seam counts most
        for pair, overlap in _overlaps(old, new):
            votes[pair] += weight * overlap
            frames[pair] += 1
    pairs = [pair for pair in votes if frames[pair] >= MIN_FRAMES and pair[0] in names]
    if not pairs:
        return {}
    rows, columns = (sorted({pair[side] for pair in pairs}) for side in (0, 1))
    gains = np.zeros((len(rows), len(columns)))
    for old_id, new_id in pairs:
        gains[rows.index(old_id), columns.index(new_id)] = votes[(old_id, new_id)]
    chosen = zip(*linear_sum_assignment(gains, maximize=True), strict=True)
    return {columns[j]: names[rows[i]] for i, j in chosen if gains[i, j] > 0}


def _overlaps(old: Detections, new: Detections) -> Iterator[tuple[tuple[int, int], float]]:
    if not len(old) or not len(new):
        return
    overlaps = box_iou(old.boxes, new.boxes)
    for i, j in zip(*np.nonzero(overlaps >= SAME_IOU), strict=True):
        pair = int(old.track_ids[i]), int(new.track_ids[j])
        if min(pair) >= 0:
            yield pair, float(overlaps[i, j])


def read_records(path: Path) -> Iterator[Record]:
    """Yield the records of a `*.detections.jsonl`."""
    with path.open(encoding="utf-8") as file:
        yield from map(json.loads, file)


def detections_of(record: Record) -> Detections:
    """Return the detections of a record."""
    rows: Iterable[Record] = record["detections"]
    rows = list(rows)
    return Detections(
        np.array([row["box"] for row in rows], np.float32) if rows else no_boxes(),
        np.array([row["score"] for row in rows], np.float32),
        np.array([row["class_id"] for row in rows], np.int64),
        np.array([row["track_id"] for row in rows], np.int64),
    )
