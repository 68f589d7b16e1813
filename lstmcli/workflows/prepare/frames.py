"""Writes letterboxed frames of videos and images to the frame store; sanitizes their boxes."""

from __future__ import annotations

import shutil
from collections.abc import Generator, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from lstmcli.core.boxes import Letterbox
from lstmcli.core.errors import MediaError, choose
from lstmcli.core.progress import Progress
from lstmcli.core.types import DataWarning, IntArray, LabelSet, VideoLabels
from lstmcli.dataset.frame_store import FORMS, FrameStoreWriter
from lstmcli.dataset.manifest import Dataset, PreparedVideo
from lstmcli.dataset.plan import (
    frames_to_prepare,
    sanitize_boxes,
)
from lstmcli.video import ASSUMED_RATE, Frame, ReadReport, read_frames, read_images
from lstmcli.workflows.prepare.options import PrepareOptions
from lstmcli.workflows.prepare.splits import assign_splits

RAW_LIMIT = 12 << 30
"""Bytes of raw frames above which JPEG is chosen: more would not stay in memory."""


def write_frames(
    dataset: Dataset,
    labels: LabelSet,
    splits: list[str | None],
    options: PrepareOptions,
    progress: Progress,
) -> tuple[Dataset, list[DataWarning], list[VideoLabels]]:
    """Write the frames of all videos.

    Returns:
        The dataset, warnings about changes, and the labels before clipping, for the checks.
    """
    jobs = assign_splits(list(zip(labels.videos, splits, strict=True)), options)
    expected = [frames_to_prepare(v, _known_count(v), dataset.frame_stride) for v, _ in jobs]
    total = sum(len(frames) for frames in expected)
    form = _form_of(dataset, total, options.store)
    warnings: list[DataWarning] = []
    videos: list[PreparedVideo] = []
    unreadable: list[VideoLabels] = []
    known: dict[str, int] = {}
    for video, _ in jobs:  # parts of one recording share its file
        key = video.media or video.name
        known[key] = max(known.get(key, 0), _known_count(video))
    uncut: list[VideoLabels] = []

    def canvases() -> Iterator[None]:
        for number, ((video, split), frames) in enumerate(zip(jobs, expected, strict=True)):
            if len(frames) == 0:
                warnings.append(
                    DataWarning("videos without annotated frames were left out", video.name)
                )
                continue
            size_hw = video.size_hw
            assert size_hw is not None
            store = f"frames/{number:05d}.{form}"
            stored = yield from _store(
                video, frames, dataset, store, form, known=known[video.media or video.name]
            )
            warnings.extend(_read_warnings(video, stored))
            if not len(stored.frames):
                _remove_store(dataset.folder / store)
                unreadable.append(video)
                continue
            missing = np.setdiff1d(np.intersect1d(frames, video.annotated_frames), stored.frames)
            readable = _readable(video, missing, stored)
            known_count = max(stored.count, video.frame_count or 0)
            uncut.append(replace(readable, frame_count=known_count))
            clipped, problems = sanitize_boxes(readable, size_hw, stored.count)
            warnings.extend(problems)
            if len(missing) and not stored.report.broken:
                warnings.append(
                    DataWarning(
                        "annotated frames are missing from the video",
                        f"{video.name}, {stored.count} frames",
                        len(missing),
                    )
                )
            videos.append(
                PreparedVideo(
                    name=video.name,
                    split=split,
                    path=video.media if video.media is not None else _folder(video),
                    size_hw=size_hw,
                    rate=video.rate or _rate_of(stored.times),
                    frames=np.array(stored.frames, np.int64),
                    times=np.array(stored.times, np.float64),
                    store=store,
                    labels=replace(clipped, frame_count=max(stored.count, video.frame_count or 0)),
                )
            )

    for _ in progress.track(canvases(), total=total, label="frames"):
        pass
    names = {video.name for video in unreadable}
    rest = [(v, s) for v, s in zip(labels.videos, splits, strict=True) if v.name not in names]
    is_lacking = {split for _, split in jobs} > {video.split for video in videos}
    if is_lacking and 0 < len(rest) < len(labels.videos):
        # all media of a random split are broken: split again without them
        for prepared in videos:
            _remove_store(dataset.folder / prepared.store)
        whole = replace(labels, videos=tuple(video for video, _ in rest))
        dataset, again, uncut = write_frames(
            dataset, whole, [s for _, s in rest], options, progress
        )
        return dataset, [warning for warning in warnings if warning.where in names] + again, uncut
    return replace(dataset, videos=tuple(videos)), warnings, uncut


def _remove_store(path: Path) -> None:
    for file in path.parent.glob(f"{path.name}*"):
        file.unlink()


@dataclass(frozen=True, slots=True)
class _Stored:
    """Stored frames of one video.

    Args:
        frames: numbers of the stored frames.
        times: their times in seconds.
        count: frames of the video as far as it was read.
        by_position: whether numbers include undecodable frames.
        report: damage met in reading.
        smeared: frames predicted from lost or damaged ones, which are not stored.
    """

    frames: list[int]
    times: list[float]
    count: int
    by_position: bool
    report: ReadReport
    smeared: int = 0


def _store(
    video: VideoLabels, frames: IntArray, dataset: Dataset, store: str, form: str, *, known: int
) -> Generator[None, None, _Stored]:
    """Write the undamaged frames of a video to the store; yield at each.

    Labels of more frames than can be decoded were made before the file was damaged: then they
    count the lost ones, and the video is read once more.

    Args:
        video: its labels.
        frames: numbers of the frames to store.
        dataset: its canvas is used.
        store: the file, relative to the dataset's folder.
        form: of the store.
        known: number of frames of the file by its labels, all parts together.
    """
    stored = yield from _store_once(video, frames, dataset, store, form, by_position=False)
    if stored.report.lost and video.media and known > sum(1 for _ in read_frames(video.media)):
        stored = yield from _store_once(video, frames, dataset, store, form, by_position=True)
    return stored


def _store_once(
    video: VideoLabels,
    frames: IntArray,
    dataset: Dataset,
    store: str,
    form: str,
    *,
    by_position: bool,
) -> Generator[None, None, _Stored]:
    assert video.size_hw is not None
    letterbox = Letterbox(video.size_hw, dataset.canvas_hw)
    wanted, count, report = set(frames.tolist()), 0, ReadReport()
    kept: list[int] = []
    times: list[float] = []
    smeared = 0
    with FrameStoreWriter(dataset.folder / store, form=form, canvas_hw=dataset.canvas_hw) as writer:
        for frame in frames_of(video, report):
            number = frame.position if by_position else frame.index
            count = number + 1
            if number in wanted and frame.is_dependent:
                smeared += 1
            elif number in wanted and not frame.is_damaged:
                _check_size(video, frame, number)
                writer.add(frame.canvas(letterbox))
                kept.append(number)
                times.append(frame.time_s)
                yield None
            if number >= frames[-1]:
                # further frames are not stored, but counted
                count = max(count, video.frame_count or 0)
                if len(video.box_frames) == 0 or video.box_frames[-1] < count:
                    break
        else:
            # frames at the end may be lost, too
            lost = len(report.lost) if by_position else 0
            count = len(video.images) or report.frames + lost
    return _Stored(kept, times, count, by_position, report, smeared)


def _readable(video: VideoLabels, missing: IntArray, stored: _Stored) -> VideoLabels:
    """Return the labels without those of unreadable frames.

    Labels beyond the end stay, for an error later, unless the file is truncated.
    """
    report = stored.report
    frames = missing[missing < stored.count] if report.broken else missing[:0]
    if report.is_cut:
        frames = np.union1d(frames, video.annotated_frames[video.annotated_frames >= stored.count])
    if not len(frames):
        return video
    rows = ~np.isin(video.box_frames, frames)
    return video.select(rows, annotated_frames=np.setdiff1d(video.annotated_frames, frames))


def _form_of(dataset: Dataset, frames: int, wanted: str) -> str:
    """Return the form of the store: raw while the frames fit easily, otherwise JPEG."""
    if wanted != "auto":
        return choose({form: form for form in FORMS}, wanted, "frame store")
    size = frames * dataset.canvas_hw[0] * dataset.canvas_hw[1] * 3 // 2
    free = shutil.disk_usage(dataset.folder).free
    return "raw" if size <= min(RAW_LIMIT, free // 3) else "jpeg"


def _known_count(video: VideoLabels) -> int:
    if video.media is None:
        return len(video.images)
    # frame_count of the labels may be less than their last annotated frame
    last = int(video.annotated_frames[-1]) + 1 if len(video.annotated_frames) else 0
    return max(last, video.frame_count or 0)


def _check_size(video: VideoLabels, frame: Frame, number: int) -> None:
    if frame.size_hw != video.size_hw and video.size_hw is not None:
        raise MediaError(
            f"{video.media or video.images[number]}: {frame.size_hw[1]}x{frame.size_hw[0]} pixels, "
            f"the labels have {video.size_hw[1]}x{video.size_hw[0]}",
            hint="these labels were made for another copy of it",
        )


def _read_warnings(video: VideoLabels, stored: _Stored) -> list[DataWarning]:
    """Return warnings about a damaged video; its damaged frames are not in the dataset."""
    sentences = stored.report.sentences()
    behind = int((video.box_frames >= stored.count).sum()) if stored.report.is_cut else 0
    if behind:
        sentences.append(f"{behind} boxes lie beyond the end of the truncated file; left out")
    if stored.smeared:
        sentences.append(
            f"{stored.smeared} frames show smears of lost or damaged ones; left out of the dataset"
        )
    if stored.report.lost:
        how = "lost frames included" if stored.by_position else "decoded frames only"
        sentences.append(f"frame numbers of the labels: {how}")
    return [DataWarning(sentence, video.name) for sentence in sentences]


def frames_of(video: VideoLabels, report: ReadReport) -> Iterator[Frame]:
    """Yield the frames of a video, or of its images, with the numbers of the labels."""
    if video.media is not None:
        yield from read_frames(video.media, rate=video.rate, report=report)
        return
    positions = [position for position, path in enumerate(video.images) if path]
    paths = [Path(video.images[position]) for position in positions]
    rate = video.rate or ASSUMED_RATE
    for frame in read_images(paths, rate=rate, report=report, skips_broken=True):
        frame.index = frame.position = positions[frame.index]
        frame.time_s = frame.index / rate
        yield frame


def _folder(video: VideoLabels) -> str:
    return str(Path(next(path for path in video.images if path)).parent)


def _rate_of(times: list[float]) -> float:
    steps = np.diff(times)
    return float(1 / np.median(steps)) if len(steps) and np.median(steps) > 0 else 25.0
