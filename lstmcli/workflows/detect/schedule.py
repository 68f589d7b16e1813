"""At which frames the network looks; the others are filled with what lies between two looks."""

from __future__ import annotations

from lstmcli.tracking import GAP_FRAMES

MIN_INFERENCE_FPS = 15
"""Undecided, the network looks so often at the least: more tells hardly more, as measured."""
_LATE_S = 0.003
"""Times are rounded to a millisecond, and 29.97 frames a second are taken for 30."""


class InferenceSchedule:
    """Says of each frame of a stream, in order, whether the network looks at it.

    Args:
        every: run at every Nth frame; None: as seldom as `MIN_INFERENCE_FPS` allows by the frames'
            own times, so that a variable rate is followed too.
    """

    def __init__(self, every: int | None = 1) -> None:
        self.every = every
        self.seen = self.looked = 0
        self._skipped = 0
        self._looked_s = self._last_s = float("-inf")

    def should_run(self, time_s: float) -> bool:
        """Return whether to look at the next frame, which is shown at that time in seconds."""
        is_due = self._should_run(time_s)
        self.seen += 1
        self.looked += is_due
        self._skipped = 0 if is_due else self._skipped + 1
        self._looked_s = time_s if is_due else self._looked_s
        self._last_s = time_s
        return is_due

    def _should_run(self, time_s: float) -> bool:
        if self.every is not None:
            return self.seen % self.every == 0
        follows_s = 2 * time_s - self._last_s  # when the frame after this one will be shown
        too_late = follows_s > self._looked_s + 1 / MIN_INFERENCE_FPS + _LATE_S
        return too_late or time_s < self._last_s or self._skipped >= GAP_FRAMES - 1
