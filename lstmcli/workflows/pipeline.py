"""The pipeline of a frame, for `detect`, `evaluate` and Python callers.

source -> schedule -> letterbox -> runtime -> postprocess -> track -> interpolate -> keep -> count

Each stage is a generator that fills in its part of a `StreamItem` and yields it, in order. Callers
write outputs (`detect`) or match with ground truth (`evaluate`).
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Any, Generic, Protocol, TypeVar

import numpy as np

from lstmcli.core.boxes import Letterbox, clip_boxes
from lstmcli.core.errors import DataError
from lstmcli.core.prefetch import prefetch
from lstmcli.core.types import Detections, Picture
from lstmcli.tracking import Counter, CountEvent, Tracker, interpolate_gaps
from lstmcli.workflows.schedule import InferenceSchedule


class SourceFrame(Protocol):
    """A frame of any source: a decoded video, a row of images, a prepared dataset."""

    @property
    def size_hw(self) -> tuple[int, int]:
        """(height, width) as shown."""

    def canvas(self, letterbox: Letterbox) -> Picture:
        """Return the letterboxed frame, uint8 [canvas height, canvas width, 3]."""


F = TypeVar("F", bound=SourceFrame)


class StreamPredictor(Protocol):
    """Carries the state of one stream; implemented by `inference.predictor.Predictor`."""

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the classes."""

    def letterbox(self, size_hw: tuple[int, int]) -> Letterbox:
        """Return the letterbox of frames of (height, width)."""

    def start(self, size_hw: tuple[int, int]) -> Letterbox:
        """Begin a video."""

    def forward(self, canvas: Picture, time_s: float) -> Any:
        """Return the raw prediction of the next frame."""

    def postprocess(self, raw: Any) -> Detections:
        """Return the detections of a raw prediction, in pixels of the source."""


class SecondPostprocessor(Protocol):
    """A second postprocessing; implemented by `inference.predictor.Postprocessor`."""

    def step(self, raw: Any) -> Detections:
        """Return the detections of a raw prediction."""


@dataclass(slots=True)
class StreamItem(Generic[F]):
    """A frame with the results of the stages.

    Args:
        index: of the frame in its source.
        time_s: the frame's own time in seconds.
        frame: as it came from the source.
        should_run: whether the schedule runs the network.
        since_start: frames since the start of the stream, or since a change of the frame size.
        canvas: the letterboxed picture, until the network ran.
        raw: the raw prediction, until it was post-processed.
        network_s: seconds of runtime and post-processing.
        detections: calibrated, in pixels of the frame; None: the network did not run.
        candidates: of the second postprocessing; None without one.
        events: crossings of this frame.
    """

    index: int
    time_s: float
    frame: F
    should_run: bool = True
    since_start: int = 0
    canvas: Picture | None = None
    raw: Any = None
    network_s: float = 0.0
    detections: Detections | None = None
    candidates: Detections | None = None
    events: tuple[CountEvent, ...] = ()


def run_pipeline(
    source: Iterable[tuple[int, float, F]],
    predictor: StreamPredictor,
    *,
    schedule: InferenceSchedule | None = None,
    tracker: Tracker | None = None,
    interpolate: bool = True,
    kept: frozenset[int] | None = None,
    counter: Counter | None = None,
    second_postprocessor: SecondPostprocessor | None = None,
    depth: int = 4,
) -> Iterator[StreamItem[F]]:
    """Yield every frame of a source with its detections.

    Decoding and letterboxing, the network, and post-processing with tracking each run in their own
    thread and prefetch.

    Args:
        source: (index, time in seconds, frame), in order.
        predictor: of this stream.
        schedule: of inference; None: every frame.
        tracker: of this stream; None: detections have no track ids.
        interpolate: interpolate gaps of tracks and drop tracks of a single detection, with half a
            second of delay.
        kept: output classes; None: all.
        counter: of lines and zones; None: no counting.
        second_postprocessor: postprocesses the raw predictions once more, into `candidates`.
        depth: frames in the queue after the network.
    """
    items = scheduled(source, schedule or InferenceSchedule())
    items = prefetch(letterboxed(items, predictor))
    items = prefetch(inferred(items, predictor), depth=depth)
    items = postprocessed(items, predictor, second_postprocessor)
    if tracker is not None:
        items = tracked(items, tracker)
    if depth > 1:
        items = prefetch(items)
    if tracker is not None and interpolate:
        items = interpolated(items)
    items = kept_classes(items, kept)
    return items if counter is None else counted(items, counter)


def scheduled(
    source: Iterable[tuple[int, float, F]], schedule: InferenceSchedule
) -> Iterator[StreamItem[F]]:
    """Mark the frames with inference."""
    for index, time_s, frame in source:
        yield StreamItem(index, time_s, frame, should_run=schedule.should_run(time_s))


def letterboxed(
    items: Iterable[StreamItem[F]], predictor: StreamPredictor
) -> Iterator[StreamItem[F]]:
    """Letterbox each frame with inference."""
    size_hw: tuple[int, int] | None = None
    count = 0
    for item in items:
        if item.frame.size_hw != size_hw:  # still images may differ; a video never does
            size_hw, count = item.frame.size_hw, 0
        item.since_start = count
        count += 1
        if item.should_run:
            item.canvas = item.frame.canvas(predictor.letterbox(item.frame.size_hw))
        yield item


def inferred(items: Iterable[StreamItem[F]], predictor: StreamPredictor) -> Iterator[StreamItem[F]]:
    """Run the network; its state is reset where the frame size changes."""
    size_hw: tuple[int, int] | None = None
    for item in items:
        if item.canvas is not None:
            if item.frame.size_hw != size_hw:
                size_hw = item.frame.size_hw
                predictor.start(size_hw)
            began = time.perf_counter()
            item.raw = predictor.forward(item.canvas, item.time_s)
            item.network_s = time.perf_counter() - began
            item.canvas = None
        yield item


def postprocessed(
    items: Iterable[StreamItem[F]],
    predictor: StreamPredictor,
    second_postprocessor: SecondPostprocessor | None = None,
) -> Iterator[StreamItem[F]]:
    """Turn raw predictions into calibrated detections in pixels of the frame."""
    for item in items:
        if item.should_run:
            if second_postprocessor is not None:
                item.candidates = second_postprocessor.step(item.raw)
            began = time.perf_counter()
            item.detections = predictor.postprocess(item.raw)
            item.network_s += time.perf_counter() - began
            item.raw = None
        yield item


def tracked(items: Iterable[StreamItem[F]], tracker: Tracker) -> Iterator[StreamItem[F]]:
    """Track the detections."""
    for item in items:
        if item.detections is not None:
            item.detections = tracker.step(item.detections, item.time_s)
        yield item


def interpolated(items: Iterable[StreamItem[F]]) -> Iterator[StreamItem[F]]:
    """Interpolate gaps of tracks and frames without inference; drop single detections."""
    flow = ((item, item.time_s, item.detections) for item in items)
    for item, detections in interpolate_gaps(flow):
        item.detections = detections
        yield item


def kept_classes(
    items: Iterable[StreamItem[F]], kept: frozenset[int] | None = None
) -> Iterator[StreamItem[F]]:
    """Keep the output classes and clip boxes to the frame; drop frames without inference."""
    for item in items:
        if item.detections is None:
            continue
        detections = item.detections
        if kept is not None and len(detections):
            rows = np.array([label in kept for label in detections.labels.tolist()], bool)
            detections = detections.select(rows)
        boxes = clip_boxes(detections.boxes, item.frame.size_hw)
        item.detections = replace(detections, boxes=boxes)
        yield item


def counted(items: Iterable[StreamItem[F]], counter: Counter) -> Iterator[StreamItem[F]]:
    """Count crossings of lines and zones."""
    for item in items:
        assert item.detections is not None
        item.events = tuple(counter.step(item.detections, item.index, item.time_s))
        yield item


def replayed(
    frames: Iterable[tuple[int, float, F]], detected: Iterable[tuple[int, Detections]]
) -> Iterator[StreamItem[F]]:
    """Yield every frame of a source with detections that were made elsewhere.

    Raises:
        DataError: they are not of these frames.
    """
    for (index, time_s, frame), (number, found) in zip(frames, detected, strict=False):
        if index != number:
            raise DataError(
                f"frame {index} has the detections of frame {number}", hint="was the file changed?"
            )
        yield StreamItem(index, time_s, frame, detections=found)


def numbered(frames: Iterable[Any]) -> Iterator[tuple[int, float, Any]]:
    """Yield decoded frames as a source of `run_pipeline`."""
    for frame in frames:
        yield frame.index, frame.time_s, frame
