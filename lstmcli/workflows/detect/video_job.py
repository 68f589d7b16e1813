"""One video through the pipeline to its finished files."""

from __future__ import annotations

import time
from collections.abc import Generator, Iterable, Sequence
from dataclasses import replace
from datetime import datetime
from itertools import chain, count
from pathlib import Path

from lstmcli.core.errors import MediaError
from lstmcli.core.jobs import ProgressCallback
from lstmcli.core.types import Detections
from lstmcli.outputs import AnnotatedFrame, OutputSpec
from lstmcli.outputs.contract import make_folder
from lstmcli.outputs.counts import SUFFIX as COUNTS_SUFFIX
from lstmcli.outputs.counts import CountsFile
from lstmcli.outputs.draw import Annotator, Shape
from lstmcli.outputs.writer import OutputGroup, output_paths
from lstmcli.tracking import Counter, CountEvent, Tracker
from lstmcli.tracking.zones import PolygonZone, points_in_pixels
from lstmcli.video import ASSUMED_RATE, Frame, ReadReport
from lstmcli.workflows.detect.event_feed import EventFeed
from lstmcli.workflows.detect.options import VideoDone
from lstmcli.workflows.detect.plan import Plan, ProbedSource
from lstmcli.workflows.pipeline import counted, numbered, replayed, run_pipeline

SYNC_S = 2.0
"""Seconds between syncs of a live run's files to the disk."""


class Stopped(Exception):
    """Another thread was interrupted; this one stops, too."""


class VideoJob:
    """Runs the pipeline over one video and writes its outputs.

    Args:
        probed: the video.
        plan: of the run.
        detected: (frame, detections) of every frame, where they were made elsewhere.
        inferences: of the network that made them.
    """

    def __init__(
        self,
        probed: ProbedSource,
        plan: Plan,
        *,
        detected: Iterable[tuple[int, Detections]] | None = None,
        inferences: int = 0,
    ) -> None:
        self.detected, self.inferences = detected, inferences
        self.source, self.stem, self.plan = probed.source, probed.stem, plan
        self.info = probed.info
        self.total = plan.expected(probed)
        self.report = ReadReport()
        self.schedule = plan.schedule_for(self.source)
        self.frames = self.detections = 0
        self.objects: set[int] = set()
        self.paths: list[Path] = []
        self.notes: list[str] = []
        self.group: OutputGroup | None = None
        self.counts: CountsFile | None = None
        self.counter: Counter | None = None
        self.feed = self._event_feed()
        self.segment_began_s = 0.0
        self.synced = time.monotonic()

    def run(self, track: ProgressCallback) -> VideoDone:
        """Process the video; an error or interruption leaves partial files."""
        began = time.monotonic()
        frames = self._annotated_frames()
        try:
            for frame in track(frames, total=self.total, label=self.source.name):
                if self.plan.stop.is_set():
                    raise Stopped
                self._write(frame)
            self._end_events()
            self._close()
        except KeyboardInterrupt:
            # An interruption is the normal end of a camera: its files are completed.
            if not self.source.is_live or self.group is None:
                self._abandon()
                raise
            self._end_events()
            self._close()
            self.notes.append("stopped by hand")
        except BaseException:
            self._abandon()
            raise
        finally:
            frames.close()
        if self.report.has_sound and self.plan.options.sound and "video" in self.plan.options.write:
            self.notes.append("the sound of a stream is not kept; a downloaded file keeps it")
        names = self.plan.classes
        totals = self.counter.totals if self.counter is not None else {}
        return VideoDone(
            name=self.source.name,
            outputs=tuple(self.paths),
            frames=self.frames,
            inferences=self.inferences or self.schedule.inferences,
            detections=self.detections,
            objects=len(self.objects),
            seconds=time.monotonic() - began,
            counts={(zone, way, names[label]): n for (zone, way, label), n in totals.items()},
            notes=tuple(dict.fromkeys(self.report.sentences() + self.notes)),
        )

    def _annotated_frames(self) -> Generator[AnnotatedFrame, None, None]:
        """Yield the frames with their detections and counts."""
        plan = self.plan
        frames = plan.frames(self.source, self.report)
        first = next(frames, None)
        if first is None:
            raise MediaError(f"{self.source.name}: no frames", hint="does it play?")
        tracker = (
            Tracker(
                threshold=plan.options.threshold,
                calibration=plan.calibration,
                smooth=plan.options.memory,
            )
            if plan.options.track
            else None
        )
        # frames of still images may differ in size
        size_hw = None if self.source.kind == "images" else first.size_hw
        if plan.count is not None:
            self.counter = Counter(plan.count, first.size_hw)
        annotator = Annotator(plan.classes, first.size_hw, plan.options.style)
        numbered_frames = numbered(chain((first,), frames))
        if self.detected is not None:
            items = replayed(numbered_frames, self.detected)
            items = items if self.counter is None else counted(items, self.counter)
        else:
            items = run_pipeline(
                numbered_frames,
                plan.predictor_for(
                    tracker.min_score if tracker else plan.options.threshold, size_hw
                ),
                schedule=self.schedule,
                tracker=tracker,
                kept=plan.kept,
                counter=self.counter,
            )
        for item in items:
            assert item.detections is not None
            self._write_events(item.events, item.frame)
            if self.feed is not None:
                self.feed.step(item.frame, item.detections, item.events)
            yield AnnotatedFrame(item.frame, item.detections, annotator, self._shapes(item.frame))

    def _event_feed(self) -> EventFeed | None:
        plan = self.plan
        if plan.events is None:
            return None
        zones = plan.count.zones if plan.count is not None else ()
        return EventFeed(
            plan.events,
            video=self.source.name,
            classes=plan.classes,
            zones=frozenset(zone.name for zone in zones if isinstance(zone, PolygonZone)),
            is_live=self.source.is_live,
        )

    def _end_events(self) -> None:
        if self.feed is not None:
            self.feed.end()

    def _write_events(self, events: Sequence[CountEvent], frame: Frame) -> None:
        if self.counter is None:
            return
        if self.counts is None:
            stem = self._segment_stem(frame) if self.source.is_live else self.stem
            make_folder(stem.parent)
            self.counts = CountsFile(self._job(frame, stem))
        for event in events:
            self.counts.write(
                event.zone, event.direction, event.label, event.track_id, event.frame, event.time_s
            )

    def _shapes(self, frame: Frame) -> tuple[Shape, ...]:
        if self.counter is None:
            return ()
        return tuple(
            Shape(
                points_in_pixels(zone, frame.size_hw),
                isinstance(zone, PolygonZone),
                self.counter.text(zone),
            )
            for zone in self.counter.config.zones
        )

    def _write(self, annotated: AnnotatedFrame) -> None:
        frame = annotated.frame
        is_live = self.source.is_live
        if self.group is not None and is_live:
            if frame.time_s - self.segment_began_s >= self.plan.options.segment_s:
                self._end_group()
            elif time.monotonic() - self.synced >= SYNC_S:
                self.group.sync()
                self.synced = time.monotonic()
        if self.group is None:
            self.segment_began_s = frame.time_s
            stem = self._segment_stem(frame) if is_live else self.stem
            self.group = OutputGroup(self.plan.options.write, self._job(frame, stem))
        self.group.write(annotated)
        self.frames += 1
        self.detections += len(annotated.detections)
        self.objects.update(
            track for track in annotated.detections.track_ids.tolist() if track >= 0
        )

    def _segment_stem(self, first: Frame) -> Path:
        """Return an unused name by the wall clock: a fast stream fills two files in a second."""
        name = f"{self.stem.name}-{datetime.now():%Y%m%d-%H%M%S}"
        for number in count(1):
            stem = self.stem.with_name(name if number == 1 else f"{name}_{number}")
            job = self._job(first, stem)
            paths = [*output_paths(self.plan.options.write, job), job.path(COUNTS_SUFFIX)]
            if not any(path.exists() for path in paths):
                return stem
        raise AssertionError("there is always a next number")

    def _job(self, first: Frame, stem: Path) -> OutputSpec:
        plan, options, info = self.plan, self.plan.options, self.info
        rate = (options.image_rate or ASSUMED_RATE) if self.source.kind == "images" else None
        job = OutputSpec(
            video=self.source.name,
            stem=stem,
            classes=plan.classes,
            size_hw=first.size_hw,
            rate=rate,
            begins_s=first.time_s,
            codec=plan.codec,
            quality=options.quality,
            overwrite=(options.overwrite or options.skip_existing) and not self.source.is_live,
        )
        if info is None:
            return job
        return replace(
            job,
            rate=info.rate / plan.every if info.rate else None,
            begins_s=info.begins_s + (options.start_s or 0.0),
            ends_s=None if options.end_s is None else info.begins_s + options.end_s,
            sound_from=Path(info.path) if options.sound and info.has_audio else None,
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
