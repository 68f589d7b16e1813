"""Annotated videos frame by frame, prepared or not: the same stream for every metric."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import numpy as np

from lstmcli.core.boxes import LETTERBOX_GREY, Fit, Letterbox
from lstmcli.core.errors import DataError
from lstmcli.core.media_files import VIDEO_SUFFIXES
from lstmcli.core.types import DataWarning, Picture, VideoLabels
from lstmcli.dataset.manifest import FILE_NAME, Dataset, PreparedVideo
from lstmcli.labels.clock import LabelRate
from lstmcli.labels.exif import turn_with_exif
from lstmcli.labels.media import locate_media
from lstmcli.labels.search import ReadOptions, read_labels
from lstmcli.video import ReadReport, count_packets, read_frames, read_images

WHOLE = "all"
"""Name of the split of a source that was not prepared."""

RATE = 25.0
"""Default frames per second of image sequences."""


class StreamFrame(Protocol):
    """One frame of a stream, and its canvas, made on demand."""

    @property
    def size_hw(self) -> tuple[int, int]:
        """(height, width) of the frame in its source, as shown."""

    def canvas(self, letterbox: Letterbox) -> Picture:
        """Return the frame laid on the canvas, uint8 [canvas height, canvas width, 3]."""


Stream = Iterator[tuple[int, float, StreamFrame]]
"""Source frame index, time in seconds and frame, in order."""


@dataclass(frozen=True, slots=True)
class AnnotatedVideo:
    """A video whose frames can be streamed next to its labels.

    Args:
        name: unique in its source.
        labels: in pixels of the source, by source frame index.
        read: starts the stream of the source's own frames.
        total: how many frames will come; None where unknown.
        expects_all: whether every labelled frame should come; a prepared dataset may hold fewer.
        size_hw: (height, width) of the frames of a film; None: still images, which may differ.
        prepared: the letterboxed frames of a prepared dataset; None without one.
        report: filled with what was survived while it is streamed.
    """

    name: str
    labels: VideoLabels
    read: Callable[[], Stream] = field(repr=False)
    total: int | None
    expects_all: bool
    size_hw: tuple[int, int] | None = None
    prepared: PreparedFrames | None = None
    report: ReadReport = field(default_factory=ReadReport, repr=False)

    def open(self, canvas_hw: tuple[int, int] | None = None, fit: Fit = "center") -> Stream:
        """Start the stream.

        Args:
            canvas_hw: (height, width) of the canvases that its frames are laid on; prepared frames
                are used where they have the picture at this scale. None: frames of the source.
            fit: how they are laid.

        Raises:
            DataError: the prepared frames do not have it, and the source is gone.
        """
        self.check_canvas(canvas_hw, fit)
        if self.prepared is not None and self.prepared.suits(canvas_hw, fit):
            return self.prepared.stream()
        return self.read()

    def can_show(self, canvas_hw: tuple[int, int] | None, fit: Fit = "center") -> bool:
        """Return whether `open` has frames for such canvases."""
        prepared = self.prepared
        return prepared is None or prepared.suits(canvas_hw, fit) or prepared.has_source

    def check_canvas(self, canvas_hw: tuple[int, int] | None, fit: Fit = "center") -> None:
        """Refuse canvases for which there are no frames; see `open`.

        Raises:
            DataError: the prepared frames do not have them, and the source is gone.
        """
        if self.can_show(canvas_hw, fit):
            return
        assert self.prepared is not None
        dataset, path = self.prepared.dataset, self.prepared.video.path
        (height, width), (own_height, own_width) = canvas_hw or (0, 0), dataset.canvas_hw
        wanted = "" if canvas_hw is None else f", the model's is {width}x{height}"
        raise DataError(
            f"{dataset.folder}: prepared for a canvas of {own_width}x{own_height}{wanted}, and "
            f"{path} is no video that could be read again",
            hint=f"prepare again with --size {width},{height}"
            if fit == "center" and canvas_hw is not None
            else "evaluate on the labels that it was prepared from",
        )


@dataclass(frozen=True, slots=True)
class PreparedFrames:
    """The letterboxed frames of one video of a prepared dataset."""

    dataset: Dataset = field(repr=False)
    video: PreparedVideo = field(repr=False)

    @property
    def letterbox(self) -> Letterbox:
        """How the frames were laid on their canvas."""
        return Letterbox(self.video.size_hw, self.dataset.canvas_hw)

    @property
    def has_source(self) -> bool:
        """Whether the video that they were made of can be read again."""
        return Path(self.video.path).is_file()

    @property
    def is_film(self) -> bool:
        """Whether they were made of a film, not of still images."""
        path = Path(self.video.path)
        return path.suffix.lower() in VIDEO_SUFFIXES and not path.is_dir()

    def suits(self, canvas_hw: tuple[int, int] | None, fit: Fit) -> bool:
        """Return whether they show the picture as large as another canvas does."""
        if canvas_hw is None or fit != "center":
            return False
        return Letterbox(self.video.size_hw, canvas_hw).inner_hw == self.letterbox.inner_hw

    def stream(self) -> Stream:
        """Yield the frames as they were prepared."""
        letterbox = self.letterbox
        for frame, time_s, picture in self.dataset.frames(self.video):
            yield frame, time_s, _StoredFrame(letterbox, picture)


@dataclass(frozen=True, slots=True)
class AnnotatedSource:
    """Annotated videos of a prepared dataset or of label files.

    Args:
        classes: class names, in the order of the labels' indices.
        split: of the prepared dataset, or `all`.
        videos: of that split.
        warnings: of the labels.
    """

    classes: tuple[str, ...]
    split: str
    videos: tuple[AnnotatedVideo, ...]
    warnings: tuple[DataWarning, ...] = ()


def open_source(
    path: Path,
    *,
    split: str,
    format: str | None = None,
    media: Path | None = None,
    annotator: str = "",
    label_rate: LabelRate = None,
) -> AnnotatedSource:
    """Return the videos of a prepared dataset's split, or of a whole source of labels.

    Args:
        path: a folder with a `dataset.json`, that file, or anything that `prepare` reads.
        split: of the prepared dataset.
        format: of labels that are not prepared; None detects it.
        media: folder of their videos or frames, where the labels hold no paths.
        annotator: whose boxes are used where several people annotated.
        label_rate: frame rate of the labels, or "film"; None: compared with the video.

    Raises:
        DataError: the dataset or the labels cannot be used.
        MediaError: the videos are not there.
    """
    if not path.exists():
        raise DataError(
            f"{path}: there is no such dataset or source of labels",
            hint="run `lstmcli prepare` first, or name annotated videos",
        )
    if path.name == FILE_NAME or (path / FILE_NAME).is_file():
        dataset = Dataset.load(path)
        return AnnotatedSource(
            dataset.classes,
            split,
            tuple(_prepared(dataset, video) for video in dataset.split(split)),
        )
    how = ReadOptions(format, media, annotator=annotator, label_rate=label_rate)
    labels = turn_with_exif(
        locate_media(read_labels(path, options=how), path, media, label_rate=label_rate)
    )
    videos = tuple(_unprepared(video) for video in labels.videos)
    return AnnotatedSource(labels.classes, WHOLE, videos, labels.warnings)


@dataclass(frozen=True, slots=True)
class _StoredFrame:
    letterbox: Letterbox
    picture: Picture

    @property
    def size_hw(self) -> tuple[int, int]:
        """(height, width) of the frame in its source, as shown."""
        return self.letterbox.source_hw

    def canvas(self, letterbox: Letterbox) -> Picture:
        """Return the canvas as it was prepared, with other bars where they are wanted."""
        own = self.letterbox
        if letterbox.canvas_hw == own.canvas_hw:
            return self.picture
        assert letterbox.inner_hw == own.inner_hw, "prepared at another scale"
        (top, left), (height, width) = own.offset_yx, own.inner_hw
        canvas = np.full((*letterbox.canvas_hw, 3), LETTERBOX_GREY, np.uint8)
        new_top, new_left = letterbox.offset_yx
        canvas[new_top : new_top + height, new_left : new_left + width] = self.picture[
            top : top + height, left : left + width
        ]
        return canvas


def _prepared(dataset: Dataset, video: PreparedVideo) -> AnnotatedVideo:
    report = ReadReport()

    def read_again() -> Stream:
        wanted = set(video.frames.tolist())
        by_position = counts_lost_frames(video.labels, Path(video.path))
        for frame in read_frames(video.path, report=report):
            number = frame.position if by_position else frame.index
            if number in wanted:
                yield number, frame.time_s, frame

    prepared = PreparedFrames(dataset, video)
    return AnnotatedVideo(
        video.name,
        video.labels,
        read_again,
        total=len(video.frames),
        expects_all=False,
        size_hw=video.size_hw if prepared.is_film else None,
        prepared=prepared,
        report=report,
    )


def _unprepared(labels: VideoLabels) -> AnnotatedVideo:
    images = [(frame, Path(path)) for frame, path in enumerate(labels.images) if path]
    report = ReadReport()

    def pictures() -> Stream:
        paths = [path for _, path in images]
        for frame in read_images(paths, report=report, skips_broken=True):
            number = images[frame.index][0]
            _check_size(labels, frame.size_hw)
            yield number, number / (labels.rate or RATE), frame

    def frames() -> Stream:
        path = Path(labels.media or "")
        by_position = counts_lost_frames(labels, path)
        for frame in read_frames(path, rate=labels.rate, report=report):
            _check_size(labels, frame.size_hw)
            yield frame.position if by_position else frame.index, frame.time_s, frame

    return AnnotatedVideo(
        labels.name,
        labels,
        pictures if images else frames,
        total=len(images) or labels.frame_count,
        expects_all=True,
        size_hw=None if images else labels.size_hw,
        report=report,
    )


def counts_lost_frames(labels: VideoLabels, path: Path) -> bool:
    """Return whether labels count the frames of a file with those that cannot be decoded.

    Labels that were made before a file was damaged do; those that a decoder counted do not.
    """
    last = int(labels.annotated_frames[-1]) + 1 if len(labels.annotated_frames) else 0
    return max(last, labels.frame_count or 0) == count_packets(path)


def _check_size(labels: VideoLabels, size_hw: tuple[int, int]) -> None:
    if labels.size_hw is not None and tuple(labels.size_hw) != size_hw:
        raise DataError(
            f"{labels.name}: the labels speak of {labels.size_hw[1]}x{labels.size_hw[0]} pixels, "
            f"the frames have {size_hw[1]}x{size_hw[0]}",
            hint="give the media that were labelled, with --media DIR",
        )
