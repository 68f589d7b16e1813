"""Plots as SVG, drawn line by line: they stay sharp and need no library in the page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from xml.sax.saxutils import escape

LINES = ("#0072b2", "#e69f00", "#009e73", "#cc79a7", "#56b4e9", "#d55e00", "#8c6d31", "#7f7f7f")
"""Okabe and Ito's colours, distinct for colour-blind people; then repeated with dashes."""

WIDTH, HEIGHT, LEFT, BOTTOM = 460, 340, 48, 40
RIGHT, TOP = 12, 12
TICKS = (0, 0.25, 0.5, 0.75, 1)


def precision_recall_chart(curves: Mapping[str, Sequence[float]]) -> str:
    """Return precision over recall, one line a class.

    Args:
        curves: by class name, the precision at evenly spaced recalls from 0 to 1.
    """
    parts = [_axes("recall", "precision")]
    for number, precisions in enumerate(curves.values()):
        last = max(len(precisions) - 1, 1)
        # Precision 0 says that this recall is never reached: the line ends before it.
        points = [(i / last, value) for i, value in enumerate(precisions) if value > 0]
        line = " ".join(f"{_x(recall):.1f},{_y(value):.1f}" for recall, value in points)
        if len(points) > 1:
            colour = LINES[number % len(LINES)]
            dashes = f' stroke-dasharray="{2 + 3 * (number // len(LINES))} 3"'
            parts.append(
                f'<polyline points="{line}" fill="none" stroke="{colour}" stroke-width="2"'
                f"{dashes if number >= len(LINES) else ''}/>"
            )
    return _svg(parts, "Precision over recall")


def calibration_chart(bins: Sequence[Mapping[str, float]]) -> str:
    """Return precision over the score with the diagonal of perfect calibration.

    Args:
        bins: with `confidence` and `accuracy` in 0..1, and `count`, the size of the dot.
    """
    parts = [
        _axes("score", "precision"),
        f'<path d="M{_x(0):.1f} {_y(0):.1f}L{_x(1):.1f} {_y(1):.1f}" class="rule" '
        'stroke-dasharray="4 4"/>',
    ]
    points = [(_x(row["confidence"]), _y(row["accuracy"])) for row in bins]
    if len(points) > 1:
        line = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
        parts.append(
            f'<polyline points="{line}" fill="none" stroke="{LINES[0]}" stroke-width="2"/>'
        )
    most = max((row["count"] for row in bins), default=1)
    for (x, y), row in zip(points, bins, strict=True):
        radius = 3 + 6 * (row["count"] / most) ** 0.5
        parts.append(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="{radius:.1f}" fill="{LINES[0]}"/>')
    return _svg(parts, "Precision over the score")


def score_chart(
    times: Sequence[float],
    scores: Mapping[str, Sequence[float]],
    thresholds: Mapping[str, float],
) -> str:
    """Return scores of one object over time, one line a model, with its misses as bars below.

    Args:
        times: seconds, rising.
        scores: model -> score at each time, 0 where there is no detection.
        thresholds: model -> score from which a detection is shown.
    """
    first, last = (times[0], times[-1]) if times else (0.0, 1.0)
    span = max(last - first, 1e-9)
    parts = [_axes("", "score", ticks=[f"{first + share * span:.1f}" for share in TICKS])]
    step = span / max(len(times) - 1, 1)
    for number, (name, values) in enumerate(scores.items()):
        colour, limit = line_colour(number), thresholds[name]
        points = [(_x((t - first) / span), v) for t, v in zip(times, values, strict=True)]
        line = " ".join(f"{x:.1f},{_y(value):.1f}" for x, value in points)
        parts.append(
            f'<polyline points="{line}" fill="none" stroke="{colour}" stroke-width="1.5"/>'
        )
        parts.append(
            f'<path d="M{_x(0):.1f} {_y(limit):.1f}H{_x(1):.1f}" fill="none" stroke="{colour}" '
            'stroke-dasharray="3 4" stroke-opacity="0.7"/>'
        )
        width = max(step / span * (_x(1) - _x(0)), 1.0)
        top = _y(0) - 3 - 5 * number
        parts += [
            f'<rect x="{x - width / 2:.1f}" y="{top:.1f}" width="{width:.1f}" height="4" '
            f'fill="{colour}"/>'
            for x, value in points
            if value < limit
        ]
    return _svg(parts, "Score over time in seconds")


def line_colour(number: int) -> str:
    """Return the colour of a chart's line, for its legend."""
    return LINES[number % len(LINES)]


def _x(share: float) -> float:
    return LEFT + share * (WIDTH - LEFT - RIGHT)


def _y(share: float) -> float:
    return HEIGHT - BOTTOM - share * (HEIGHT - BOTTOM - TOP)


def _axes(across: str, up: str, *, ticks: Sequence[str] = ()) -> str:
    parts = []
    for tick, text in zip(TICKS, ticks or [f"{tick:g}" for tick in TICKS], strict=True):
        x, y = _x(tick), _y(tick)
        parts += [
            f'<path d="M{x:.1f} {_y(0):.1f}V{_y(1):.1f}M{_x(0):.1f} {y:.1f}H{_x(1):.1f}" '
            'class="rule"/>',
            f'<text x="{x:.1f}" y="{_y(0) + 16:.1f}" text-anchor="middle">{text}</text>',
            f'<text x="{_x(0) - 6:.1f}" y="{y + 4:.1f}" text-anchor="end">{tick:g}</text>',
        ]
    middle = _y(0.5)
    parts += [
        f'<text x="{_x(0.5):.1f}" y="{HEIGHT - 6}" text-anchor="middle">{escape(across)}</text>',
        f'<text x="12" y="{middle:.1f}" text-anchor="middle" '
        f'transform="rotate(-90 12 {middle:.1f})">{escape(up)}</text>',
    ]
    return "".join(parts)


def _svg(parts: Sequence[str], title: str) -> str:
    return (
        f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{escape(title)}">'
        f"{''.join(parts)}</svg>"
    )
