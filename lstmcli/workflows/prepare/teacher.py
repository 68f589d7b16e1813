"""Pseudo-labels: footage labelled by fused teacher models and offline tracking.

The result is a COCO file with tracks next to the dataset, which `prepare` and `convert` read like
any other labels, and a JSON line for every box with its score (soft label). Detections of finished
videos are cached, so that an interrupted run continues with the next one.
"""

from __future__ import annotations

import hashlib
import json
import re
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

import numpy as np
import numpy.typing as npt

from lstmcli.core.boxes import Letterbox, box_overlap_of_first
from lstmcli.core.errors import ConfigError, DataError, OutputError, near_name
from lstmcli.core.files import atomic_write, claim
from lstmcli.core.progress import Progress, SilentProgress
from lstmcli.core.types import DataWarning, Detections, IntArray, LabelSet, VideoLabels
from lstmcli.inference.ensemble import fuse_boxes
from lstmcli.inference.loading import load_runtime
from lstmcli.inference.nms import multiclass_nms
from lstmcli.inference.predictor import Predictor
from lstmcli.inference.runtime import Runtime
from lstmcli.labels.warning_collector import WarningCollector
from lstmcli.labels.writers import coco
from lstmcli.tracking.offline import (
    DETECTED,
    INTERPOLATED,
    UNCERTAIN,
    OfflineTracks,
    smooth_offline,
)
from lstmcli.video import (
    Frame,
    ReadReport,
    Source,
    describe,
    expected_frames,
    find_sources,
    open_frames,
)

THRESHOLD, MIN_SCORE = 0.3, 0.15
"""Score that makes a track certain, and minimum score of its detections."""
LABEL_FPS = 10.0
IMAGE_RATE = 25.0
"""Frames per second of numbered pictures."""
PARTIAL_SHARE = 0.7
"""An uncertain box is dropped if this share of it lies in a certain one."""
DUPLICATE_IOU = 0.6
"""IoU of class-agnostic NMS in a frame."""
TRIAL_FRAMES = 3
LABELS, SCORES = "labels.json", "scores.jsonl"
STATUS = {DETECTED: "detected", INTERPOLATED: "interpolated", UNCERTAIN: "uncertain"}


@dataclass(frozen=True, slots=True)
class TeacherOptions:
    """Options of labelling by teachers.

    Args:
        teachers: models, as `load_runtime` takes them.
        classes: kept classes by their new names, in this order; empty: the detected ones.
        rename: a teacher's name to the new one.
        every: label every Nth frame; 0: about ten a second.
        device: `auto`, `cpu`, `cuda` or `cuda:N`.
        engine: `auto` or a name of `RUNTIMES`.
    """

    teachers: tuple[str, ...]
    classes: tuple[str, ...] = ()
    rename: Mapping[str, str] = field(default_factory=dict)
    every: int = 0
    device: str = "auto"
    engine: str = "auto"


@dataclass(frozen=True, slots=True)
class TeacherResult:
    """Result of labelling by teachers.

    Args:
        path: of the COCO file.
        frames: number of labelled frames.
        boxes: number of boxes.
        interpolated: interpolated boxes among them.
        uncertain: ignored regions among them.
        dropped: dropped tracks of a single detection.
        notes: the same for the review page.
    """

    path: Path
    frames: int
    boxes: int
    interpolated: int
    uncertain: int
    dropped: int

    @property
    def notes(self) -> tuple[DataWarning, ...]:
        """Return the notes for the review page."""
        whole = max(self.boxes, 1)
        notes = (
            DataWarning("pseudo-labels of a teacher: check them before training"),
            DataWarning(
                f"interpolated boxes: {self.interpolated / whole:.0%}", count=self.interpolated
            ),
            DataWarning(f"uncertain, ignored: {self.uncertain / whole:.0%}", count=self.uncertain),
            DataWarning("dropped tracks of a single detection", count=self.dropped),
        )
        return tuple(note for note in notes if note.count)


def label_footage(
    sources: Sequence[Path],
    folder: Path,
    options: TeacherOptions,
    *,
    progress: Progress | None = None,
) -> TeacherResult:
    """Label videos or pictures without labels.

    Args:
        sources: videos, pictures or folders of them.
        folder: of the labels and the cached detections.
        options: see `TeacherOptions`.
        progress: shows progress and notes.

    Raises:
        ConfigError: a class that no teacher has.
        DataError: the teachers detect nothing.
        MediaError: the footage cannot be read.
        ModelError: a teacher cannot be loaded.
    """
    progress = progress or SilentProgress()
    videos = find_sources([str(source) for source in sources])
    load = partial(load_runtime, device=options.device, engine=options.engine, note=progress.note)
    runtimes = [load(name) for name in options.teachers]
    classes, tables = _classes_of(runtimes, options)
    teachers = _Teachers(runtimes, tables, len(classes))
    steps = [_stride(video, options.every) for video in videos]
    _note_duration(videos, steps, teachers, progress)
    key = _cache_key(options, classes)
    made: list[tuple[VideoLabels, OfflineTracks]] = []
    try:
        with claim(folder):
            folder.mkdir(parents=True, exist_ok=True)
            for video, step in zip(videos, steps, strict=True):
                made += list(_label(video, step, teachers, folder, key, progress))
            result = _write(made, classes, options, folder)
    except OSError as error:
        raise OutputError(
            f"{error.filename or folder}: {error.strerror or error}",
            hint="free some space or choose another --out",
        ) from None
    if not result.boxes:
        known = ", ".join(options.classes or classes[:12])
        raise DataError(
            f"{', '.join(options.teachers)}: no detections in {result.frames} frames of "
            f"{len(videos)} videos (of {known})",
            hint="another teacher, other --classes, or a larger input (MODEL@1280x736) for small "
            "objects",
        )
    return result


def _classes_of(
    runtimes: Sequence[Runtime], options: TeacherOptions
) -> tuple[tuple[str, ...], list[list[int]]]:
    """Return the classes, and each teacher's table of new class indices, -1 for dropped ones."""
    rename = dict(options.rename)
    known = [name for runtime in runtimes for name in runtime.metadata.classes]
    for old in rename:
        if old not in known:
            raise ConfigError(f"no teacher has a class {old!r}", hint=near_name(old, known))
    names = list(dict.fromkeys(rename.get(name, name) for name in known))
    for name in options.classes:
        if name not in names:
            raise ConfigError(f"no teacher has a class {name!r}", hint=near_name(name, names))
    classes = options.classes or tuple(names)
    tables = [
        [
            classes.index(new) if (new := rename.get(name, name)) in classes else -1
            for name in runtime.metadata.classes
        ]
        for runtime in runtimes
    ]
    return classes, tables


class _Teachers:
    """Detectors that label a frame together.

    Args:
        runtimes: of the detectors.
        tables: the new class of each of their classes, -1 for none.
        classes: how many new classes there are.
    """

    def __init__(
        self, runtimes: Sequence[Runtime], tables: Sequence[Sequence[int]], classes: int
    ) -> None:
        self._predictors = [Predictor(runtime, threshold=MIN_SCORE / 2) for runtime in runtimes]
        self._tables = [np.array(table, np.int64) for table in tables]
        self._classes = classes
        counts = np.zeros(classes)
        for table in self._tables:
            counts[np.unique(table[table >= 0])] += 1
        # fusion divides by all teachers; scores of a class are averaged over those that have it
        self._weights = (len(runtimes) / np.maximum(counts, 1)).astype(np.float32)
        self._letterboxes: list[Letterbox] = []

    def start(self, size_hw: tuple[int, int]) -> None:
        """Begin a video."""
        self._letterboxes = [predictor.start(size_hw) for predictor in self._predictors]

    def step(self, frame: Frame) -> Detections:
        """Return the fused detections of a frame."""
        predictions = []
        for predictor, letterbox, table in zip(
            self._predictors, self._letterboxes, self._tables, strict=True
        ):
            detections = predictor.step(frame.canvas(letterbox), frame.time_s)
            labels = table[detections.labels]
            scores = np.zeros((len(detections), self._classes), np.float32)
            rows = np.flatnonzero(labels >= 0)
            scores[rows, labels[rows]] = detections.scores[rows]
            predictions.append((detections.boxes[rows], scores[rows]))
        boxes, scores = fuse_boxes(predictions)
        boxes, values, labels = multiclass_nms(
            boxes, scores * self._weights, threshold=MIN_SCORE, iou=DUPLICATE_IOU, limit=300
        )
        return Detections(
            boxes.astype(np.float32),
            values.astype(np.float32),
            labels.astype(np.int64),
            np.full(len(values), -1, np.int64),
        )


def _stride(video: Source, every: int) -> int:
    if every or video.kind != "file":
        return every or 1
    info = describe(video)
    rate = info.rate if info is not None and info.rate else LABEL_FPS
    return max(1, round(rate / LABEL_FPS))


def _note_duration(
    videos: Sequence[Source], steps: Sequence[int], teachers: _Teachers, progress: Progress
) -> None:
    """Note the expected duration, measured on a few frames of the first video."""
    total = 0
    for video, step in zip(videos, steps, strict=True):
        total += expected_frames(video, describe(video), every=step) or 0
    times = []
    for n, frame in enumerate(open_frames(videos[0], report=ReadReport())):
        if n == 0:
            teachers.start(frame.size_hw)
        begin = time.perf_counter()
        teachers.step(frame)
        times.append(time.perf_counter() - begin)
        if n + 1 >= TRIAL_FRAMES:
            break
    if times:
        seconds = min(times)
        progress.note(
            f"{total} frames of {len(videos)} videos, {1000 * seconds:.0f} ms each: about "
            f"{max(1, round(total * seconds / 60))} min; Ctrl-C keeps finished videos"
        )


def _cache_key(options: TeacherOptions, classes: Sequence[str]) -> str:
    """Return a hash of teachers and options for the cache."""
    parts = [*options.teachers, *classes, json.dumps(dict(options.rename)), str(options.every)]
    for name in options.teachers:
        path = Path(name.partition("@")[0])
        if path.is_file():
            parts.append(f"{path.stat().st_size} {path.stat().st_mtime_ns}")
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:12]


def _label(
    video: Source, step: int, teachers: _Teachers, folder: Path, key: str, progress: Progress
) -> Iterator[tuple[VideoLabels, OfflineTracks]]:
    """Yield the labels of a video, or of each picture of a row of stills."""
    cache = folder / f"{hashlib.sha256(video.address.encode()).hexdigest()[:12]}-{key}.npz"
    detections, frames, times, sizes = _load(cache) or _detect(video, step, teachers, progress)
    _save(cache, detections, frames, times, sizes)
    if not len(frames):
        return
    if video.kind == "images" and not _is_sequence(video, sizes):
        for n, path in enumerate(video.images[: len(frames)]):
            yield _still(path, detections[n], (int(sizes[n, 0]), int(sizes[n, 1])))
        return
    info = describe(video)
    images = tuple(str(path.resolve()) for path in video.images)
    if images:
        frames, times = np.arange(len(frames)) * step, np.arange(len(frames)) * step / IMAGE_RATE
    tracks = _without_partial_boxes(smooth_offline(detections, times.tolist(), threshold=THRESHOLD))
    labels = VideoLabels(
        name=Path(video.name).stem,
        media=None if images else str(Path(video.address).resolve()),
        images=images,
        annotated_frames=frames,
        box_frames=frames[tracks.frames],
        boxes=tracks.boxes,
        labels=tracks.labels,
        tracks=tracks.tracks,
        ignore=tracks.status == UNCERTAIN,
        size_hw=(int(sizes[0, 0]), int(sizes[0, 1])),
        rate=IMAGE_RATE if images else info.rate if info is not None else None,
    )
    yield labels, tracks


def _still(
    path: Path, detections: Detections, size_hw: tuple[int, int]
) -> tuple[VideoLabels, OfflineTracks]:
    """Return the labels of one picture, without tracking."""
    n = len(detections)
    zeros = np.zeros(n, np.int64)
    status = np.where(detections.scores >= THRESHOLD, DETECTED, UNCERTAIN)
    tracks = OfflineTracks(
        zeros,
        detections.boxes,
        detections.scores,
        detections.labels,
        detections.track_ids,
        status,
        0,
    )
    tracks = _without_partial_boxes(tracks)
    labels = VideoLabels(
        name=path.stem,
        media=None,
        images=(str(path.resolve()),),
        annotated_frames=np.zeros(1, np.int64),
        box_frames=tracks.frames,
        boxes=tracks.boxes,
        labels=tracks.labels,
        tracks=tracks.tracks,
        ignore=tracks.status == UNCERTAIN,
        size_hw=size_hw,
        frame_count=1,
    )
    return labels, tracks


def _is_sequence(video: Source, sizes: IntArray) -> bool:
    """Return whether pictures are the frames of a video: one size, consecutive numbers."""
    ends = [re.search(r"(\d+)$", path.stem) for path in video.images]
    numbers = np.array([int(end[1]) for end in ends if end], np.int64)
    in_a_row = len(numbers) == len(ends) > 2 and len(np.unique(np.diff(numbers))) == 1
    return bool(in_a_row and (sizes == sizes[0]).all())


def _without_partial_boxes(tracks: OfflineTracks) -> OfflineTracks:
    """Drop uncertain boxes that are parts or duplicates of a certain one."""
    kept = np.ones(len(tracks.frames), bool)
    for frame in np.unique(tracks.frames):
        rows = np.flatnonzero(tracks.frames == frame)
        uncertain = rows[tracks.status[rows] == UNCERTAIN]
        certain = rows[tracks.status[rows] != UNCERTAIN]
        if len(uncertain) and len(certain):
            share = box_overlap_of_first(tracks.boxes[uncertain], tracks.boxes[certain]).max(axis=1)
            kept[uncertain[share > PARTIAL_SHARE]] = False
    return replace(
        tracks,
        frames=tracks.frames[kept],
        boxes=tracks.boxes[kept],
        scores=tracks.scores[kept],
        labels=tracks.labels[kept],
        tracks=tracks.tracks[kept],
        status=tracks.status[kept],
    )


VideoDetections = tuple[list[Detections], IntArray, npt.NDArray[np.float64], IntArray]
"""Detections, frame numbers, times and (height, width) of each frame."""


def _detect(video: Source, step: int, teachers: _Teachers, progress: Progress) -> VideoDetections:
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


def _load(cache: Path) -> VideoDetections | None:
    """Return the cached detections of a video, None without any."""
    if not cache.is_file():
        return None
    with np.load(cache) as values:
        ends = np.cumsum(values["counts"])[:-1]
        columns = [np.split(values[name], ends) for name in ("boxes", "scores", "labels")]
        detections = [
            Detections(boxes, scores, labels, np.full(len(labels), -1, np.int64))
            for boxes, scores, labels in zip(*columns, strict=True)
        ]
        return (
            detections[: len(values["frames"])],
            values["frames"],
            values["times"],
            values["sizes"],
        )


def _save(
    cache: Path,
    detections: list[Detections],
    frames: IntArray,
    times: npt.NDArray[np.float64],
    sizes: IntArray,
) -> None:
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


def _write(
    made: Sequence[tuple[VideoLabels, OfflineTracks]],
    classes: tuple[str, ...],
    options: TeacherOptions,
    folder: Path,
) -> TeacherResult:
    """Write labels and scores; undetected classes are left out unless requested."""
    used = {int(label) for labels, _ in made for label in np.unique(labels.labels)}
    kept = [n for n in range(len(classes)) if options.classes or n in used]
    table = np.full(len(classes), -1, np.int64)
    table[kept] = np.arange(len(kept))
    videos = tuple(_relabelled(labels, table) for labels, _ in made)
    names = tuple(classes[n] for n in kept)
    with atomic_write(folder / LABELS) as temporary:
        coco.write(LabelSet(names, videos), temporary, WarningCollector())
    with atomic_write(folder / SCORES) as temporary, temporary.open("w", encoding="utf-8") as file:
        for labels, (_, tracks) in zip(videos, made, strict=True):
            for row in range(len(tracks.frames)):
                line = {
                    "video": labels.name,
                    "frame": int(labels.box_frames[row]),
                    "class": names[int(labels.labels[row])],
                    "score": round(float(tracks.scores[row]), 4),
                    "track_id": int(tracks.tracks[row]),
                    "status": STATUS[int(tracks.status[row])],
                }
                file.write(json.dumps(line, ensure_ascii=False) + "\n")
    status = np.concatenate([tracks.status for _, tracks in made] or [np.zeros(0, np.int64)])
    return TeacherResult(
        path=folder / LABELS,
        frames=sum(len(labels.annotated_frames) for labels, _ in made),
        boxes=len(status),
        interpolated=int((status == INTERPOLATED).sum()),
        uncertain=int((status == UNCERTAIN).sum()),
        dropped=sum(tracks.dropped for _, tracks in made),
    )


def _relabelled(labels: VideoLabels, table: IntArray) -> VideoLabels:
    return replace(labels, labels=table[labels.labels])
