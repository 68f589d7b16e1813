"""The review says what is wrong with a data set before an hour of training is spent on it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from lstmcli.core.types import LabelSet, VideoLabels
from lstmcli.dataset.label_checks import Review, review


def video(name: str, boxes: list[tuple[float, ...]], **changes: object) -> VideoLabels:
    """Give a video with one box a frame, all of class 0 and track 1."""
    n = len(boxes)
    made = VideoLabels(
        name=name,
        media=f"{name}.mp4",
        annotated_frames=np.arange(max(n, 1)),
        box_frames=np.arange(n),
        boxes=np.array(boxes, np.float32).reshape(-1, 4),
        labels=np.zeros(n, np.int64),
        tracks=np.ones(n, np.int64),
        ignore=np.zeros(n, np.bool_),
        size_hw=(100, 200),
        frame_count=max(n, 1),
    )
    return replace(made, **changes)


STILL = [(10.0, 10.0, 30.0, 30.0)] * 4


def reviewed(*videos: VideoLabels, classes: tuple[str, ...] = ("a",), **splits: str) -> Review:
    return review(LabelSet(classes, videos), {v.name: splits.get(v.name, "train") for v in videos})


def texts(found: Review) -> list[str]:
    return [warning.text for warning in found.warnings]


def test_a_clean_set_has_no_warning_and_is_counted() -> None:
    found = reviewed(video("u", STILL), video("v", STILL[:3]), v="val")
    assert found.warnings == ()
    assert [(s.split, s.videos, s.frames, s.boxes) for s in found.splits] == [
        ("train", 1, 4, 4),
        ("val", 1, 3, 3),
    ]
    assert found.sizes.rows == (("a", (0, 0, 7, 0, 0, 0, 0, 0)),)
    assert found.motion.rows == (("a", (5, 0, 0, 0, 0, 0, 0)),)


def test_empty_frames_and_frames_without_truth_are_counted_apart() -> None:
    made = video("u", STILL, annotated_frames=np.arange(6), frame_count=10)
    (split,) = reviewed(made).splits
    assert (split.frames, split.empty, split.unseen) == (6, 2, 4)


def test_ignored_boxes_are_no_boxes_to_find() -> None:
    made = video("u", STILL, ignore=np.array([True, False, False, False]))
    (split,) = reviewed(made).splits
    assert (split.boxes, split.ignored, split.per_class) == (3, 1, (3,))


def test_boxes_that_leave_the_picture_are_counted() -> None:
    found = reviewed(video("u", [(190.0, 10.0, 220.0, 30.0), *STILL]))
    assert [(w.text, w.where, w.count) for w in found.warnings] == [
        ("a box leaves the picture", "u, frame 0", 1),
        (
            "a track jumps by more than five of its sizes from one frame to the next",
            "u, frame 1",
            1,
        ),
    ]


def test_exchanged_axes_are_suspected() -> None:
    boxes = [(10.0, 120.0 + n, 30.0, 150.0 + n) for n in range(8)]
    assert "boxes fit the picture only with x and y exchanged" in texts(reviewed(video("u", boxes)))


def test_fractions_taken_for_pixels_are_suspected() -> None:
    boxes = [(0.1, 0.2, 0.3, 0.4)] * 4
    assert any("fractions" in text for text in texts(reviewed(video("u", boxes))))


def test_frames_that_count_from_one_are_suspected() -> None:
    made = video("u", STILL, annotated_frames=np.arange(1, 5), box_frames=np.arange(1, 5))
    assert any("count from 1" in text for text in texts(reviewed(made)))


def test_truth_beyond_the_end_is_counted() -> None:
    (warning,) = reviewed(video("u", STILL, frame_count=2)).warnings
    assert ("beyond the end" in warning.text, warning.count) == (True, 2)


def test_jumps_and_twins_are_found() -> None:
    boxes = [*STILL[:2], (150.0, 60.0, 160.0, 70.0)]
    found = reviewed(video("u", boxes))
    assert any("jumps" in text for text in texts(found))
    duplicates = reviewed(video("u", STILL, box_frames=np.array([0, 0, 1, 2])))
    assert "the same box twice in a frame" in texts(duplicates)
    assert "two boxes of one track in a frame" in texts(duplicates)


def test_imbalance_and_missing_classes_are_told() -> None:
    labels = np.array([0] * 30 + [1])
    made = video("u", [(10.0, 10.0, 30.0, 30.0)] * 31, labels=labels)
    found = texts(reviewed(made, video("v", STILL), classes=("a", "b", "c"), v="val"))
    assert any("times rarer" in text for text in found)
    assert "a class without boxes to train on" in found
    assert "a class is in no video for validation or test" in found


def test_no_boxes_at_all_is_told() -> None:
    assert texts(reviewed(video("u", []))) == ["there are no boxes at all"]


def test_one_file_in_two_splits_is_a_leak() -> None:
    found = reviewed(video("u", STILL), video("v", STILL, media="u.mp4"), v="val")
    assert any("one recording is in two splits" in text for text in texts(found))
    assert reviewed(video("u", STILL), video("v", STILL, media="u.mp4")).warnings == ()


def test_copies_under_other_names_are_a_leak() -> None:
    moving = [(10.0 + n, 10.0, 30.0 + n, 30.0) for n in range(25)]
    found = reviewed(video("u", moving), video("v", moving), v="test")
    assert any("one recording is in two splits" in text for text in texts(found))
