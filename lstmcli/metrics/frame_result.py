"""The noun that evaluation starts from: one frame, its truth and what was found in it."""

from __future__ import annotations

from dataclasses import dataclass

from lstmcli.core.types import Annotations, Detections


@dataclass(frozen=True, slots=True)
class FrameResult:
    """One frame that somebody looked at, and the network's answer. Boxes in pixels of the frame.

    Args:
        video: the video's name; frames of one name are one stream.
        frame: index of the frame in its source, from 0.
        time_s: the frame's own time.
        size_hw: (height, width) of the frame.
        truth: what somebody saw. A frame at which nobody looked is no FrameResult.
        found: every answer down to the lowest score, one row per class: what average precision
            is counted on.
        shown: the answers that `detect` would give, one class per box, down to the lowest
            threshold that will be asked for. None: `found` is already that.
        steps_before: how many frames the network saw before this one since its state was last
            empty; None: `frame`.
    """

    video: str
    frame: int
    time_s: float
    size_hw: tuple[int, int]
    gt: Annotations
    found: Detections
    shown: Detections | None = None
    steps_before: int | None = None

    @property
    def answers(self) -> Detections:
        """What a person would be shown."""
        return self.found if self.shown is None else self.shown
