"""Annotated videos frame by frame, prepared or not: the same stream for every metric."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from lstmcli.core.boxes import Fit, Letterbox
from lstmcli.core.errors import DataError
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


@dataclass(frozen=True, slots=True)
class AnnotatedVideo:
    """A video whose frames can be streamed next to its labels.

    Args:
        name: unique in its source.
        labels: in pixels of the source, by source frame index.
        open: starts the stream: (source frame index, time in seconds, frame) in order.
        total: how many frames will come; None where unknown.
        expects_all: whether every labelled frame should come; a prepared dataset may hold fewer.
        report: filled with what was survived while it is streamed.
    """

    name: str
    labels: VideoLabels
    open: Callable[[], Iterator[tuple[int, float, StreamFrame]]] = field(repr=False)
    total: int | None
    expects_all: bool
    report: ReadReport = field(default_factory=ReadReport, repr=False)


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
    canvas_hw: tuple[int, int] | None,
    fit: Fit = "center",
    format: str | None = None,
    media: Path | None = None,
    annotator: str = "",
    label_rate: LabelRate = None,
) -> AnnotatedSource:
    """Return the videos of a prepared dataset's split, or of a whole source of labels.

    Args:
        path: a folder with a `dataset.json`, that file, or anything that `prepare` reads.
        split: of the prepared dataset.
        canvas_hw: (height, width) of the canvas that is wanted. Where the dataset was prepared for
            another one, its source videos are read again. None: only the labels are wanted.
        fit: how frames are laid on it.
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
            tuple(_prepared(dataset, video, canvas_hw, fit) for video in dataset.split(split)),
        )
    how = ReadOptions(format, media, annotator=annotator, label_rate=label_rate)
    labels = turn_with_exif(
        locate_media(read_labels(path, options=how), path, media, label_rate=label_rate)
    )
    videos = tuple(_unprepared(video) for video in labels.videos)
    return AnnotatedSource(labels.classes, WHOLE, videos, labels.warnings)


@dataclass(frozen=True, slots=True)
class _StoredFrame:
    size_hw: tuple[int, int]
    picture: Picture

    def canvas(self, letterbox: Letterbox) -> Picture:
        """Return the canvas as it was prepared."""
        assert self.picture.shape[:2] == letterbox.canvas_hw, "prepared for another canvas"
        return self.picture


def _prepared(
    dataset: Dataset, video: PreparedVideo, canvas_hw: tuple[int, int] | None, fit: Fit
) -> AnnotatedVideo:
    report = ReadReport()

    def stored() -> Iterator[tuple[int, float, StreamFrame]]:
        for frame, time_s, picture in dataset.frames(video):
            yield frame, time_s, _StoredFrame(video.size_hw, picture)

    def read_again() -> Iterator[tuple[int, float, StreamFrame]]:
        wanted = set(video.frames.tolist())
        by_position = counts_lost_frames(video.labels, Path(video.path))
        for frame in read_frames(video.path, report=report):
            number = frame.position if by_position else frame.index
            if number in wanted:
                yield number, frame.time_s, frame

    fits = canvas_hw is None or (dataset.canvas_hw == canvas_hw and fit == "center")
    if canvas_hw is not None and not fits and not Path(video.path).is_file():
        (height, width), (its_height, its_width) = canvas_hw, dataset.canvas_hw
        raise DataError(
            f"{dataset.folder}: prepared for a canvas of {its_width}x{its_height}, the model's is "
            f"{width}x{height}, and {video.path} is no video that could be read again",
            hint=f"prepare again with --size {width},{height}"
            if fit == "center"
            else "evaluate on the labels that it was prepared from",
        )
    return AnnotatedVideo(
        video.name,
        video.labels,
        stored if fits else read_again,
        total=len(video.frames),
        expects_all=False,
        report=report,
    )


def _unprepared(labels: VideoLabels) -> AnnotatedVideo:
    images = [(frame, Path(path)) for frame, path in enumerate(labels.images) if path]
    report = ReadReport()

    def pictures() -> Iterator[tuple[int, float, StreamFrame]]:
        paths = [path for _, path in images]
        for frame in read_images(paths, report=report, skips_broken=True):
            number = images[frame.index][0]
            _check_size(labels, frame.size_hw)
            yield number, number / (labels.rate or RATE), frame

    def frames() -> Iterator[tuple[int, float, StreamFrame]]:
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
