"""Counting of tracks at lines and in polygon zones, described by a YAML file."""

from __future__ import annotations

from collections import Counter as Tally
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np

from lstmcli.core.errors import ConfigError, near_name
from lstmcli.core.limits import check_limit
from lstmcli.core.types import Detections
from lstmcli.core.yaml_text import parse_yaml

Point = tuple[float, float]
Anchor = Literal["centre", "bottom"]

FARTHEST = 1e9
"""Pixels from the corner of the picture within which points lie."""
_MARGIN = 0.1
"""Hysteresis of a line, as a share of the object's size."""
_HOLD = 2
"""Consecutive frames that put an object inside or outside of a polygon."""


@dataclass(frozen=True, slots=True)
class Zone:
    """A line or a polygon in the picture.

    Args:
        name: unique in its file.
        points: (x, y), in pixels or in fractions of the picture; two of a line, three or more of a
            polygon.
        in_fractions: whether the points are fractions of width and height.
        anchor: the point of a box that is tested.
    """

    name: str
    points: tuple[Point, ...]
    in_fractions: bool
    anchor: Anchor = "centre"
    directions: ClassVar[tuple[str, str]]


class LineZone(Zone):
    """A line that tracks cross: `in` is from left to right, seen from its start to its end."""

    __slots__ = ()
    directions = ("in", "out")


class PolygonZone(Zone):
    """A polygon that tracks enter and leave."""

    __slots__ = ()
    directions = ("enter", "leave")


def points_in_pixels(zone: Zone, size_hw: tuple[int, int]) -> tuple[Point, ...]:
    """Return the points of a zone in pixels of a picture of (height, width)."""
    height, width = size_hw if zone.in_fractions else (1, 1)
    return tuple((x * width, y * height) for x, y in zone.points)


@dataclass(frozen=True, slots=True)
class CountConfig:
    """The lines and polygons of a file."""

    zones: tuple[Zone, ...]


@dataclass(frozen=True, slots=True)
class CountEvent:
    """A track crossed a line or the border of a polygon.

    Args:
        zone: name of the line or polygon.
        direction: `in` or `out` over a line, `enter` or `leave` at a polygon.
        label: class index.
        track_id: of the track.
        frame: index of the frame.
        time_s: timestamp of the frame.
    """

    zone: str
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
    Points that all lie in 0..1 are fractions of width and height, others are pixels. In the
    direction from `from` to `to`, `in` is from the left to the right.

    Raises:
        ConfigError: unknown keys, duplicate names, invalid points.
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
    check_limit("zones", _count(values, path), str(path), error=ConfigError)
    kinds: tuple[tuple[str, type[Zone]], ...] = (("lines", LineZone), ("zones", PolygonZone))
    zones = [
        _zone(entry, kind, f"{path}: {key}[{i}]")
        for key, kind in kinds
        for i, entry in enumerate(_entries(values, key, path))
    ]
    twice = [name for name, count in Tally(zone.name for zone in zones).items() if count > 1]
    if twice or not zones:
        problem = f"the name {twice[0]!r} occurs twice" if twice else "no lines and no zones"
        raise ConfigError(f"{path}: {problem}", hint="give every line and zone its own name")
    return CountConfig(tuple(zones))


def _count(values: Mapping[str, Any], path: Path) -> int:
    return sum(len(_entries(values, key, path)) for key in ("lines", "zones"))


def _entries(values: Mapping[str, Any], key: str, path: Path) -> list[Any]:
    entries = values.get(key) or []
    if not isinstance(entries, list):
        raise ConfigError(f"{path}: {key} is {entries!r}", hint="write a list, `- ` before each")
    return entries


def _allow(values: Mapping[str, Any], allowed: set[str], where: str) -> None:
    for key in values:
        if key not in allowed:
            raise ConfigError(f"{where}: there is no key {key!r}", hint=near_name(key, allowed))


def _zone(entry: Any, kind: type[Zone], where: str) -> Zone:
    is_polygon = kind is PolygonZone
    keys = {"name", "anchor"} | ({"points"} if is_polygon else {"from", "to"})
    if not isinstance(entry, dict):
        raise ConfigError(f"{where}: {entry!r}", hint=f"write {{{', '.join(sorted(keys))}}}")
    _allow(entry, keys, where)
    raw = entry.get("points") if is_polygon else [entry.get("from"), entry.get("to")]
    points = raw if isinstance(raw, list) else []
    good = [
        isinstance(p, list)
        and len(p) == 2
        and all(isinstance(v, (int, float)) and abs(v) < FARTHEST for v in p)
        for p in points
    ]
    if len(points) < (3 if is_polygon else 2) or not all(good):
        wanted = "at least three points [x, y]" if is_polygon else "`from` and `to`, each [x, y]"
        raise ConfigError(f"{where}: the points are {raw!r}", hint=f"write {wanted}")
    anchor = entry.get("anchor", "centre")
    if anchor not in ("centre", "bottom"):  # of a list there is no hash
        raise ConfigError(f"{where}: anchor is {anchor!r}", hint="use centre or bottom")
    corners = tuple((float(x), float(y)) for x, y in points)
    return kind(
        name=str(entry.get("name") or where.rpartition(" ")[2]),
        points=corners,
        in_fractions=all(0 <= value <= 1 for point in corners for value in point),
        anchor=anchor,
    )


@dataclass(slots=True)
class _Side:
    """The last certain side of a track at a zone, and its position there."""

    side: int
    point: Point
    streak: int = 0
    frame: int = 0


@dataclass(slots=True)
class Counter:
    """Counts crossings along one video.

    Args:
        config: the lines and polygons.
        size_hw: (height, width) of the frames.
    """

    config: CountConfig
    size_hw: tuple[int, int]
    totals: Tally[tuple[str, str, int]] = field(default_factory=Tally)
    """(zone name, direction, class index) -> number of crossings."""
    _sides: dict[tuple[str, int], _Side] = field(default_factory=dict)

    def step(self, found: Detections, frame: int, time_s: float) -> list[CountEvent]:
        """Return the crossings of the next frame; detections without a track id do not count."""
        events = []
        for zone in self.config.zones:
            points = points_in_pixels(zone, self.size_hw)
            for row, track in enumerate(found.track_ids.tolist()):
                if track < 0:
                    continue
                box = found.boxes[row].tolist()
                way = self._cross(zone, points, track, box, frame)
                if way:
                    label = int(found.labels[row])
                    self.totals[(zone.name, way, label)] += 1
                    events.append(CountEvent(zone.name, way, label, track, frame, time_s))
        if frame % 512 == 0:
            self._sides = {k: side for k, side in self._sides.items() if frame - side.frame < 4096}
        return events

    def text(self, zone: Zone) -> str:
        """Return the drawn text: name and counts so far."""
        counts = (
            sum(n for (name, way, _), n in self.totals.items() if (name, way) == (zone.name, d))
            for d in zone.directions
        )
        pairs = zip(zone.directions, counts, strict=True)
        return f"{zone.name}: " + "  ".join(f"{way} {count}" for way, count in pairs)

    def _cross(
        self,
        zone: Zone,
        points: tuple[Point, ...],
        track: int,
        box: list[float],
        frame: int,
    ) -> str:
        x = (box[0] + box[2]) / 2
        point = (x, box[3] if zone.anchor == "bottom" else (box[1] + box[3]) / 2)
        size = max(1.0, float(np.sqrt(max(0.0, (box[2] - box[0]) * (box[3] - box[1])))))
        is_polygon = isinstance(zone, PolygonZone)
        side = _polygon_side(points, point) if is_polygon else _line_side(points, point, size)
        last = self._sides.get((zone.name, track))
        if last is None:
            if side:
                self._sides[(zone.name, track)] = _Side(side, point, frame=frame)
            return ""
        last.frame = frame
        if side == 0 or side == last.side:
            last.streak = 0
            if side:
                last.point = point
            return ""
        last.streak += 1
        if is_polygon and last.streak < _HOLD:
            return ""
        crossed = is_polygon or _intersect((last.point, point), (points[0], points[1]))
        last.side, last.point, last.streak = side, point, 0
        if not crossed:
            return ""  # it went around the end of the line
        return zone.directions[0] if side > 0 else zone.directions[1]


def _line_side(points: tuple[Point, ...], point: Point, size: float) -> int:
    """Return 1 right of the line (in its direction, y down), -1 left of it, 0 within the margin."""
    (x1, y1), (x2, y2) = points[0], points[1]
    length = max(float(np.hypot(x2 - x1, y2 - y1)), 1e-9)
    distance = ((x2 - x1) * (point[1] - y1) - (y2 - y1) * (point[0] - x1)) / length
    return 0 if abs(distance) < _MARGIN * size else (1 if distance > 0 else -1)


def _polygon_side(points: tuple[Point, ...], point: Point) -> int:
    """Return 1 inside of a polygon, -1 outside, by the even-odd rule."""
    x, y = point
    inside = False
    for (x1, y1), (x2, y2) in zip(points, (*points[1:], points[0]), strict=True):
        if (y1 > y) != (y2 > y) and x < (x2 - x1) * (y - y1) / (y2 - y1) + x1:
            inside = not inside
    return 1 if inside else -1


def _intersect(first: tuple[Point, Point], second: tuple[Point, Point]) -> bool:
    """Return whether two segments cross or touch."""

    def turn(a: Point, b: Point, c: Point) -> float:
        return (b[0] - a[0]) * (c[1] - a[1]) - (b[1] - a[1]) * (c[0] - a[0])

    (a, b), (c, d) = first, second
    return turn(a, b, c) * turn(a, b, d) <= 0 and turn(c, d, a) * turn(c, d, b) <= 0
