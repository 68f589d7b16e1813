"""Template tracking against pictures whose motion is known."""

from __future__ import annotations

import numpy as np
import pytest

from lstmcli.tracking.template import follow


def scene(shift_x: float, *, size: float = 24, gain: float = 1.0) -> np.ndarray:
    """Return a grey picture [80, 160] with a square from x = 20 + shift on."""
    y, x = np.mgrid[0:80, 0:160].astype(np.float32)
    background = 90 + 20 * np.sin(x / 9) * np.cos(y / 7)
    u, v = (x - 20 - shift_x) / size, (y - 30) / size
    inside = (u >= 0) & (u < 1) & (v >= 0) & (v < 1)
    pattern = 130 + 80 * np.sin(9 * u) * np.cos(7 * v)
    return np.asarray(gain * np.where(inside, pattern, background), np.float32)


def test_a_moving_square_is_followed_to_the_pixel() -> None:
    pictures = [scene(4.0 * n) for n in range(1, 12)]
    track = follow(pictures, scene(0), np.array((20, 30, 44, 54), np.float32))
    expected = np.array([(20 + 4 * n, 30, 44 + 4 * n, 54) for n in range(1, 12)])
    assert np.abs(track.boxes - expected).max() < 2.5
    assert track.correlations.min() > 0.9


def test_brightness_and_contrast_do_not_matter() -> None:
    track = follow([scene(3, gain=0.5)], scene(0), np.array((20, 30, 44, 54), np.float32))
    assert track.correlations[0] > 0.95
    assert track.boxes[0, 0] == pytest.approx(23, abs=1.5)


def test_an_object_that_grows_gets_a_larger_box() -> None:
    pictures = [scene(0, size=24 * 1.03**n) for n in range(1, 12)]
    track = follow(pictures, scene(0), np.array((20, 30, 44, 54), np.float32))
    assert track.boxes[-1, 2] - track.boxes[-1, 0] == pytest.approx(24 * 1.03**11, rel=0.12)


def test_a_flat_picture_correlates_with_nothing() -> None:
    track = follow(
        [np.full((80, 160), 7, np.float32)], scene(0), np.array((20, 30, 44, 54), np.float32)
    )
    assert np.isfinite(track.boxes).all()
    assert track.correlations[0] < 0.1


def test_a_box_at_the_border_stays_finite() -> None:
    track = follow([scene(0)] * 3, scene(0), np.array((-5, -5, 10, 10), np.float32))
    assert np.isfinite(track.boxes).all()
    assert len(follow([], scene(0), np.array((0, 0, 5, 5), np.float32)).boxes) == 0
