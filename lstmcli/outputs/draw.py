"""Draws on the planes that are encoded: boxes, labels, traces, lines, zones, timestamp."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache
from itertools import pairwise
from typing import Literal

import numpy as np

from lstmcli.core.types import Detections, IntArray
from lstmcli.outputs.redact import redact
from lstmcli.outputs.text_sprites import (
    BLACK,
    WHITE,
    Colour,
    Sprite,
    class_colour,
    text_sprite,
    to_yuv,
)
from lstmcli.video import Planes

Style = Literal["box", "blur", "pixelate", "none"]
Timestamp = Literal["none", "time", "frame", "both"]
Rect = tuple[int, int, int, int]
"""(left, top, right, bottom) in whole pixels."""

_TRACE_S = 1.0
_DARK = 24
_GROUND: Colour = (40, 40, 40)


@dataclass(frozen=True, slots=True)
class DrawStyle:
    """Style of drawn detections.

    Args:
        style: boxes with labels, or detections blurred or pixelated, or nothing.
        labels: whether boxes carry their class, score and track id.
        traces: whether tracks draw the path of their last second.
        timestamp: content of the lower left corner.
    """

    style: Style = "box"
    labels: bool = True
    traces: bool = True
    timestamp: Timestamp = "none"


@dataclass(frozen=True, slots=True)
class Shape:
    """A line or a zone that is drawn on every frame.

    Args:
        points: (x, y) in pixels of the frame.
        is_closed: a zone, whose last point is joined to its first.
        text: drawn next to it, "" for nothing.
    """

    points: tuple[tuple[float, float], ...]
    is_closed: bool = False
    text: str = ""


class Annotator:
    """Draws the detections of one video, frame by frame; it keeps the traces.

    Args:
        classes: names of the classes.
        size_hw: (height, width) of the frames; line width and letters grow with it.
        draw_style: what is drawn.
    """

    def __init__(
        self, classes: tuple[str, ...], size_hw: tuple[int, int], draw_style: DrawStyle
    ) -> None:
        self.classes, self.draw_style = classes, draw_style
        height, width = size_hw
        self.line_px = max(2, round(float(np.hypot(height, width)) / 600))
        self.font_px = max(11, round(min(height, width) * 0.024))
        self._traces: dict[int, deque[tuple[float, float, float]]] = {}

    def paint(
        self,
        planes: Planes,
        detections: Detections,
        *,
        frame: int,
        time_s: float,
        shapes: tuple[Shape, ...] = (),
    ) -> None:
        """Draw on a picture in place."""
        if self.draw_style.style in {"blur", "pixelate"}:
            redact(planes, detections.boxes, smooth=self.draw_style.style == "blur")
        for shape in shapes:
            self._shape(planes, shape)
        if self.draw_style.style == "box":
            self._boxes(planes, detections, time_s)
        for shape in shapes:
            self._shape_text(planes, shape)
        if self.draw_style.timestamp != "none":
            text = timestamp_text(self.draw_style.timestamp, frame, time_s)
            sprite = self._sprite(planes, text, _GROUND)
            lay(planes, sprite, 0, planes.size_hw[0] - sprite.size_hw[0])

    def _boxes(self, planes: Planes, detections: Detections, time_s: float) -> None:
        if self.draw_style.traces:
            self._draw_traces(planes, detections, time_s)
        order = np.argsort(detections.scores, kind="stable")
        rects: dict[int, Rect] = {}
        for row in order.tolist():
            rects[row] = whole_pixels(detections.boxes[row].tolist(), planes.size_hw)
            outline(planes, rects[row], class_colour(int(detections.labels[row])), self.line_px)
        if not self.draw_style.labels:
            return
        taken: list[Rect] = []
        for row in order[::-1].tolist():
            label, track = int(detections.labels[row]), int(detections.track_ids[row])
            name = f"{self.classes[label]} {float(detections.scores[row]):.2f}"
            text = name if track < 0 else f"#{track} {name}"
            sprite = self._sprite(planes, text, class_colour(label))
            left, top = place_label(rects[row], sprite.size_hw, planes.size_hw, taken)
            height, width = sprite.size_hw
            taken.append((left, top, left + width, top + height))
            lay(planes, sprite, left, top)

    def _draw_traces(self, planes: Planes, detections: Detections, time_s: float) -> None:
        for box, label, track in zip(
            detections.boxes, detections.labels, detections.track_ids, strict=True
        ):
            if track < 0:
                continue
            trace = self._traces.setdefault(int(track), deque(maxlen=120))
            trace.append((time_s, float(box[0] + box[2]) / 2, float(box[1] + box[3]) / 2))
            while time_s - trace[0][0] > _TRACE_S:
                trace.popleft()
            points = tuple((round(x), round(y)) for _, x, y in trace)
            path(planes, points, class_colour(int(label)), max(2, self.line_px // 2))
        gone = [key for key, trace in self._traces.items() if time_s - trace[-1][0] > _TRACE_S]
        for key in gone:
            del self._traces[key]

    def _shape(self, planes: Planes, shape: Shape) -> None:
        points = tuple((round(x), round(y)) for x, y in shape.points)
        points += points[:1] if shape.is_closed else ()
        path(planes, points, BLACK, self.line_px + 2 * max(1, self.line_px // 3))
        path(planes, points, WHITE, self.line_px)

    def _shape_text(self, planes: Planes, shape: Shape) -> None:
        if not shape.text:
            return
        sprite = self._sprite(planes, shape.text, _GROUND)
        height, width = sprite.size_hw
        left, top = shape.points[0]
        if shape.is_closed:  # in the middle of a zone, at the beginning of a line
            left, top = np.mean(shape.points, axis=0) - (width / 2, height / 2)
        lay(planes, sprite, *inside(int(left), int(top), sprite.size_hw, planes.size_hw))

    def _sprite(self, planes: Planes, text: str, colour: Colour) -> Sprite:
        return text_sprite(text, colour, self.font_px, planes.size_hw[1], planes.is_bt709)


def timestamp_text(content: Timestamp, frame: int, time_s: float) -> str:
    """Return the clock (h:mm:ss.mmm) and the frame number as they are asked for."""
    sign, rest = ("-" if time_s < 0 else ""), round(abs(time_s) * 1000)
    minutes, milliseconds = divmod(rest, 60_000)
    clock = f"{sign}{minutes // 60}:{minutes % 60:02d}:{milliseconds / 1000:06.3f}"
    return {"time": clock, "frame": f"#{frame}", "both": f"{clock}  #{frame}", "none": ""}[content]


def whole_pixels(box: list[float], size_hw: tuple[int, int]) -> Rect:
    """Return a box in whole pixels that lie in the picture, at least 2 wide and high."""
    height, width = size_hw
    left = int(np.clip(round(box[0]), 0, max(0, width - 2)))
    top = int(np.clip(round(box[1]), 0, max(0, height - 2)))
    right = int(np.clip(round(box[2]), left + 2, max(width, left + 2)))
    bottom = int(np.clip(round(box[3]), top + 2, max(height, top + 2)))
    return left, top, right, bottom


def inside(
    left: int, top: int, label_hw: tuple[int, int], size_hw: tuple[int, int]
) -> tuple[int, int]:
    """Return (left, top), moved so that the label does not leave the picture, on even pixels."""
    left = max(0, min(left, size_hw[1] - label_hw[1]))
    top = max(0, min(top, size_hw[0] - label_hw[0]))
    return left // 2 * 2, top // 2 * 2


def place_label(
    box: Rect, label_hw: tuple[int, int], size_hw: tuple[int, int], taken: list[Rect]
) -> tuple[int, int]:
    """Return (left, top) of a label: above the box, below, or in it; where no other label is."""
    left, top, _, bottom = box
    height, width = label_hw
    first: tuple[int, int] | None = None
    for wanted in (top - height, bottom, top, bottom - height):
        fits = 0 <= wanted <= size_hw[0] - height
        x, y = inside(left, wanted, label_hw, size_hw)
        if not fits:
            continue
        first = first or (x, y)
        if not any(
            x < r and left_ < x + width and y < b and t < y + height for left_, t, r, b in taken
        ):
            return x, y
    return first or inside(left, top, label_hw, size_hw)


def fill(planes: Planes, rect: Rect, yuv: tuple[int, int, int]) -> None:
    """Fill a rectangle."""
    left, top, right, bottom = rect
    planes.y[top:bottom, left:right] = yuv[0]
    half = np.s_[top // 2 : (bottom + 1) // 2, left // 2 : (right + 1) // 2]
    planes.u[half], planes.v[half] = yuv[1], yuv[2]


def outline(planes: Planes, box: Rect, colour: Colour, line_px: int) -> None:
    """Draw the sides around a box, with a dark seam so that they show on any ground."""
    seam = max(1, line_px // 3)
    # Outside the box, so that a small object stays visible in it; a seam within only where room is.
    within = seam if min(box[2] - box[0], box[3] - box[1]) >= 16 * seam else 0
    outer = _grown(box, line_px, planes.size_hw)
    seams = _sides(_grown(outer, seam, planes.size_hw), seam + line_px + within)
    for left, top, right, bottom in seams:
        planes.y[top:bottom, left:right] = _DARK
    for side in _sides(outer, line_px):
        fill(planes, side, to_yuv(colour, bt709=planes.is_bt709))


def _grown(rect: Rect, by: int, size_hw: tuple[int, int]) -> Rect:
    """Return a rectangle grown on every side, as far as the picture reaches."""
    left, top, right, bottom = rect
    height, width = size_hw
    return max(0, left - by), max(0, top - by), min(width, right + by), min(height, bottom + by)


def _sides(rect: Rect, line_px: int) -> tuple[Rect, Rect, Rect, Rect]:
    """Return the four bars that run just inside a rectangle."""
    left, top, right, bottom = rect
    across, down = min(line_px, right - left), min(line_px, bottom - top)
    return (
        (left, top, right, top + down),
        (left, bottom - down, right, bottom),
        (left, top, left + across, bottom),
        (right - across, top, right, bottom),
    )


def lay(planes: Planes, sprite: Sprite, left: int, top: int) -> None:
    """Lay a label on the picture; what does not fit is cut off."""
    left, top = max(0, left) // 2 * 2, max(0, top) // 2 * 2
    for target, source, step in (
        (planes.y, sprite.y, 1),
        (planes.u, sprite.u, 2),
        (planes.v, sprite.v, 2),
    ):
        view = target[top // step :, left // step :][: source.shape[0], : source.shape[1]]
        view[:] = source[: view.shape[0], : view.shape[1]]


def path(planes: Planes, points: tuple[tuple[int, int], ...], colour: Colour, line_px: int) -> None:
    """Draw lines from point to point."""
    yuv = to_yuv(colour, bt709=planes.is_bt709)
    for first, second in pairwise(points):
        rows, columns = _line_pixels(first, second, line_px, planes.size_hw)
        planes.y[rows, columns] = yuv[0]
        planes.u[rows // 2, columns // 2] = yuv[1]
        planes.v[rows // 2, columns // 2] = yuv[2]


def _clip_line(
    first: tuple[int, int], second: tuple[int, int], margin: int, size_hw: tuple[int, int]
) -> tuple[tuple[int, int], tuple[int, int]] | None:
    """Return the part of a line in the picture and a margin around it (Liang-Barsky)."""
    (x, y), (dx, dy) = first, (second[0] - first[0], second[1] - first[1])
    height, width = size_hw
    begin, end = Fraction(0), Fraction(1)  # exact, since a plan may name points far away
    for step, room in (
        (-dx, x + margin),
        (dx, width + margin - x),
        (-dy, y + margin),
        (dy, height + margin - y),
    ):
        if step == 0 and room < 0:
            return None
        if step < 0:
            begin = max(begin, Fraction(room, step))
        elif step > 0:
            end = min(end, Fraction(room, step))
    if begin > end:
        return None
    return (
        (round(x + begin * dx), round(y + begin * dy)),
        (round(x + end * dx), round(y + end * dy)),
    )


@lru_cache(maxsize=4096)
def _line_pixels(
    first: tuple[int, int], second: tuple[int, int], line_px: int, size_hw: tuple[int, int]
) -> tuple[IntArray, IntArray]:
    """Return rows and columns of the pixels of a line; static lines are worked out once."""
    inside = _clip_line(first, second, line_px, size_hw)
    if inside is None:
        nothing = np.zeros(0, np.int64)
        return nothing, nothing
    (x1, y1), (x2, y2) = inside
    steps = max(abs(x2 - x1), abs(y2 - y1)) + 1
    width = np.arange(line_px) - line_px // 2
    xs = np.linspace(x1, x2, steps).round().astype(np.int64)[:, None, None] + width[None, :, None]
    ys = np.linspace(y1, y2, steps).round().astype(np.int64)[:, None, None] + width[None, None, :]
    xs, ys = (part.ravel() for part in np.broadcast_arrays(xs, ys))
    keep = (xs >= 0) & (ys >= 0) & (xs < size_hw[1]) & (ys < size_hw[0])
    return ys[keep], xs[keep]
