"""Detections of teachers in a video, cached so that an interrupted run continues."""

from __future__ import annotations

import hashlib
import json
import os
import struct
import zipfile
import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from lstmcli.core.errors import LstmcliError
from lstmcli.core.files import atomic_write
from lstmcli.core.limits import check_limit
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
        if not sizes or video.kind == "images":
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


def load_detections(cache: Path, *, classes: int) -> VideoDetections | None:
    """Return the cached detections of a video, None without any or where they are damaged.

    Args:
        cache: the file.
        classes: number of classes of the teachers.
    """
    if not cache.is_file():
        return None
    try:
        with zipfile.ZipFile(cache) as archive:  # before a small file can fill the memory
            check_limit("label_bytes", sum(one.file_size for one in archive.infolist()), str(cache))
        with cache.open("rb") as file, np.load(file) as values:
            return _checked({name: values[name] for name in _COLUMNS}, classes)
    except _DAMAGED:
        cache.unlink(missing_ok=True)  # the video is detected again
        return None


_COLUMNS = ("counts", "boxes", "scores", "labels", "frames", "times", "sizes")
_DAMAGED = (
    LstmcliError,
    ArithmeticError,
    AssertionError,
    AttributeError,
    EOFError,
    LookupError,
    MemoryError,
    OSError,
    RuntimeError,
    SyntaxError,
    TypeError,
    ValueError,
    struct.error,
    zipfile.BadZipFile,
    zlib.error,
)
"""What NumPy and zipfile raise of a damaged file."""


def _checked(columns: Mapping[str, npt.NDArray[Any]], classes: int) -> VideoDetections:
    """Return columns as detections; ValueError where they are not what was saved."""
    counts, boxes, scores, labels, frames, times, sizes = (columns[name] for name in _COLUMNS)
    length, total = len(frames), len(boxes)
    shapes = {
        "counts": (length,), "boxes": (total, 4), "scores": (total,), "labels": (total,),
        "frames": (length,), "times": (length,), "sizes": (length, 2),
    }  # fmt: skip
    kinds = {"boxes": "f", "scores": "f", "times": "f"}
    for name, shape in shapes.items():
        values = columns[name]
        if values.shape != shape or values.dtype.kind != kinds.get(name, "i"):
            raise ValueError(f"{name}: {values.dtype} of {values.shape}")
        if not (np.isfinite(values).all() and (np.abs(values) < 1 << 53).all()):
            raise ValueError(f"{name} out of range")
    is_good = (
        (counts >= 0).all()
        and counts.sum() == total
        and ((labels >= 0) & (labels < classes)).all()
        and ((scores >= 0) & (scores <= 1)).all()
        and (boxes[:, 2:] >= boxes[:, :2]).all()
        and (frames >= 0).all()
        and (np.diff(frames) > 0).all()
        and (np.diff(times) >= 0).all()
        and (sizes > 0).all()
    )
    if not is_good:
        raise ValueError("values out of range")
    ends = np.cumsum(counts)[:-1]
    parts = (np.split(column, ends) for column in (boxes, scores, labels))
    detections = [
        Detections(
            box.astype(np.float32),
            score.astype(np.float32),
            label.astype(np.int64),
            np.full(len(label), -1, np.int64),
        )
        for box, score, label in zip(*parts, strict=True)
    ]
    return detections[:length], frames.astype(np.int64), times.astype(np.float64), sizes


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


def cache_name(video: Source, key: str) -> str:
    """Return the name of the file that caches the detections of a video; see `cache_key`."""
    return f"{hashlib.sha256(os.fsencode(video.address)).hexdigest()[:12]}-{key}.npz"


def cache_key(options: TeacherOptions, classes: Sequence[str]) -> str:
    """Return a hash of teachers and options for the cache."""
    parts = [*options.teachers, *classes, json.dumps(dict(options.rename)), str(options.every)]
    if options.tiles > 1:
        parts.append(f"{options.tiles} tiles")
    for name in options.teachers:
        path = Path(name.partition("@")[0])
        if path.is_file():
            parts.append(f"{path.stat().st_size} {path.stat().st_mtime_ns}")
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:12]
