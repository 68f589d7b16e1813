"""Statistics and likely errors of a label set, to be read before training."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from lstmcli.core.boxes import box_area
from lstmcli.core.tables import Histogram, Table
from lstmcli.core.types import (
    DataWarning,
    FloatArray,
    LabelSet,
    VideoLabels,
)
from lstmcli.labels.plausibility import outside
from lstmcli.labels.warning_collector import WarningCollector

SIZE_EDGES = (0, 8, 16, 32, 64, 128, 256, 512)
"""Pixels of the square root of a box's area."""
MOTION_EDGES = (0, 0.01, 0.03, 0.1, 0.3, 1, 3)
"""Histogram edges of motion: steps of the centre from frame to frame in box sizes."""
IMBALANCE = 20
"""Ratio of class frequencies from which a rare class is reported."""


@dataclass(frozen=True, slots=True)
class SplitCount:
    """Counts of one split; `unseen` frames are unannotated, `per_class` omits ignored boxes."""

    split: str
    videos: int
    frames: int
    empty: int
    unseen: int
    boxes: int
    ignored: int
    per_class: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Review:
    """Everything about a label set that the terminal and the page show."""

    classes: tuple[str, ...]
    splits: tuple[SplitCount, ...]
    sizes: Histogram
    motion: Histogram
    warnings: tuple[DataWarning, ...]

    def tables(self) -> tuple[Table, ...]:
        """Return the tables in the order in which a person wants them."""
        counts = Table(
            "Splits",
            ("split", "videos", "frames", "empty", "unannotated", "boxes", "ignored"),
            tuple(
                (s.split, *map(str, (s.videos, s.frames, s.empty, s.unseen, s.boxes, s.ignored)))
                for s in self.splits
            ),
        )
        classes = Table(
            "Boxes per class",
            ("class", *(s.split for s in self.splits)),
            tuple(
                (name, *(str(s.per_class[n]) for s in self.splits))
                for n, name in enumerate(self.classes)
            ),
        )
        return counts, classes, self.sizes.table(), self.motion.table()


def review(
    labels: LabelSet,
    splits: Mapping[str, str],
    *,
    uncut: Sequence[VideoLabels] | None = None,
    found_in_pictures: Sequence[DataWarning] = (),
) -> Review:
    """Count a label set and collect its likely errors.

    Args:
        labels: with sizes.
        splits: the split of every video by its name.
        uncut: the labels before they were cut to their pictures; None: those of `labels`.
        found_in_pictures: what `picture_checks` says of the frames.
    """
    warnings = WarningCollector()
    _check_counts(labels, splits, warnings)
    for video in labels.videos if uncut is None else uncut:
        _check_boxes(video, warnings)
        _check_frames(video, warnings)
    for video in labels.videos:
        _check_tracks(video, warnings)
    _check_leaks(labels, splits, warnings)
    order = {"train": 0, "val": 1, "test": 2}
    names = sorted(set(splits.values()), key=lambda name: (order.get(name, 3), name))
    return Review(
        labels.classes,
        tuple(_count(labels, splits, name) for name in names),
        _sizes(labels),
        _motion(labels),
        (*warnings.collected(), *found_in_pictures),
    )


def _count(labels: LabelSet, splits: Mapping[str, str], split: str) -> SplitCount:
    videos = [video for video in labels.videos if splits[video.name] == split]
    seen = sum(len(video.annotated_frames) for video in videos)
    filled = sum(len(np.unique(video.box_frames)) for video in videos)
    unseen = sum(max(0, (v.frame_count or 0) - len(v.annotated_frames)) for v in videos)
    per_class = np.zeros(len(labels.classes), np.int64)
    for video in videos:
        per_class += np.bincount(video.labels[~video.ignore], minlength=len(per_class))
    return SplitCount(
        split=split,
        videos=len(videos),
        frames=seen,
        empty=seen - filled,
        unseen=unseen,
        boxes=int(per_class.sum()),
        ignored=sum(int(video.ignore.sum()) for video in videos),
        per_class=tuple(per_class.tolist()),
    )


def _binned(
    title: str,
    edges: Sequence[float],
    unit: str,
    classes: Sequence[str],
    values: Sequence[np.ndarray[tuple[int], np.dtype[np.float64]]],
) -> Histogram:
    bins = [f"{a:g}-{b:g}{unit}" for a, b in pairwise(edges)]
    bins.append(f"over {edges[-1]:g}{unit}")
    limits = np.array([*edges, np.inf])
    rows = tuple(
        (name, tuple(np.histogram(found, limits)[0].tolist()))
        for name, found in zip(classes, values, strict=True)
    )
    return Histogram(title, tuple(bins), rows)


def _sizes(labels: LabelSet) -> Histogram:
    found: list[list[float]] = [[] for _ in labels.classes]
    for video in labels.videos:
        roots = np.sqrt(box_area(video.boxes))
        for label in np.unique(video.labels):
            found[label] += roots[(video.labels == label) & ~video.ignore].tolist()
    values = [np.array(sizes, np.float64) for sizes in found]
    return _binned(
        "Size of the boxes (root of the area)", SIZE_EDGES, " px", labels.classes, values
    )


def _motion(labels: LabelSet) -> Histogram:
    found: list[list[float]] = [[] for _ in labels.classes]
    for video in labels.videos:
        rows, steps, gaps = _steps(video)
        for label in np.unique(video.labels[rows]):
            of_class = video.labels[rows] == label
            found[label] += (steps[of_class] / gaps[of_class]).tolist()
    values = [np.array(moves, np.float64) for moves in found]
    title = "Motion from frame to frame (in sizes of the box)"
    return _binned(title, MOTION_EDGES, "", labels.classes, values)


def _steps(video: VideoLabels) -> tuple[np.ndarray, FloatArray, FloatArray]:
    """Return rows, how far each went since its track's row before in its own sizes, and the gap."""
    rows = np.flatnonzero((video.tracks >= 0) & ~video.ignore)
    rows = rows[np.lexsort((video.box_frames[rows], video.tracks[rows]))]
    if len(rows) < 2:
        nothing = np.zeros(0, np.float32)
        return rows[:0], nothing, nothing
    boxes = video.boxes[rows].astype(np.float32)
    centres = (boxes[:, :2] + boxes[:, 2:]) / 2
    gaps = np.diff(video.box_frames[rows]).astype(np.float32)
    same = (np.diff(video.tracks[rows]) == 0) & (gaps > 0)
    sizes = np.sqrt(box_area(boxes))[1:]
    steps = np.hypot(*np.diff(centres, axis=0).T) / np.maximum(sizes, 1e-6)
    return rows[1:][same], steps[same].astype(np.float32), gaps[same]


def _check_counts(labels: LabelSet, splits: Mapping[str, str], warnings: WarningCollector) -> None:
    train = np.zeros(len(labels.classes), np.int64)
    other = np.zeros(len(labels.classes), np.int64)
    for video in labels.videos:
        counts = np.bincount(video.labels[~video.ignore], minlength=len(labels.classes))
        if splits[video.name] == "train":
            train += counts
        else:
            other += counts
    if not (train.sum() or other.sum()):
        warnings.add("there are no boxes at all")
        return
    for n, name in enumerate(labels.classes):
        if train[n] == 0 and "train" in splits.values():
            warnings.add("a class without boxes to train on", name)
        elif train[n] * IMBALANCE < train.max():
            warnings.add(
                f"a class is more than {IMBALANCE} times rarer than the most frequent one",
                f"{name}: {train[n]} boxes, {labels.classes[int(train.argmax())]}: {train.max()}",
            )
        if other[n] == 0 and train[n] > 0 and len(set(splits.values())) > 1:
            warnings.add("a class is in no video for validation or test", name)


def _check_boxes(video: VideoLabels, warnings: WarningCollector) -> None:
    """Warn of boxes outside the picture, duplicates, swapped axes, fractions taken for pixels."""
    if video.size_hw is None or not len(video.boxes):
        return
    height, width = video.size_hw
    boxes = video.boxes[~video.ignore]
    frames = video.box_frames[~video.ignore]
    if not len(boxes):
        return
    sizes = np.tile(np.array((height, width), np.float64), (len(boxes), 1))
    beyond = outside(boxes, sizes)
    where = f"{video.name}, frame {frames[int(beyond.argmax())]}"
    if beyond.mean() > 0.2 and beyond.sum() >= 3 and width != height:
        swapped = outside(boxes[:, [1, 0, 3, 2]], sizes)
        if swapped.mean() < 0.05:
            warnings.add("boxes fit the picture only with x and y exchanged", video.name)
    warnings.add("a box leaves the picture", where, int(beyond.sum()))
    if boxes.max() <= 1.5 and max(width, height) > 32:
        warnings.add("every box is smaller than two pixels: are they fractions?", video.name)
    keys = np.column_stack((frames, video.labels[~video.ignore], np.round(boxes)))
    duplicates = len(keys) - len(np.unique(keys, axis=0))
    warnings.add("the same box twice in a frame", video.name, duplicates)


def _check_frames(video: VideoLabels, warnings: WarningCollector) -> None:
    """Warn of ground truth beyond the end of the video, and of frames that seem to count from 1."""
    if video.frame_count is None or not len(video.annotated_frames):
        return
    first, last = int(video.annotated_frames[0]), int(video.annotated_frames[-1])
    if last == video.frame_count and first == 1:
        warnings.add(
            "frames seem to count from 1: the first is missing and the last too many", video.name
        )
    elif last >= video.frame_count:
        late = int((video.annotated_frames >= video.frame_count).sum())
        warnings.add("ground truth for a frame beyond the end of the video", video.name, late)


def _check_tracks(video: VideoLabels, warnings: WarningCollector) -> None:
    """Note tracks that jump, and frames with two boxes of one track."""
    rows, steps, gaps = _steps(video)
    jumps = (steps > 5) & (gaps == 1)
    if jumps.any():
        frame = video.box_frames[rows[int(jumps.argmax())]]
        warnings.add(
            "a track jumps by more than five of its sizes from one frame to the next",
            f"{video.name}, frame {frame}",
            int(jumps.sum()),
        )
    known = video.tracks >= 0
    keys = np.column_stack((video.box_frames[known], video.tracks[known], video.labels[known]))
    twice = len(keys) - len(np.unique(keys, axis=0))
    warnings.add("two boxes of one track in a frame", video.name, twice)


def _check_leaks(labels: LabelSet, splits: Mapping[str, str], warnings: WarningCollector) -> None:
    """Note videos of different splits that are one file or carry the same boxes."""
    first: dict[object, VideoLabels] = {}
    for video in labels.videos:
        for key in _identities(video):
            other = first.setdefault(key, video)
            if splits[other.name] != splits[video.name]:
                warnings.add(
                    "one recording is in two splits, so the result will look too good",
                    f"{other.name} ({splits[other.name]}), {video.name} ({splits[video.name]})",
                )
                break


def _identities(video: VideoLabels) -> list[object]:
    """Return what only copies of one recording have in common."""
    found: list[object] = []
    if video.media:
        found.append(video.media)
    found += [image for image in video.images if image]
    if len(video.boxes) >= 20:
        found.append((video.box_frames.tobytes(), np.round(video.boxes).tobytes()))
    return found
