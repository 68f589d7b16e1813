"""What is remembered of each object: what it was taken for, how surely, and how large it was.

A frame says little about an object of a few pixels; many frames say more. Each object that is seen
again is answered with means along its way, causal and in constant memory: of the class
distributions, weighted by how surely something was there (the simplest form of late fusion along a
tube, as in Seq-NMS, 1602.08465); of how surely something was there; and of the logarithms of its
sides, because a size that jumps from frame to frame is the detector's noise and not the object's.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from lstmcli.core.structures import FloatArray

LOST_AFTER_S = 1.5
"""An object that was not seen for so long is forgotten."""
LEAST_OBJECTNESS = 0.05
"""A weaker answer does not begin an object."""
GATE = 1.5
"""An object is looked for this many of its sides around where it should be."""
SCALE_GATE = 0.8
"""Largest natural logarithm of the ratio of sides."""
SURENESS_SHARE = 0.5
"""What the past has to say in how surely something is there; the present frame says the rest."""


@dataclass(frozen=True, slots=True)
class Remembering:
    """How objects are remembered.

    Args:
        evidence_s: time constant in seconds by which old frames count less for the class; 0: the
            class is not remembered.
        steady_s: the same for the sides; twice that for how surely something is there; 0: neither
            is remembered.
        doubt: the temperature by which class distributions are softened before they are gathered
            (Guo et al. 2017, 1706.04599): networks are surer than they are right.
    """

    evidence_s: float = 0.0
    steady_s: float = 0.0
    doubt: float = 1.0

    @property
    def is_on(self) -> bool:
        """Whether anything is remembered."""
        return self.evidence_s > 0 or self.steady_s > 0


@dataclass(slots=True)
class _Mean:
    """A weighted mean that forgets."""

    sum: npt.NDArray[np.float64]
    weight: float

    def add(self, value: npt.NDArray[np.floating], weight: float, keep: float) -> None:
        self.sum = self.sum * keep + value * weight
        self.weight = self.weight * keep + weight

    @property
    def value(self) -> npt.NDArray[np.float64]:
        return self.sum / self.weight


@dataclass(slots=True)
class _Remembered:
    """Centre and velocity in pixels (a second), side in pixels, and the means."""

    centre: npt.NDArray[np.float64]
    velocity: npt.NDArray[np.float64]
    side: float
    seen_s: float
    times: int
    classes: _Mean
    sureness: _Mean
    sides: _Mean


class ObjectMemory:
    """The objects of one stream.

    Args:
        how: what is remembered, and for how long.
    """

    def __init__(self, how: Remembering) -> None:
        self.how = how
        self._objects: list[_Remembered] = []

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
        self._objects = [one for one in self._objects if 0 <= time_s - one.seen_s <= LOST_AFTER_S]
        if self.how.doubt != 1:
            softer = np.maximum(classes, 1e-9) ** (1 / self.how.doubt)
            classes = np.asarray(softer / softer.sum(axis=1, keepdims=True), np.float32)
        centres = (boxes[:, :2].astype(float) + boxes[:, 2:]) / 2
        sides = np.maximum(boxes[:, 2:].astype(float) - boxes[:, :2], 1e-3)
        side = np.sqrt(sides.prod(axis=1))
        found = boxes.copy(), objectness.copy(), classes.copy()
        free = np.ones(len(boxes), bool)
        for which, row in self._pairs(centres, side, objectness, time_s):
            free[row] = False
            one = self._objects[which]
            gap_s = max(time_s - one.seen_s, 1e-3)
            velocity = (centres[row] - one.centre) / gap_s
            one.velocity = velocity if one.times == 1 else 0.6 * one.velocity + 0.4 * velocity
            one.centre, one.side, one.seen_s = centres[row], float(side[row]), time_s
            one.times += 1
            self._gather(one, objectness[row], classes[row], np.log(sides[row]), gap_s)
            self._answer(one, row, found)
        for row in np.nonzero(free & (objectness >= LEAST_OBJECTNESS))[0].tolist():
            weight = float(objectness[row])
            self._objects.append(
                _Remembered(
                    centre=centres[row],
                    velocity=np.zeros(2),
                    side=float(side[row]),
                    seen_s=time_s,
                    times=1,
                    classes=_Mean(classes[row].astype(float) * weight, weight),
                    sureness=_Mean(np.array([weight]), 1.0),
                    sides=_Mean(np.log(sides[row]), 1.0),
                )
            )
        return found

    def _gather(
        self,
        one: _Remembered,
        objectness: np.floating,
        classes: FloatArray,
        sides: npt.NDArray[np.float64],
        gap_s: float,
    ) -> None:
        if self.how.evidence_s:
            keep = float(np.exp(-gap_s / self.how.evidence_s))
            one.classes.add(classes.astype(float), float(objectness), keep)
        if self.how.steady_s:
            keep = float(np.exp(-gap_s / self.how.steady_s))
            one.sides.add(sides, 1.0, keep)
            one.sureness.add(np.array([float(objectness)]), 1.0, keep**0.5)

    def _answer(
        self, one: _Remembered, row: int, found: tuple[FloatArray, FloatArray, FloatArray]
    ) -> None:
        """Put what is remembered of an object into a row of the answers."""
        boxes, objectness, classes = found
        if self.how.evidence_s:
            classes[row] = one.classes.value
        if self.how.steady_s:
            half = np.exp(one.sides.value) / 2
            boxes[row] = np.concatenate((one.centre - half, one.centre + half))
            past = float(one.sureness.value[0])
            objectness[row] += SURENESS_SHARE * (past - objectness[row])

    def _pairs(
        self,
        centres: npt.NDArray[np.float64],
        sides: npt.NDArray[np.floating],
        objectness: FloatArray,
        time_s: float,
    ) -> list[tuple[int, int]]:
        """Return (object, row) pairs, the nearest first, each object and row once."""
        if not self._objects or len(centres) == 0:
            return []
        gaps = np.array([time_s - one.seen_s for one in self._objects])
        expected = np.array([one.centre for one in self._objects])
        expected = expected + np.array([one.velocity for one in self._objects]) * gaps[:, None]
        known = np.array([one.side for one in self._objects])[:, None]
        away = np.linalg.norm(centres[None] - expected[:, None], axis=2)
        away = away / np.maximum(sides[None], known)
        ratio = np.abs(np.log(sides[None] / known))
        near = (away < GATE * (1 + 2 * gaps[:, None])) & (ratio < SCALE_GATE)
        cost = away + 0.5 * ratio - 0.3 * objectness[None]
        which, rows = np.nonzero(near)
        order = np.argsort(cost[which, rows], kind="stable")
        pairs: list[tuple[int, int]] = []
        taken_objects: set[int] = set()
        taken_rows: set[int] = set()
        for i in order.tolist():
            one, row = int(which[i]), int(rows[i])
            if one not in taken_objects and row not in taken_rows:
                taken_objects.add(one)
                taken_rows.add(row)
                pairs.append((one, row))
        return pairs
