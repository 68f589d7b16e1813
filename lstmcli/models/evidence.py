"""What an object was taken for so far: class evidence that moves with the object.

A frame says little about the class of an object of a few pixels; many frames say more. Each object
that is seen again gets the mean of the class distributions of all its frames, weighted by how
surely something was there (the simplest form of late fusion along a tube, as in Seq-NMS,
1602.08465, but causal and in constant memory).
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


@dataclass(slots=True)
class _Remembered:
    """Centre and velocity in pixels (a second), side in pixels, sums of weights and of evidence."""

    centre: npt.NDArray[np.float64]
    velocity: npt.NDArray[np.float64]
    side: float
    seen_s: float
    times: int
    weight: float
    evidence: npt.NDArray[np.float64]


class Evidence:
    """Objects of one stream and what they were taken for.

    Args:
        memory_s: time constant in seconds by which old frames count less.
    """

    def __init__(self, memory_s: float) -> None:
        self.memory_s = memory_s
        self._objects: list[_Remembered] = []

    def step(
        self, boxes: FloatArray, objectness: FloatArray, classes: FloatArray, time_s: float
    ) -> FloatArray:
        """Return the class distributions with what was remembered, [N, classes], rows sum to 1.

        Args:
            boxes: [N, 4] of one frame, none overlapping another much.
            objectness: [N] in 0..1.
            classes: [N, classes], rows sum to 1.
            time_s: the frame's own time.
        """
        self._objects = [one for one in self._objects if 0 <= time_s - one.seen_s <= LOST_AFTER_S]
        centres = (boxes[:, :2].astype(float) + boxes[:, 2:]) / 2
        sides = np.sqrt(np.prod(np.maximum(boxes[:, 2:] - boxes[:, :2], 1e-3), axis=1))
        result = classes.copy()
        free = np.ones(len(boxes), bool)
        for which, row in self._pairs(centres, sides, objectness, time_s):
            free[row] = False
            one = self._objects[which]
            gap_s = max(time_s - one.seen_s, 1e-3)
            velocity = (centres[row] - one.centre) / gap_s
            one.velocity = velocity if one.times == 1 else 0.6 * one.velocity + 0.4 * velocity
            fade = float(np.exp(-gap_s / self.memory_s))
            one.centre, one.side, one.seen_s = centres[row], float(sides[row]), time_s
            one.times += 1
            one.weight = one.weight * fade + float(objectness[row])
            one.evidence = one.evidence * fade + objectness[row] * classes[row]
            result[row] = one.evidence / one.weight
        for row in np.nonzero(free & (objectness >= LEAST_OBJECTNESS))[0].tolist():
            self._objects.append(
                _Remembered(
                    centre=centres[row],
                    velocity=np.zeros(2),
                    side=float(sides[row]),
                    seen_s=time_s,
                    times=1,
                    weight=float(objectness[row]),
                    evidence=(objectness[row] * classes[row]).astype(float),
                )
            )
        return result

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
