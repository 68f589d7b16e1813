"""Counts who crosses a line or enters a zone, from a small YAML file."""

from __future__ import annotations

from collections import Counter as Tally
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np

from lstmcli.core.config import parse_yaml
from lstmcli.core.errors import ConfigError, near_name
from lstmcli.core.types import Detections

Point = tuple[float, float]
Anchor = Literal["centre", "bottom"]

_MARGIN = 0.1
"""An object has to be this share of its size beyond a line before it has crossed it."""
_HOLD = 2
"""Frames in a row that make an object inside or outside of a zone."""


@dataclass(frozen=True, slots=True)
class Gate:
    """A line or a zone.

    Args:
        name: unique in its file.
        points: (x, y) in pixels, or in fractions of the picture.
        is_zone: a polygon; otherwise a line of two points.
        in_fractions: whether the points are fractions of width and height.
        anchor: which point of a box is looked at.
    """

    name: str
    points: tuple[Point, ...]
    is_zone: bool
    in_fractions: bool
    anchor: Anchor = "centre"

    def in_pixels(self, size_hw: tuple[int, int]) -> tuple[Point, ...]:
        """Return the points in pixels of a picture."""
        height, width = size_hw if self.in_fractions else (1, 1)
        return tuple((x * width, y * height) for x, y in self.points)

    @property
    def directions(self) -> tuple[str, str]:
        """The names of the two ways; over a line, `in` is from its left to its right."""
        return ("enter", "leave") if self.is_zone else ("in", "out")


@dataclass(frozen=True, slots=True)
class CountConfig:
    """The lines and zones of a file."""

    gates: tuple[Gate, ...]


@dataclass(frozen=True, slots=True)
class CountEvent:
    """Somebody crossed a line or the border of a zone.

    Args:
        gate: name of the line or zone.
        direction: `in` or `out` over a line, `enter` or `leave` at a zone.
        label: class index.
        track_id: who.
        frame: where in the video.
        time_s: when.
    """

    gate: str
    direction: str
    label: int
    track_id: int
    frame: int
    time_s: float


def load_count_config(path: Path) -> CountConfig:
    """Read lines and zones.

    ```yaml
    lines:
      - {name: gate, from: [0.1, 0.8], to: [0.9, 0.8], anchor: bottom}
    zones:
      - {name: yard, points: [[100, 100], [400, 100], [400, 300]]}
    ```
    Points that all lie in 0..1 are fractions of width and height, others are pixels. Looking from
    `from` to `to`, `in` is from the left to the right.

    Raises:
        ConfigError: unknown keys, names that occur twice, points that are no points.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "not UTF-8 text"
        raise ConfigError(f"{path}: {reason}", hint="--count takes a YAML file") from None
    values = parse_yaml(text, str(path))
    if not isinstance(values, dict):
        raise ConfigError(f"{path}: no lines and no zones", hint="write `lines:` or `zones:`")
    _allow(values, {"lines", "zones"}, str(path))
    gates = [
        _gate(entry, kind == "zones", f"{path}: {kind}[{i}]")
        for kind in ("lines", "zones")
        for i, entry in enumerate(_entries(values, kind, path))
    ]
    twice = [name for name, count in Tally(gate.name for gate in gates).items() if count > 1]
    if twice or not gates:
        problem = f"the name {twice[0]!r} occurs twice" if twice else "no lines and no zones"
        raise ConfigError(f"{path}: {problem}", hint="give every line and zone its own name")
    return CountConfig(tuple(gates))


def _entries(values: Mapping[str, Any], kind: str, path: Path) -> list[Any]:
    entries = values.get(kind) or []
    if not isinstance(entries, list):
        raise ConfigError(f"{path}: {kind} is {entries!r}", hint="write a list, `- ` before each")
    return entries


def _allow(values: Mapping[str, Any], allowed: set[str], place: str) -> None:
    for key in values:
        if key not in allowed:
            raise ConfigError(f"{place}: there is no key {key!r}", hint=near_name(key, allowed))


def _gate(entry: Any, is_zone: bool, place: str) -> Gate:
    keys = {"name", "anchor"} | ({"points"} if is_zone else {"from", "to"})
    if not isinstance(entry, dict):
        raise ConfigError(f"{place}: {entry!r}", hint=f"write {{{', '.join(sorted(keys))}}}")
    _allow(entry, keys, place)
    raw = entry.get("points") if is_zone else [entry.get("from"), entry.get("to")]
    points = raw if isinstance(raw, list) else []
    good = [
        isinstance(p, list)
        and len(p) == 2
        and all(isinstance(v, (int, float)) and np.isfinite(v) for v in p)
        for p in points
    ]
    if len(points) < (3 if is_zone else 2) or not all(good):
        wanted = "at least three points [x, y]" if is_zone else "`from` and `to`, each [x, y]"
        raise ConfigError(f"{place}: the points are {raw!r}", hint=f"write {wanted}")
    anchor = entry.get("anchor", "centre")
    if anchor not in {"centre", "bottom"}:
        raise ConfigError(f"{place}: anchor is {anchor!r}", hint="use centre or bottom")
    corners = tuple((float(x), float(y)) for x, y in points)
    return Gate(
        name=str(entry.get("name") or place.rpartition(" ")[2]),
        points=corners,
        is_zone=is_zone,
        in_fractions=all(0 <= value <= 1 for point in corners for value in point),
        anchor=anchor,
    )


@dataclass(slots=True)
class _Seen:
    """What a gate knows of a track: the side it is on for certain, and where it was then."""

    side: int
    point: Point
    streak: int = 0
    frame: int = 0


@dataclass(slots=True)
class Counter:
    """Counts along one video.

    Args:
        plan: the lines and zones.
        size_hw: (height, width) of the frames.
    """

    plan: CountConfig
    size_hw: tuple[int, int]
    totals: Tally[tuple[str, str, int]] = field(default_factory=Tally)
    """(gate, direction, class index) -> how many."""
    _seen: dict[tuple[str, int], _Seen] = field(default_factory=dict)

    def step(self, found: Detections, frame: int, time_s: float) -> list[CountEvent]:
        """Return what happened in the next frame; detections without a track id do not count."""
        events = []
        for gate in self.plan.gates:
            points = gate.in_pixels(self.size_hw)
            for row, track in enumerate(found.track_ids.tolist()):
                if track < 0:
                    continue
                box = found.boxes[row].tolist()
                way = self._cross(gate, points, track, box, frame)
                if way:
                    label = int(found.labels[row])
                    self.totals[(gate.name, way, label)] += 1
                    events.append(CountEvent(gate.name, way, label, track, frame, time_s))
        if frame % 512 == 0:
            self._seen = {k: seen for k, seen in self._seen.items() if frame - seen.frame < 4096}
        return events

    def text(self, gate: Gate) -> str:
        """Return the name and the counts so far, as they are drawn."""
        counts = (
            sum(n for (name, way, _), n in self.totals.items() if (name, way) == (gate.name, d))
            for d in gate.directions
        )
        pairs = zip(gate.directions, counts, strict=True)
        return f"{gate.name}: " + "  ".join(f"{way} {count}" for way, count in pairs)

    def _cross(
        self,
        gate: Gate,
        points: tuple[Point, ...],
        track: int,
        box: list[float],
        frame: int,
    ) -> str:
        x = (box[0] + box[2]) / 2
        point = (x, box[3] if gate.anchor == "bottom" else (box[1] + box[3]) / 2)
        size = max(1.0, float(np.sqrt(max(0.0, (box[2] - box[0]) * (box[3] - box[1])))))
        side = _zone_side(points, point) if gate.is_zone else _line_side(points, point, size)
        seen = self._seen.get((gate.name, track))
        if seen is None:
            if side:
                self._seen[(gate.name, track)] = _Seen(side, point, frame=frame)
            return ""
        seen.frame = frame
        if side == 0 or side == seen.side:
            seen.streak = 0
            if side:
                seen.point = point
            return ""
        seen.streak += 1
        if gate.is_zone and seen.streak < _HOLD:
            return ""
        crossed = gate.is_zone or _meet((seen.point, point), (points[0], points[1]))
        seen.side, seen.point, seen.streak = side, point, 0
        if not crossed:
            return ""  # it went around the end of the line
        return gate.directions[0] if side > 0 else gate.directions[1]


def _line_side(points: tuple[Point, ...], point: Point, size: float) -> int:
    """Return 1 right of the line (looking along it, y down), -1 left of it, 0 too near to say."""
    (x1, y1), (x2, y2) = points[0], points[1]
    length = max(float(np.hypot(x2 - x1, y2 - y1)), 1e-9)
    distance = ((x2 - x1) * (point[1] - y1) - (y2 - y1) * (point[0] - x1)) / length
    return 0 if abs(distance) < _MARGIN * size else (1 if distance > 0 else -1)


def _zone_side(points: tuple[Point, ...], point: Point) -> int:
    """Return 1 inside of a polygon, -1 outside, by the even-odd rule."""
    x, y = point
    inside = False
    for (x1, y1), (x2, y2) in zip(points, (*points[1:], points[0]), strict=True):
        if (y1 > y) != (y2 > y) and x < (x2 - x1) * (y - y1) / (y2 - y1) + x1:
            inside = not inside
    return 1 if inside else -1


def _meet(first: tuple[Point, Point], second: tuple[Point, Point]) -> bool:
    """Return whether two segments cross or touch."""

    def turn(a: Point, b: Point, c: Point) -> float:
        return (b[0] - a[0]) * (c[1] - a[1]) - (b[1] - a[1]) * (c[0] - a[0])

    (a, b), (c, d) = first, second
    return turn(a, b, c) * turn(a, b, d) <= 0 and turn(c, d, a) * turn(c, d, b) <= 0
