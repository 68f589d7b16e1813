"""Every sample of real exports is read, and agrees with the independently computed ground truth."""

from __future__ import annotations

import json
import shutil
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lstmcli.core.errors import DataError
from lstmcli.core.types import LabelSet, VideoLabels
from lstmcli.labels.search import read_labels

pytestmark = pytest.mark.real

CLOSE = 0.01
"""Pixels; the rule of the issue."""


@pytest.fixture(scope="module")
def samples(shared: Path) -> Path:
    return shared / "data" / "formats"


@pytest.fixture(scope="module")
def expected(samples: Path) -> dict[str, Any]:
    return json.loads((samples / "expected.json").read_text(encoding="utf-8"))


def boxes(labels: LabelSet, *, ignored: bool = True) -> int:
    return sum(int((~v.ignore | ignored).sum()) for v in labels.videos)


def annotated_frames(labels: LabelSet) -> int:
    return sum(len(video.annotated_frames) for video in labels.videos)


def classes(labels: LabelSet, *, ignored: bool = True) -> dict[str, int]:
    found: Counter[str] = Counter()
    for video in labels.videos:
        found.update(labels.classes[n] for n in video.labels[~video.ignore | ignored])
    return dict(found)


def noted(labels: LabelSet, *words: str) -> int:
    return sum(w.count for w in labels.warnings if all(word in w.text for word in words))


def hulls(labels: LabelSet) -> int:
    """How many boxes are the hulls of other shapes."""
    return noted(labels, "upright bounding box is taken") - noted(labels, "a rotated box")


def rows(labels: LabelSet) -> Iterator[tuple[VideoLabels, int, str, int, np.ndarray]]:
    for video in labels.videos:
        for frame, label, track, box in zip(
            video.box_frames, video.labels, video.tracks, video.boxes, strict=True
        ):
            yield video, int(frame), labels.classes[label], int(track), box


def holds(labels: LabelSet, box: list[float], **wanted: Any) -> bool:
    """Say whether there is such a box; `frame`, `label`, `track`, `image` narrow the search."""
    for video, frame, label, track, found in rows(labels):
        given = {"frame": frame, "label": label, "track": track}
        if any(given[key] != value for key, value in wanted.items() if key in given):
            continue
        image = video.images[frame] if frame < len(video.images) else ""
        if "image" in wanted and Path(wanted["image"]).stem not in image:
            continue
        if np.abs(found - np.array(box)).max() <= CLOSE:
            return True
    return False


def test_cvat_videos_agree(samples: Path, expected: dict[str, Any]) -> None:
    for gt in expected["cvat_video"].values():
        labels = read_labels(samples / gt["file"])
        task = next(iter(gt["tasks"].values()))
        assert boxes(labels) >= gt["boxes_explicit"] + hulls(labels)
        assert hulls(labels) > 0 or boxes(labels) == gt["boxes_explicit"]
        assert gt["classes"].keys() <= classes(labels).keys()
        assert annotated_frames(labels) == task["size"]
        if task["width"]:
            assert labels.videos[0].size_hw == (task["height"], task["width"])
        for row in gt["sample_explicit"]:
            wanted = {"frame": row["frame"], "label": row["label"], "track": int(row["track"])}
            assert holds(labels, row["box"], **wanted), row


def test_cvat_images_agree(samples: Path, expected: dict[str, Any]) -> None:
    for gt in expected["cvat_images"].values():
        labels = read_labels(samples / gt["file"])
        lost = noted(labels, "no box surrounds")
        found = boxes(labels, ignored=False)
        assert found == gt["boxes"] + hulls(labels)
        assert lost == 0 or boxes(labels) > found
        assert annotated_frames(labels) == gt["images"]
        for kind, count in gt["other_shapes"].items():
            assert noted(labels, "tag" if kind == "tag" else f"{kind!r}") == count
        for row in gt["sample"]:
            assert holds(labels, row["box"], label=row["label"], image=row["image"]), row


def test_label_studio_videos_agree(samples: Path, expected: dict[str, Any]) -> None:
    for gt in expected["labelstudio_video"].values():
        labels = read_labels(samples / gt["file"], size_hw=(1000, 2000))
        assert boxes(labels) == gt["boxes"]
        (task,) = gt["task_list"]
        for region in task["region_list"]:
            width, height = region["size"] if region["size"][0] else (2000, 1000)
            for frame, (x, y, w, h) in region["sample"].items():
                percent = np.array((x, y, x + w, y + h)) / 100
                found = [
                    np.abs(box / (width, height, width, height) - percent).max()
                    for _, n, _, _, box in rows(labels)
                    if n == int(frame) - 1
                ]
                if not noted(labels, "a rotated box"):  # the ground truth has no rotation
                    assert min(found) < 1e-5, (gt["file"], frame)
        if task["framesCount"]:
            assert annotated_frames(labels) == task["framesCount"][0]


def test_label_studio_images_agree(samples: Path, expected: dict[str, Any]) -> None:
    for gt in expected["labelstudio_image"].values():
        labels = read_labels(samples / gt["file"])
        several = noted(labels, "annotations of several people")
        assert several or boxes(labels, ignored=False) == gt["boxes"] + hulls(labels)
        assert gt["classes"].keys() <= classes(labels).keys()
        assert len(labels.videos) == gt["tasks"]
        for row in gt["sample"]:
            turned = noted(labels, "a rotated box")  # the ground truth has no rotation
            assert several or turned or holds(labels, row["box"], label=row["label"][0]), row


def test_coco_files_agree(samples: Path, expected: dict[str, Any]) -> None:
    for gt in (*expected["coco"].values(), *expected["coco_vid"].values()):
        folder = "" if gt["videos"] else "coco/"
        path = samples / gt["file"]
        labels = read_labels(path if path.exists() else samples / (folder + gt["file"]))
        others = gt["annotations"] - gt["with_bbox"]
        found = noted(labels, "the hull of its segmentation")
        lost = noted(labels, "no box surrounds")
        assert found + lost == others
        assert boxes(labels, ignored=False) == gt["with_bbox"] + found - gt["iscrowd"]
        assert annotated_frames(labels) == gt["images"]
        assert set(gt["categories_declared"]) <= set(labels.classes)
        tracks = {(v.name, t) for v, _, _, t, _ in rows(labels) if t >= 0}
        assert len(tracks) == gt["tracks"]
        named = {k: n for k, n in gt["boxes_per_class"].items() if k not in {"null", "None"}}
        assert found or named.items() <= classes(labels, ignored=lost == 0).items()
        for row in gt["sample"]:
            assert holds(labels, row["box"], image=row["image"]), row


def test_mot_files_agree(samples: Path, expected: dict[str, Any]) -> None:
    for gt in expected["mot"].values():
        labels = read_labels(samples / gt["file"])
        assert boxes(labels) == gt["rows"]
        assert annotated_frames(labels) == gt["last_frame"]
        for row in gt["sample"]:
            assert holds(labels, row["box_raw"], frame=row["frame_1based"] - 1, track=row["id"])


def test_kitti_tracking_agrees(samples: Path, expected: dict[str, Any]) -> None:
    for gt in expected["kitti_tracking"].values():
        labels = read_labels(samples / gt["file"])
        assert boxes(labels) == gt["rows"]
        assert boxes(labels, ignored=False) == gt["boxes_without_dontcare"]
        assert annotated_frames(labels) == gt["frames"]
        types = {k: n for k, n in gt["types"].items() if k != "DontCare"}
        assert classes(labels, ignored=False) == types
        for row in gt["sample"]:
            wanted = {"frame": row["frame"], "track": row["id"], "label": row["type"]}
            assert holds(labels, row["box"], **wanted), row


@pytest.mark.parametrize("kind", ["kitti_detection", "voc", "imagenet_vid"])
def test_folders_of_a_file_an_image_agree(
    kind: str, samples: Path, expected: dict[str, Any]
) -> None:
    for name, gt in expected[kind].items():
        folders = {Path(row["file"]).parent for row in gt["sample"] if "/" in row["file"]}
        base = samples / kind
        found = next((base / d.name for d in base.iterdir() if d.name.startswith(name)), None)
        if found is None:
            found = samples / Path(*next(iter(folders)).parts[:2])
        labels = read_labels(found)
        assert boxes(labels) == gt["boxes"], name
        for row in gt["sample"]:
            image = Path(row.get("filename") or row["file"]).name
            box = row.get("box") or [float(text) for text in row["raw"].split()[4:8]]
            assert holds(labels, box, image=image), row


def test_yolo_folders_agree(samples: Path, expected: dict[str, Any]) -> None:
    for name, gt in expected["yolo"].items():
        labels = read_labels(samples / "yolo" / name, size_hw=(100, 200))
        assert boxes(labels) == gt["box_rows"] + hulls(labels)
        assert annotated_frames(labels) == gt["label_files"]
        poses = noted(labels, "rows of a box and key points")
        assert poses or hulls(labels) == gt["other_rows"]
        for row in gt["sample"]:
            if row["image_size"]:
                assert holds(labels, row["box"], image=Path(row["file"]).stem), row
                continue
            x, y, w, h = np.array(row["norm_xywh"]) * (200, 100, 200, 100)
            box = [x - w / 2, y - h / 2, x + w / 2, y + h / 2]
            assert holds(labels, box, image=Path(row["file"]).stem), row


def test_labelme_folders_agree(samples: Path, expected: dict[str, Any]) -> None:
    for name, gt in expected["labelme"].items():
        labels = read_labels(samples / "labelme" / name)
        assert boxes(labels, ignored=False) == gt["rectangles"] + hulls(labels)
        assert gt["classes"].keys() <= classes(labels).keys()
        for row in gt["sample"]:
            assert holds(labels, row["box"], label=row["label"], image=row["file"]), row


def test_via_files_agree(samples: Path, expected: dict[str, Any]) -> None:
    for gt in expected["via"].values():
        if "rects" not in gt:
            continue
        labels = read_labels(samples / gt["file"])
        again = noted(labels, "written again")
        assert boxes(labels, ignored=False) == gt["rects"] + hulls(labels) - again
        assert len(labels.videos) == gt["images"]
        assert gt["labels"].keys() <= classes(labels, ignored=False).keys()
        for row in gt["sample"]:
            assert holds(labels, row["box"], image=row["image"]), row


def test_scalabel_files_agree(samples: Path, expected: dict[str, Any]) -> None:
    for gt in expected["bdd_scalabel"].values():
        labels = read_labels(samples / gt["file"])
        assert boxes(labels) == gt["boxes"] + hulls(labels)
        assert hulls(labels) or classes(labels) == gt["classes"]
        assert sum(int(v.ignore.sum()) for v in labels.videos) == gt["crowd"]
        for row in gt["sample"]:
            assert holds(labels, row["box"], label=row["label"]), row


def test_ua_detrac_agrees(samples: Path, expected: dict[str, Any]) -> None:
    gt = expected["ua_detrac"]
    labels = read_labels(samples / "ua_detrac" / "motmetrics_iotest")
    frames = len(gt["frames"])
    assert boxes(labels, ignored=False) == gt["boxes"]
    assert boxes(labels) == gt["boxes"] + frames * gt["ignored_regions"]
    assert annotated_frames(labels) == frames
    for row in gt["sample"]:
        assert holds(labels, row["box"], frame=row["frame_1based"] - 1, track=row["id"])


def test_csv_files_agree(samples: Path, expected: dict[str, Any]) -> None:
    for gt in expected["csv"].values():
        labels = read_labels(samples / gt["file"])
        empty = gt["inverted"] if "blank" in gt["file"] else 0
        dropped = noted(labels, "without area")
        assert boxes(labels) + dropped + empty == gt["rows"]
        assert annotated_frames(labels) == gt["images"]
        if not empty:
            for row in gt["sample"]:
                assert holds(labels, row["box"], label=row["label"], image=row["image"]), row


def test_vott_csv_agrees(samples: Path, expected: dict[str, Any]) -> None:
    for name, count in expected["vott"]["csv"].items():
        assert boxes(read_labels(samples / "vott" / "datumaro_csv" / name)) == count


def test_openlabel_files_agree(samples: Path, expected: dict[str, Any]) -> None:
    for name, gt in expected["openlabel"].items():
        labels = read_labels(samples / "openlabel_vcd" / "vcd_tests" / name)
        found = boxes(labels) - hulls(labels)
        assert found >= gt["static_bbox"] + gt["frame_bbox"]
        if gt["frames"]:
            assert annotated_frames(labels) == gt["frames"]
        if gt["first"]:
            x, y, w, h = gt["first"]["bbox_cxcywh"]
            box = [x - w / 2, y - h / 2, x + w / 2, y + h / 2]
            assert holds(labels, box, frame=int(gt["first"]["frame"] or 0))


@pytest.mark.parametrize(
    ("folder", "count"),
    [
        ("vatic", 4),
        ("createml", 4),
        ("labelbox", 16),
        ("lightly", 16),
        ("datumaro", 0),
        ("supervisely_video", 1),
        ("pathtrack_xml", 6),
        ("tao", 4),
    ],
)
def test_the_other_samples_are_read(folder: str, count: int, samples: Path) -> None:
    assert boxes(read_labels(samples / folder)) == count


def test_every_label_file_is_recognised(samples: Path) -> None:
    """Files without labels of boxes are the only ones that no reader takes."""
    no_labels = {
        "results.json",
        "region_attributes.json",
        "key_id_map.json",
        "schema.json",
        "label_config_repeater.json",
        "classes.csv",
        "outdoor_garbage.csv",
        "2019_BLAN_3_751000_4330000_image_crop_keypoints.csv",
        "2019_BLAN_3_751000_4330000_image_crop_polygon.csv",
        "football_pitch_data.yaml",
        "data.yaml",
    }
    refused = set()
    for path in sorted(samples.rglob("*")):
        if path.suffix in {".json", ".csv", ".xml", ".ndjson", ".yaml"} and path.is_file():
            try:
                read_labels(path, size_hw=(1000, 1000))
            except DataError:
                refused.add(path.name)
    configs = {name for name in refused if name.startswith(("label_config", "info", "expected"))}
    assert refused - configs <= no_labels


def test_a_copy_without_its_media_tells_what_is_missing(samples: Path, tmp_path: Path) -> None:
    shutil.copytree(samples / "yolo" / "cvat_yolo_export_badges", tmp_path / "badges")
    with pytest.raises(DataError, match="whose size is not known"):
        read_labels(tmp_path / "badges")
