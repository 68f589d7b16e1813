"""Inference schedule: the frames of a stream at which the network runs."""

from __future__ import annotations

from lstmcli.tracking import GAP_FRAMES

MIN_INFERENCE_FPS = 15
"""Minimum inference rate without a stride: higher rates improve accuracy hardly."""
_LATE_S = 0.003
"""Tolerance of rounded times, so that 29.97 frames a second count as 30."""


class InferenceSchedule:
    """Decides for each frame of a stream, in order, whether the network runs.

    Args:
        stride: run at every Nth frame; None: the largest steps that keep `MIN_INFERENCE_FPS` by
            the frames' own times, at variable rates, too.
    """

    def __init__(self, stride: int | None = 1) -> None:
        self.stride = stride
        self.frames = self.inferences = 0
        self._skipped = 0
        self._ran_s = self._last_s = float("-inf")

    def should_run(self, time_s: float) -> bool:
        """Return whether to run at the next frame, at that time in seconds."""
        is_due = self._should_run(time_s)
        self.frames += 1
        self.inferences += is_due
        self._skipped = 0 if is_due else self._skipped + 1
        self._ran_s = time_s if is_due else self._ran_s
        self._last_s = time_s
        return is_due

    def _should_run(self, time_s: float) -> bool:
        if self.stride is not None:
            return self.frames % self.stride == 0
        follows_s = 2 * time_s - self._last_s  # expected time of the next frame
        too_late = follows_s > self._ran_s + 1 / MIN_INFERENCE_FPS + _LATE_S
        return too_late or time_s < self._last_s or self._skipped >= GAP_FRAMES - 1


def inference_stride(*, device: str, track: bool) -> int | None:
    """Return the default stride: None on a CPU with tracking, where the network dominates."""
    return None if track and not device.startswith("cuda") else 1
