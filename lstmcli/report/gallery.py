"""The frames with most missed objects and false detections, drawn."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from PIL import Image, ImageDraw

from lstmcli.core.types import FloatArray, IntArray, Picture
from lstmcli.report.page import PagePicture

MOST_PICTURES = 12
MOST_OF_A_VIDEO = 3
APART_S = 1.0
"""Minimum distance in seconds between pictures of a video: neighbours show the same error."""

LEAST_WIDTH = 720
"""Smaller pictures are enlarged, so that objects of a few pixels are visible."""

COLOURS = {"tp": "#00c08b", "fn": "#e8590c", "fp": "#ffe14d"}
"""Distinct for colour-blind people, and against sky, grass and asphalt."""

OUTCOME_NAMES = {"tp": "correct", "fn": "missed", "fp": "false"}
Outcome = Literal["tp", "fn", "fp"]


@dataclass(frozen=True, slots=True)
class Mark:
    """Boxes of one outcome of matching on a picture.

    Args:
        outcome: a correct detection, a missed object, or a false detection.
        boxes: float32 [N, 4] in pixels of the picture.
        labels: int64 [N], class indices.
    """

    outcome: Outcome
    boxes: FloatArray
    labels: IntArray


@dataclass(frozen=True, slots=True)
class _Entry:
    badness: float
    video: str
    frame: int
    time_s: float
    picture: Picture
    marks: Sequence[Mark]


class Gallery:
    """Keeps the worst frames of a long run, and no more of them than it will show.

    Args:
        classes: class names, for the captions.
    """

    def __init__(self, classes: Sequence[str]) -> None:
        self._classes = tuple(classes)
        self._entries: list[_Entry] = []

    def offer(
        self,
        badness: float,
        video: str,
        frame: int,
        time_s: float,
        picture: Picture,
        marks: Sequence[Mark],
    ) -> None:
        """Consider a frame.

        Args:
            badness: the larger, the worse.
            video: its name.
            frame: index of the frame.
            time_s: its time.
            picture: uint8 [H, W, 3]; it is kept as it is, not copied.
            marks: what to draw.
        """
        entry = _Entry(badness, video, frame, time_s, picture, marks)
        near = [e for e in self._entries if e.video == video and abs(e.time_s - time_s) < APART_S]
        if any(other.badness >= badness for other in near):
            return
        kept = [e for e in self._entries if e.video != video or abs(e.time_s - time_s) >= APART_S]
        same = [other for other in kept if other.video == video]
        if len(same) >= MOST_OF_A_VIDEO:
            least = min(same, key=_badness)
            if least.badness >= badness:
                return
            kept = [other for other in kept if other is not least]
        self._entries = sorted([*kept, entry], key=_badness, reverse=True)[:MOST_PICTURES]

    def pictures(self) -> list[PagePicture]:
        """Return the worst frames, drawn, the worst first."""
        return [
            PagePicture(
                title=f"{entry.video}, frame {entry.frame}, {entry.time_s:.2f} s",
                caption=self._caption(entry.marks),
                data=draw_marks(entry.picture, entry.marks),
            )
            for entry in self._entries
        ]

    def _caption(self, marks: Sequence[Mark]) -> str:
        parts = []
        for mark in marks:
            names = [self._classes[label] for label in mark.labels]
            counts = [f"{names.count(name)} {name}" for name in dict.fromkeys(names)]
            if counts:
                parts.append(f"{OUTCOME_NAMES[mark.outcome]}: {', '.join(counts)}")
        return "; ".join(parts)


def _badness(entry: _Entry) -> float:
    return entry.badness


def draw_marks(picture: Picture, marks: Sequence[Mark]) -> bytes:
    """Return the picture, enlarged where it is small, with boxes, as JPEG.

    Args:
        picture: uint8 [H, W, 3] RGB.
        marks: boxes in pixels of the picture; later ones are drawn over earlier ones.
    """
    height, width = picture.shape[:2]
    scale = -(-LEAST_WIDTH // width)
    image = Image.fromarray(picture).resize(
        (width * scale, height * scale), Image.Resampling.BICUBIC
    )
    pen = ImageDraw.Draw(image)
    for mark in marks:
        for x1, y1, x2, y2 in mark.boxes.tolist():
            # The line lies around the object: a box of a few pixels would else be covered by it.
            left, top = x1 * scale - 3, y1 * scale - 3
            right, bottom = max(x2 * scale + 3, left), max(y2 * scale + 3, top)
            pen.rectangle((left - 1, top - 1, right + 1, bottom + 1), outline="black", width=5)
            pen.rectangle((left, top, right, bottom), outline=COLOURS[mark.outcome], width=3)
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=85, subsampling=0)
    return buffer.getvalue()
