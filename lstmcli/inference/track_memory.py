"""What is remembered of each object: what it was taken for, how surely, and how large it was.

A frame says little about an object of a few pixels; many frames say more. Each object that is seen
again is answered with means along its way, causal and in constant memory: of the class
distributions, weighted by how surely something was there (the simplest form of late fusion along a
tube, as in Seq-NMS, 1602.08465); of how surely something was there; and of the logarithms of its
sides, because a size that jumps from frame to frame is the detector's noise and not the object's.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
import numpy.typing as npt

from lstmcli.core.metadata import TrackMemoryConfig
from lstmcli.core.types import FloatArray, IntArray

Numbers = npt.NDArray[np.float64]

LOST_AFTER_S = 1.5
"""An object that was not seen for so long is forgotten."""
LEAST_OBJECTNESS = 0.05
"""A weaker answer does not begin an object."""
GATE = 1.5
"""An object is looked for this many of its sides around where it should be."""
SCALE_GATE = 0.8
"""Largest natural logarithm of the ratio of sides."""
OBJECTNESS_SHARE = 0.5
"""What the past has to say in how surely something is there; the present frame says the rest."""


@dataclass(slots=True)
class _Means:
    """A weighted mean that forgets for each of N objects; sums [N, K], weights [N, 1]."""

    sums: Numbers
    weights: Numbers

    @classmethod
    def of(cls, values: Numbers, weights: Numbers) -> _Means:
        return cls(values * weights, weights.copy())

    def add(self, which: IntArray, values: Numbers, weights: Numbers, keep: Numbers) -> Numbers:
        """Count new values of some objects, let the old ones fade; return their means."""
        self.sums[which] = self.sums[which] * keep + values * weights
        self.weights[which] = self.weights[which] * keep + weights
        return np.asarray(self.sums[which] / self.weights[which])

    def select(self, kept: npt.NDArray[np.bool_]) -> _Means:
        return _Means(self.sums[kept], self.weights[kept])

    def with_more(self, more: _Means) -> _Means:
        return _Means(
            np.concatenate((self.sums, more.sums)), np.concatenate((self.weights, more.weights))
        )


@dataclass(slots=True)
class _Objects:
    """N remembered objects: a row for each.

    Centres [N, 2] and velocities [N, 2] in pixels (a second), side [N] in pixels, when each was
    seen last [N], whether it was seen once only [N], and the means of what it was taken for.
    """

    centres: Numbers
    velocities: Numbers
    side: Numbers
    seen_s: Numbers
    is_new: npt.NDArray[np.bool_]
    classes: _Means
    objectness: _Means
    sides: _Means

    def __len__(self) -> int:
        return len(self.side)

    def select(self, kept: npt.NDArray[np.bool_]) -> _Objects:
        """Return some of them."""
        return self._of_columns(
            lambda one: one.select(kept) if isinstance(one, _Means) else one[kept]
        )

    def with_more(self, more: _Objects) -> _Objects:
        """Return these, and others behind them."""
        others = (getattr(more, column.name) for column in fields(more))
        return self._of_columns(
            lambda one: (
                one.with_more(next(others))
                if isinstance(one, _Means)
                else np.concatenate((one, next(others)))
            )
        )

    def _of_columns(self, change: Callable[[Any], Any]) -> _Objects:
        columns = {one.name: change(getattr(self, one.name)) for one in fields(self)}
        return _Objects(**columns)


class TrackMemory:
    """The objects of one stream.

    Args:
        how: what is remembered, and for how long.
    """

    def __init__(self, how: TrackMemoryConfig) -> None:
        self.how = how
        self._objects: _Objects | None = None

    def step(
        self, boxes: FloatArray, objectness: FloatArray, classes: FloatArray, time_s: float
    ) -> tuple[FloatArray, FloatArray, FloatArray]:
        """Return boxes, objectness and class distributions with what was remembered.

        Args:
            boxes: [N, 4] of one frame, none overlapping another much.
            objectness: [N] in 0..1.
            classes: [N, classes], rows sum to 1.
            time_s: the frame's own time.
        """
        if self.how.temperature != 1:
            softer = np.maximum(classes, 1e-9) ** (1 / self.how.temperature)
            classes = np.asarray(softer / softer.sum(axis=1, keepdims=True), np.float32)
        sides = np.maximum(boxes[:, 2:].astype(float) - boxes[:, :2], 1e-3)
        seen = _Objects(
            centres=(boxes[:, :2].astype(float) + boxes[:, 2:]) / 2,
            velocities=np.zeros((len(boxes), 2)),
            side=np.sqrt(sides.prod(axis=1)),
            seen_s=np.full(len(boxes), float(time_s)),
            is_new=np.ones(len(boxes), bool),
            classes=_Means.of(classes.astype(float), objectness.astype(float)[:, None]),
            objectness=_Means.of(objectness.astype(float)[:, None], np.ones((len(boxes), 1))),
            sides=_Means.of(np.log(sides), np.ones((len(boxes), 1))),
        )
        found = boxes.copy(), objectness.copy(), classes.copy()
        begins = objectness >= LEAST_OBJECTNESS
        if self._objects is not None and len(self._objects) and len(seen):
            which, rows = _pairs(self._objects, seen, objectness, time_s)
            self._meet(self._objects, which, seen, rows, objectness, classes, found)
            begins[rows] = False
        new = seen.select(begins)
        if self._objects is not None:
            gone_s = time_s - self._objects.seen_s
            kept = self._objects.select((gone_s >= 0) & (gone_s <= LOST_AFTER_S))
            new = kept.with_more(new)
        self._objects = new
        return found

    def _meet(
        self,
        known: _Objects,
        which: IntArray,
        seen: _Objects,
        rows: IntArray,
        objectness: FloatArray,
        classes: FloatArray,
        found: tuple[FloatArray, FloatArray, FloatArray],
    ) -> None:
        """Let objects take in how they are seen now, and put what they remember into the answers.

        Args:
            known: the objects; changed.
            which: rows of `known` that are seen again.
            seen: the present frame.
            rows: theirs in `seen`.
            objectness: of the present frame.
            classes: likewise.
            found: boxes, objectness and classes as they are answered; changed.
        """
        gap_s = np.maximum(seen.seen_s[rows] - known.seen_s[which], 1e-3)[:, None]
        velocity = (seen.centres[rows] - known.centres[which]) / gap_s
        steadier = 0.6 * known.velocities[which] + 0.4 * velocity
        known.velocities[which] = np.where(known.is_new[which][:, None], velocity, steadier)
        for mine, now in (
            (known.centres, seen.centres),
            (known.side, seen.side),
            (known.seen_s, seen.seen_s),
        ):
            mine[which] = now[rows]
        known.is_new[which] = False
        sure = objectness[rows].astype(float)[:, None]
        if self.how.class_memory_s:
            keep = np.exp(-gap_s / self.how.class_memory_s)
            found[2][rows] = known.classes.add(which, classes[rows].astype(float), sure, keep)
        if self.how.box_smoothing_s:
            keep = np.exp(-gap_s / self.how.box_smoothing_s)
            once = np.ones_like(sure)
            half = np.exp(known.sides.add(which, seen.sides.sums[rows], once, keep)) / 2
            centres = seen.centres[rows]
            found[0][rows] = np.concatenate((centres - half, centres + half), axis=1)
            past = known.objectness.add(which, sure, once, np.sqrt(keep))
            found[1][rows] = (sure + OBJECTNESS_SHARE * (past - sure))[:, 0]


def _pairs(
    known: _Objects, seen: _Objects, objectness: FloatArray, time_s: float
) -> tuple[IntArray, IntArray]:
    """Return rows of objects and of what is seen that belong together, the nearest first."""
    gaps = time_s - known.seen_s
    expected = known.centres + known.velocities * gaps[:, None]
    # what was not seen for too long is on its way out, and a clock that went back begins anew
    alive = (gaps >= 0) & (gaps <= LOST_AFTER_S)
    reach = np.where(alive, GATE * (1 + 2 * gaps), 0.0)
    across = seen.centres[:, 0] - expected[:, :1]
    down = seen.centres[:, 1] - expected[:, 1:]
    larger = np.maximum(seen.side, known.side[:, None])
    logs, known_logs = np.log(seen.side), np.log(known.side)
    near = across * across + down * down < (reach[:, None] * larger) ** 2
    which, rows = np.nonzero(near)
    ratio = np.abs(logs[rows] - known_logs[which])
    like = ratio < SCALE_GATE
    which, rows, ratio = which[like], rows[like], ratio[like]
    away = np.hypot(across[which, rows], down[which, rows]) / larger[which, rows]
    cost = away + 0.5 * ratio - 0.3 * objectness[rows]
    order = np.argsort(cost, kind="stable")
    pairs: list[tuple[int, int]] = []
    free = [True] * len(known), [True] * len(seen)
    for one, row in zip(which[order].tolist(), rows[order].tolist(), strict=True):
        if free[0][one] and free[1][row]:
            free[0][one] = free[1][row] = False
            pairs.append((one, row))
    found = np.array(pairs, np.int64).reshape(-1, 2)
    return found[:, 0], found[:, 1]
