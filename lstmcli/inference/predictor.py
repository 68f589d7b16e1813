"""Predictor: carries the state of one stream and returns calibrated detections. Without torch."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from lstmcli.core.boxes import Letterbox
from lstmcli.core.metadata import ModelMetadata, TrackMemoryConfig
from lstmcli.core.types import Detections, FloatArray, IntArray, Picture
from lstmcli.inference.nms import class_max, class_sum, nms, vote
from lstmcli.inference.runtime import Runtime
from lstmcli.inference.track_memory import TrackMemory

MIN_OBJECTNESS = 1e-3
"""Predictions with a lower objectness are not given to the track memory."""
WEAK_SHARE = 0.3
"""A prediction of this share of the threshold still continues a track of the track memory."""
TRACK_NMS_IOU = 0.6
"""Boxes that overlap more are one object for the track memory, of any class."""


@dataclass(frozen=True, slots=True)
class Objects:
    """Distinct objects of a raw prediction, after class-agnostic NMS.

    Args:
        objectness: [M, 1] of every box.
        threshold: minimum objectness of the search.
        rows: [K] of the objects' boxes, best first.
    """

    objectness: FloatArray
    threshold: float
    rows: IntArray


@dataclass(frozen=True, slots=True)
class MemoryStep:
    """A step of a track memory, for postprocessings of one prediction that share their past.

    Args:
        config: of the track memory.
        before: the memory before the step; None where a video begins.
        rows: [K] of the objects that it was given.
        after: the memory after the step; never changed again.
        values: boxes, objectness and classes that it returned; never changed.
    """

    config: TrackMemoryConfig
    before: TrackMemory | None
    rows: IntArray
    after: TrackMemory
    values: tuple[FloatArray, FloatArray, FloatArray]


@dataclass(frozen=True, slots=True)
class RawPrediction:
    """Output of a runtime for a frame, before post-processing.

    Args:
        boxes: [M, 4] in pixels of the canvas.
        scores: [M, classes], raw.
        time_s: the frame's own timestamp.
        letterbox: of the frame.
        starts_video: whether it is the first one of a video.
        objects: distinct objects found in it, by the settings of the search, see `Postprocessor`:
            two postprocessings of one prediction search once.
        memory_steps: of the track memories so far: postprocessings that found the same objects in
            every frame of the video share one memory.
    """

    boxes: FloatArray
    scores: FloatArray
    time_s: float
    letterbox: Letterbox
    starts_video: bool
    objects: dict[tuple[bool, float, int], Objects] = field(
        default_factory=dict, repr=False, compare=False
    )
    memory_steps: list[MemoryStep] = field(default_factory=list, repr=False, compare=False)


class Postprocessor:
    """Turns the raw predictions of a stream into detections: track memory, NMS, calibration.

    Scores are calibrated, and thresholds mapped to raw scores, only here.

    Args:
        metadata: of the runtime.
        threshold: minimum calibrated score of a detection; 0: all candidates of average precision.
        memory: False leaves the track memory out.
        multi_label: a box may have several classes, for average precision.
    """

    def __init__(
        self,
        metadata: ModelMetadata,
        *,
        threshold: float = 0.0,
        memory: bool = True,
        multi_label: bool = False,
    ) -> None:
        self.metadata = metadata
        self.threshold = metadata.calibration.raw_score(threshold)
        self.multi_label = multi_label
        self._class_powers = np.array(metadata.class_powers, np.float32)
        self._has_memory = memory and metadata.track_memory.is_on
        self._memory = TrackMemory(metadata.track_memory)

    def step(self, raw: RawPrediction) -> Detections:
        """Return the detections of the next frame, in pixels of the source."""
        boxes, scores = raw.boxes, raw.scores
        if self._has_memory:
            boxes, scores = self._with_memory(raw)
        if len(self._class_powers):
            scores = self._powered(scores)
        rows, labels = nms(
            boxes,
            scores,
            threshold=self.threshold,
            iou=self.metadata.suppression_iou,
            limit=self.metadata.max_detections,
            multi_label=self.multi_label,
        )
        boxes, scores = self._placed(raw, boxes, rows), scores[rows, labels]
        return Detections(
            raw.letterbox.to_source(boxes),
            self.metadata.calibration.calibrated(scores).astype(np.float32),
            labels.astype(np.int64),
            np.full(len(scores), -1, np.int64),
        )

    def _powered(self, scores: FloatArray) -> FloatArray:
        """Return scores [M, classes] with the thresholds of all classes brought to one.

        A box of one class keeps the class that it had: one below the threshold of its class is not
        output as the next one.
        """
        powered = np.asarray(scores**self._class_powers)
        if self.multi_label:
            return powered
        return np.where(scores >= class_max(scores), powered, np.float32(0))

    def _placed(self, raw: RawPrediction, boxes: FloatArray, rows: IntArray) -> FloatArray:
        """Return the kept boxes after box voting; what the memory made of boxes stays."""
        placed = boxes[rows]
        if self._has_memory and self.metadata.track_memory.averages:
            return placed
        predicted = np.flatnonzero(rows < len(raw.boxes))  # the others are predicted by tracks
        placed[predicted] = self._voted(raw, rows[predicted])
        return placed

    def _voted(self, raw: RawPrediction, rows: IntArray) -> FloatArray:
        """Return some boxes of a raw prediction after box voting."""
        if not self.metadata.box_voting_iou:
            return raw.boxes[rows]
        objectness = self._objectness(raw.scores)[:, 0]
        return vote(raw.boxes, objectness, rows, self.metadata.box_voting_iou)

    def _objectness(self, scores: FloatArray) -> FloatArray:
        """Return the objectness [M, 1] of boxes with scores [M, classes]."""
        by_class = self.metadata.track_memory.objectness == "max"
        return class_max(scores) if by_class else class_sum(scores)

    def _with_memory(self, raw: RawPrediction) -> tuple[FloatArray, FloatArray]:
        """Return the frame's boxes and scores combined with the track memory.

        Where nothing is averaged, all predictions of the network stay: weak scores are raised, and
        predicted boxes of missed objects are appended.
        """
        config, boxes, scores = self.metadata.track_memory, raw.boxes, raw.scores
        by_class = config.objectness == "max"
        objectness, rows = self._objects(raw)
        present = np.minimum(objectness[rows, 0], 1.0)
        smoothed, values, classes = self._remember(raw, rows, present)
        if by_class:
            classes = classes / np.maximum(classes.max(axis=1, keepdims=True), 1e-9)
        if config.averages:
            return smoothed, classes * values[:, None]
        count = len(rows)
        raised = scores.copy()
        raised[rows] *= (values[:count] / np.maximum(present, 1e-9))[:, None]
        return (
            np.concatenate((boxes, smoothed[count:])),
            np.concatenate((raised, classes[count:] * values[count:, None])),
        )

    def _remember(
        self, raw: RawPrediction, rows: IntArray, present: FloatArray
    ) -> tuple[FloatArray, FloatArray, FloatArray]:
        """Step the track memory with the objects of a frame; see `TrackMemory.step`.

        Another postprocessing of the same prediction whose memory was the same one, and which found
        the same objects, has done the step already.
        """
        before = None if raw.starts_video else self._memory
        config = self.metadata.track_memory
        for done in raw.memory_steps:
            if done.before is before and done.config == config and _equal(done.rows, rows):
                self._memory = done.after
                return done.values
        after = TrackMemory(config) if before is None else before.fork()
        scores = raw.scores[rows]
        classes = scores / np.maximum(scores.sum(axis=1, keepdims=True), 1e-9)
        # averages replace the boxes, so that what they average is placed first
        boxes = self._voted(raw, rows) if config.averages else raw.boxes[rows]
        values = after.step(boxes, present, classes, raw.time_s)
        raw.memory_steps.append(MemoryStep(config, before, rows, after, values))
        self._memory = after
        return values

    def _objects(self, raw: RawPrediction) -> tuple[FloatArray, IntArray]:
        """Return the objectness [M, 1] of all boxes, and the rows of the distinct objects.

        NMS goes from the best box down, so that what it keeps above a threshold does not depend on
        the boxes below: a search down to a lower threshold holds this one.
        """
        by_class = self.metadata.track_memory.objectness == "max"
        iou = min(self.metadata.suppression_iou, TRACK_NMS_IOU)
        limit = self.metadata.max_detections
        threshold = max(MIN_OBJECTNESS, WEAK_SHARE * self.threshold)
        key = by_class, iou, limit
        found = raw.objects.get(key)
        if found is None or found.threshold > threshold:
            objectness = self._objectness(raw.scores)
            rows, _ = nms(raw.boxes, objectness, threshold=threshold, iou=iou, limit=limit)
            raw.objects[key] = Objects(objectness, threshold, rows)
            return objectness, rows
        return found.objectness, found.rows[found.objectness[found.rows, 0] > threshold]


def _equal(first: IntArray, second: IntArray) -> bool:
    return len(first) == len(second) and bool((first == second).all())


class Predictor:
    """Carries the state along one stream and detects in pixels of the source.

    Args:
        runtime: runs the network.
        threshold: minimum calibrated score of a detection; 0: all candidates of average precision.
        memory: False resets the recurrent state before every frame, and leaves the track memory
            out. A previous frame is still shown.
        multi_label: a box may have several classes, for average precision.
    """

    def __init__(
        self,
        runtime: Runtime,
        *,
        threshold: float = 0.0,
        memory: bool = True,
        multi_label: bool = False,
    ) -> None:
        self.runtime, self.metadata = runtime, runtime.metadata
        self.classes = self.metadata.classes
        self.memory = memory
        self._post = Postprocessor(
            self.metadata, threshold=threshold, memory=memory, multi_label=multi_label
        )
        self._letterbox = self.letterbox(self.metadata.input_hw)
        self._state: Any = None
        self._starts_video = True
        self._recent: deque[tuple[float, Picture]] = deque(maxlen=256)

    def letterbox(self, size_hw: tuple[int, int]) -> Letterbox:
        """Return the letterbox of frames of (height, width)."""
        return Letterbox(size_hw, self.metadata.input_hw, self.metadata.fit)

    def start(self, size_hw: tuple[int, int]) -> Letterbox:
        """Begin a video of the given (height, width); return the letterbox of its frames."""
        self._letterbox = self.letterbox(size_hw)
        self._state = None
        self._starts_video = True
        self._recent.clear()
        return self._letterbox

    def step(self, canvas: Picture, time_s: float) -> Detections:
        """Return the detections of the next frame.

        Args:
            canvas: uint8 [canvas_h, canvas_w, 3] RGB, laid out by the letterbox of `start`.
            time_s: the frame's own timestamp.
        """
        return self.postprocess(self.forward(canvas, time_s))

    def forward(self, canvas: Picture, time_s: float) -> RawPrediction:
        """Return the raw prediction of the next frame; see `step`.

        Frames and raw predictions come in order; `forward` and `postprocess` may run in different
        threads.
        """
        previous_frame = self._previous(canvas, time_s)
        boxes, scores, state = self.runtime.step(
            canvas, previous_frame, self._state if self.memory else None
        )
        self._state = state if self.memory else None
        raw = RawPrediction(boxes, scores, time_s, self._letterbox, self._starts_video)
        self._starts_video = False
        return raw

    def postprocess(self, raw: RawPrediction) -> Detections:
        """Return the detections of a raw prediction."""
        return self._post.step(raw)

    def _previous(self, canvas: Picture, time_s: float) -> Picture:
        """Return the recent canvas nearest to `motion_lag_s` ago; at the start, this one."""
        lag = self.metadata.motion_lag_s
        if not lag:
            return canvas
        recent = self._recent
        if recent and time_s < recent[-1][0]:
            recent.clear()  # time went back: another video, or a damaged one
        wanted = time_s - lag
        while len(recent) > 1 and abs(recent[1][0] - wanted) < abs(recent[0][0] - wanted):
            recent.popleft()
        previous_frame = recent[0][1] if recent else canvas
        recent.append((time_s, canvas))
        return previous_frame
