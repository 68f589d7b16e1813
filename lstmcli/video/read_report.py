"""Recoverable problems of reading media, counted and put into sentences."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

_MOST_NUMBERS = 100_000
"""Frame numbers that are kept; a broken stream may run for weeks."""
_MOST_RANGES = 5
"""Ranges of frame numbers that a sentence names."""


@dataclass(slots=True)
class ReadReport:
    """Recoverable problems of reading a video; filled as the frames come.

    Args:
        frames: frames that came out.
        broken: frames that could not be decoded or were decoded with damage.
        lost: positions of frames that could not be decoded, counted in the file from 0.
        damaged: positions of frames that were decoded with damage.
        dependent: positions of frames that were predicted from lost or damaged ones.
        skipped: images that could not be decoded, and why.
        leading: frames in front of the first key frame, which cannot be decoded.
        mended_times: timestamps that were missing or did not grow.
        resized: frames of another size than the first, letterboxed to it.
        deinterlaced: frames that were made of two fields.
        reconnects: attempts to come back to a live source.
        dropped: frames of a live source for which there was no time.
        is_cut: whether the file ends before its header says.
        is_finite: whether a stream turned out to be a file on a server.
        has_sound: whether such a stream has sound, which is not kept.
        notes: further sentences.
    """

    frames: int = 0
    broken: int = 0
    lost: list[int] = field(default_factory=list)
    damaged: list[int] = field(default_factory=list)
    dependent: list[int] = field(default_factory=list)
    skipped: list[str] = field(default_factory=list)
    leading: int = 0
    mended_times: int = 0
    resized: int = 0
    deinterlaced: int = 0
    reconnects: int = 0
    dropped: int = 0
    is_cut: bool = False
    is_finite: bool = False
    has_sound: bool = False
    notes: list[str] = field(default_factory=list)

    def lose(self, position: int) -> None:
        """Count a frame that could not be decoded."""
        self.broken += 1
        if len(self.lost) < _MOST_NUMBERS:
            self.lost.append(position)

    def damage(self, position: int) -> None:
        """Count a frame that was decoded with damage."""
        self.broken += 1
        if len(self.damaged) < _MOST_NUMBERS:
            self.damaged.append(position)

    def depend(self, position: int) -> None:
        """Count a frame that was predicted from a lost or damaged one."""
        if len(self.dependent) < _MOST_NUMBERS:
            self.dependent.append(position)

    def skip(self, problem: str) -> None:
        """Count an image that is left out."""
        self.broken += 1
        self.skipped.append(problem)

    def note(self, sentence: str) -> None:
        """Add a sentence once."""
        if sentence not in self.notes:
            self.notes.append(sentence)

    def sentences(self) -> list[str]:
        """Return the problems, one sentence each."""
        counted = (
            (self.leading, "frames in front of the first key frame cannot be decoded"),
            (self.mended_times, "timestamps were missing or did not grow and were mended"),
            (self.reconnects, "attempts to connect again"),
            (self.dropped, "frames were left out because they came faster than they are read"),
            (self.resized, "frames had another size and were letterboxed to the first one's"),
        )
        counts = [f"{count} {text}" for count, text in counted if count]
        return self._broken_frames() + self.notes + counts

    def _broken_frames(self) -> list[str]:
        if self.skipped:
            verb = "images are broken and were" if self.skipped[1:] else "image is broken and was"
            first = "; ".join(self.skipped[:_MOST_RANGES])
            more = "; …" if len(self.skipped) > _MOST_RANGES else ""
            return [f"{len(self.skipped)} {verb} left out: {first}{more}"]
        if not self.broken:
            return []
        parts = []
        if self.lost:
            parts.append(f"{len(self.lost)} could not be decoded ({ranges_text(self.lost)})")
        if self.damaged:
            parts.append(f"{len(self.damaged)} with damage ({ranges_text(self.damaged)})")
        if self.dependent:
            depend = f"{len(self.dependent)} depend on such"
            parts.append(f"{depend} ({ranges_text(self.dependent)})")
        plural = "frames or packets are" if self.broken > 1 else "frame or packet is"
        detail = f": {', '.join(parts)}" if parts else ""
        return [f"{self.broken} {plural} broken{detail}"]


def ranges_text(numbers: Sequence[int]) -> str:
    """Return frame numbers in short.

    >>> ranges_text([3, 4, 5, 9])
    'frames 3-5, 9'
    """
    ranges: list[list[int]] = []
    for number in sorted(set(numbers)):
        if ranges and number == ranges[-1][1] + 1:
            ranges[-1][1] = number
        else:
            ranges.append([number, number])
    named = [f"{a}-{b}" if b > a else f"{a}" for a, b in ranges[:_MOST_RANGES]]
    more = ", …" if len(ranges) > _MOST_RANGES else ""
    return f"{'frames' if len(set(numbers)) > 1 else 'frame'} {', '.join(named)}{more}"
