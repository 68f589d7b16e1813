"""`FrameResult`: ground truth and detections of one frame."""

from __future__ import annotations

from dataclasses import dataclass

from lstmcli.core.types import Annotations, Detections


@dataclass(frozen=True, slots=True)
class FrameResult:
    """Ground truth and detections of one annotated frame; boxes in pixels of the frame.

    Args:
        video: the video's name; frames of one name are one stream.
        frame: index of the frame in its source, from 0.
        time_s: the frame's own time.
        size_hw: (height, width) of the frame.
        gt: the ground truth. An unannotated frame is no FrameResult.
        candidates: all detections down to the lowest score, one row a class: average precision is
            computed on these.
        shown: the detections that `detect` outputs, one class a box, down to the lowest threshold
            that is evaluated. None: the same as `candidates`.
        steps_before: number of frames processed since the state was reset; None: `frame`.
        distinct: `candidates` after class-agnostic NMS, where it was done while the network ran
            on the next frames. None: `compare` does it.
    """

    video: str
    frame: int
    time_s: float
    size_hw: tuple[int, int]
    gt: Annotations
    candidates: Detections
    shown: Detections | None = None
    steps_before: int | None = None
    distinct: Detections | None = None

    @property
    def detections(self) -> Detections:
        """The detections that `detect` outputs."""
        return self.candidates if self.shown is None else self.shown
