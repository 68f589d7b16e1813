"""Detections of teachers in a video, cached so that an interrupted run continues."""

from __future__ import annotations

import hashlib
import json
import zipfile
import zlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from lstmcli.core.files import atomic_write
from lstmcli.core.progress import Progress
from lstmcli.core.types import Detections, IntArray
from lstmcli.video import ReadReport, Source, describe, expected_frames, open_frames
from lstmcli.workflows.prepare.teacher_ensemble import TeacherEnsemble, TeacherOptions

VideoDetections = tuple[list[Detections], IntArray, npt.NDArray[np.float64], IntArray]
"""Detections, frame numbers, times and (height, width) of each frame."""


def detect_video(
    video: Source, step: int, teachers: TeacherEnsemble, progress: Progress
) -> VideoDetections:
    """Return the fused detections of every `step`-th frame."""
    detections: list[Detections] = []
    frames: list[int] = []
    times: list[float] = []
    sizes: list[tuple[int, int]] = []
    total = expected_frames(video, describe(video), every=step)
    for frame in progress.track(
        open_frames(video, every=step, report=ReadReport()), total=total, label=video.name
    ):
        if not sizes or frame.size_hw != sizes[-1] or video.kind == "images":
            teachers.start(frame.size_hw)
        detections.append(teachers.step(frame))
        frames.append(frame.index)
        times.append(frame.time_s)
        sizes.append(frame.size_hw)
    return (
        detections,
        np.array(frames, np.int64),
        np.array(times, np.float64),
        np.array(sizes, np.int64).reshape(-1, 2),
    )


def load_detections(cache: Path) -> VideoDetections | None:
    """Return the cached detections of a video, None without any or where they are damaged."""
    if not cache.is_file():
        return None
    try:
        with cache.open("rb") as file, np.load(file) as values:
            ends = np.cumsum(values["counts"])[:-1]
            columns = [np.split(values[name], ends) for name in ("boxes", "scores", "labels")]
            frames, times, sizes = (values[name] for name in ("frames", "times", "sizes"))
        detections = [
            Detections(boxes, scores, labels, np.full(len(labels), -1, np.int64))
            for boxes, scores, labels in zip(*columns, strict=True)
        ]
    except (OSError, ValueError, KeyError, AssertionError, zipfile.BadZipFile, zlib.error):
        cache.unlink(missing_ok=True)  # damaged: the video is detected again
        return None
    return detections[: len(frames)], frames, times, sizes


def save_detections(
    cache: Path,
    detections: list[Detections],
    frames: IntArray,
    times: npt.NDArray[np.float64],
    sizes: IntArray,
) -> None:
    """Cache the detections of a video that has some; a cache that exists is kept."""
    if cache.is_file() or not detections:
        return
    with atomic_write(cache) as temporary:
        np.savez_compressed(
            temporary,
            counts=np.array([len(one) for one in detections], np.int64),
            boxes=np.concatenate([one.boxes for one in detections]),
            scores=np.concatenate([one.scores for one in detections]),
            labels=np.concatenate([one.labels for one in detections]),
            frames=frames,
            times=times,
            sizes=sizes,
        )


def cache_key(options: TeacherOptions, classes: Sequence[str]) -> str:
    """Return a hash of teachers and options for the cache."""
    parts = [*options.teachers, *classes, json.dumps(dict(options.rename)), str(options.every)]
    for name in options.teachers:
        path = Path(name.partition("@")[0])
        if path.is_file():
            parts.append(f"{path.stat().st_size} {path.stat().st_mtime_ns}")
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:12]
