"""Frames of videos and images onto the canvas and into the store, truth put right."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np

from lstmcli.core.boxes import Letterbox
from lstmcli.core.errors import MediaError, choose
from lstmcli.core.progress import Progress
from lstmcli.core.types import DataWarning, LabelSet, VideoLabels
from lstmcli.dataset.frame_store import FORMS, FrameStoreWriter
from lstmcli.dataset.manifest import Dataset, PreparedVideo
from lstmcli.dataset.plan import (
    frames_to_prepare,
    sanitize_boxes,
)
from lstmcli.video import Frame, read_frames, read_images
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
) -> tuple[Dataset, list[DataWarning]]:
    """Write the frames of all videos; return the dataset that holds them, and what was changed."""
    jobs = assign_splits(list(zip(labels.videos, splits, strict=True)), options)
    expected = [frames_to_prepare(v, _known_count(v), dataset.every) for v, _ in jobs]
    total = sum(len(frames) for frames in expected)
    form = _form_of(dataset, total, options.store)
    warnings: list[DataWarning] = []
    videos: list[PreparedVideo] = []

    def canvases() -> Iterator[None]:
        for number, ((video, split), frames) in enumerate(zip(jobs, expected, strict=True)):
            if len(frames) == 0:
                warnings.append(DataWarning("videos without any truth were left out", video.name))
                continue
            size_hw = video.size_hw
            assert size_hw is not None
            store = f"frames/{number:05d}.{form}"
            letterbox = Letterbox(size_hw, dataset.canvas_hw)
            times: list[float] = []
            kept: list[int] = []
            count = 0
            with FrameStoreWriter(
                dataset.folder / store, form=form, canvas_hw=dataset.canvas_hw
            ) as writer:
                wanted = set(frames.tolist())
                for frame in _frames_of(video):
                    count = frame.index + 1
                    if frame.index in wanted:
                        if frame.size_hw != size_hw:
                            raise MediaError(
                                f"{video.media or video.images[frame.index]}: "
                                f"{frame.size_hw[1]}x{frame.size_hw[0]} pixels, the "
                                f"labels say {size_hw[1]}x{size_hw[0]}",
                                hint="these labels were made for another copy of it",
                            )
                        writer.add(frame.canvas(letterbox))
                        kept.append(frame.index)
                        times.append(frame.time_s)
                        yield None
                    if frame.index >= frames[-1]:
                        # the rest is not needed, but the number of frames is
                        count = max(count, video.frame_count or 0)
                        if len(video.box_frames) == 0 or video.box_frames[-1] < count:
                            break
            right, found = sanitize_boxes(video, size_hw, count)
            warnings.extend(found)
            lost = len(np.setdiff1d(np.intersect1d(frames, video.annotated_frames), kept))
            if lost:
                warnings.append(
                    DataWarning(
                        "frames with truth are missing from the video",
                        f"{video.name}, {count} frames",
                        lost,
                    )
                )
            videos.append(
                PreparedVideo(
                    name=video.name,
                    split=split,
                    path=video.media if video.media is not None else _folder(video),
                    size_hw=size_hw,
                    rate=video.rate or _rate_of(times),
                    frames=np.array(kept, np.int64),
                    times=np.array(times, np.float64),
                    store=store,
                    labels=replace(right, frame_count=max(count, video.frame_count or 0)),
                )
            )

    for _ in progress.track(canvases(), total=total, label="frames"):
        pass
    return replace(dataset, videos=tuple(videos)), warnings


def _form_of(dataset: Dataset, frames: int, wanted: str) -> str:
    """Return how frames are stored: raw while they fit easily, otherwise as JPEG."""
    if wanted != "auto":
        return choose({form: form for form in FORMS}, wanted, "frame store")
    size = frames * dataset.canvas_hw[0] * dataset.canvas_hw[1] * 3 // 2
    free = shutil.disk_usage(dataset.folder).free
    return "raw" if size <= min(RAW_LIMIT, free // 3) else "jpeg"


def _known_count(video: VideoLabels) -> int:
    if video.media is None:
        return len(video.images)
    # what the labels say of the length may be short of the truth that they hold
    gt = int(video.annotated_frames[-1]) + 1 if len(video.annotated_frames) else 0
    return max(gt, video.frame_count or 0)


def _frames_of(video: VideoLabels) -> Iterator[Frame]:
    if video.media is not None:
        yield from read_frames(video.media)
        return
    places = [place for place, path in enumerate(video.images) if path]
    frames = read_images([Path(video.images[place]) for place in places], rate=video.rate or 25.0)
    for place, frame in zip(places, frames, strict=True):
        frame.index = place
        frame.time_s = place / (video.rate or 25.0)
        yield frame


def _folder(video: VideoLabels) -> str:
    return str(Path(next(path for path in video.images if path)).parent)


def _rate_of(times: list[float]) -> float:
    steps = np.diff(times)
    return float(1 / np.median(steps)) if len(steps) and np.median(steps) > 0 else 25.0
