"""Annotations, detections and label sets: the data structures of all rooms.

NumPy only, so that labels, metrics and writers need no torch. Boxes are always float32 [N, 4]
(x1, y1, x2, y2) in pixels of the frame they belong to; classes are indices into a tuple of names.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float32]
IntArray = npt.NDArray[np.int64]
BoolArray = npt.NDArray[np.bool_]
Picture = npt.NDArray[np.uint8]
"""RGB, uint8 [H, W, 3]; in memory pixel by pixel or as three planes, whichever it came as."""


def planes_of(picture: Picture) -> Picture:
    """Return a picture [H, W, 3] as planes [3, H, W] in a row; what lies so is not copied."""
    planes = picture.transpose(2, 0, 1)
    if planes.flags.c_contiguous:
        return planes
    copied = np.empty(planes.shape, picture.dtype)
    for target, plane in zip(copied, planes, strict=True):  # quicker than all three at once
        target[...] = plane
    return copied


def pixels_of(picture: Picture) -> Picture:
    """Return a picture [H, W, 3] whose pixels lie in a row; what lies so is not copied."""
    if picture.flags.c_contiguous:
        return picture
    copied = np.empty(picture.shape, picture.dtype)
    for channel in range(picture.shape[2]):
        copied[..., channel] = picture[..., channel]
    return copied


def no_boxes() -> FloatArray:
    """Return an empty float32 array of boxes, [0, 4]."""
    return np.zeros((0, 4), np.float32)


@dataclass(frozen=True, slots=True)
class Annotations:
    """The ground truth of one frame. No rows: annotated, without objects. (Unannotated: `None`.)

    Args:
        boxes: float32 [N, 4] in pixels of the frame.
        labels: int64 [N], class indices.
        tracks: int64 [N], the same number for the same object along a video, -1 where unknown.
        ignore: bool [N], True where neither a loss nor a false positive may come from the box.
        scores: float32 [N] in 0..1, how sure each is; None: all are.
    """

    boxes: FloatArray
    labels: IntArray
    tracks: IntArray
    ignore: BoolArray
    scores: FloatArray | None = None

    def __post_init__(self) -> None:
        n = len(self.boxes)
        assert self.boxes.shape == (n, 4), self.boxes.shape
        assert len(self.labels) == len(self.tracks) == len(self.ignore) == n
        assert self.scores is None or len(self.scores) == n

    def __len__(self) -> int:
        return len(self.boxes)


@dataclass(frozen=True, slots=True)
class Detections:
    """The detections of one frame, best score first.

    Args:
        boxes: float32 [N, 4] in pixels of the frame as shown.
        scores: float32 [N] in 0..1.
        labels: int64 [N], class indices.
        track_ids: int64 [N], -1 without a track.
    """

    boxes: FloatArray
    scores: FloatArray
    labels: IntArray
    track_ids: IntArray

    def __post_init__(self) -> None:
        n = len(self.boxes)
        assert self.boxes.shape == (n, 4), self.boxes.shape
        assert len(self.scores) == len(self.labels) == len(self.track_ids) == n

    def __len__(self) -> int:
        return len(self.boxes)

    @classmethod
    def none(cls) -> Detections:
        """Return detections without rows."""
        return cls(
            no_boxes(), np.zeros(0, np.float32), np.zeros(0, np.int64), np.zeros(0, np.int64)
        )

    def select(self, rows: npt.NDArray[np.bool_] | IntArray) -> Detections:
        """Return the given rows, in the given order."""
        return Detections(
            self.boxes[rows], self.scores[rows], self.labels[rows], self.track_ids[rows]
        )


@dataclass(frozen=True, slots=True)
class VideoLabels:
    """Everything an annotation file says of one video, or of one still image (a one-frame video).

    Columns instead of objects: a million boxes are five arrays.

    Args:
        name: unique in its set; usually the stem or the relative path of the medium.
        media: the video's path as the file writes it (or as found), "" where unknown.
            None where the frames are images: then `images` names them.
        images: paths of the images of the frames, by frame index; "" for a frame without image.
        size_hw: (height, width) in pixels as shown, None where unknown.
        rate: frames per second, None where unknown.
        frame_count: number of frames of the video, None where unknown.
        annotated_frames: int64 [F], sorted and unique. A frame in it without boxes is empty; a
            frame outside it is unannotated.
        box_frames: int64 [N], sorted: the frame of each box, from 0.
        boxes: float32 [N, 4] in pixels of the frame; float64 is kept where a reader needs it.
        labels: int64 [N], class indices of the set.
        tracks: int64 [N], -1 where unknown.
        ignore: bool [N].
        scores: float32 [N] in 0..1, how sure a label is (a soft label of a teacher); None: all are.
        split: `train`, `val` or `test` where the set divides itself, None where it does not.
        source: the label file, "" where unknown.
        placed_by_time: whether its labels hold times and were matched to frames by time stamps.
    """

    name: str
    media: str | None
    annotated_frames: IntArray
    box_frames: IntArray
    boxes: FloatArray
    labels: IntArray
    tracks: IntArray
    ignore: BoolArray
    scores: FloatArray | None = None
    images: tuple[str, ...] = ()
    size_hw: tuple[int, int] | None = None
    rate: float | None = None
    frame_count: int | None = None
    split: str | None = None
    source: str = ""
    placed_by_time: bool = False

    def __post_init__(self) -> None:
        n = len(self.box_frames)
        assert self.boxes.shape == (n, 4), self.boxes.shape
        assert len(self.labels) == len(self.tracks) == len(self.ignore) == n
        assert self.scores is None or self.scores.shape == (n,)
        assert n == 0 or bool(np.all(np.diff(self.box_frames) >= 0)), "boxes are sorted by frame"

    def select(self, rows: BoolArray | IntArray, **changes: Any) -> VideoLabels:
        """Return the video with the given boxes alone, in the given order.

        Args:
            rows: which boxes.
            changes: other fields, as for `dataclasses.replace`.
        """
        kept: dict[str, Any] = {
            "box_frames": self.box_frames[rows],
            "boxes": self.boxes[rows],
            "labels": self.labels[rows],
            "tracks": self.tracks[rows],
            "ignore": self.ignore[rows],
            "scores": None if self.scores is None else self.scores[rows],
        }
        return replace(self, **(kept | changes))

    def filled_scores(self) -> FloatArray:
        """Return the scores, 1 where none are given, float32 [N]."""
        return np.ones(len(self.boxes), np.float32) if self.scores is None else self.scores

    def at(self, frame: int) -> Annotations | None:
        """Return the ground truth of one frame, None where it is unannotated."""
        row = np.searchsorted(self.annotated_frames, frame)
        if row == len(self.annotated_frames) or self.annotated_frames[row] != frame:
            return None
        first, last = np.searchsorted(self.box_frames, (frame, frame + 1))
        rows = slice(int(first), int(last))
        return Annotations(
            self.boxes[rows],
            self.labels[rows],
            self.tracks[rows],
            self.ignore[rows],
            None if self.scores is None else self.scores[rows],
        )


def joined_scores(videos: Sequence[VideoLabels]) -> FloatArray | None:
    """Return the scores of the boxes of all videos in a row, None where no video has any."""
    if all(video.scores is None for video in videos):
        return None
    return np.concatenate([video.filled_scores() for video in videos])


@dataclass(frozen=True, slots=True)
class DataWarning:
    """A warning about the data; equal texts are shown once with a count.

    Args:
        text: the problem, without numbers that differ from case to case.
        where: file and line, or file and frame, of the first case.
        count: how many cases.
    """

    text: str
    where: str = ""
    count: int = 1


@dataclass(frozen=True, slots=True)
class LabelSet:
    """Class names, videos and warnings, as a reader returns them."""

    classes: tuple[str, ...]
    videos: tuple[VideoLabels, ...]
    warnings: tuple[DataWarning, ...] = field(default=())
