"""Row formats of YOLO text files: boxes, polygons, key points, or DOTA's turned boxes."""

from __future__ import annotations

from collections.abc import Sequence

Row = tuple[float | str, ...]
"""The numbers of a line; texts of a line of DOTA."""
_SLACK = 0.02
"""Largest distance of a key point from its box, as a share of the image."""
_ENOUGH = 0.9
"""The share of rows that must fit before they are taken for boxes with key points."""


def is_dota(parts: Sequence[str]) -> bool:
    """Return whether a line is eight sides in pixels, a class name and a difficulty."""
    if len(parts) not in {9, 10} or not parts[8] or _is_number(parts[8]):
        return False
    return all(_is_number(part) for part in parts[:8])


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def are_poses(rows: Sequence[Row]) -> bool:
    """Return whether the long rows of a set are boxes with key points and not polygons.

    All of them then have one length, which is 5 and a multiple of 2 or 3, and their points lie in
    the box of the first numbers: the second point of a polygon is seldom the size of a box around
    the others. Where every third number is a visibility of 0, 1 or 2 and one is 2, which is no
    fraction, or the number of columns is even, which no polygon has, the points may lie anywhere.
    """
    long = [row for row in rows if len(row) > 6 and not isinstance(row[0], str)]
    lengths = {len(row) for row in long}
    if len(lengths) != 1:
        return False
    step = next((step for step in (3, 2) if (lengths & _lengths(step))), None)
    if step is None:
        return False
    if step == 3 and _have_visibilities(long, is_even=lengths.pop() % 2 == 0):
        return True
    fits = sum(_fits([float(value) for value in row], step) for row in long)
    return fits >= _ENOUGH * len(long)


def _have_visibilities(rows: Sequence[Row], *, is_even: bool) -> bool:
    flags = {float(value) for row in rows for value in row[7::3]}
    return flags <= {0.0, 1.0, 2.0} and (is_even or 2.0 in flags)


def _lengths(step: int) -> frozenset[int]:
    return frozenset(range(5 + step, 5 + 300 * step, step))


def _fits(row: Sequence[float], step: int) -> bool:
    x, y, w, h = row[1:5]
    points = [row[n : n + step] for n in range(5, len(row), step)]
    if step == 3:
        if any(point[2] not in {0.0, 1.0, 2.0} and not 0 <= point[2] <= 1 for point in points):
            return False
        points = [point for point in points if point[2] > 0]
    shown = [point for point in points if point[0] != 0 or point[1] != 0]
    return all(
        abs(point[0] - x) <= w / 2 + _SLACK and abs(point[1] - y) <= h / 2 + _SLACK
        for point in shown
    )
