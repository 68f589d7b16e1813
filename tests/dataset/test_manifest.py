"""dataset.json keeps all that it was given, and other files are refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import square_box, write_dataset

from lstmcli.core.errors import DataError
from lstmcli.dataset.manifest import Dataset


@pytest.fixture
def dataset(tmp_path: Path) -> Dataset:
    """Two videos to train on and one to validate, every third frame annotated."""
    return write_dataset(
        tmp_path / "dataset", scale=2, annotated_frames=lambda frame: frame % 3 == 0
    )


def test_what_was_saved_is_loaded(dataset: Dataset) -> None:
    loaded = Dataset.load(dataset.folder)
    for name in ("folder", "classes", "canvas_hw", "grid", "crop", "frame_stride"):
        assert getattr(loaded, name) == getattr(dataset, name)
    assert [video.split for video in loaded.videos] == ["train", "train", "val"]
    for one, other in zip(loaded.videos, dataset.videos, strict=True):
        for name in ("name", "path", "size_hw", "rate", "store"):
            assert getattr(one, name) == getattr(other, name)
        np.testing.assert_array_equal(one.frames, other.frames)
        np.testing.assert_allclose(one.times, other.times, atol=1e-6)
        for name in ("annotated_frames", "box_frames", "boxes", "labels", "tracks", "ignore"):
            np.testing.assert_array_equal(getattr(one.labels, name), getattr(other.labels, name))
    assert [path.name for path in dataset.folder.glob("*.part")] == []


def test_the_file_itself_can_be_named(dataset: Dataset) -> None:
    assert Dataset.load(str(dataset.folder / "dataset.json")).classes == ("red", "blue")


def test_an_unannotated_frame_has_no_ground_truth(dataset: Dataset) -> None:
    labels = Dataset.load(dataset.folder).videos[0].labels
    assert labels.at(1) is None
    gt = labels.at(3)
    assert gt is not None
    assert gt.boxes.tolist() == [[2.0 * side for side in square_box(3)]]


def test_a_dataset_of_an_earlier_release_is_read(dataset: Dataset) -> None:
    path = dataset.folder / "dataset.json"
    text = path.read_text().replace('"annotated_frames"', '"looked_at"')
    path.write_text(text.replace('"frame_stride"', '"every"'))
    found = Dataset.load(dataset.folder).videos[0].labels
    expected = dataset.videos[0].labels.annotated_frames
    np.testing.assert_array_equal(found.annotated_frames, expected)


def test_a_dataset_can_be_moved(dataset: Dataset, tmp_path: Path) -> None:
    moved = tmp_path / "elsewhere" / "mine"
    moved.parent.mkdir()
    dataset.folder.rename(moved)
    loaded = Dataset.load(moved)
    for video in loaded.videos:
        assert len(list(loaded.frames(video))) == 12


def test_frames_come_with_their_numbers_times_and_boxes_on_the_canvas(dataset: Dataset) -> None:
    video = dataset.videos[1]
    for number, (frame, time_s, picture) in enumerate(dataset.frames(video)):
        assert (frame, time_s) == (number, number / 25)
        left, top, right, bottom = square_box(frame, 1)
        blue = (picture[..., 2] > 180) & (picture[..., 0] < 90)
        rows, columns = np.nonzero(blue)
        box = [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]
        assert np.abs(np.array(box) - (left, top, right, bottom)).max() <= 1  # halved chroma
        gt = video.labels.at(frame)
        if gt is not None:
            found = dataset.canvas_boxes(video, gt.boxes)
            np.testing.assert_allclose(found, [[left, top, right, bottom]])


def test_a_split_that_is_not_there_is_told(dataset: Dataset) -> None:
    with pytest.raises(DataError, match="no video in split 'tes'") as caught:
        dataset.split("tes")
    assert caught.value.hint


def change(dataset: Dataset, **changes: Any) -> None:
    path = dataset.folder / "dataset.json"
    values = json.loads(path.read_text(encoding="utf-8")) | changes
    path.write_text(
        json.dumps({key: value for key, value in values.items() if value is not None}),
        encoding="utf-8",
    )


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"format": 99}, "format 99, this version reads 1"),
        ({"format": None}, "format None"),
        ({"videos": None}, "not a prepared dataset"),
        ({"videos": 3}, "not a prepared dataset"),
        ({"videos": [3]}, "not a prepared dataset"),
        ({"videos": [{"name": "a"}]}, "not a prepared dataset"),
        ({"classes": None}, "not a prepared dataset"),
        ({"canvas_hw": [3]}, "not a prepared dataset"),
        ({"grid": "x"}, "not a prepared dataset"),
        ({"grid": 0}, "not a prepared dataset"),
    ],
)
def test_a_foreign_dataset_is_told(dataset: Dataset, changes: dict[str, Any], problem: str) -> None:
    change(dataset, **changes)
    with pytest.raises(DataError) as caught:
        Dataset.load(dataset.folder)
    assert problem in caught.value.problem
    assert "dataset.json" in caught.value.problem
    assert "prepare" in caught.value.hint


@pytest.mark.parametrize("kept", [0, 10, 0.5, 0.99])
def test_a_truncated_dataset_is_told(dataset: Dataset, kept: float) -> None:
    path = dataset.folder / "dataset.json"
    text = path.read_text(encoding="utf-8")
    path.write_text(text[: int(kept * len(text)) if kept < 1 else int(kept)], encoding="utf-8")
    with pytest.raises(DataError, match="not a prepared dataset"):
        Dataset.load(dataset.folder)


@pytest.mark.parametrize("content", ["[]", "3", "null", '"text"'])
def test_other_json_is_told(dataset: Dataset, content: str) -> None:
    (dataset.folder / "dataset.json").write_text(content, encoding="utf-8")
    with pytest.raises(DataError, match="not a prepared dataset"):
        Dataset.load(dataset.folder)


def test_no_dataset_is_told(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="there is no prepared dataset") as caught:
        Dataset.load(tmp_path)
    assert caught.value.hint == "run `lstmcli prepare` first"
    (tmp_path / "file").touch()
    with pytest.raises(DataError):
        Dataset.load(tmp_path / "file")


def test_frames_of_another_dataset_are_told(dataset: Dataset) -> None:
    other = write_dataset(dataset.folder.parent / "other", frames=5)
    first = dataset.videos[0]
    for suffix in ("", ".json"):
        theirs = other.folder / (first.store + suffix)
        theirs.replace(dataset.folder / (first.store + suffix))
    with pytest.raises(DataError, match=r"5 frames of .* lists 12"):
        dataset.open(first)
