"""Constant-velocity Kalman filters for many boxes at once, in NumPy."""

from __future__ import annotations

import math

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
    xywh = np.empty(boxes.shape)
    wide = boxes.astype(np.float64)
    low, high = wide[:, :2], wide[:, 2:]
    np.add(low, high, out=xywh[:, :2])
    xywh[:, :2] /= 2
    np.subtract(high, low, out=xywh[:, 2:])
    return xywh


def corners(xywh: Floats) -> FloatArray:
    """Return (x, y, width, height) [N, 4] as boxes (x1, y1, x2, y2), float32."""
    half = xywh[:, 2:] / 2
    boxes = np.empty(xywh.shape, np.float32)
    np.subtract(xywh[:, :2], half, out=boxes[:, :2], casting="same_kind")
    np.add(xywh[:, :2], half, out=boxes[:, 2:], casting="same_kind")
    return boxes


def box_sizes(xywh: Floats) -> Floats:
    """Return sqrt(width * height) [N] of (x, y, width, height), at least one pixel."""
    return np.asarray(np.sqrt(np.maximum(xywh[:, 2] * xywh[:, 3], 1.0)))


class BoxMotion:
    """State of N box filters: boxes, velocities and their variances.

    Each of the four coordinates has a filter of its own (Kalman 1960), as in SORT (Bewley et al.
    2016, https://arxiv.org/abs/1602.00763), with noise in units of the box's size and with time in
    seconds, so that it serves any frame rate.

    Args:
        values: [N, 20], a row a box, so that boxes are selected and joined by one call: x, y,
            width and height in pixels, the same per second, and the variances of the positions,
            the covariances, and the variances of the velocities.
    """

    __slots__ = ("values",)

    def __init__(self, values: Floats) -> None:
        self.values = values

    @property
    def xywh(self) -> Floats:
        """[N, 4], x, y, width and height in pixels."""
        return self.values[:, :4]

    @property
    def velocities(self) -> Floats:
        """[N, 4], the same per second."""
        return self.values[:, 4:8]

    @property
    def variances(self) -> tuple[Floats, Floats, Floats]:
        """[N, 4] each: of the position, covariance, of the velocity."""
        return self.values[:, 8:12], self.values[:, 12:16], self.values[:, 16:]

    @classmethod
    def start(cls, xywh: Floats) -> BoxMotion:
        """Return the state of new boxes, at rest."""
        motion = cls(np.zeros((len(xywh), 20)))
        if len(xywh):
            sizes = box_sizes(xywh)[:, None]
            position, _, velocity = motion.variances
            motion.xywh[...] = xywh
            position[...] = (MEASUREMENT_STD * sizes) ** 2 + _PIXEL_VARIANCE
            velocity[:, :2] = (INITIAL_SPEED * sizes) ** 2
            velocity[:, 2:] = (INITIAL_GROWTH * sizes) ** 2
        return motion

    def select(self, rows: Indices) -> BoxMotion:
        """Return copies of the rows of some boxes."""
        return BoxMotion(self.values.take(rows, axis=0))

    def joined(self, more: BoxMotion) -> BoxMotion:
        """Return these boxes, followed by others."""
        return BoxMotion(np.concatenate((self.values, more.values)))

    def predict(self, seconds: float, lost: npt.NDArray[np.bool_]) -> None:
        """Predict the boxes at a later time (Kalman prediction).

        Args:
            seconds: since the last call.
            lost: [N], which boxes had no detection at the last frame; they slow down.
        """
        xywh, velocities = self.xywh, self.velocities
        velocities *= np.where(lost, math.exp(-seconds / LOST_VELOCITY_S), 1.0)[:, None]
        velocities[:, 2:] *= math.exp(-seconds / GROWTH_S)
        xywh += velocities * seconds
        np.maximum(xywh[:, 2:], 1.0, out=xywh[:, 2:])
        drift = np.square(ACCELERATION * box_sizes(xywh))[:, None]
        position, covariance, velocity = self.variances
        position += 2 * covariance * seconds + velocity * seconds**2 + drift * seconds**3 / 3
        covariance += velocity * seconds + drift * seconds**2 / 2
        velocity += drift * seconds

    def update(self, rows: Indices, detected: Floats) -> None:
        """Correct some boxes by their detections (Kalman update).

        Args:
            rows: of the boxes.
            detected: [len(rows), 4], x, y, width and height.
        """
        some = self.select(rows)
        position, covariance, velocity = some.variances
        noise = np.square(MEASUREMENT_STD * box_sizes(detected))[:, None] + _PIXEL_VARIANCE
        total = position + noise
        gain, velocity_gain = position / total, covariance / total
        residual = detected - some.xywh
        some.velocities[...] += velocity_gain * residual
        some.xywh[...] += gain * residual
        np.maximum(some.xywh[:, 2:], 1.0, out=some.xywh[:, 2:])
        velocity -= velocity_gain * covariance
        kept = np.subtract(1, gain, out=gain)
        position *= kept
        covariance *= kept
        self.values[rows] = some.values
