"""Labels footage by detectors: teachers, fused, and smoothed with the future in view.

The outcome is a COCO file with tracks beside the dataset, which `prepare` and `convert` read like
any other labels, and a JSON line for every box with its score: a soft label. What was detected in a
video is kept, so that an interrupted run goes on with the next one.
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

THRESHOLD, FAINT = 0.3, 0.15
"""Score that makes a track certain, and the least one that may belong to it."""
FRAMES_A_SECOND = 10.0
IMAGE_RATE = 25.0
"""Frames per second of pictures whose numbers follow each other."""
INSIDE = 0.7
"""An uncertain box of which so much lies in a certain one is no region of its own."""
DUPLICATE_IOU = 0.6
"""Boxes of one frame that overlap by more are one object, whatever their classes."""
TRIAL_FRAMES = 3
LABELS, SCORES = "labels.json", "scores.jsonl"
STATUS = {DETECTED: "detected", INTERPOLATED: "interpolated", UNCERTAIN: "uncertain"}


@dataclass(frozen=True, slots=True)
class TeacherOptions:
    """What a user can choose of the teachers.

    Args:
        teachers: models, as `load_runtime` takes them.
        classes: which are kept, by their new names and in this order; empty: those that are found.
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
class Taught:
    """What the teachers labelled.

    Args:
        path: of the COCO file.
        frames: how many were labelled.
        boxes: how many boxes.
        filled: how many of them lie in gaps that were bridged.
        uncertain: how many of them are ignored regions.
        dropped: how many single flashes were left out.
        notes: the same for the review page.
    """

    path: Path
    frames: int
    boxes: int
    filled: int
    uncertain: int
    dropped: int

    @property
    def notes(self) -> tuple[DataWarning, ...]:
        """Return what a person should know of these labels."""
        whole = max(self.boxes, 1)
        notes = (
            DataWarning("labels are a teacher's: look at them before you trust them"),
            DataWarning(f"boxes filled in gaps: {self.filled / whole:.0%}", count=self.filled),
            DataWarning(f"uncertain, ignored: {self.uncertain / whole:.0%}", count=self.uncertain),
            DataWarning("detections dropped as single flashes", count=self.dropped),
        )
        return tuple(note for note in notes if note.count)


def label_footage(
    sources: Sequence[Path],
    folder: Path,
    options: TeacherOptions,
    *,
    progress: Progress | None = None,
) -> Taught:
    """Label videos or pictures without labels.

    Args:
        sources: videos, pictures or folders of them.
        folder: for the labels, and for what is kept of an interrupted run.
        options: see `TeacherOptions`.
        progress: who looks on.

    Raises:
        ConfigError: a class that no teacher knows.
        DataError: the teachers find nothing.
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
    _announce(videos, steps, teachers, progress)
    key = _key(options, classes)
    made: list[tuple[VideoLabels, OfflineTracks]] = []
    try:
        with claim(folder):
            folder.mkdir(parents=True, exist_ok=True)
            for video, step in zip(videos, steps, strict=True):
                made += list(_label(video, step, teachers, folder, key, progress))
            taught = _write(made, classes, options, folder)
    except OSError as error:
        raise OutputError(
            f"{error.filename or folder}: {error.strerror or error}",
            hint="free some space or choose another --out",
        ) from None
    if not taught.boxes:
        known = ", ".join(options.classes or classes[:12])
        raise DataError(
            f"{', '.join(options.teachers)}: nothing found in {taught.frames} frames of "
            f"{len(videos)} videos (of {known})",
            hint="another teacher, other --classes, or a larger input (MODEL@1280x736) for small "
            "objects",
        )
    return taught


def _classes_of(
    runtimes: Sequence[Runtime], options: TeacherOptions
) -> tuple[tuple[str, ...], list[list[int]]]:
    """Return the classes, and each teacher's number of every class; -1 for one that is left out."""
    rename = dict(options.rename)
    told = [name for runtime in runtimes for name in runtime.metadata.classes]
    for old in rename:
        if old not in told:
            raise ConfigError(f"no teacher knows a class {old!r}", hint=near_name(old, told))
    names = list(dict.fromkeys(rename.get(name, name) for name in told))
    for name in options.classes:
        if name not in names:
            raise ConfigError(f"no teacher knows a class {name!r}", hint=near_name(name, names))
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
        self._predictors = [Predictor(runtime, threshold=FAINT / 2) for runtime in runtimes]
        self._tables = [np.array(table, np.int64) for table in tables]
        self._classes = classes
        knowing = np.zeros(classes)
        for table in self._tables:
            knowing[np.unique(table[table >= 0])] += 1
        # fusion divides by all teachers; only those that know a class have a say in it
        self._weights = (len(runtimes) / np.maximum(knowing, 1)).astype(np.float32)
        self._letterboxes: list[Letterbox] = []

    def start(self, size_hw: tuple[int, int]) -> None:
        """Begin a video."""
        self._letterboxes = [predictor.start(size_hw) for predictor in self._predictors]

    def step(self, frame: Frame) -> Detections:
        """Return what they find in a frame together, without duplicates."""
        answers = []
        for predictor, letterbox, table in zip(
            self._predictors, self._letterboxes, self._tables, strict=True
        ):
            found = predictor.step(frame.canvas(letterbox), frame.time_s)
            labels = table[found.labels]
            scores = np.zeros((len(found), self._classes), np.float32)
            rows = np.flatnonzero(labels >= 0)
            scores[rows, labels[rows]] = found.scores[rows]
            answers.append((found.boxes[rows], scores[rows]))
        boxes, scores = fuse_boxes(answers)
        boxes, values, labels = multiclass_nms(
            boxes, scores * self._weights, threshold=FAINT, iou=DUPLICATE_IOU, limit=300
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
    rate = info.rate if info is not None and info.rate else FRAMES_A_SECOND
    return max(1, round(rate / FRAMES_A_SECOND))


def _announce(
    videos: Sequence[Source], steps: Sequence[int], teachers: _Teachers, progress: Progress
) -> None:
    """Say how long it will take, by a few frames of the first video."""
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


def _key(options: TeacherOptions, classes: Sequence[str]) -> str:
    """Return what tells apart the labels of other teachers or choices."""
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
    found, frames, times, sizes = _load(cache) or _detect(video, step, teachers, progress)
    _save(cache, found, frames, times, sizes)
    if not len(frames):
        return
    if video.kind == "images" and not _is_sequence(video, sizes):
        for n, path in enumerate(video.images[: len(frames)]):
            yield _still(path, found[n], (int(sizes[n, 0]), int(sizes[n, 1])))
        return
    info = describe(video)
    images = tuple(str(path.resolve()) for path in video.images)
    if images:
        frames, times = np.arange(len(frames)) * step, np.arange(len(frames)) * step / IMAGE_RATE
    tracks = _without_parts(smooth_offline(found, times.tolist(), threshold=THRESHOLD))
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
    path: Path, found: Detections, size_hw: tuple[int, int]
) -> tuple[VideoLabels, OfflineTracks]:
    """Return the labels of one picture: there is no time that could help."""
    n = len(found)
    zeros = np.zeros(n, np.int64)
    status = np.where(found.scores >= THRESHOLD, DETECTED, UNCERTAIN)
    tracks = OfflineTracks(
        zeros, found.boxes, found.scores, found.labels, found.track_ids, status, 0
    )
    tracks = _without_parts(tracks)
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
    """Return whether pictures are the frames of a video: of one size, their numbers in a row."""
    ends = [re.search(r"(\d+)$", path.stem) for path in video.images]
    numbers = np.array([int(end[1]) for end in ends if end], np.int64)
    in_a_row = len(numbers) == len(ends) > 2 and len(np.unique(np.diff(numbers))) == 1
    return bool(in_a_row and (sizes == sizes[0]).all())


def _without_parts(tracks: OfflineTracks) -> OfflineTracks:
    """Return tracks without uncertain boxes that are a part of a certain one, or doubles of it."""
    kept = np.ones(len(tracks.frames), bool)
    for frame in np.unique(tracks.frames):
        rows = np.flatnonzero(tracks.frames == frame)
        unsure = rows[tracks.status[rows] == UNCERTAIN]
        sure = rows[tracks.status[rows] != UNCERTAIN]
        if len(unsure) and len(sure):
            share = box_overlap_of_first(tracks.boxes[unsure], tracks.boxes[sure]).max(axis=1)
            kept[unsure[share > INSIDE]] = False
    return replace(
        tracks,
        frames=tracks.frames[kept],
        boxes=tracks.boxes[kept],
        scores=tracks.scores[kept],
        labels=tracks.labels[kept],
        tracks=tracks.tracks[kept],
        status=tracks.status[kept],
    )


Found = tuple[list[Detections], IntArray, npt.NDArray[np.float64], IntArray]
"""Detections, frame numbers, times and (height, width) of each frame."""


def _detect(video: Source, step: int, teachers: _Teachers, progress: Progress) -> Found:
    found: list[Detections] = []
    frames: list[int] = []
    times: list[float] = []
    sizes: list[tuple[int, int]] = []
    total = expected_frames(video, describe(video), every=step)
    for frame in progress.track(
        open_frames(video, every=step, report=ReadReport()), total=total, label=video.name
    ):
        if not sizes or frame.size_hw != sizes[-1] or video.kind == "images":
            teachers.start(frame.size_hw)
        found.append(teachers.step(frame))
        frames.append(frame.index)
        times.append(frame.time_s)
        sizes.append(frame.size_hw)
    return (
        found,
        np.array(frames, np.int64),
        np.array(times, np.float64),
        np.array(sizes, np.int64).reshape(-1, 2),
    )


def _load(cache: Path) -> Found | None:
    """Return what an earlier run found in a video, None where it did not get to its end."""
    if not cache.is_file():
        return None
    with np.load(cache) as values:
        ends = np.cumsum(values["counts"])[:-1]
        columns = [np.split(values[name], ends) for name in ("boxes", "scores", "labels")]
        found = [
            Detections(boxes, scores, labels, np.full(len(labels), -1, np.int64))
            for boxes, scores, labels in zip(*columns, strict=True)
        ]
        return found[: len(values["frames"])], values["frames"], values["times"], values["sizes"]


def _save(
    cache: Path,
    found: list[Detections],
    frames: IntArray,
    times: npt.NDArray[np.float64],
    sizes: IntArray,
) -> None:
    if cache.is_file() or not found:
        return
    with atomic_write(cache) as temporary:
        np.savez_compressed(
            temporary,
            counts=np.array([len(one) for one in found], np.int64),
            boxes=np.concatenate([one.boxes for one in found]),
            scores=np.concatenate([one.scores for one in found]),
            labels=np.concatenate([one.labels for one in found]),
            frames=frames,
            times=times,
            sizes=sizes,
        )


def _write(
    made: Sequence[tuple[VideoLabels, OfflineTracks]],
    classes: tuple[str, ...],
    options: TeacherOptions,
    folder: Path,
) -> Taught:
    """Write labels and scores; classes that nobody asked for and nobody found are left out."""
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
    return Taught(
        path=folder / LABELS,
        frames=sum(len(labels.annotated_frames) for labels, _ in made),
        boxes=len(status),
        filled=int((status == INTERPOLATED).sum()),
        uncertain=int((status == UNCERTAIN).sum()),
        dropped=sum(tracks.dropped for _, tracks in made),
    )


def _relabelled(labels: VideoLabels, table: IntArray) -> VideoLabels:
    return replace(labels, labels=table[labels.labels])
