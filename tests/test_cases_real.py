"""Labelled sets and films from public reports: the stated command gives what is expected.

`CHECKS` holds a function for each case of `../shared/data/cases` that is about labels; it looks at
what the commands of the case (run by `cases.run_here`) said and wrote.
"""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
from cases import Case, Check, run_here, square

pytestmark = pytest.mark.real


def assert_on_squares(
    found: dict[str, list[list[float]]], count: int, *, atol: float = 0.1
) -> None:
    """Every picture holds one box, on the red square that its number places."""
    assert len(found) == count
    for name, boxes in found.items():
        number = re.match(r"p(\d+)", name)
        assert number is not None, name
        np.testing.assert_allclose(boxes, [square(int(number[1]))], atol=atol, err_msg=name)


def cvat_rotated(case: Case) -> None:
    case.done()
    assert case.boxes(3) == [[55, 15, 65, 95]]


def label_studio_rotated(case: Case) -> None:
    case.done()
    assert case.boxes(3) == [[40, 24, 64, 72]]


def yolo_polygons(case: Case) -> None:
    said = case.done()
    assert_on_squares(case.stills(), 8, atol=1.1)  # the outlines bulge by a pixel
    assert "upright bounding box" in said.text


def yolo_polygons_split(case: Case) -> None:
    case.done()
    assert_on_squares(case.stills(), 8, atol=1.1)
    names = {Path(v.name).name: v.split for v in case.dataset().videos}
    assert (names["p6"], names["p7"], names["p2"]) == ("val", "val", "train")
    assert case.splits() == {"train": 6, "val": 2, "test": 0}


def duplicate_image_id(case: Case) -> None:
    said = case.failed()
    assert "image id 1 is used twice" in said.text
    assert "p0.jpg" in said.text
    assert "p5.jpg" in said.text
    assert not (case.folder / "o.json").exists()


def duplicate_video_id(case: Case) -> None:
    said = case.failed()
    assert "id 1 is used twice" in said.text
    assert ("a.mp4" in said.text and "b.mp4" in said.text) or "wasp" in said.text


def four_boxes(case: Case) -> None:
    case.done()
    assert_on_squares(case.stills("ds"), 4)


def wrong_size(case: Case) -> None:
    said = case.failed()
    assert "320x240" in said.text
    assert "160x120" in said.text
    assert re.search(r"p\d", said.text)


def sizes_for_corners(case: Case) -> None:
    said = case.failed()
    assert "of 4 boxes end before they begin" in said.text


def exif_shown(case: Case) -> None:
    case.done()
    assert np.allclose(case.stills("ds")["p0"], [[76, 10, 100, 34]], atol=0.1)


def cvat_polygon_track(case: Case) -> None:
    said = case.done()
    frames = case.frames()
    assert all(frames[n] == 1 for n in range(19))
    boxes = {
        int(frame): box.tolist()
        for video in case.dataset().videos
        for frame, box in zip(video.labels.box_frames, video.labels.boxes, strict=True)
    }
    assert all(np.allclose(boxes[n], square(n), atol=1.1) for n in range(19))
    assert "polygon" in said.text


def label_studio_rate(case: Case) -> None:
    case.done()
    (train,) = (video for video in case.dataset().videos if video.split == "train")
    found = train.labels.at(30)
    assert found is not None
    assert np.allclose(found.boxes, [square(30)], atol=1.5)


def mot_ten_columns(case: Case) -> None:
    said = case.done()
    top = case.coco()
    assert len(top["categories"]) == 2
    assert [row["category_id"] for row in top["annotations"]].count(1) == 20
    assert [row["category_id"] for row in top["annotations"]].count(2) == 20
    assert "class" in said.text


def mot_without_ids(case: Case) -> None:
    case.done()
    rows = case.coco()["annotations"]
    assert len(rows) == 20
    assert all("instance_id" not in row for row in rows)


def mot_float_frames(case: Case) -> None:
    case.lstmcli("convert", "s", "--to", "coco", "--format", "mot", "--out", "p.json")
    case.done()
    for name in ("o.json", "p.json"):
        assert len(case.coco(name)["annotations"]) == 20
        assert all(case.boxes(n, name) == [square(n)] for n in range(20))


def six_rows(case: Case) -> None:
    case.done()
    assert_on_squares(case.pictures(), 6)


def six_boxes(case: Case) -> None:
    case.done()
    assert_on_squares(case.stills(), 6)


def polygons_prepared(case: Case) -> None:
    said = case.done()
    assert_on_squares(case.stills("ds"), 6)
    assert "polygon" in said.text


def windows_path(case: Case) -> None:
    case.done()
    assert_on_squares(case.stills("ds"), 4)


def german_excel(case: Case) -> None:
    said = case.done()
    assert "decimal commas" in said.text
    found = case.pictures()
    assert len(found) == 6
    assert found["p0"] == [[10.5, 20.25, 34, 44.75]]
    assert found["p5"] == [[30.5, 30.25, 54, 54.75]]


def own_division(case: Case) -> None:
    said = case.done()
    name = "dataset" if (case.folder / "dataset").exists() else "ds"
    assert case.splits(name) == {"train": 6, "val": 2, "test": 2}
    for video in case.dataset(name).videos:
        number = int(re.findall(r"p(\d)_jpg", video.name)[0])
        assert video.split == ("train" if number < 6 else "val" if number < 8 else "test")
        np.testing.assert_allclose(video.labels.boxes, [square(number)], atol=0.1)
    if "--val" not in (case.folder / "cmd").read_text(encoding="utf-8"):
        assert "the set's own: train" in said.text


def class_beyond_names(case: Case) -> None:
    said = case.failed()
    assert re.search(r"\.txt, line \d+: class 2", said.text)


def names_as_written(case: Case) -> None:
    case.done()
    assert case.dataset().classes == ("no", "yes", "1", "None")


def names_with_text_keys(case: Case) -> None:
    case.done()
    assert case.dataset().classes == ("bee", "wasp")


def odd_lines(case: Case) -> None:
    said = case.failed()
    assert "p4.txt, line 1" in said.text


def mostly_background(case: Case) -> None:
    said = case.done()
    assert case.count() == 1
    assert sum(len(video.frames) for video in case.dataset().videos) == 8
    assert [v.split for v in case.dataset().videos if len(v.labels.boxes)] == ["train"]
    assert "without boxes to train on" not in said.text


def all_background(case: Case) -> None:
    said = case.failed()
    assert "there is no box" in said.text
    assert "hint:" in said.text


def one_image(case: Case) -> None:
    said = case.failed()
    assert "divide" in said.text
    assert "--val" in said.text


def picture_gone(case: Case) -> None:
    said = case.done()
    assert_on_squares(case.stills(), 5)
    assert "a label file whose image is not there" in said.text


def beyond_the_end(case: Case) -> None:
    said = case.failed()
    assert re.search(r"\b4[45]\b", said.text)
    assert re.search(r"\b(40|39)\b", said.text)


def brackets(case: Case) -> None:
    case.done()
    assert_on_squares(case.stills("out [2]"), 6)
    assert_on_squares(case.stills("o2"), 6)


def text_of_another_code(case: Case) -> None:
    said = case.failed()
    assert "save the file as utf-8" in said.text
    assert "classes.txt" in said.text


def bdd_without_category(case: Case) -> None:
    said = case.failed()
    assert "bdd.json[1]" in said.text
    assert "'category'" in said.text


def deepstream(case: Case) -> None:
    said = case.done()
    top = case.coco()
    assert [row["name"] for row in top["categories"]] == ["car"]
    assert len(top["annotations"]) == 6
    assert {row["instance_id"] for row in top["annotations"]} == {3, 4}
    assert "track id" in said.text


def coco_odd_boxes(case: Case) -> None:
    said = case.done()
    assert case.dataset().classes == ("bee",)
    boxes = case.stills()
    assert len(boxes["p2"]) == 1
    assert len(boxes["p5"]) == 1
    assert "not listed" not in said.text
    assert "without area" in said.text
    assert "outside the picture" in said.text


def coco_crowd(case: Case) -> None:
    said = case.done()
    assert sum(int(video.labels.ignore.sum()) for video in case.dataset().videos) == 1
    assert case.count() == 4
    assert "category 7" in case.dataset().classes
    assert "not listed" in said.text
    assert "not among the categories" in said.text


def label_studio_wild(case: Case) -> None:
    said = case.done()
    assert_on_squares(case.stills(), 4)
    assert "wrong" not in case.dataset().classes, "predictions are no labels"
    assert "--annotator" in said.text
    case.lstmcli("prepare", "ls.json", "--media", "media", "--annotator", "nobody", "--out", "none")
    assert case.last.code == 1


def vott_seconds(case: Case) -> None:
    case.done()
    found = sorted(n for n, count in case.frames().items() if count)
    assert found == [0, 10, 20, 40, 50]


def linked_set(case: Case) -> None:
    case.done()
    assert_on_squares(case.stills("o1"), 6)
    assert_on_squares(case.stills("o2"), 6)


def beside_images(case: Case) -> None:
    """Both commands: the folder, whose output the case removes, and `data.yaml`."""
    case.lstmcli("prepare", ".", "--out", "x94")
    case.done()
    assert_on_squares(case.stills("x94"), 6)
    assert_on_squares(case.stills(), 6)


def asf(case: Case) -> None:
    case.done()
    assert sum(case.frames().values()) == 20
    assert len(case.times("cam.detections.jsonl")) == 20


def names_differ(case: Case) -> None:
    said = case.done()
    assert "nc is 3, but names lists 1" in said.text


CHECKS: dict[str, Check] = {
    "01-cvat-rotated-90": cvat_rotated,
    "02b-labelstudio-video-rotated": label_studio_rotated,
    "03-yolo-polygons-mixed": yolo_polygons,
    "03b-yolo-polygons-split": yolo_polygons_split,
    "05-coco-duplicate-image-id": duplicate_image_id,
    "05c-coco-video-category-ids": duplicate_video_id,
    "06-voc-size-zero": four_boxes,
    "07-voc-wrong-size": wrong_size,
    "08-voc-width-as-xmax": sizes_for_corners,
    "09b-exif-yolo-shown": exif_shown,
    "10-cvat-polygon-track": cvat_polygon_track,
    "101-csv-names-without-ending": six_boxes,
    "102-coco-text-ids": six_rows,
    "107-nc-names-differ": names_differ,
    "11-ls-video-other-rate": label_studio_rate,
    "12-mot-10-columns-classes": mot_ten_columns,
    "13-mot-no-ids": mot_without_ids,
    "14-mot-float-frames": mot_float_frames,
    "15-labelme-capital-Rectangle": six_rows,
    "15b-labelme-all-polygons": polygons_prepared,
    "16-labelme-windows-path": windows_path,
    "17-coco-backslash": six_boxes,
    "18-csv-german-excel": german_excel,
    "19-roboflow-split": own_division,
    "19b-roboflow-split-yaml": own_division,
    "19c-roboflow-val-given": own_division,
    "21-yolo-classes-from-1": class_beyond_names,
    "22-yaml-names-no-yes": names_as_written,
    "23-yaml-names-string-keys": names_with_text_keys,
    "24-yolo-odd-lines": odd_lines,
    "54-mostly-background": mostly_background,
    "55-all-background": all_background,
    "56-one-image": one_image,
    "57-label-without-picture": picture_gone,
    "60-labels-beyond-end": beyond_the_end,
    "61b-brackets-dataset": brackets,
    "67-gbk-classes": text_of_another_code,
    "67b-cp1252": text_of_another_code,
    "75-bdd-no-category": bdd_without_category,
    "76-kitti-deepstream-tracks": deepstream,
    "78-coco-odd-boxes": coco_odd_boxes,
    "79-coco-crowd-rle": coco_crowd,
    "80-labelstudio-wild": label_studio_wild,
    "81-vott-seconds-vfr": vott_seconds,
    "90-symlinked-set": linked_set,
    "94-labels-beside-images": beside_images,
    "95-images-symlink": six_boxes,
    "97-yolo-pose-no-kpt-shape": six_boxes,
    "98-asf-labels": asf,
}


@pytest.mark.parametrize("name", CHECKS)
def test_the_command_of_a_case_gives_what_is_expected(
    name: str,
    shared: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    case = run_here(shared / "data" / "cases" / name, tmp_path / name, monkeypatch, capsys)
    CHECKS[name](case)
    left = [path.name for path in Path().iterdir() if path.name.startswith(".")]
    assert not left, "nothing hidden is left behind"
