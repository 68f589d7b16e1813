"""Shapes of Label Studio in pixels: it writes them in percent of the picture."""

from __future__ import annotations

from collections.abc import Sequence

from lstmcli.labels.readers.json_file import Node
from lstmcli.labels.shapes import Box, brush_hull, ellipse_hull, hull_of, rotated_hull


def percent_sides(node: Node, size_hw: tuple[int, int]) -> tuple[Box, float]:
    """Return the sides of a rectangle before its turn, and its degrees.

    It is turned clockwise about its upper left corner, in pixels and not in percent.
    """
    height, width = size_hw
    x, y = node["x"].number() / 100 * width, node["y"].number() / 100 * height
    right = x + node["width"].number() / 100 * width
    lower = y + node["height"].number() / 100 * height
    turn = node.get("rotation")
    return (x, y, right, lower), 0.0 if turn is None else turn.number()


def turned_hull(sides: Sequence[float], degrees: float) -> Box:
    """Return the upright hull of a rectangle that is turned about its upper left corner."""
    return rotated_hull(sides, degrees, (sides[0], sides[1]))


def hull_of_shape(kind: str, value: Node, size_hw: tuple[int, int]) -> Box | None:
    """Return the hull of a shape in pixels; None where it has none or its form is not known."""
    height, width = size_hw
    if kind == "ellipse":
        x, y, rx, ry = (value[key].number() / 100 for key in ("x", "y", "radiusX", "radiusY"))
        turn = value.get("rotation")
        degrees = 0.0 if turn is None else turn.number()
        return ellipse_hull(x * width, y * height, rx * width, ry * height, degrees)
    if kind == "polygon" and "points" in value:
        points = [point.numbers(2) for point in value["points"].rows()]
        return hull_of([(x / 100 * width, y / 100 * height) for x, y in points])
    if kind == "brush" and "rle" in value:
        return brush_hull([byte.whole() for byte in value["rle"].rows()], size_hw)
    return None
