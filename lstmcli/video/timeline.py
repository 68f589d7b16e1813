"""A growing clock: every frame gets a time that is later than the one before."""

from __future__ import annotations

import av

from lstmcli.video.read_report import ReadReport

_RESTART_S = 1.0
"""A step back by more is a clock that began anew; a smaller one is only one odd stamp."""
_AHEAD_S = 60.0
"""A step forward by more is reported: the picture before it stays on for as long."""


class Timeline:
    """Assigns a time to every frame.

    Args:
        step_s: seconds between two frames, where their stamps do not say.
        report: filled with stamps that were mended and with jumps of the clock.
        has_stamps: False where the format has none: frame n is then at n times `step_s`.
    """

    def __init__(self, step_s: float, report: ReadReport, *, has_stamps: bool = True) -> None:
        self._step_s, self._report, self._has_stamps = step_s, report, has_stamps
        self._last_s, self._shift_s = float("-inf"), 0.0
        self._stamps: dict[str, float] = {}
        self._faults = {"pts": 0, "dts": 0}
        self._is_reported = False
        self._count = 0

    def time_of(self, picture: av.VideoFrame) -> float:
        """Return the time of the next frame in seconds."""
        number, self._count = self._count, self._count + 1
        if not self._has_stamps:
            return number * self._step_s
        raw_s = self._own_time(picture)
        follows_s = self._last_s + self._step_s if number else 0.0
        if raw_s is not None and not self._is_reported:
            # network cameras give their first frames no stamp, and begin to count after these
            self._shift_s = max(0.0, follows_s - raw_s) if number else 0.0
            self._is_reported = True
        time_s = follows_s if raw_s is None else raw_s + self._shift_s
        if number and time_s <= self._last_s:
            time_s = self._after_step_back(number, time_s, follows_s)
        elif raw_s is None:
            self._report.mended_times += 1
        elif number and time_s - self._last_s > _AHEAD_S:
            self._report.note(
                f"the clock jumps ahead by {clock_text(time_s - self._last_s)} at frame {number}; "
                "the frame before it lasts as long"
            )
        self._last_s = time_s
        return time_s

    def _after_step_back(self, number: int, time_s: float, follows_s: float) -> float:
        back_s = self._last_s - time_s
        if back_s <= _RESTART_S:
            self._report.mended_times += 1
            return self._last_s + min(self._step_s / 2, 0.001)
        self._shift_s += follows_s - time_s
        self._report.note(
            f"the clock jumps back by {clock_text(back_s)} at frame {number}; "
            "later times were moved to follow"
        )
        return follows_s

    def _own_time(self, picture: av.VideoFrame) -> float | None:
        """Return the presentation time; the decoding time where that one grows more steadily."""
        found: dict[str, float] = {}
        for name, stamp in (("pts", picture.pts), ("dts", picture.dts)):
            if stamp is not None:
                found[name] = float(stamp * (picture.time_base or 1))
                self._faults[name] += found[name] <= self._stamps.get(name, float("-inf"))
        self._stamps |= found
        prefers_pts = self._faults["pts"] <= self._faults["dts"]
        if "pts" in found and (prefers_pts or "dts" not in found):
            return found["pts"]
        return found.get("dts")


def clock_text(seconds: float) -> str:
    """Return a length of time as seconds, or as h:mm:ss from a minute on.

    >>> clock_text(7198.36)
    '1:59:58'
    """
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}"
