"""One video from its source to its finished files, in overlapping stages."""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Iterable, Iterator
from dataclasses import replace
from datetime import datetime
from functools import partial
from itertools import chain, count
from pathlib import Path

import numpy as np

from lstmcli.core.boxes import Fit, Letterbox, clip_boxes
from lstmcli.core.calibration import ScoreCalibration
from lstmcli.core.errors import (
    MediaError,
)
from lstmcli.core.jobs import ProgressCallback
from lstmcli.core.prefetch import prefetch
from lstmcli.core.types import Detections, Picture
from lstmcli.inference.predictor import Predictor
from lstmcli.outputs import AnnotatedFrame, OutputSpec
from lstmcli.outputs.contract import make_folder
from lstmcli.outputs.counts import SUFFIX as COUNTS_SUFFIX
from lstmcli.outputs.counts import CountsFile
from lstmcli.outputs.draw import Annotator, Shape
from lstmcli.outputs.writer import OutputGroup, output_paths
from lstmcli.tracking import Counter, Tracker, interpolate_gaps
from lstmcli.video import (
    ASSUMED_RATE,
    Frame,
    ReadReport,
    Source,
    describe,
)
from lstmcli.workflows.detect.options import Plan, Stopped, StreamPredictor, VideoDone
from lstmcli.workflows.detect.schedule import InferenceSchedule

SYNC_S = 2.0
"""A live run brings its files to the disk this often."""


class VideoJob:
    """One video on its way from decoding over the network to its outputs."""

    def __init__(self, source: Source, stem: Path, plan: Plan) -> None:
        self.source, self.stem, self.plan = source, stem, plan
        self.info = describe(source)
        self.report = ReadReport()
        self.looks = plan.schedule_for(source)
        self.frames = self.detections = 0
        self.objects: set[int] = set()
        self.paths: list[Path] = []
        self.notes: list[str] = []
        self.group: OutputGroup | None = None
        self.counts: CountsFile | None = None
        self.counter: Counter | None = None
        self.segment_began_s = 0.0
        self.synced = time.monotonic()

    def run(self, track: ProgressCallback) -> VideoDone:
        """Do it all; an error or interruption leaves partial files."""
        began = time.monotonic()
        total = self.plan.expected(self.source)
        answers = self._answers()
        try:
            for answer in track(answers, total=total, label=self.source.name):
                if self.plan.stop.is_set():
                    raise Stopped
                self._write(answer)
            self._close()
        except KeyboardInterrupt:
            # A camera is ended by an interruption and by nothing else: its files are complete.
            if not self.source.is_live or self.group is None:
                self._abandon()
                raise
            self._close()
            self.notes.append("stopped by hand")
        except BaseException:
            self._abandon()
            raise
        finally:
            answers.close()
        if self.report.has_sound and self.plan.sound and "video" in self.plan.write:
            self.notes.append("the sound of a stream is not kept; a downloaded file keeps it")
        names = self.plan.classes
        totals = self.counter.totals if self.counter is not None else {}
        return VideoDone(
            name=self.source.name,
            outputs=tuple(self.paths),
            frames=self.frames,
            looked=self.looks.looked,
            detections=self.detections,
            objects=len(self.objects),
            seconds=time.monotonic() - began,
            counts={(gate, way, names[label]): n for (gate, way, label), n in totals.items()},
            notes=tuple(dict.fromkeys(self.report.sentences() + self.notes)),
        )

    def _answers(self) -> Generator[AnnotatedFrame, None, None]:
        """Yield the answers; decoding and network each run ahead in a thread of their own."""
        plan = self.plan
        frames = plan.frames(self.source, self.report)
        first = next(frames, None)
        if first is None:
            raise MediaError(f"{self.source.name}: no frame came", hint="does it play?")
        size_hw = first.size_hw
        tracker = Tracker(threshold=plan.threshold) if plan.track else None
        floor = tracker.faint if tracker is not None else plan.threshold
        predictor = plan.predictor_for(floor, shape_of(self.source, first))
        if plan.count is not None:
            self.counter = Counter(plan.count, size_hw)
        painter = Annotator(plan.classes, size_hw, plan.look)
        canvases = prefetch(
            with_canvas(
                chain((first,), frames),
                predictor.canvas_hw,
                looks=self.looks,
                fit=getattr(predictor, "fit", "center"),
            )
        )
        found = prefetch(with_answers(canvases, predictor, tracker, plan.calibration))
        steadied = (
            interpolate_gaps(found)
            if tracker is not None
            else ((f, d) for f, _, d in found if d is not None)
        )
        for frame, detections in steadied:
            detections = self._kept(detections, frame)
            yield AnnotatedFrame(frame, detections, painter, self._count(detections, frame))

    def _kept(self, found: Detections, frame: Frame) -> Detections:
        keep = np.array([label in self.plan.kept for label in found.labels.tolist()], bool)
        found = found.select(keep) if len(found) else found
        return replace(found, boxes=clip_boxes(found.boxes, frame.size_hw))

    def _count(self, found: Detections, frame: Frame) -> tuple[Shape, ...]:
        if self.counter is None:
            return ()
        if self.counts is None:
            stem = self._segment_stem(frame) if self.source.is_live else self.stem
            make_folder(stem.parent)
            self.counts = CountsFile(self._job(frame, stem))
        for event in self.counter.step(found, frame.index, frame.time_s):
            self.counts.write(
                event.gate, event.direction, event.label, event.track_id, event.frame, event.time_s
            )
        return tuple(
            Shape(gate.in_pixels(frame.size_hw), gate.is_zone, self.counter.text(gate))
            for gate in self.counter.plan.gates
        )

    def _write(self, answer: AnnotatedFrame) -> None:
        frame = answer.frame
        is_live = self.source.is_live
        if self.group is not None and is_live:
            if frame.time_s - self.segment_began_s >= self.plan.segment_s:
                self._end_group()
            elif time.monotonic() - self.synced >= SYNC_S:
                self.group.sync()
                self.synced = time.monotonic()
        if self.group is None:
            self.segment_began_s = frame.time_s
            stem = self._segment_stem(frame) if is_live else self.stem
            self.group = OutputGroup(self.plan.write, self._job(frame, stem))
        self.group.write(answer)
        self.frames += 1
        self.detections += len(answer.found)
        self.objects.update(track for track in answer.found.track_ids.tolist() if track >= 0)

    def _segment_stem(self, first: Frame) -> Path:
        """Return a name by the wall clock that no file has: a fast stream fills two in a second."""
        name = f"{self.stem.name}-{datetime.now():%Y%m%d-%H%M%S}"
        for number in count(1):
            stem = self.stem.with_name(name if number == 1 else f"{name}_{number}")
            job = self._job(first, stem)
            paths = [*output_paths(self.plan.write, job), job.path(COUNTS_SUFFIX)]
            if not any(path.exists() for path in paths):
                return stem
        raise AssertionError("there is always a next number")

    def _job(self, first: Frame, stem: Path) -> OutputSpec:
        plan, info = self.plan, self.info
        rate = (plan.image_rate or ASSUMED_RATE) if self.source.kind == "images" else None
        job = OutputSpec(
            video=self.source.name,
            stem=stem,
            classes=plan.classes,
            size_hw=first.size_hw,
            rate=rate,
            begins_s=first.time_s,
            codec=plan.codec,
            quality=plan.quality,
        )
        if info is None:
            return job
        return replace(
            job,
            rate=info.rate / plan.every if info.rate else None,
            begins_s=info.begins_s + (plan.start_s or 0.0),
            ends_s=None if plan.end_s is None else info.begins_s + plan.end_s,
            sound_from=Path(info.path) if plan.sound and info.has_audio else None,
            pixel_aspect=info.pixel_aspect,
            source_rate=info.rate,
        )

    def _end_group(self) -> None:
        if self.group is None:
            return
        group, self.group = self.group, None
        group.close()
        self.paths += group.paths
        self.notes += group.notes

    def _close(self) -> None:
        self._end_group()
        if self.counts is not None:
            self.counts.close()
            self.paths.append(self.counts.path)

    def _abandon(self) -> None:
        if self.group is not None:
            self.group.abandon()
        if self.counts is not None:
            self.counts.abandon()


def shape_of(source: Source, first: Frame) -> tuple[int, int] | None:
    """Return (height, width) of all frames to come; None for still images, which may differ."""
    return None if source.kind == "images" else first.size_hw


def with_canvas(
    frames: Iterable[Frame],
    canvas_hw: tuple[int, int],
    looks: InferenceSchedule,
    *,
    fit: Fit = "center",
) -> Iterator[tuple[Frame, Picture | None]]:
    """Yield each frame; those to look at with a canvas, uint8 [canvas height, canvas width, 3]."""
    for frame in frames:
        is_due = looks.should_run(frame.time_s)
        yield frame, frame.canvas(Letterbox(frame.size_hw, canvas_hw, fit)) if is_due else None


def with_answers(
    canvases: Iterable[tuple[Frame, Picture | None]],
    predictor: StreamPredictor,
    tracker: Tracker | None,
    calibration: ScoreCalibration,
    *,
    depth: int = 4,
) -> Iterator[tuple[Frame, float, Detections | None]]:
    """Yield each frame, its time and what was found in it, tracked if there is a tracker.

    Predictor and tracker go by the network's own scores; people are told `confidence`'s.

    Without a canvas nobody looks: None. The network works ahead of who reads its answers, by
    `depth` frames.
    """
    for frame, answer in prefetch(_with_looks(canvases, predictor), depth=depth):
        found = answer() if answer is not None else None
        if tracker is not None and found is not None:
            found = tracker.step(found, frame.time_s)
        yield frame, frame.time_s, None if found is None else calibration.calibrate(found)


def _with_looks(
    canvases: Iterable[tuple[Frame, Picture | None]], predictor: StreamPredictor
) -> Iterator[tuple[Frame, Callable[[], Detections] | None]]:
    """Yield each frame, and what returns what is found in it; None where nobody looked."""
    size_hw: tuple[int, int] | None = None
    for frame, canvas in canvases:
        if canvas is None:
            yield frame, None
            continue
        if frame.size_hw != size_hw:  # still images may differ; a video never does
            size_hw = frame.size_hw
            predictor.start(size_hw)
        if isinstance(predictor, Predictor):
            yield frame, partial(predictor.read, predictor.look(canvas, frame.time_s))
        else:
            found = predictor.step(canvas, frame.time_s)
            yield frame, partial(_same, found)


def _same(found: Detections) -> Detections:
    return found
