"""Offline smoothing: gaps are filled where both sides agree, flashes go, doubts stay doubts."""

from __future__ import annotations

import numpy as np
from numpy.testing import assert_allclose

from lstmcli.core.types import Detections
from lstmcli.tracking.offline import DETECTED, INTERPOLATED, UNCERTAIN, smooth_offline

RATE = 10.0


def found(*rows: tuple[float, float, float, int]) -> Detections:
    """Return detections of 20x20 pixels: x, y, score and class of each."""
    boxes = np.array([(x, y, x + 20, y + 20) for x, y, _, _ in rows], np.float32).reshape(-1, 4)
    scores = np.array([score for _, _, score, _ in rows], np.float32)
    labels = np.array([label for _, _, _, label in rows], np.int64)
    return Detections(boxes, scores, labels, np.full(len(rows), -1, np.int64))


def moving(frames: int, *, missing: set[int], score: float = 0.8) -> list[Detections]:
    return [found() if n in missing else found((10 + 6 * n, 50, score, 1)) for n in range(frames)]


def times(frames: int) -> list[float]:
    return [n / RATE for n in range(frames)]


def test_a_gap_is_interpolated_where_both_ends_agree() -> None:
    tracks = smooth_offline(moving(20, missing=set(range(8, 14))), times(20), threshold=0.3)
    assert len(set(tracks.tracks.tolist())) == 1
    assert tracks.frames.tolist() == list(range(20))
    assert set(np.flatnonzero(tracks.status == INTERPOLATED)) == set(range(8, 14))
    wanted = np.array([(10 + 6 * n, 50, 30 + 6 * n, 70) for n in range(20)])
    assert_allclose(tracks.boxes, wanted, atol=0.5)


def test_two_objects_that_begin_together_stay_two() -> None:
    both = [found((10 + 6 * n, 50, 0.8, 1), (200, 10, 0.8, 0)) for n in range(8)]
    alone = [found((10 + 6 * n, 50, 0.8, 1)) for n in range(8, 16)]
    tracks = smooth_offline(both + alone, times(16), threshold=0.3)
    ends = [int(tracks.frames[tracks.tracks == one].max()) for one in np.unique(tracks.tracks)]
    assert sorted(ends) == [7, 15]


def test_a_long_gap_stays_open() -> None:
    tracks = smooth_offline(moving(30, missing=set(range(8, 22))), times(30), threshold=0.3)
    assert len(set(tracks.tracks.tolist())) == 2
    assert not (tracks.status == INTERPOLATED).any()


def test_an_object_that_turned_away_is_a_new_track() -> None:
    frames = moving(8, missing=set()) + [found()] * 4
    frames += [found((300 + n, 400, 0.8, 1)) for n in range(8)]
    tracks = smooth_offline(frames, times(20), threshold=0.3)
    assert len(set(tracks.tracks.tolist())) == 2


def test_a_single_detection_is_dropped() -> None:
    frames = moving(10, missing=set())
    flash = found((10 + 6 * 4, 50, 0.8, 1), (300, 300, 0.95, 0))
    frames[4] = flash
    tracks = smooth_offline(frames, times(10), threshold=0.3)
    assert tracks.dropped == 1
    assert set(tracks.labels.tolist()) == {1}


def test_a_track_that_is_never_certain_is_uncertain() -> None:
    tracks = smooth_offline(moving(10, missing=set(), score=0.2), times(10), threshold=0.3)
    assert (tracks.status == UNCERTAIN).all()


def test_faint_ends_of_a_certain_track_are_uncertain() -> None:
    scores = [0.2, 0.2, 0.8, 0.2, 0.8, 0.8, 0.2]
    frames = [found((10 + 6 * n, 50, score, 1)) for n, score in enumerate(scores)]
    tracks = smooth_offline(frames, times(7), threshold=0.3)
    wanted = [UNCERTAIN, UNCERTAIN, DETECTED, DETECTED, DETECTED, DETECTED, UNCERTAIN]
    assert tracks.status.tolist() == wanted


def test_jitter_is_smoothed_and_the_class_is_the_tracks() -> None:
    rng = np.random.default_rng(0)
    noise = rng.normal(0, 2, 40)
    frames = [found((10 + 2 * n + noise[n], 50, 0.8, 2 if n == 7 else 1)) for n in range(40)]
    tracks = smooth_offline(frames, [n / 25 for n in range(40)], threshold=0.3)
    assert set(tracks.labels.tolist()) == {1}
    off = tracks.boxes[:, 0] - (10 + 2 * np.arange(40))
    assert off.std() < 0.7 * noise.std()


def test_no_detections_give_no_tracks() -> None:
    tracks = smooth_offline([found()] * 5, times(5), threshold=0.3)
    assert len(tracks.frames) == 0
