"""Counters of the service in the text format of Prometheus."""

from __future__ import annotations

import threading
from bisect import bisect_left
from collections import Counter
from collections.abc import Iterable, Mapping

BUCKETS_S = (0.01, 0.025, 0.05, 0.1, 0.2, 0.5, 1.0, 2.5)
"""Upper bounds of the histogram of latencies."""

Labels = Mapping[str, str]


class LatencyHistogram:
    """Seconds from a session's frame to its detections."""

    def __init__(self) -> None:
        self._counts = [0] * (len(BUCKETS_S) + 1)
        self._sum = 0.0
        self._lock = threading.Lock()

    def add(self, seconds: float) -> None:
        """Count a frame."""
        with self._lock:
            self._counts[bisect_left(BUCKETS_S, seconds)] += 1
            self._sum += seconds

    def lines(self, name: str) -> list[str]:
        """Return its lines."""
        with self._lock:
            counts, total_s = list(self._counts), self._sum
        lines, below = [f"# TYPE {name} histogram"], 0
        for bound, count in zip((*map(str, BUCKETS_S), "+Inf"), counts, strict=True):
            below += count
            lines.append(f'{name}_bucket{{le="{bound}"}} {below}')
        return [*lines, f"{name}_sum {total_s:.6f}", f"{name}_count {below}"]


class Tallies:
    """Counters by name and label; several threads may count."""

    def __init__(self) -> None:
        self._counts: Counter[tuple[str, str, str]] = Counter()
        self._lock = threading.Lock()

    def add(self, name: str, label: str = "", value: str = "") -> None:
        """Count one."""
        with self._lock:
            self._counts[(name, label, value)] += 1

    def lines(self) -> list[str]:
        """Return their lines, sorted."""
        with self._lock:
            counts = sorted(self._counts.items())
        lines: list[str] = []
        for (name, label, value), count in counts:
            kind = f"# TYPE {name} counter"
            if kind not in lines:
                lines.append(kind)
            lines.append(f"{name}{labelled({label: value} if label else {})} {count}")
        return lines


def gauge(name: str, values: Iterable[tuple[Labels, float]], *, kind: str = "gauge") -> list[str]:
    """Return the lines of a value that rises and falls, or of a counter kept elsewhere."""
    return [
        f"# TYPE {name} {kind}",
        *(f"{name}{labelled(labels)} {value:g}" for labels, value in values),
    ]


def labelled(labels: Labels) -> str:
    """Return labels in braces, escaped; nothing where there are none.

    >>> labelled({"camera": 'a"b'})
    '{camera="a\\\\"b"}'
    """
    if not labels:
        return ""
    escaped = {
        name: value.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")
        for name, value in labels.items()
    }
    return "{" + ",".join(f'{name}="{value}"' for name, value in escaped.items()) + "}"
