"""Pseudo-labels: footage labelled by fused teacher models and offline tracking.

The result is a COCO file with tracks next to the dataset, which `prepare` and `convert` read like
any other labels, and a JSON line for every box with its score (soft label). Detections of finished
videos are cached, so that an interrupted run continues with the next one.
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np

from lstmcli.core.boxes import box_overlap_of_first
from lstmcli.core.errors import DataError, OutputError
from lstmcli.core.files import check_free, claim, publish_file, temporary_folder
from lstmcli.core.progress import Progress, SilentProgress
from lstmcli.core.types import DataWarning, Detections, IntArray, LabelSet, VideoLabels
from lstmcli.inference.loading import load_runtime
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
    ReadReport,
    Source,
    describe,
    expected_frames,
    find_sources,
    open_frames,
)
from lstmcli.workflows.prepare.teacher_detections import (
    cache_key,
    cache_name,
    detect_video,
    load_detections,
    save_detections,
)
from lstmcli.workflows.prepare.teacher_ensemble import (
    TeacherEnsemble,
    TeacherOptions,
    classes_of,
)

THRESHOLD = 0.3
"""Score that makes a track certain."""
LABEL_FPS = 10.0
IMAGE_RATE = 25.0
"""Frames per second of numbered pictures."""
PARTIAL_SHARE = 0.7
"""An uncertain box is dropped if this share of it lies in a certain one."""
TRIAL_FRAMES = 3
LABELS, SCORES = "labels.json", "scores.jsonl"
STATUS = {DETECTED: "detected", INTERPOLATED: "interpolated", UNCERTAIN: "uncertain"}


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
    overwrite: bool = False,
    progress: Progress | None = None,
) -> TeacherResult:
    """Label videos or pictures without labels.

    Args:
        sources: videos, pictures or folders of them.
        folder: of the labels and the cached detections.
        options: see `TeacherOptions`.
        overwrite: replace labels that are there and differ: they may be corrected ones.
        progress: shows progress and notes.

    Raises:
        ConfigError: a class that no teacher has.
        DataError: the teachers detect nothing.
        MediaError: the footage cannot be read.
        ModelError: a teacher cannot be loaded.
        OutputError: other labels are there, or they cannot be written.
    """
    progress = progress or SilentProgress()
    videos = find_sources([str(source) for source in sources], note=progress.note)
    load = partial(load_runtime, device=options.device, engine=options.engine, note=progress.note)
    runtimes = [load(name) for name in options.teachers]
    classes, tables = classes_of(runtimes, options)
    teachers = TeacherEnsemble(runtimes, tables, len(classes), options.tiles)
    steps = [_stride(video, options.every) for video in videos]
    _note_duration(videos, steps, teachers, progress)
    key = cache_key(options, classes)
    made: list[tuple[VideoLabels, OfflineTracks]] = []
    try:
        with claim(folder):
            folder.mkdir(parents=True, exist_ok=True)
            for video, step in zip(videos, steps, strict=True):
                made += list(_label(video, step, teachers, folder, key, progress))
            if not any(len(tracks.frames) for _, tracks in made):
                raise _nothing_detected(made, classes, options)
            result = _write(made, classes, options, folder, overwrite=overwrite)
    except OSError as error:
        raise OutputError(
            f"{error.filename or folder}: {error.strerror or error}",
            hint="free some space or choose another --out",
        ) from None
    return result


def _nothing_detected(
    made: Sequence[tuple[VideoLabels, OfflineTracks]],
    classes: tuple[str, ...],
    options: TeacherOptions,
) -> DataError:
    known = ", ".join(options.classes or classes[:12])
    frames = sum(len(labels.annotated_frames) for labels, _ in made)
    return DataError(
        f"{', '.join(options.teachers)}: no detections in {frames} frames of {len(made)} "
        f"videos (of {known})",
        hint="another teacher, other --classes, or, for small objects, --tiles 2 or a larger "
        "input (MODEL@1280x736)",
    )


def _stride(video: Source, every: int) -> int:
    if every or video.kind != "file":
        return every or 1
    info = describe(video)
    rate = info.rate if info is not None and info.rate else LABEL_FPS
    return max(1, round(rate / LABEL_FPS))


def _note_duration(
    videos: Sequence[Source], steps: Sequence[int], teachers: TeacherEnsemble, progress: Progress
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


def _label(
    video: Source, step: int, teachers: TeacherEnsemble, folder: Path, key: str, progress: Progress
) -> Iterator[tuple[VideoLabels, OfflineTracks]]:
    """Yield the labels of a video, or of each picture of a row of stills."""
    cache = folder / cache_name(video, key)
    known = load_detections(cache, classes=teachers.classes)
    detections, frames, times, sizes = known or detect_video(video, step, teachers, progress)
    save_detections(cache, detections, frames, times, sizes)
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
        scores=tracks.scores.astype(np.float32),
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
        scores=tracks.scores.astype(np.float32),
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


def _write(
    made: Sequence[tuple[VideoLabels, OfflineTracks]],
    classes: tuple[str, ...],
    options: TeacherOptions,
    folder: Path,
    *,
    overwrite: bool,
) -> TeacherResult:
    """Write labels and scores; undetected classes are left out unless requested."""
    used = {int(label) for labels, _ in made for label in np.unique(labels.labels)}
    kept = [n for n in range(len(classes)) if options.classes or n in used]
    table = np.full(len(classes), -1, np.int64)
    table[kept] = np.arange(len(kept))
    videos = tuple(_relabelled(labels, table) for labels, _ in made)
    names = tuple(classes[n] for n in kept)
    with temporary_folder(folder / LABELS) as place:
        coco.write(LabelSet(names, videos), place / LABELS, WarningCollector())
        tracks_of = zip(videos, (tracks for _, tracks in made), strict=True)
        (place / SCORES).write_text("".join(_score_lines(tracks_of, names)), encoding="utf-8")
        changed = [name for name in (SCORES, LABELS) if not _is_same(place / name, folder / name)]
        for name in changed:
            check_free(folder / name, overwrite=overwrite)
        for name in changed:  # the labels last: where they are, all is
            publish_file(place / name, folder / name, overwrite=overwrite)
    status = np.concatenate([tracks.status for _, tracks in made] or [np.zeros(0, np.int64)])
    return TeacherResult(
        path=folder / LABELS,
        frames=sum(len(labels.annotated_frames) for labels, _ in made),
        boxes=len(status),
        interpolated=int((status == INTERPOLATED).sum()),
        uncertain=int((status == UNCERTAIN).sum()),
        dropped=sum(tracks.dropped for _, tracks in made),
    )


def _is_same(new: Path, old: Path) -> bool:
    return old.is_file() and old.read_bytes() == new.read_bytes()


def _score_lines(
    made: Iterable[tuple[VideoLabels, OfflineTracks]], names: Sequence[str]
) -> Iterator[str]:
    """Yield a JSON line for every box, with its score."""
    for labels, tracks in made:
        for row in range(len(tracks.frames)):
            line = {
                "video": labels.name,
                "frame": int(labels.box_frames[row]),
                "class": names[int(labels.labels[row])],
                "score": round(float(tracks.scores[row]), 4),
                "track_id": int(tracks.tracks[row]),
                "status": STATUS[int(tracks.status[row])],
            }
            yield json.dumps(line, ensure_ascii=False) + "\n"


def _relabelled(labels: VideoLabels, table: IntArray) -> VideoLabels:
    return replace(labels, labels=table[labels.labels])
