"""Result files of other programs: each form gives the boxes that it means."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from lstmcli.core.errors import DataError
from lstmcli.core.types import VideoLabels
from lstmcli.labels.detections import DetectionSet, read_detections

CLASSES = ("bird", "drone")


def video(name: str, *, images: tuple[str, ...] = (), frames: int = 4) -> VideoLabels:
    return VideoLabels(
        name=name,
        media=None if images else f"videos/{name}.mp4",
        annotated_frames=np.arange(frames),
        box_frames=np.zeros(0, np.int64),
        boxes=np.zeros((0, 4), np.float32),
        labels=np.zeros(0, np.int64),
        tracks=np.zeros(0, np.int64),
        ignore=np.zeros(0, np.bool_),
        images=images,
        size_hw=(100, 200),
        rate=25.0,
    )


def only(found: DetectionSet, name: str, frame: int) -> tuple[list[float], float, str, int]:
    row = found.videos[name][frame]
    assert len(row) == 1
    return (
        row.boxes[0].tolist(),
        pytest.approx(float(row.scores[0])),  # type: ignore[return-value]
        found.classes[row.labels[0]],
        int(row.track_ids[0]),
    )


def test_json_lines_of_detect_are_read_back(tmp_path: Path) -> None:
    path = tmp_path / "a.detections.jsonl"
    box = {"class": "drone", "class_id": 1, "score": 0.5, "box": [1, 2, 3, 4], "track_id": 7}
    lines = [
        {"video": "a.mp4", "frame": 0, "time": 0.0, "detections": []},
        {"video": "a.mp4", "frame": 2, "time": 0.08, "detections": [box]},
    ]
    path.write_text("\n".join(json.dumps(line) for line in lines))
    found = read_detections(path, [video("a")], CLASSES)
    assert only(found, "a", 2) == ([1, 2, 3, 4], 0.5, "drone", 7)
    assert len(found.videos["a"][0]) == 0


def test_coco_results_take_their_ids_from_the_ground_truth_file(tmp_path: Path) -> None:
    gt = {
        "videos": [{"id": 5, "name": "a", "file_name": "videos/a.mp4"}],
        "images": [{"id": 30, "video_id": 5, "frame_id": 3, "file_name": "x/3.jpg"}],
        "categories": [{"id": 9, "name": "bird"}],
        "annotations": [],
    }
    (tmp_path / "gt.json").write_text(json.dumps(gt))
    row = {"image_id": 30, "category_id": 9, "bbox": [10, 20, 5, 6], "score": 0.25}
    (tmp_path / "r.json").write_text(json.dumps([row]))
    found = read_detections(tmp_path / "r.json", [video("a")], CLASSES, images=tmp_path / "gt.json")
    assert only(found, "a", 3) == ([10, 20, 15, 26], 0.25, "bird", -1)


def test_mot_results_count_frames_and_classes_from_one(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("2,4,10,20,5,6,0.75,2,-1,-1\n")
    found = read_detections(tmp_path, [video("a")], CLASSES)
    assert only(found, "a", 1) == ([10, 20, 15, 26], 0.75, "drone", 4)


def test_yolo_results_with_scores_are_fractions_of_the_picture(tmp_path: Path) -> None:
    (tmp_path / "a_1.txt").write_text("0 0.5 0.5 0.1 0.2 0.9\n")
    (tmp_path / "a_3.txt").write_text("1 0.5 0.5 0.1 0.2 0.8\n")
    found = read_detections(tmp_path, [video("a")], CLASSES)
    assert only(found, "a", 0) == ([90, 40, 110, 60], 0.9, "bird", -1)
    assert only(found, "a", 2)[2] == "drone"


def test_yolo_results_of_images_are_found_by_the_images_name(tmp_path: Path) -> None:
    (tmp_path / "left_view.txt").write_text("0 0.5 0.5 0.1 0.2 0.9\n")
    labels = video("set", images=("", "img/left_view.jpg"), frames=2)
    assert 1 in read_detections(tmp_path, [labels], CLASSES).videos["set"]


def test_a_video_that_nobody_labelled_is_named(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("1,1,1,1,5,5,0.5\n")
    (tmp_path / "b.txt").write_text("1,1,1,1,5,5,0.5\n")
    assert read_detections(tmp_path, [video("a")], CLASSES).unmatched == ("b",)


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("a.txt", "1,1,1,1,5\n", "5 columns"),
        ("a.txt", "0,1,1,1,5,5,0.5\n", "frame 0"),
        ("a.txt", "1,1,1,1,5,5,7\n", "score of 7"),
        ("a.txt", "1,1,1,1,5,5,nan\n", "not finite"),
        ("a.txt", "1,1,1,1,5,5,.5,9\n", "class number 8"),
        ("b.txt", "1,1,1,1,5,5,0.5\n", "none of its videos"),
        ("a.json", "{}", "no list of detections"),
        ("a.json", "[]", "image ids"),
        ("a.jsonl", '{"video": "a"}\n', "frame"),
    ],
)
def test_what_cannot_be_read_is_named(tmp_path: Path, name: str, text: str, message: str) -> None:
    (tmp_path / name).write_text(text)
    with pytest.raises(DataError, match=message):
        read_detections(tmp_path / name, [video("a")], CLASSES)
