"""Streams annotated videos through the pipeline: a `FrameResult` for every annotated frame."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import islice

import numpy as np

from lstmcli.core.boxes import Letterbox, box_iou, clip_boxes
from lstmcli.core.metadata import ModelMetadata
from lstmcli.core.progress import Progress
from lstmcli.core.types import Annotations, BoolArray, Detections
from lstmcli.dataset.stream import AnnotatedVideo, StreamFrame
from lstmcli.inference.predictor import Postprocessor, Predictor
from lstmcli.inference.runtime import Runtime
from lstmcli.metrics.matching import class_agnostic_nms, match_frame
from lstmcli.metrics.scoring import FrameResult
from lstmcli.report.gallery import Gallery, Mark
from lstmcli.tracking import Tracker
from lstmcli.workflows.evaluate.class_thresholds import LOWEST
from lstmcli.workflows.evaluate.classes import scored_only
from lstmcli.workflows.evaluate.options import EvaluateOptions
from lstmcli.workflows.evaluate.result import PipelineUse
from lstmcli.workflows.pipeline import StreamItem, run_pipeline
from lstmcli.workflows.schedule import InferenceSchedule

SAME_OBJECT_IOU = 0.5
"""A candidate that overlaps a detection of its class by more is that detection."""


@dataclass(slots=True)
class EvaluationStream:
    """Streams videos one after the other and gathers the results.

    The network runs once a frame and its output is postprocessed twice: as in `detect`, for the
    shown detections, and with every class of a box down to the lowest score, for average precision.

    Args:
        options: of the evaluation.
        use: the stages of the pipeline that are on.
        gallery: collects frames with errors; None without a report.
        scored: which classes are scored, see `is_scored`; None: all.
    """

    options: EvaluateOptions
    use: PipelineUse
    gallery: Gallery | None
    scored: BoolArray | None = None
    results: list[FrameResult] = field(default_factory=list)
    timed: int = 0
    seconds: float = 0.0
    outside: int = 0
    unreached: int = 0
    warm: Runtime | None = None

    def add(self, video: AnnotatedVideo, runtime: Runtime, progress: Progress) -> None:
        """Stream one video through a runtime; unannotated frames go through the pipeline only."""
        limit, reached = self.options.limit, 0
        total = min(limit, video.total or limit) if limit else video.total
        items = with_candidates(self._items(video, runtime))
        for item, candidates in progress.track(items, total=total, label=video.name):
            self._time(item, runtime)
            gt = video.labels.at(item.index)
            if gt is None:
                continue
            reached += 1
            shown = item.detections
            assert shown is not None
            ranked_candidates = candidates
            if self.use.tracker:
                ranked_candidates = ranked(shown, candidates, self.options.threshold)
            if self.scored is not None:
                ranked_candidates = scored_only(ranked_candidates, self.scored)
                shown = scored_only(shown, self.scored)
            result = FrameResult(
                video.name,
                item.index,
                item.time_s,
                item.frame.size_hw,
                self._inside(gt, item.frame.size_hw),
                ranked_candidates,
                shown,
                item.since_start,
                class_agnostic_nms(ranked_candidates),
            )
            self.results.append(result)
            self._offer(result, item.frame, runtime.metadata)
        for sentence in video.report.sentences():
            progress.note(f"{video.name}: {sentence}")
        if video.expects_all and not limit:
            self.unreached += len(video.labels.annotated_frames) - reached

    def _items(self, video: AnnotatedVideo, runtime: Runtime) -> Iterator[StreamItem[StreamFrame]]:
        metadata, options = runtime.metadata, self.options
        tracker, threshold = None, options.threshold
        if options.store_thresholds:
            threshold = min(threshold, LOWEST)
        is_film = video.size_hw is not None
        if self.use.tracker:
            tracker = Tracker(
                threshold=options.threshold,
                calibration=metadata.calibration,
                smooth=options.memory,
            )
            threshold = tracker.min_score
        return run_pipeline(
            islice(video.open(metadata.input_hw, metadata.fit), options.limit or None),
            Predictor(runtime, threshold=threshold, memory=options.memory),
            schedule=InferenceSchedule(None if self.use.schedule and is_film else 1),
            tracker=tracker,
            interpolate=self.use.interpolation,
            second_postprocessor=Postprocessor(metadata, memory=options.memory, multi_label=True),
        )

    def note_omissions(self, progress: Progress) -> None:
        """Report boxes and frames that are not scored."""
        if self.outside:
            progress.note(f"{self.outside} ground-truth boxes lie outside their frame; not counted")
        if self.unreached:
            progress.note(f"{self.unreached} annotated frames are not in their videos; not counted")

    def _time(self, item: StreamItem[StreamFrame], runtime: Runtime) -> None:
        if not item.should_run:
            return
        if self.warm is runtime:  # the very first call allocates and chooses kernels
            self.seconds += item.network_s
            self.timed += 1
        self.warm = runtime

    def _inside(self, gt: Annotations, size_hw: tuple[int, int]) -> Annotations:
        """Clip the ground truth to the frame; count the boxes outside of it."""
        inside = clip_ground_truth(gt, size_hw)
        self.outside += int((~gt.ignore).sum() - (~inside.ignore).sum())
        return inside

    def _offer(self, result: FrameResult, frame: StreamFrame, metadata: ModelMetadata) -> None:
        """Offer a frame with errors to the gallery."""
        if self.gallery is None:
            return
        gt, shown = result.gt, result.detections
        rows, ignored = match_frame(gt, shown, iou=self.options.iou)
        missed = ~gt.ignore
        missed[rows[rows >= 0]] = False
        wrong = (rows < 0) & ~ignored
        if not missed.any() and not wrong.any():
            return
        letterbox = Letterbox(frame.size_hw, metadata.input_hw, metadata.fit)
        to_canvas = letterbox.to_canvas
        marks = (
            Mark("tp", to_canvas(shown.boxes[rows >= 0]), shown.labels[rows >= 0]),
            Mark("fn", to_canvas(gt.boxes[missed]), gt.labels[missed]),
            Mark("fp", to_canvas(shown.boxes[wrong]), shown.labels[wrong]),
        )
        badness = float(missed.sum() + shown.scores[wrong].sum())
        self.gallery.offer(
            badness, result.video, result.frame, result.time_s, frame.canvas(letterbox), marks
        )


def clip_ground_truth(gt: Annotations, size_hw: tuple[int, int]) -> Annotations:
    """Return ground truth clipped to the frame, without the boxes outside of it."""
    boxes = clip_boxes(gt.boxes.astype(np.float32), size_hw)
    rows = (boxes[:, 2:] > boxes[:, :2]).all(axis=1)
    return Annotations(boxes[rows], gt.labels[rows], gt.tracks[rows], gt.ignore[rows])


def with_candidates(
    items: Iterable[StreamItem[StreamFrame]],
) -> Iterator[tuple[StreamItem[StreamFrame], Detections]]:
    """Yield each item with its candidates; without inference, with those of the frame before."""
    last = Detections.none()
    for item in items:
        if item.candidates is not None:
            last = item.candidates
        elif item.since_start == 0:
            last = Detections.none()
        yield item, last


def ranked(shown: Detections, candidates: Detections, threshold: float) -> Detections:
    """Return the detections for average precision: the shown ones, then the other candidates.

    A candidate that the pipeline did not output ranks below the threshold, so that the order is
    that of the output, and no candidate is lost down to the lowest score.

    Args:
        shown: the output of the pipeline.
        candidates: every class of every box, down to the lowest score.
        threshold: minimum score of the shown detections.
    """
    if len(shown) and len(candidates):
        near = box_iou(candidates.boxes, shown.boxes) > SAME_OBJECT_IOU
        same = near & (candidates.labels[:, None] == shown.labels[None])
        candidates = candidates.select(np.flatnonzero(~same.any(axis=1)))
    below = np.nextafter(np.float32(threshold), np.float32(0))
    joined = Detections(
        np.concatenate((shown.boxes, candidates.boxes)),
        np.concatenate((shown.scores, np.minimum(candidates.scores, below))),
        np.concatenate((shown.labels, candidates.labels)),
        np.concatenate((shown.track_ids, candidates.track_ids)),
    )
    return joined.select(np.argsort(-joined.scores, kind="stable"))
