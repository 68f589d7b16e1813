"""Carries the state along one stream: the same for `evaluate` and `detect`. Without torch."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import Any

import numpy as np

from lstmcli.core.boxes import Letterbox
from lstmcli.core.types import Detections, FloatArray, Picture
from lstmcli.inference.nms import multiclass_nms, nms
from lstmcli.inference.runtime import Runtime
from lstmcli.inference.track_memory import TrackMemory

FLOOR = 1e-3
"""Scores below are nobody's answer (COCO evaluation starts here)."""
WEAK_SHARE = 0.3
"""An answer of this share of the threshold still tells where a remembered object is."""


@dataclass(frozen=True, slots=True)
class RawPrediction:
    """What the network answered to a frame, and what belongs to it.

    Args:
        boxes: [cells, 4] in pixels of the canvas.
        scores: [cells, classes].
        time_s: the frame's own timestamp.
        letterbox: of the frame.
        objects: what is remembered of objects in its video; None where nothing is.
    """

    boxes: FloatArray
    scores: FloatArray
    time_s: float
    letterbox: Letterbox
    objects: TrackMemory | None


class Predictor:
    """Carries the state along one stream and answers in pixels of the source.

    Scores are raw, by which objects are tracked; `metadata.calibration` calibrates them.

    Args:
        runtime: takes the steps.
        threshold: smallest score that is answered, 0..1.
        memory: False begins anew at every frame, to show what the memory is worth.
        multi_label: a box may be answered with several classes, as average precision wants it.
    """

    def __init__(
        self,
        runtime: Runtime,
        *,
        threshold: float = FLOOR,
        memory: bool = True,
        multi_label: bool = False,
    ) -> None:
        self.runtime, self.metadata = runtime, runtime.metadata
        self.classes = self.metadata.classes
        self.canvas_hw, self.fit = self.metadata.input_hw, self.metadata.fit
        self.threshold = max(threshold, FLOOR)
        self.memory = memory
        self.multi_label = multi_label
        self._power = self.metadata.calibration.power
        self._letterbox = Letterbox(self.canvas_hw, self.canvas_hw, self.fit)
        self._state: Any = None
        self._recent: deque[tuple[float, Picture]] = deque(maxlen=256)
        self._objects = self._no_objects()

    def _no_objects(self) -> TrackMemory | None:
        how = self.metadata.track_memory
        return TrackMemory(how) if how.is_on and self.memory else None

    def start(self, size_hw: tuple[int, int]) -> Letterbox:
        """Begin a video of the given (height, width); return how its frames are laid out."""
        self._letterbox = Letterbox(size_hw, self.canvas_hw, self.fit)
        self._state = None
        self._recent.clear()
        self._objects = self._no_objects()
        return self._letterbox

    def step(self, canvas: Picture, time_s: float) -> Detections:
        """Return what is found in the next frame.

        Args:
            canvas: uint8 [canvas_h, canvas_w, 3] RGB, laid out by the letterbox of `start`.
            time_s: the frame's own timestamp.
        """
        return self.read(self.look(canvas, time_s))

    def look(self, canvas: Picture, time_s: float) -> RawPrediction:
        """Return what the network answers to the next frame; see `step`.

        Frames are looked at in order, and what was seen is read in order; one thread may look
        ahead while another reads.
        """
        previous_frame = self._previous(canvas, time_s)
        boxes, scores, state = self.runtime.step(
            canvas, previous_frame, self._state if self.memory else None
        )
        self._state = state if self.memory else None
        return RawPrediction(boxes, scores, time_s, self._letterbox, self._objects)

    def read(self, seen: RawPrediction) -> Detections:
        """Return what is found in a frame that was looked at."""
        boxes, scores = seen.boxes, seen.scores
        if seen.objects is not None:
            boxes, scores = self._remembered(seen.objects, boxes, scores, seen.time_s)
        if self._power != 1:
            scores = scores**self._power
        found, values, labels = multiclass_nms(
            boxes,
            scores,
            threshold=self.threshold,
            iou=self.metadata.suppression_iou,
            limit=self.metadata.max_detections,
            multi_label=self.multi_label,
        )
        return Detections(
            seen.letterbox.to_source(found),
            values.astype(np.float32),
            labels.astype(np.int64),
            np.full(len(values), -1, np.int64),
        )

    def _remembered(
        self, objects: TrackMemory, boxes: FloatArray, scores: FloatArray, time_s: float
    ) -> tuple[FloatArray, FloatArray]:
        """Return one box an object and its scores, weighed with what is remembered of it."""
        sums = scores.sum(axis=1, keepdims=True)
        kept, _ = nms(
            boxes,
            sums,
            threshold=max(FLOOR, WEAK_SHARE * self.threshold ** (1 / self._power)),
            iou=self.metadata.suppression_iou,
            limit=self.metadata.max_detections,
        )
        classes = scores[kept] / np.maximum(sums[kept], 1e-9)
        boxes, objectness, classes = objects.step(boxes[kept], sums[kept, 0], classes, time_s)
        return boxes, classes * objectness[:, None]

    def _previous(self, canvas: Picture, time_s: float) -> Picture:
        """Return the remembered canvas nearest to `motion_lag_s` ago; at the start, this one."""
        lag = self.metadata.motion_lag_s
        if not lag:
            return canvas
        recent = self._recent
        if recent and time_s < recent[-1][0]:
            recent.clear()  # the clock went back: another video, or a broken one
        wanted = time_s - lag
        while len(recent) > 1 and abs(recent[1][0] - wanted) < abs(recent[0][0] - wanted):
            recent.popleft()
        previous_frame = recent[0][1] if recent else canvas
        recent.append((time_s, canvas))
        return previous_frame
