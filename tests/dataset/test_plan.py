"""Classes, splits, frames, canvas, and sanitized boxes: small sets, decided by hand."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from lstmcli.core.errors import DataError
from lstmcli.core.types import DataWarning, LabelSet, VideoLabels
from lstmcli.dataset.plan import (
    choose_canvas,
    choose_classes,
    choose_crop,
    choose_frame_stride,
    frames_to_prepare,
    merge_sets,
    sanitize_boxes,
    split_by_video,
)


def video(
    name: str = "a",
    *,
    annotated_frames: Sequence[int] = (0, 1),
    frames: Sequence[int] = (0, 1),
    boxes: Sequence[Sequence[float]] | None = None,
    labels: Sequence[int] | None = None,
    **more: Any,
) -> VideoLabels:
    count = len(frames)
    given = [[10.0, 10.0, 20.0, 30.0]] * count if boxes is None else boxes
    return VideoLabels(
        name=name,
        media=f"{name}.mp4",
        annotated_frames=np.array(annotated_frames, np.int64),
        box_frames=np.array(frames, np.int64),
        boxes=np.array(given, np.float32).reshape(-1, 4),
        labels=np.array(labels if labels is not None else [0] * count, np.int64),
        tracks=np.full(count, -1, np.int64),
        ignore=np.zeros(count, np.bool_),
        **more,
    )


def test_sets_are_merged_with_the_union_of_their_classes() -> None:
    first = LabelSet(("cat", "dog"), (video(labels=[0, 1]),), (DataWarning("one"),))
    second = LabelSet(("dog", "bird"), (video(labels=[0, 1]), video("b")), (DataWarning("two"),))
    merged = merge_sets([first, second])
    assert merged.classes == ("cat", "dog", "bird")
    assert [one.labels.tolist() for one in merged.videos] == [[0, 1], [1, 2], [1, 1]]
    assert [one.name for one in merged.videos] == ["a", "a (2)", "b"]
    assert [warning.text for warning in merged.warnings] == ["one", "two"]


def test_a_set_without_classes_can_be_merged() -> None:
    merged = merge_sets([LabelSet((), (video(frames=()),)), LabelSet(("cat",), (video("b"),))])
    assert merged.classes == ("cat",)


@pytest.mark.parametrize(
    ("keep", "rename", "classes", "labels"),
    [
        ((), {}, ("cat", "dog", "bird"), [0, 1, 2]),
        (("dog", "cat"), {}, ("dog", "cat"), [1, 0]),
        (("bird",), {}, ("bird",), [0]),
        ((), {"dog": "cat"}, ("cat", "bird"), [0, 0, 1]),
        (("pet",), {"dog": "pet", "cat": "pet"}, ("pet",), [0, 0]),
        ((), {"cat": "dog", "dog": "cat"}, ("dog", "cat", "bird"), [0, 1, 2]),
        (("dog", "dog"), {}, ("dog",), [0]),
    ],
)
def test_classes_are_kept_and_renamed(
    keep: tuple[str, ...], rename: dict[str, str], classes: tuple[str, ...], labels: list[int]
) -> None:
    one = video(annotated_frames=(0, 1, 2), frames=(0, 1, 2), labels=[0, 1, 2])
    chosen = choose_classes(LabelSet(("cat", "dog", "bird"), (one,)), keep, rename)
    assert chosen.classes == classes
    assert chosen.videos[0].labels.tolist() == labels
    assert chosen.videos[0].annotated_frames.tolist() == [0, 1, 2]


@pytest.mark.parametrize(
    ("keep", "rename", "problem", "hint"),
    [
        (("dgo",), {}, "--classes dgo: the labels have no class 'dgo'", "'dog'"),
        ((), {"dgo": "x"}, "--rename dgo=...: the labels have no class 'dgo'", "'dog'"),
        (("cat",), {"cat": "puss"}, "--classes cat", "dog, puss"),
    ],
)
def test_a_class_that_is_not_there_is_told(
    keep: tuple[str, ...], rename: dict[str, str], problem: str, hint: str
) -> None:
    with pytest.raises(DataError) as caught:
        choose_classes(LabelSet(("cat", "dog"), (video(),)), keep, rename)
    assert problem in caught.value.problem
    assert hint in caught.value.hint


def test_boxes_are_put_right_and_every_change_is_counted() -> None:
    boxes = [
        [10, 10, 20, 30],  # good
        [-10, 10, 20, 30],  # reaches beyond
        [90, 10, 120, 30],  # reaches beyond
        [200, 10, 220, 30],  # outside
        [10, 10, 10, 30],  # no width
        [20, 10, 10, 30],  # inside out
    ]
    right, warnings = sanitize_boxes(
        video(annotated_frames=(0, 5), frames=[0] * 3 + [5] * 3, boxes=boxes), (64, 96), 8
    )
    kept = [[10, 10, 20, 30], [0, 10, 20, 30], [90, 10, 96, 30]]
    assert right.boxes.tolist() == [*kept, [0, 0, 96, 64]]
    assert right.ignore.tolist() == [False] * 3 + [True], "frame 5 lost all and is never empty"
    assert right.annotated_frames.tolist() == [0, 5]
    counts = {warning.text: (warning.where, warning.count) for warning in warnings}
    assert counts == {
        "boxes without width or height were left out": ("a, frame 5", 2),
        "boxes wholly outside the picture were left out; a frame of them is ignored": (
            "a, frame 5",
            1,
        ),
        "boxes that reach beyond the picture were cut to it": ("a, frame 0", 2),
    }


def test_a_box_that_is_a_hair_too_large_is_cut_without_a_word() -> None:
    right, warnings = sanitize_boxes(
        video(annotated_frames=(0,), frames=(0,), boxes=[[0, 0, 96.2, 64.1]]), (64, 96), 1
    )
    assert right.boxes.tolist() == [[0, 0, 96, 64]]
    assert warnings == []


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_a_coordinate_that_is_no_number_is_told(value: float) -> None:
    with pytest.raises(DataError, match="a, frame 1: a box coordinate is not a number"):
        sanitize_boxes(video(boxes=[[0, 0, 1, 1], [0, value, 1, 1]]), (64, 96), 8)


def test_truth_after_the_end_of_the_video_is_told() -> None:
    late = video(annotated_frames=(0, 8, 9), frames=(0, 8, 9))
    with pytest.raises(
        DataError, match="2 boxes lie after the video's end, up to frame 9"
    ) as caught:
        sanitize_boxes(late, (64, 96), 8)
    assert "frames 0 to 7" in caught.value.problem
    assert "count frames from 1" in caught.value.hint


def test_frames_without_boxes_after_the_end_are_no_failure() -> None:
    right, _ = sanitize_boxes(video(annotated_frames=(0, 1, 50)), (64, 96), 8)
    assert right.annotated_frames.tolist() == [0, 1]


@pytest.mark.parametrize(
    ("annotated_frames", "every", "expected"),
    [
        (range(6), 1, [0, 1, 2, 3, 4, 5]),
        (range(6), 2, [0, 2, 4]),
        (range(3, 9), 3, [3, 6]),
        ((0, 10), 1, list(range(11))),
        ((0, 3, 10), 4, [0, 4, 8, 10]),
        ((), 1, []),
        ((2,), 5, [2]),
        (range(30), 1, list(range(20))),
    ],
)
def test_frames_are_taken_from_the_first_to_the_last_with_truth(
    annotated_frames: Sequence[int], every: int, expected: list[int]
) -> None:
    one = video(annotated_frames=annotated_frames, frames=())
    assert frames_to_prepare(one, 20, every).tolist() == expected


@pytest.mark.parametrize(("labelled", "rate", "expected"), [(200, 25, 1), (90_000, 25, 2)])
def test_fast_footage_is_thinned_only_where_there_is_enough(
    labelled: int, rate: float, expected: int
) -> None:
    assert (
        choose_frame_stride([video(annotated_frames=range(labelled), frames=(), rate=rate)])
        == expected
    )
    assert choose_frame_stride([]) == 1


def test_whole_videos_are_split_and_every_class_is_on_both_sides() -> None:
    names = [f"video {number}" for number in range(20)]
    groups = [0] * 10 + [1] * 10
    drawn = split_by_video(names, groups, 0.8, seed=3)
    assert sorted(drawn) == sorted(names)
    held = [name for name in names if drawn[name] == "val"]
    assert len(held) == 4
    assert {groups[names.index(name)] for name in held} == {0, 1}
    assert split_by_video(names, groups, 0.8, seed=3) == drawn
    assert split_by_video(names, groups, 0.8, seed=4) != drawn


@pytest.mark.parametrize("share", [0.0, 0.2, 0.5, 0.9, 1.0])
@pytest.mark.parametrize("groups", [[0, 0], [0, 1], [-1, 0, 0], [0, 1, 2, 3, 4]])
def test_both_sides_of_a_split_hold_something(groups: list[int], share: float) -> None:
    names = [f"video {number}" for number in range(len(groups))]
    for seed in range(5):
        assert set(split_by_video(names, groups, share, seed).values()) == {"train", "val"}


def test_one_video_cannot_be_split() -> None:
    with pytest.raises(DataError, match="only one video") as caught:
        split_by_video(["a"], [0], 0.8, 0)
    assert "--split-time" in caught.value.hint


@pytest.mark.parametrize(
    ("sizes", "wanted_wh", "grid", "expected"),
    [
        ([(64, 96)], None, 8, (64, 96)),
        ([(720, 1280)], None, 8, (416, 768)),
        ([(720, 1280), (480, 640), (480, 640)], None, 8, (480, 640)),
        ([(720, 1280)], (320, 192), 8, (192, 320)),
        ([(10, 10)], None, 8, (32, 32)),
        ([(100, 100)], None, 48, (96, 96)),
        ([(2000, 100)], None, 8, (1984, 96)),
    ],
)
def test_the_canvas_suits_the_videos_and_the_grid(
    sizes: list[tuple[int, int]],
    wanted_wh: tuple[int, int] | None,
    grid: int,
    expected: tuple[int, int],
) -> None:
    assert choose_canvas(sizes, wanted_wh, grid) == expected


@pytest.mark.parametrize(
    ("wanted_wh", "hint"), [((300, 200), "--size 288,192"), ((10, 10), "--size 32,32")]
)
def test_a_size_that_does_not_divide_is_told(wanted_wh: tuple[int, int], hint: str) -> None:
    with pytest.raises(DataError, match="multiples of 32") as caught:
        choose_canvas([(64, 96)], wanted_wh, 8)
    assert hint in caught.value.hint


@pytest.mark.parametrize(
    ("side", "crop"), [(4.0, 192), (60.0, 192), (90.0, 320), (500.0, 512)], ids=str
)
def test_crops_are_as_large_as_objects_need(side: float, crop: int) -> None:
    """By hand: the source is twice the canvas; 3 x 90 pixels there are 270, rounded up to 320."""
    boxes = np.array([(0, 0, 2 * side, 2 * side)], np.float32).repeat(20, axis=0)
    frames = np.arange(20)
    many = VideoLabels(
        name="v",
        media="v.mp4",
        annotated_frames=frames,
        box_frames=frames,
        boxes=boxes,
        labels=np.zeros(20, np.int64),
        tracks=np.full(20, -1),
        ignore=np.zeros(20, bool),
        size_hw=(1024, 1280),
    )
    assert choose_crop([many], (512, 640)) == crop
    assert choose_crop([], (512, 640)) == 192


def test_a_region_of_every_class_stays_one() -> None:
    region = replace(video(labels=[1, -1]), ignore=np.array([False, True]))
    merged = merge_sets([LabelSet(("cat",), (video(),)), LabelSet(("cat", "dog"), (region,))])
    chosen = choose_classes(merged, ["dog"], {})
    assert chosen.videos[1].labels.tolist() == [0, -1]
