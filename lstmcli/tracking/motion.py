"""Constant-velocity Kalman filters for many boxes at once, in NumPy."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from lstmcli.core.types import FloatArray

Floats = npt.NDArray[np.float64]
Indices = npt.NDArray[np.int64]

MEASUREMENT_STD = 0.08
"""Standard deviation of a detected centre or side, in units of sqrt(width * height)."""
ACCELERATION = 1.5
"""Process noise: what a velocity drifts in a second, in box sizes a second."""
INITIAL_SPEED, INITIAL_GROWTH = 5.0, 0.3
"""Standard deviations of a new box's velocity and of its sides' velocity, in box sizes a second."""
LOST_VELOCITY_S, GROWTH_S = 1.0, 0.5
"""Time constants by which velocities fade: of lost boxes, and of the sides of all boxes."""
_PIXEL_VARIANCE = 0.25


def centers_and_sizes(boxes: npt.NDArray[np.floating]) -> Floats:
    """Return boxes [N, 4] (x1, y1, x2, y2) as (x, y, width, height), float64."""
    wide = boxes.astype(np.float64)
    return np.concatenate([(wide[:, :2] + wide[:, 2:]) / 2, wide[:, 2:] - wide[:, :2]], axis=1)


def corners(places: Floats) -> FloatArray:
    """Return (x, y, width, height) [N, 4] as boxes (x1, y1, x2, y2), float32."""
    half = places[:, 2:] / 2
    boxes = np.concatenate([places[:, :2] - half, places[:, :2] + half], axis=1)
    return np.asarray(boxes, np.float32)


def box_sizes(places: Floats) -> Floats:
    """Return sqrt(width * height) [N] of (x, y, width, height), at least one pixel."""
    return np.asarray(np.sqrt(np.maximum(places[:, 2] * places[:, 3], 1.0)))


@dataclass(slots=True)
class BoxMotion:
    """Where N boxes are, how they move, and how sure that is.

    Each of the four coordinates has a filter of its own (Kalman 1960), as in SORT (Bewley et al.
    2016, https://arxiv.org/abs/1602.00763), with noise in units of the box's size and with time in
    seconds, so that it serves any frame rate.

    Args:
        places: [N, 4], x, y, width and height in pixels.
        velocities: [N, 4], the same per second.
        variances: [N, 3, 4]: of the place, of both together, of the velocity.
    """

    places: Floats
    velocities: Floats
    variances: Floats

    @classmethod
    def start(cls, places: Floats) -> BoxMotion:
        """Return the motion of boxes that are new, at rest."""
        sizes = box_sizes(places)[:, None]
        variances = np.zeros((len(places), 3, 4))
        variances[:, 0] = (MEASUREMENT_STD * sizes) ** 2 + _PIXEL_VARIANCE
        variances[:, 2, :2] = (INITIAL_SPEED * sizes) ** 2
        variances[:, 2, 2:] = (INITIAL_GROWTH * sizes) ** 2
        return cls(places.copy(), np.zeros_like(places), variances)

    def select(self, rows: Indices) -> BoxMotion:
        """Return some of the boxes."""
        return BoxMotion(self.places[rows], self.velocities[rows], self.variances[rows])

    def joined(self, more: BoxMotion) -> BoxMotion:
        """Return these boxes with others behind them."""
        return BoxMotion(
            np.concatenate((self.places, more.places)),
            np.concatenate((self.velocities, more.velocities)),
            np.concatenate((self.variances, more.variances)),
        )

    def predict(self, seconds: float, lost: npt.NDArray[np.bool_]) -> None:
        """Move the boxes on in time.

        Args:
            seconds: since the last call.
            lost: [N], which boxes had no detection at the last frame; they slow down.
        """
        self.velocities *= np.where(lost, np.exp(-seconds / LOST_VELOCITY_S), 1.0)[:, None]
        self.velocities[:, 2:] *= np.exp(-seconds / GROWTH_S)
        self.places = self.places + self.velocities * seconds
        self.places[:, 2:] = np.maximum(self.places[:, 2:], 1.0)
        drift = (ACCELERATION * box_sizes(self.places))[:, None] ** 2
        place, both, velocity = self.variances.transpose(1, 0, 2)
        place += 2 * both * seconds + velocity * seconds**2 + drift * seconds**3 / 3
        both += velocity * seconds + drift * seconds**2 / 2
        velocity += drift * seconds

    def update(self, rows: Indices, detected: Floats) -> None:
        """Correct some boxes by what was detected.

        Args:
            rows: of the boxes.
            detected: [len(rows), 4], x, y, width and height.
        """
        place, both, velocity = self.variances[rows].transpose(1, 0, 2)
        noise = (MEASUREMENT_STD * box_sizes(detected))[:, None] ** 2 + _PIXEL_VARIANCE
        gain, velocity_gain = place / (place + noise), both / (place + noise)
        residual = detected - self.places[rows]
        self.places[rows] += gain * residual
        self.places[rows, 2:] = np.maximum(self.places[rows, 2:], 1.0)
        self.velocities[rows] += velocity_gain * residual
        self.variances[rows] = np.stack(
            [(1 - gain) * place, (1 - gain) * both, velocity - velocity_gain * both], axis=1
        )
