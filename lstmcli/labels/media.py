"""Finds the videos and images that a label file speaks of, wherever they lie on this computer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from lstmcli.core.errors import MediaError
from lstmcli.core.names import as_path
from lstmcli.core.types import LabelSet, VideoLabels
from lstmcli.labels.box_columns import MOST_FRAMES
from lstmcli.labels.clock import LabelRate, align, counts_from_1
from lstmcli.labels.context import probe_size
from lstmcli.labels.exif import with_stored_sizes
from lstmcli.labels.media_finder import MediaFinder
from lstmcli.labels.plausibility import check_fractions, check_inside
from lstmcli.labels.sequences import as_one_video, extracted_from
from lstmcli.labels.warning_collector import WarningCollector


def locate_media(
    labels: LabelSet,
    source: Path,
    media: Path | None = None,
    *,
    label_rate: LabelRate = None,
) -> LabelSet:
    """Return the set with absolute paths of media that exist, and with every size.

    A video or image that is not there is left out, and that is counted in the warnings.

    Args:
        labels: as read.
        source: the label file or folder that was read.
        media: where the media lie, if the person said so.
        label_rate: the frame rate that the labels count at, see `--label-rate`.

    Raises:
        MediaError: nothing is there.
        DataError: labels and film count differently.
    """
    finder = MediaFinder(source, media)
    warnings = WarningCollector()
    videos = []
    extracted: dict[Path, list[tuple[int, VideoLabels]]] = {}
    for video in labels.videos:
        found = _locate_frames(video, finder, warnings) if video.images else None
        if found is None:
            found = _locate_video(video, finder, alone=len(labels.videos) == 1)
        if found is None and _is_extracted(video, finder, extracted):
            continue
        if found is None:
            what = "an image" if video.images else "a video"
            warnings.add(f"{what} that is not there; left out", video.media or video.name)
            continue
        if found.media:
            found = align(found, Path(found.media), label_rate, warnings)
        videos.append(found)
    for path, group in extracted.items():
        videos.append(_film_of(path, group, warnings))
    videos = _with_sizes(with_stored_sizes(videos), warnings)
    check_boxes(videos, source)
    if labels.videos and not videos:
        first = labels.videos[0]
        written = first.media or next((path for path in first.images if path), first.name)
        raise MediaError(
            f"{source}: {written!r} is not found, nor any other video or image of it",
            hint="say where the videos or images lie with --media DIR",
        )
    return LabelSet(labels.classes, tuple(videos), labels.warnings + warnings.collected())


def aligned(labels: LabelSet, source: Path, media: Path | None, label_rate: LabelRate) -> LabelSet:
    """Return the set by frames of those films that are found; the others are kept as they are.

    Raises:
        DataError: labels and film count differently; see `clock.align`.
    """
    finder = MediaFinder(source, media)
    warnings = WarningCollector()
    videos = []
    for video in labels.videos:
        is_checkable = (
            label_rate is not None
            or video.rate is not None
            or video.frame_count is not None
            or counts_from_1(video)
        )
        path = None
        if is_checkable and not video.images and not video.placed_by_time:
            path = finder.find(video.media or video.name, video=True)
        videos.append(video if path is None else align(video, path, label_rate, warnings))
    return replace(labels, videos=tuple(videos), warnings=labels.warnings + warnings.collected())


def _with_sizes(videos: Sequence[VideoLabels], warnings: WarningCollector) -> list[VideoLabels]:
    """Return the videos with their sizes; an image that cannot be read is left out and named.

    Raises:
        MediaError: a video cannot be read, or no image can.
    """
    sized, first = [], None
    for video in videos:
        if video.size_hw is not None:
            sized.append(video)
            continue
        medium = video.media or next(path for path in video.images if path)
        try:
            sized.append(replace(video, size_hw=probe_size(Path(medium))))
        except MediaError as error:
            if not video.images:
                raise
            first = first or error
            warnings.add_broken(error.problem)
    if first is not None and not sized:
        raise first
    return sized


def check_boxes(videos: Sequence[VideoLabels], source: Path) -> None:
    """Refuse sets whose boxes do not fit the pictures, whose sizes only the media tell.

    Raises:
        DataError: see `plausibility`.
    """
    sized = [(v, v.boxes[~v.ignore], v.size_hw) for v in videos if v.size_hw is not None]
    sized = [(video, boxes, size) for video, boxes, size in sized if len(boxes)]
    if not sized:
        return
    together = np.concatenate([boxes for _, boxes, _ in sized]).astype(np.float64)
    sizes = np.concatenate([np.tile(np.array(size, float), (len(b), 1)) for _, b, size in sized])
    check_fractions(together, sizes, str(source))
    check_inside(together, sizes, str(source))


def _locate_video(video: VideoLabels, finder: MediaFinder, *, alone: bool) -> VideoLabels | None:
    path = finder.find(video.media or video.name, video=True)
    if path is None and video.images:
        folder = as_path(next(image for image in video.images if image)).parent
        path = finder.find(str(folder), video=True) if folder.name else None
    if path is None and not video.media and not video.images and alone:
        path = finder.only_video()
    return None if path is None else replace(video, media=str(path.absolute()), images=())


def _is_extracted(
    video: VideoLabels, finder: MediaFinder, films: dict[Path, list[tuple[int, VideoLabels]]]
) -> bool:
    """Assign a still whose image is gone to the film that it is named after, if that is there."""
    extracted_frame = extracted_from(video.images[0]) if len(video.images) == 1 else None
    path = None if extracted_frame is None else finder.find(extracted_frame[0], video=True)
    if extracted_frame is None or path is None or extracted_frame[1] >= MOST_FRAMES:
        return False
    films.setdefault(path.absolute(), []).append((extracted_frame[1], video))
    return True


def _film_of(
    path: Path, group: list[tuple[int, VideoLabels]], warnings: WarningCollector
) -> VideoLabels:
    """Return the labels of extracted frames as labels of their film.

    FFmpeg numbers extracted frames from 1, CVAT and most scripts by the frame itself; only
    a set that begins at 1 is taken to count from there.
    """
    first = 1 if min(number for number, _ in group) == 1 else 0
    warnings.add(
        f"extracted frames that are gone; taken from the film itself, counted from {first}",
        path.name,
        len(group),
    )
    unique = dict(reversed([(number - first, video) for number, video in group]))
    video = as_one_video(path.stem, list(unique.items()))
    size_hw = video.size_hw or probe_size(path)
    return replace(video, media=str(path), images=(), frame_count=None, size_hw=size_hw)


def _locate_frames(
    video: VideoLabels, finder: MediaFinder, warnings: WarningCollector
) -> VideoLabels | None:
    images = [finder.find(image, video=False) if image else None for image in video.images]
    there = np.array([path is not None for path in images])
    if not there.any():
        return None
    annotated = video.annotated_frames[video.annotated_frames < len(there)]
    lost = len(video.annotated_frames) - int(there[annotated].sum())
    written = tuple("" if path is None else str(path.absolute()) for path in images)
    if lost == 0:
        return replace(video, images=written)
    warnings.add("an image of a frame that is not there; the frame is left out", video.name, lost)
    rows = np.isin(video.box_frames, annotated[there[annotated]])
    return video.select(rows, images=written, annotated_frames=annotated[there[annotated]])
