"""Tracks appear once and disappear once, at the frames where they were detected."""

from __future__ import annotations

import numpy as np
import pytest

from lstmcli.core.types import Detections
from lstmcli.tracking.sights import ABSENT_S, TrackSights


def seen(*tracks: int) -> Detections:
    n = len(tracks)
    return Detections(
        np.tile(np.array([[1, 2, 3, 4]], np.float32), (n, 1)),
        np.ones(n, np.float32),
        np.zeros(n, np.int64),
        np.array(tracks, np.int64),
    )


def test_a_track_appears_and_disappears_at_its_own_frames() -> None:
    sights = TrackSights()
    happened = []
    for frame in range(100):
        found = seen(7) if 10 <= frame < 20 else seen()
        happened += [(frame, e) for e in sights.step(found, frame, frame / 10)]
    (first_at, first), (last_at, last) = happened
    assert (first_at, first.kind, first.frame) == (10, "appear", 10)
    assert (last.kind, last.frame, last.time_s) == ("disappear", 19, 1.9)
    assert last.visible_s == pytest.approx(0.9)
    assert last_at / 10 > 1.9 + ABSENT_S
    assert sights.end() == []


def test_a_short_gap_is_no_event() -> None:
    sights = TrackSights()
    assert len(sights.step(seen(1), 0, 0.0)) == 1
    assert sights.step(seen(), 1, 1.0) == []
    assert sights.step(seen(1), 2, ABSENT_S) == []


def test_tracks_disappear_where_the_video_ends() -> None:
    sights = TrackSights()
    sights.step(seen(1, 2), 0, 0.0)
    sights.step(seen(2), 1, 0.1)
    assert [(e.track_id, e.frame) for e in sights.end()] == [(1, 0), (2, 1)]


def test_detections_without_tracks_are_no_events() -> None:
    assert TrackSights().step(seen(-1, -1), 0, 0.0) == []
