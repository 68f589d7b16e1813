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
"""Process noise: drift of a velocity per second, in box sizes a second."""
INITIAL_SPEED, INITIAL_GROWTH = 5.0, 0.3
"""Standard deviations of a new box's velocity and of its sides' velocity, in box sizes a second."""
LOST_VELOCITY_S, GROWTH_S = 1.0, 0.5
"""Time constants by which velocities fade: of lost boxes, and of the sides of all boxes."""
_PIXEL_VARIANCE = 0.25


def centers_and_sizes(boxes: npt.NDArray[np.floating]) -> Floats:
    """Return boxes [N, 4] (x1, y1, x2, y2) as (x, y, width, height), float64."""
    wide = boxes.astype(np.float64)
    return np.concatenate([(wide[:, :2] + wide[:, 2:]) / 2, wide[:, 2:] - wide[:, :2]], axis=1)


def corners(xywh: Floats) -> FloatArray:
    """Return (x, y, width, height) [N, 4] as boxes (x1, y1, x2, y2), float32."""
    half = xywh[:, 2:] / 2
    boxes = np.concatenate([xywh[:, :2] - half, xywh[:, :2] + half], axis=1)
    return np.asarray(boxes, np.float32)


def box_sizes(xywh: Floats) -> Floats:
    """Return sqrt(width * height) [N] of (x, y, width, height), at least one pixel."""
    return np.asarray(np.sqrt(np.maximum(xywh[:, 2] * xywh[:, 3], 1.0)))


@dataclass(slots=True)
class BoxMotion:
    """State of N box filters: boxes, velocities and their variances.

    Each of the four coordinates has a filter of its own (Kalman 1960), as in SORT (Bewley et al.
    2016, https://arxiv.org/abs/1602.00763), with noise in units of the box's size and with time in
    seconds, so that it serves any frame rate.

    Args:
        xywh: [N, 4], x, y, width and height in pixels.
        velocities: [N, 4], the same per second.
        variances: [N, 3, 4]: of the position, covariance, of the velocity.
    """

    xywh: Floats
    velocities: Floats
    variances: Floats

    @classmethod
    def start(cls, xywh: Floats) -> BoxMotion:
        """Return the state of new boxes, at rest."""
        sizes = box_sizes(xywh)[:, None]
        variances = np.zeros((len(xywh), 3, 4))
        variances[:, 0] = (MEASUREMENT_STD * sizes) ** 2 + _PIXEL_VARIANCE
        variances[:, 2, :2] = (INITIAL_SPEED * sizes) ** 2
        variances[:, 2, 2:] = (INITIAL_GROWTH * sizes) ** 2
        return cls(xywh.copy(), np.zeros_like(xywh), variances)

    def select(self, rows: Indices) -> BoxMotion:
        """Return the rows of some boxes."""
        return BoxMotion(self.xywh[rows], self.velocities[rows], self.variances[rows])

    def joined(self, more: BoxMotion) -> BoxMotion:
        """Return these boxes, followed by others."""
        return BoxMotion(
            np.concatenate((self.xywh, more.xywh)),
            np.concatenate((self.velocities, more.velocities)),
            np.concatenate((self.variances, more.variances)),
        )

    def predict(self, seconds: float, lost: npt.NDArray[np.bool_]) -> None:
        """Predict the boxes at a later time (Kalman prediction).

        Args:
            seconds: since the last call.
            lost: [N], which boxes had no detection at the last frame; they slow down.
        """
        self.velocities *= np.where(lost, np.exp(-seconds / LOST_VELOCITY_S), 1.0)[:, None]
        self.velocities[:, 2:] *= np.exp(-seconds / GROWTH_S)
        self.xywh = self.xywh + self.velocities * seconds
        self.xywh[:, 2:] = np.maximum(self.xywh[:, 2:], 1.0)
        drift = (ACCELERATION * box_sizes(self.xywh))[:, None] ** 2
        position, covariance, velocity = self.variances.transpose(1, 0, 2)
        position += 2 * covariance * seconds + velocity * seconds**2 + drift * seconds**3 / 3
        covariance += velocity * seconds + drift * seconds**2 / 2
        velocity += drift * seconds

    def update(self, rows: Indices, detected: Floats) -> None:
        """Correct some boxes by their detections (Kalman update).

        Args:
            rows: of the boxes.
            detected: [len(rows), 4], x, y, width and height.
        """
        position, covariance, velocity = self.variances[rows].transpose(1, 0, 2)
        noise = (MEASUREMENT_STD * box_sizes(detected))[:, None] ** 2 + _PIXEL_VARIANCE
        gain, velocity_gain = position / (position + noise), covariance / (position + noise)
        residual = detected - self.xywh[rows]
        self.xywh[rows] += gain * residual
        self.xywh[rows, 2:] = np.maximum(self.xywh[rows, 2:], 1.0)
        self.velocities[rows] += velocity_gain * residual
        self.variances[rows] = np.stack(
            [(1 - gain) * position, (1 - gain) * covariance, velocity - velocity_gain * covariance],
            axis=1,
        )
