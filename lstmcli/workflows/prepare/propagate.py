"""Propagates the labels of a few key frames to the frames between them.

Every object is followed by its appearance forwards from one annotated frame and backwards from the
next. Where both arrive at the same box it is a label; where they disagree, or where an object is
annotated at one end alone, the region is ignored: it neither trains nor counts as background.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt

from lstmcli.core.boxes import Letterbox, box_iou
from lstmcli.core.progress import Progress
from lstmcli.core.types import (
    Annotations,
    DataWarning,
    FloatArray,
    IntArray,
    LabelSet,
    VideoLabels,
)
from lstmcli.tracking.template import TemplateTrack, follow
from lstmcli.video import ReadReport
from lstmcli.workflows.prepare.frames import frames_of

MAX_GAP_S = 2.0
"""Longest time between two annotated frames that is bridged."""
MAX_GAP_FRAMES = 120
AGREEMENT = 0.5
"""IoU from which two boxes of one object are the same."""
SAME_OBJECT = 0.3
"""IoU from which a followed box and an annotated one are the same object."""
LOST = 0.5
"""Correlation below which an object counts as lost."""
LONG_SIDE = 640
"""Pictures are followed at this size at most."""


@dataclass(slots=True)
class _Rows:
    """Boxes of frames between, in columns that grow."""

    frames: list[int]
    boxes: list[FloatArray]
    labels: list[int]
    tracks: list[int]
    ignore: list[bool]

    def add(self, frame: int, box: FloatArray, of: _Object, *, ignore: bool) -> None:
        self.frames.append(frame)
        self.boxes.append(box)
        self.labels.append(of.label)
        self.tracks.append(of.track)
        self.ignore.append(ignore)


@dataclass(frozen=True, slots=True)
class _Object:
    """An object annotated at one or both ends of a gap; boxes on the canvas."""

    before: FloatArray | None
    after: FloatArray | None
    label: int
    track: int


def propagate(labels: LabelSet, progress: Progress) -> LabelSet:
    """Return the labels with those of frames between annotated frames added.

    Args:
        labels: of videos whose media can be read, with their sizes.
        progress: shows progress.

    Raises:
        MediaError: a video or an image cannot be read.
    """
    todo = [len(_gaps(video)) for video in labels.videos]
    videos, added, ignored, long = [], 0, 0, 0
    with_gaps = progress.track(
        _propagated(labels.videos), total=sum(todo) + len(todo), label="propagate"
    )
    for done in with_gaps:
        if done is None:
            continue
        video, rows = done
        videos.append(video)
        added += len(rows.ignore) - sum(rows.ignore)
        ignored += sum(rows.ignore)
        long += _long_gaps(video)
    notes = (
        DataWarning("boxes propagated from annotated frames", count=added),
        DataWarning("propagated boxes that are uncertain: ignored regions", count=ignored),
        DataWarning(
            f"gaps longer than {MAX_GAP_S:g} s between annotated frames; left unannotated",
            count=long,
        ),
    )
    warnings = (*labels.warnings, *(note for note in notes if note.count))
    return replace(labels, videos=tuple(videos), warnings=warnings)


def _rate(video: VideoLabels) -> float:
    return video.rate or 25.0


def _gaps(video: VideoLabels) -> list[tuple[int, int]]:
    """Return the pairs of annotated frames whose frames between can be bridged."""
    longest = min(MAX_GAP_FRAMES, MAX_GAP_S * _rate(video) + 0.5)
    frames = video.annotated_frames.tolist()
    pairs = pairwise(frames)
    return [(a, b) for a, b in pairs if 1 < b - a <= longest]


def _long_gaps(video: VideoLabels) -> int:
    longest = min(MAX_GAP_FRAMES, MAX_GAP_S * _rate(video) + 0.5)
    return int((np.diff(video.annotated_frames) > longest).sum())


def _propagated(
    videos: tuple[VideoLabels, ...],
) -> Iterator[tuple[VideoLabels, _Rows] | None]:
    """Yield None after each gap, and each video with the rows that were added to it."""
    for video in videos:
        rows = _Rows([], [], [], [], [])
        gaps = _gaps(video)
        frames: list[int] = []
        if gaps:
            assert video.size_hw is not None
            letterbox = _small(video.size_hw)
            for pictures, numbers in _pictures(video, gaps, letterbox):
                frames += numbers[1:-1]
                _bridge(video, pictures, numbers, letterbox, rows)
                yield None
        yield _merged(video, rows, frames), rows


def _small(size_hw: tuple[int, int]) -> Letterbox:
    scale = min(1.0, LONG_SIDE / max(size_hw))
    return Letterbox(
        size_hw, (max(1, round(size_hw[0] * scale)), max(1, round(size_hw[1] * scale)))
    )


def _pictures(
    video: VideoLabels, gaps: list[tuple[int, int]], letterbox: Letterbox
) -> Iterator[tuple[list[FloatArray], list[int]]]:
    """Yield the grey pictures and frame numbers of each gap, both ends included."""
    waiting = list(gaps)
    pictures: list[FloatArray] = []
    numbers: list[int] = []
    for frame in frames_of(video, ReadReport()):
        while waiting and frame.index > waiting[0][1]:  # its end could not be read
            waiting.pop(0)
            pictures, numbers = [], []
        if not waiting:
            return
        if frame.index < waiting[0][0] or frame.is_damaged:
            continue
        grey = frame.canvas(letterbox).mean(axis=2, dtype=np.float32)
        pictures.append(grey)
        numbers.append(frame.index)
        if frame.index == waiting[0][1]:
            if numbers[0] == waiting[0][0]:
                yield pictures, numbers
            waiting.pop(0)
            is_next = bool(waiting) and waiting[0][0] == frame.index
            pictures, numbers = ([grey], [frame.index]) if is_next else ([], [])


def _bridge(
    video: VideoLabels,
    pictures: list[FloatArray],
    numbers: list[int],
    letterbox: Letterbox,
    rows: _Rows,
) -> None:
    """Add the boxes of the frames between the two ends of a gap."""
    before, after = video.at(numbers[0]), video.at(numbers[-1])
    assert before is not None
    assert after is not None
    start, end = letterbox.to_canvas(before.boxes), letterbox.to_canvas(after.boxes)
    forward = [follow(pictures[1:], pictures[0], box) for box in start]
    backward = [follow(pictures[-2::-1], pictures[-1], box) for box in end]
    partners = _partners(before, after, _overlaps(start, end, forward, backward))
    shares = np.arange(1, len(numbers) - 1) / (len(numbers) - 1)
    for row, partner in enumerate(partners):
        label, track = int(before.labels[row]), int(before.tracks[row])
        is_ignored = bool(before.ignore[row])
        if partner < 0:
            _fade(
                forward[row],
                numbers[1:-1],
                _Object(start[row], None, label, track),
                letterbox,
                rows,
            )
            continue
        thing = _Object(start[row], end[partner], label, track)
        back = TemplateTrack(
            backward[partner].boxes[::-1][1:], backward[partner].correlations[::-1][1:]
        )
        for index, share in enumerate(shares.tolist()):
            boxes, is_certain = _agreed(thing, forward[row], back, index, share)
            for box in boxes:
                shown = letterbox.to_source(box[None])[0]
                rows.add(numbers[1 + index], shown, thing, ignore=is_ignored or not is_certain)
    alone = set(range(len(end))) - set(partners.tolist())
    for row in sorted(alone):
        thing = _Object(None, end[row], int(after.labels[row]), int(after.tracks[row]))
        _fade(backward[row], numbers[-2:0:-1], thing, letterbox, rows)


def _overlaps(
    start: FloatArray,
    end: FloatArray,
    forward: list[TemplateTrack],
    backward: list[TemplateTrack],
) -> FloatArray:
    """Return how well each object of one end, followed to the other, meets the objects there."""
    if not len(start) or not len(end):
        return np.zeros((len(start), len(end)), np.float32)
    arrived = box_iou(np.stack([track.boxes[-1] for track in forward]), end)
    returned = box_iou(start, np.stack([track.boxes[-1] for track in backward]))
    return np.asarray(np.maximum(arrived, returned), np.float32)


def _partners(before: Annotations, after: Annotations, overlaps: FloatArray) -> IntArray:
    """Return the row of `after` of every object of `before`, -1 for none; ids go first."""
    partners = np.full(len(before), -1, np.int64)
    free = np.ones(len(after), bool)
    for row, track in enumerate(before.tracks.tolist()):
        same = np.flatnonzero(free & (after.tracks == track) & (track >= 0))
        if len(same):
            partners[row] = same[0]
            free[same[0]] = False
    overlaps = overlaps * (before.labels[:, None] == after.labels)
    overlaps[:, ~free], overlaps[before.tracks >= 0] = 0, 0
    while overlaps.max(initial=0) >= SAME_OBJECT:
        first, second = np.unravel_index(int(np.argmax(overlaps)), overlaps.shape)
        partners[first] = second
        overlaps[first], overlaps[:, second] = 0, 0
    return partners


def _agreed(
    thing: _Object, forward: TemplateTrack, backward: TemplateTrack, index: int, share: float
) -> tuple[list[FloatArray], bool]:
    """Return the box on which two of forward, backward and straight line agree, or the regions."""
    assert thing.before is not None
    assert thing.after is not None
    line = (1 - share) * thing.before + share * thing.after
    predicted, back = forward.boxes[index], backward.boxes[index]
    if _iou(predicted, back) >= AGREEMENT:
        return [(1 - share) * predicted + share * back], True
    if forward.correlations[index] >= LOST and _iou(predicted, line) >= AGREEMENT:
        return [(predicted + line) / 2], True
    if backward.correlations[index] >= LOST and _iou(back, line) >= AGREEMENT:
        return [(back + line) / 2], True
    return [predicted, back, line], False


def _fade(
    track: TemplateTrack,
    numbers: list[int],
    thing: _Object,
    letterbox: Letterbox,
    rows: _Rows,
) -> None:
    """Add an object of one end alone as ignored regions, until it is lost."""
    for number, box, correlation in zip(
        numbers, track.boxes, track.correlations.tolist(), strict=False
    ):
        if correlation < LOST:
            return
        rows.add(number, letterbox.to_source(box[None])[0], thing, ignore=True)


def _iou(first: npt.NDArray[np.floating], second: npt.NDArray[np.floating]) -> float:
    rows = (np.asarray(box, np.float32)[None] for box in (first, second))
    return box_iou(*rows).item()


def _merged(video: VideoLabels, rows: _Rows, frames: list[int]) -> VideoLabels:
    """Return the labels of a video with the added rows, sorted by frame."""
    if not frames:
        return video
    boxes = np.array(rows.boxes, np.float32).reshape(-1, 4)
    visible = ((boxes[:, 2:] - boxes[:, :2]) > 0).all(axis=1)
    pairs: list[tuple[npt.NDArray[Any], Any]] = [
        (video.box_frames, rows.frames),
        (video.boxes, boxes),
        (video.labels, rows.labels),
        (video.tracks, rows.tracks),
        (video.ignore, rows.ignore),
        (video.filled_scores(), np.ones(len(rows.frames))),
    ]
    columns = [np.concatenate((old, np.asarray(new, old.dtype)[visible])) for old, new in pairs]
    order = np.argsort(columns[0], kind="stable")
    box_frames, boxes, labels, tracks, ignore, scores = (column[order] for column in columns)
    annotated = np.union1d(video.annotated_frames, np.array(frames, np.int64))
    return replace(
        video,
        annotated_frames=annotated,
        box_frames=box_frames,
        boxes=boxes,
        labels=labels,
        tracks=tracks,
        ignore=ignore,
        scores=None if video.scores is None else scores,
    )
