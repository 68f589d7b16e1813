"""Detections find their tracks: cases worked out by hand."""

from __future__ import annotations

import numpy as np
from scipy.optimize import linear_sum_assignment

from lstmcli.core.types import Detections
from lstmcli.tracking.association import PATIENCE_S, Association, _best_pairs
from lstmcli.tracking.motion import BoxMotion, centers_and_sizes, corners
from lstmcli.tracking.tracker import Tracker

Box = tuple[float, float, float, float]


def box(x: float, y: float = 0, side: float = 20) -> Box:
    return (x, y, x + side, y + side)


def step(tracks: Association, time_s: float, *boxes: Box, score: float = 0.9) -> list[int]:
    """Return the id of each detection's track, 0 where it has none."""
    scores = np.full(len(boxes), score, np.float32)
    found = np.array(boxes, np.float32).reshape(-1, 4)
    matches = tracks.step(found, scores, np.ones((len(boxes), 1), np.float32), time_s)
    ids = dict(zip(matches.rows.tolist(), tracks.ids.tolist(), strict=True))
    return [ids.get(row, 0) for row in range(len(boxes))]


def two_tracks() -> Association:
    return Association(certain=0.5, min_score=0.5, max_overlap=0.5)


def test_a_new_detection_begins_a_track_and_a_near_one_continues_it() -> None:
    tracks = two_tracks()
    assert step(tracks, 0.0, box(0), box(100)) == [1, 2]
    assert step(tracks, 0.1, box(101), box(2)) == [2, 1]


def test_crossing_objects_keep_their_ids_by_their_motion() -> None:
    tracks = two_tracks()
    for frame in range(21):
        ids = step(tracks, frame / 10, box(10 * frame, 0), box(200 - 10 * frame, 5))
        assert ids[0] == 1 or frame == 10, frame
    assert ids == [1, 2]


def test_a_faint_detection_continues_a_track_but_begins_none() -> None:
    tracks = two_tracks()
    step(tracks, 0.0, box(0))
    step(tracks, 0.1, box(0))
    assert step(tracks, 0.2, box(0), box(100), score=0.3) == [1, 0]


def test_established_tracks_are_matched_before_young_ones() -> None:
    tracks = two_tracks()
    for frame in range(5):
        step(tracks, frame / 10, box(0))
    assert step(tracks, 0.5, box(0), box(16)) == [1, 2]
    assert step(tracks, 0.6, box(5)) == [1], "overlaps the young one no less"


def test_a_duplicate_box_on_a_tracked_object_begins_no_track() -> None:
    tracks = two_tracks()
    step(tracks, 0.0, box(0))
    step(tracks, 0.1, box(0))
    assert step(tracks, 0.2, box(0), box(3)) == [1, 0]


def test_a_lost_track_is_found_again_within_its_patience_only() -> None:
    for gap_s, expected in ((PATIENCE_S[2] - 0.1, 1), (PATIENCE_S[2] + 0.1, 2)):
        tracks = two_tracks()
        for frame in range(5):
            step(tracks, frame / 10, box(0))
        step(tracks, 0.5)
        assert step(tracks, 0.4 + gap_s, box(0)) == [expected]


def test_a_time_that_goes_back_resets_the_tracks() -> None:
    tracks = two_tracks()
    step(tracks, 5.0, box(0))
    assert step(tracks, 1.0, box(0)) == [2]


def test_later_frames_may_have_more_classes() -> None:
    tracks = two_tracks()
    step(tracks, 0.0, box(0))
    found, score = np.array([box(0)], np.float32), np.array([0.9], np.float32)
    tracks.step(found, score, np.array([[0.0, 0.0, 1.0]], np.float32), 0.1)
    assert tracks.class_scores.shape == (1, 3)
    assert tracks.hits.tolist() == [2]


def test_constant_motion_is_predicted_exactly_after_a_while() -> None:
    motion = BoxMotion.start(np.array([[0.0, 0.0, 20.0, 20.0]]))
    everything = np.array([0])
    for frame in range(1, 40):
        motion.predict(0.1, np.array([False]))
        motion.update(everything, np.array([[3.0 * frame, -1.0 * frame, 20.0, 20.0]]))
    motion.predict(0.1, np.array([False]))
    np.testing.assert_allclose(motion.xywh, [[120.0, -40.0, 20.0, 20.0]], atol=0.2)
    np.testing.assert_allclose(motion.velocities[0, :2], [30.0, -10.0], atol=0.5)


def test_corners_and_centers_are_inverse() -> None:
    boxes = np.array([[1.0, 2.0, 5.0, 10.0]], np.float32)
    np.testing.assert_allclose(centers_and_sizes(boxes), [[3.0, 6.0, 4.0, 8.0]])
    np.testing.assert_allclose(corners(centers_and_sizes(boxes)), boxes)


def test_an_unsmoothed_tracker_only_adds_ids() -> None:
    tracker = Tracker(threshold=0.5, smooth=False)
    rng = np.random.default_rng(0)
    for frame in range(10):
        boxes = np.array([box(50 + rng.normal(0, 1), 50)], np.float32)
        score = np.array([0.5 + 0.5 * rng.random()], np.float32)
        label = np.array([frame % 2])
        tracked = tracker.step(Detections(boxes, score, label, np.array([-1])), frame / 10)
        np.testing.assert_array_equal(tracked.boxes, boxes)
        np.testing.assert_allclose(tracked.scores, score)
        assert (tracked.labels.tolist(), tracked.track_ids.tolist()) == ([frame % 2], [1])


def test_pairs_are_those_of_the_assignment_of_all_tracks_and_detections() -> None:
    """Tracks and detections without a partner are left out before; nothing else changes."""
    draw = np.random.default_rng(1)
    for _ in range(50):
        alike = draw.random((7, 9)) * (draw.random((7, 9)) < 0.3)
        pairs = np.nonzero(alike >= 0.2)
        first, second = _best_pairs(*pairs, alike[pairs])
        rows, columns = linear_sum_assignment(-np.where(alike >= 0.2, alike, 0.0))
        kept = alike[rows, columns] >= 0.2
        found = sorted(zip(first.tolist(), second.tolist(), strict=True))
        assert found == list(zip(rows[kept].tolist(), columns[kept].tolist(), strict=True))
