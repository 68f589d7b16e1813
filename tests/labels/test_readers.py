"""Each format in small: what is recognised, how its rules are read, what a damaged file says."""

from __future__ import annotations

import json
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from lstmcli.core.errors import ConfigError, DataError
from lstmcli.core.types import LabelSet
from lstmcli.labels.readers import READERS
from lstmcli.labels.search import find_annotations, format_of, read_labels
from lstmcli.video import read_images

Row = tuple[int, str, tuple[float, float, float, float], int, bool]
"""frame, class, box, track, ignore"""


def rows(labels: LabelSet) -> list[Row]:
    return [
        (
            int(frame),
            labels.classes[label] if label >= 0 else "",
            tuple(map(float, box)),
            int(track),
            bool(ignore),
        )
        for video in labels.videos
        for frame, label, box, track, ignore in zip(
            video.box_frames, video.labels, video.boxes, video.tracks, video.ignore, strict=True
        )
    ]


def cvat(*tracks: str, size: int = 6, meta: str = "") -> str:
    return (
        f"<annotations><meta><task><id>1</id><name>t</name><size>{size}</size>{meta}"
        "<source>clip.mp4</source></task></meta>" + "".join(tracks) + "</annotations>"
    )


def cvat_box(frame: int, x: float, *, outside: int = 0) -> str:
    return f'<box frame="{frame}" xtl="{x}" ytl="0" xbr="{x + 5}" ybr="5" outside="{outside}"/>'


VOC = """<annotation>{folder}<filename>{name}</filename><size><width>90</width><height>80</height>
</size><object><name>cat</name>{more}<bndbox><xmin>1</xmin><ymin>2</ymin><xmax>30</xmax>
<ymax>40</ymax></bndbox></object></annotation>"""
BOX = (1.0, 2.0, 30.0, 40.0)

SAMPLES: dict[str, tuple[str, str, list[Row]]] = {
    "coco": (
        "a.json",
        '{"images": [{"id": "7", "file_name": "a.jpg"}], "categories": [{"id": 3, "name": "cat"}],'
        '"annotations": [{"image_id": 7, "category_id": 3, "bbox": [1, 2, 29, 38], "iscrowd": 1}]}',
        [(0, "cat", BOX, -1, True)],
    ),
    "mot": ("gt.txt", "2,4,1,2,29,38,1,-1,-1,-1", [(1, "object", BOX, 4, False)]),
    "cvat": (
        "a.xml",
        cvat('<track id="4" label="cat">' + cvat_box(2, 1) + "</track>"),
        [(2, "cat", (1.0, 0.0, 6.0, 5.0), 4, False)],
    ),
    "label_studio": (
        "a.json",
        json.dumps(
            [
                {
                    "data": {"image": "a.jpg"},
                    "annotations": [
                        {
                            "result": [
                                {
                                    "type": "rectanglelabels",
                                    "original_width": 100,
                                    "original_height": 200,
                                    "value": {
                                        "x": 1,
                                        "y": 1,
                                        "width": 29,
                                        "height": 19,
                                        "rectanglelabels": ["cat"],
                                    },
                                }
                            ]
                        }
                    ],
                }
            ]
        ),
        [(0, "cat", BOX, -1, False)],
    ),
    "voc": ("a.xml", VOC.format(folder="", name="a.jpg", more=""), [(0, "cat", BOX, -1, False)]),
    "kitti": (
        "0001.txt",
        "3 8 Big cat 0 0 -1 1 2 30 40 -1 -1 -1 -1 -1 -1 -1\n"
        "3 -1 DontCare -1 -1 -10 5 6 7 8 -1 -1 -1 -1 -1 -1 -1",
        [(3, "Big cat", BOX, 8, False), (3, "", (5.0, 6.0, 7.0, 8.0), -1, True)],
    ),
    "visdrone": (
        "uav.txt",
        "1,0,1,2,29,38,1,4,0,0\n1,1,5,6,2,2,0,0,0,0",
        [(0, "car", BOX, 0, False), (0, "", (5.0, 6.0, 7.0, 8.0), -1, True)],
    ),
    "ua_detrac": (
        "a.xml",
        '<sequence name="s"><ignored_region><box left="5" top="6" width="2" height="2"/>'
        '</ignored_region><frame num="1"><target_list><target id="2"><box left="1" top="2" '
        'width="29" height="38"/><attribute vehicle_type="car"/></target></target_list></frame>'
        "</sequence>",
        [(0, "car", BOX, 2, False), (0, "", (5.0, 6.0, 7.0, 8.0), -1, True)],
    ),
    "yolo": ("a.txt", "0 0.155 0.105 0.29 0.19", [(0, "class 0", BOX, -1, False)]),
    "labelme": (
        "a.json",
        '{"imagePath": "a.jpg", "shapes": [{"label": "cat", "shape_type": "rectangle", "points": '
        "[[30, 2], [1, 40]]}]}",
        [(0, "cat", BOX, -1, False)],
    ),
    "via": (
        "a.json",
        '{"a.jpg1": {"filename": "a.jpg", "size": 1, "regions": {"0": {"shape_attributes": {"name":'
        '"rect", "x": 1, "y": 2, "width": 29, "height": 38}, "region_attributes": {"class": '
        '{"cat": true}}}}}}',
        [(0, "cat", BOX, -1, False)],
    ),
    "csv": (
        "a.csv",
        "video,frame,time,track_id,class,score,x1,y1,x2,y2\nv.mp4,3,0.1,5,cat,0.9,1,2,30,40",
        [(3, "cat", BOX, 5, False)],
    ),
    "scalabel": (
        "a.json",
        '[{"name": "a.jpg", "videoName": "v", "frameIndex": 2, "labels": [{"id": "9", "category": '
        '"cat", "attributes": {"crowd": true}, "box2d": {"x1": 1, "y1": 2, "x2": 30, "y2": 40}}]}]',
        [(2, "cat", BOX, 9, True)],
    ),
    "openlabel": (
        "a.json",
        '{"openlabel": {"objects": {"1": {"name": "n", "type": "cat"}}, "frames": {"2": {"objects":'
        '{"1": {"object_data": {"bbox": [{"name": "b", "val": [15.5, 21, 29, 38]}]}}}}}}}',
        [(2, "cat", BOX, 1, False)],
    ),
    "vott": (
        "a.json",
        '{"assets": {"x": {"asset": {"name": "a.jpg", "type": 1, "state": 2}, "regions": [{"tags": '
        '["cat"], "boundingBox": {"left": 1, "top": 2, "width": 29, "height": 38}}]}}}',
        [(0, "cat", BOX, -1, False)],
    ),
    "dlib": (
        "a.xml",
        "<?xml version='1.0'?><dataset><images><image file='a.jpg'><box top='2' left='1' "
        "width='29' height='38' ignore='1'><label>cat</label></box></image></images></dataset>",
        [(0, "cat", BOX, -1, True)],
    ),
    "supervisely": (
        "v.mp4.json",
        '{"framesCount": 4, "objects": [{"key": "k", "classTitle": "cat"}], "frames": [{"index": 1,'
        '"figures": [{"objectKey": "k", "geometryType": "rectangle", "geometry": {"points": '
        '{"exterior": [[30, 2], [1, 40]]}}}]}]}',
        [(1, "cat", BOX, 1, False)],
    ),
    "vatic": ("a.txt", '3 1 2 30 40 2 0 0 1 "cat"', [(2, "cat", BOX, 3, False)]),
    "createml": (
        "a.json",
        '[{"image": "a.jpg", "annotations": [{"label": "cat", "coordinates": {"x": 15.5, "y": 21, '
        '"width": 29, "height": 38}}]}]',
        [(0, "cat", BOX, -1, False)],
    ),
    "labelbox": (
        "a.ndjson",
        '{"data_row": {"id": "1", "external_id": "v.mp4"}, "projects": {"p": {"labels": [{'
        '"annotations": {"frames": {"3": {"objects": {"o": {"feature_id": "o", "name": "cat", '
        '"bounding_box": {"top": 2, "left": 1, "height": 38, "width": 29}}}}}}}]}}}',
        [(2, "cat", BOX, 1, False)],
    ),
    "lightly": (
        "a.json",
        '{"file_name": "a.jpg", "predictions": [{"category_id": 4, "bbox": [1, 2, 29, 38]}]}',
        [(0, "class 4", BOX, -1, False)],
    ),
    "datumaro": (
        "a.json",
        '{"infos": {}, "categories": {"label": {"labels": [{"name": "cat"}]}}, "items": [{"id": '
        '"a", "annotations": [{"type": "bbox", "label_id": 0, "bbox": [1, 2, 29, 38]}]}]}',
        [(0, "cat", BOX, -1, False)],
    ),
}


def written(folder: Path, name: str, text: str) -> Path:
    path = folder / name
    if name == "gt.txt":
        path = folder / "seq" / "gt" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return path


def read(folder: Path, name: str, text: str) -> LabelSet:
    return read_labels(written(folder, name, text), size_hw=(200, 100))


def read_or_error(path: Path, name: str) -> LabelSet | DataError:
    """Give what a person gets; anything but these two is a traceback."""
    try:
        return read_labels(path, format=name, size_hw=(200, 100))
    except DataError as error:
        return error


def test_every_reader_has_a_sample_here() -> None:
    assert set(SAMPLES) == set(READERS) - {"cvat_held"}


@pytest.mark.parametrize("name", sorted(SAMPLES))
def test_a_format_is_recognised_and_read(name: str, tmp_path: Path) -> None:
    file, text, gt = SAMPLES[name]
    path = written(tmp_path, file, text)
    assert format_of(path) == name
    for got, want in zip(rows(read_labels(path, size_hw=(200, 100))), gt, strict=True):
        assert got[:2] + got[3:] == want[:2] + want[3:]
        np.testing.assert_allclose(got[2], want[2], atol=1e-4)


@pytest.mark.parametrize("name", sorted(SAMPLES))
def test_a_format_is_found_below_a_folder(name: str, tmp_path: Path) -> None:
    file, text, gt = SAMPLES[name]
    written(tmp_path / "deep" / "er", file, text)
    assert len(find_annotations(tmp_path)) == 1
    assert len(rows(read_labels(tmp_path, size_hw=(200, 100)))) == len(gt)


@pytest.mark.parametrize("name", sorted(SAMPLES))
def test_a_truncated_file_is_a_clear_error_or_says_what_it_lost(name: str, tmp_path: Path) -> None:
    file, text, gt = SAMPLES[name]
    lines = text.splitlines()
    for cut in range(1, len(text), max(1, len(text) // 40)):
        path = written(tmp_path, file, text[:cut])
        labels = read_or_error(path, name)
        if isinstance(labels, DataError):
            assert str(path) in labels.problem or "names no video" in labels.problem
            assert labels.hint
            continue
        # What can be read without the end are whole lines, or a shorter last number.
        assert len(lines) > 1 or len(rows(labels)) <= len(gt)


@pytest.mark.parametrize(
    "value", ["null", '"x"', "[]", "{}", "1e999", "-1", "true", "[[[[]]]]", '{"a": [1]}', "NaN"]
)
@pytest.mark.parametrize("name", sorted(n for n, s in SAMPLES.items() if "json" in s[0]))
def test_a_value_of_the_wrong_kind_is_never_a_traceback(
    name: str, value: str, tmp_path: Path
) -> None:
    """Each value of each sample in turn becomes something else."""
    file, text, _ = SAMPLES[name]
    top = json.loads(text)
    for place in places(top):
        changed = json.dumps(replaced(top, place)).replace('"@@"', value)
        path = written(tmp_path, file, changed)
        result = read_or_error(path, name)
        assert isinstance(result, LabelSet) or result.hint


def places(value: object, at: tuple[object, ...] = ()) -> list[tuple[object, ...]]:
    found = [at]
    items = value.items() if isinstance(value, dict) else []
    items = enumerate(value) if isinstance(value, list) else items
    for key, inner in items:
        found += places(inner, (*at, key))
    return found


def replaced(value: object, place: tuple[object, ...]) -> object:
    if not place:
        return "@@"
    if isinstance(value, dict):
        return {k: replaced(v, place[1:]) if k == place[0] else v for k, v in value.items()}
    assert isinstance(value, list)
    return [replaced(v, place[1:]) if n == place[0] else v for n, v in enumerate(value)]


def test_an_unknown_format_name_is_told_with_the_nearest(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        read_labels(written(tmp_path, *SAMPLES["voc"][:2]), format="vco")
    assert caught.value.hint == "did you mean 'voc'?"


def test_nothing_below_a_folder_is_told(tmp_path: Path) -> None:
    (tmp_path / "README.txt").write_text("hello\n")
    with pytest.raises(DataError, match="no labels of a known format"):
        read_labels(tmp_path)


def test_entities_in_xml_are_refused_with_the_line(tmp_path: Path) -> None:
    bomb = (
        '<?xml version="1.0"?>\n<!DOCTYPE lolz [<!ENTITY a "ha">\n<!ENTITY b "&a;&a;&a;&a;">]>\n'
        "<annotation><filename>&b;</filename></annotation>"
    )
    with pytest.raises(DataError, match="line 2: EntitiesForbidden"):
        read_labels(written(tmp_path, "a.xml", bomb), format="voc")


def test_files_outside_are_not_read_by_xml(tmp_path: Path) -> None:
    text = '<!DOCTYPE a [<!ENTITY x SYSTEM "file:///etc/passwd">]><annotation>&x;</annotation>'
    with pytest.raises(DataError, match="Forbidden"):
        read_labels(written(tmp_path, "a.xml", text), format="voc")


def test_a_zip_is_named_as_such(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_bytes(b"PK\x03\x04rest")
    with pytest.raises(DataError, match="zip archive"):
        read_labels(tmp_path / "a.json", format="coco")


def test_lists_within_lists_are_no_crash(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="without end"):
        read_labels(written(tmp_path, "a.json", "[" * 100_000), format="label_studio")


def test_names_cannot_leave_the_folder(tmp_path: Path) -> None:
    text = SAMPLES["coco"][1].replace("a.jpg", "../../../etc/C:/x\\u0000.jpg")
    (video,) = read(tmp_path, "a.json", text).videos
    assert video.name == "etc/C:/x"


@pytest.mark.parametrize("frame", ["-3", "999999999999", "1.5"])
def test_a_frame_that_cannot_be_is_refused(frame: str, tmp_path: Path) -> None:
    text = SAMPLES["csv"][1].replace(",3,", f",{frame},")
    with pytest.raises(DataError, match=f"line 2: frame '?{frame}"):
        read(tmp_path, "a.csv", text)


def test_a_billion_frames_of_a_task_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="a task from frame 0 to 999999999"):
        read(tmp_path, "a.xml", cvat(size=10**9))


def test_cvat_gaps_are_filled_on_the_grid_of_the_task(tmp_path: Path) -> None:
    meta = "<start_frame>10</start_frame><frame_filter>step=5</frame_filter>"
    track = f'<track id="0" label="a">{cvat_box(10, 0)}{cvat_box(25, 30, outside=1)}</track>'
    labels = read(tmp_path, "a.xml", cvat(track, size=4, meta=meta))
    assert [(row[0], row[2][0]) for row in rows(labels)] == [(10, 0.0), (15, 10.0), (20, 20.0)]
    np.testing.assert_array_equal(labels.videos[0].annotated_frames, [10, 15, 20, 25])


def test_cvat_written_boxes_are_the_truth(tmp_path: Path) -> None:
    boxes = cvat_box(0, 0) + cvat_box(1, 50) + cvat_box(2, 2)
    labels = read(tmp_path, "a.xml", cvat(f'<track id="0" label="a">{boxes}</track>'))
    assert [row[2][0] for row in rows(labels)] == [0.0, 50.0, 2.0]


def test_cvat_hidden_gaps_stay_empty(tmp_path: Path) -> None:
    boxes = cvat_box(0, 0) + cvat_box(1, 0, outside=1) + cvat_box(4, 0)
    labels = read(tmp_path, "a.xml", cvat(f'<track id="0" label="a">{boxes}</track>'))
    assert [row[0] for row in rows(labels)] == [0, 4]


def test_cvat_open_tracks_end_and_say_so_or_are_held(tmp_path: Path) -> None:
    path = written(tmp_path, "a.xml", cvat(f'<track id="0" label="a">{cvat_box(2, 0)}</track>'))
    ended = read_labels(path)
    assert [row[0] for row in rows(ended)] == [2]
    assert "never ends" in ended.warnings[0].text
    assert [row[0] for row in rows(read_labels(path, format="cvat_held"))] == [2, 3, 4, 5]


def test_label_studio_frames_begin_at_one_and_disabled_ones_are_seen_once(tmp_path: Path) -> None:
    def key(frame: int, x: float, *, enabled: bool) -> dict[str, object]:
        return {"frame": frame, "x": x, "y": 0, "width": 10, "height": 10, "enabled": enabled}

    sequence = [key(1, 0, enabled=True), key(3, 20, enabled=False), key(6, 50, enabled=True)]
    value = {"framesCount": 8, "sequence": sequence, "labels": ["a"]}
    task = {
        "data": {"video": "v.mp4"},
        "annotations": [{"result": [{"type": "videorectangle", "value": value}]}],
    }
    labels = read(tmp_path, "a.json", json.dumps(task))
    seen = [(row[0], round(row[2][0], 3)) for row in rows(labels)]
    assert seen == [(0, 0.0), (1, 10.0), (2, 20.0), (5, 50.0), (6, 50.0), (7, 50.0)]
    assert len(labels.videos[0].annotated_frames) == 8


def test_label_studio_cancelled_annotations_do_not_count(tmp_path: Path) -> None:
    text = SAMPLES["label_studio"][1].replace('{"result"', '{"was_cancelled": true, "result"')
    with pytest.raises(DataError, match="names no labelled video or image"):
        read(tmp_path, "a.json", text)


def test_fractions_without_a_size_ask_for_it(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"line 1.*size is not known") as caught:
        read_labels(written(tmp_path, "a.txt", SAMPLES["yolo"][1]))
    assert "--media" in caught.value.hint
    assert "--size" in caught.value.hint


def test_mot_distractors_are_ignored_and_vehicles_left_out(tmp_path: Path) -> None:
    text = "1,1,0,0,9,9,1,1,1\n1,2,0,0,9,9,0,8,1\n2,3,0,0,9,9,0,3,1\n"
    labels = read(tmp_path, "gt.txt", text)
    assert [(row[1], row[4]) for row in rows(labels)] == [
        ("pedestrian", False),
        ("pedestrian", True),
    ]
    assert {w.text.partition("; ")[2]: w.count for w in labels.warnings} == {
        "an ignored region": 1,
        "left out": 1,
    }


def test_imagenet_vid_frames_become_one_video(tmp_path: Path) -> None:
    for n in (0, 1, 7):
        text = VOC.format(
            folder="<folder>train/s1</folder>", name=f"{n:06d}", more="<trackid>4</trackid>"
        )
        (tmp_path / f"{n:06d}.xml").write_text(text)
    (video,) = read_labels(tmp_path).videos
    np.testing.assert_array_equal(video.annotated_frames, [0, 1, 7])
    assert video.images[7] == "train/s1/000007.JPEG"
    assert set(video.tracks) == {4}


def test_difficult_objects_are_ignored_and_said(tmp_path: Path) -> None:
    text = VOC.format(folder="", name="a.jpg", more="<difficult>1</difficult>")
    labels = read(tmp_path, "a.xml", text)
    assert rows(labels)[0][4]
    assert "difficult" in labels.warnings[0].text


def test_youtube_vis_objects_skip_the_frames_where_they_are_null(tmp_path: Path) -> None:
    text = json.dumps(
        {
            "videos": [{"id": 1, "file_names": ["v/0.jpg", "v/1.jpg"], "width": 9, "height": 9}],
            "categories": [{"id": 1, "name": "a"}],
            "annotations": [
                {"id": 5, "video_id": 1, "category_id": 1, "bboxes": [None, [1, 2, 3, 4]]}
            ],
        }
    )
    labels = read(tmp_path, "a.json", text)
    assert rows(labels) == [(1, "a", (1.0, 2.0, 4.0, 6.0), 5, False)]
    assert len(labels.videos[0].annotated_frames) == 2


def test_what_coco_drops_is_counted(tmp_path: Path) -> None:
    top = json.loads(SAMPLES["coco"][1])
    good = top["annotations"][0]
    top["annotations"] += [
        good | {"bbox": []},
        good | {"image_id": 99},
        good | {"bbox": [1, 2, 0, 5]},
        good | {"category_id": 42},
    ]
    labels = read(tmp_path, "a.json", json.dumps(top))
    assert [warning.count for warning in labels.warnings] == [1, 1, 1, 1]
    assert labels.classes == ("cat", "category 42")


def test_a_yaml_without_labels_is_told(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="names no labelled video or image"):
        read(tmp_path, "data.yaml", "train: ../train/images\nnames: [a, b]\n")


def test_a_class_beyond_the_names_is_told_with_the_line(tmp_path: Path) -> None:
    written(tmp_path, "data.yaml", "names: [a]\ntrain: images\n")
    path = written(tmp_path / "labels", "x.txt", "0 0.5 0.5 0.1 0.1\n3 0.5 0.5 0.1 0.1\n")
    with pytest.raises(DataError, match="line 2: class 3") as caught:
        read_labels(tmp_path, size_hw=(10, 10))
    assert str(path) in caught.value.problem


def test_an_image_without_a_label_file_is_unannotated(tmp_path: Path) -> None:
    written(tmp_path, "data.yaml", "names: [a]\ntrain: images\n")
    written(tmp_path / "labels", "x.txt", "0 0.5 0.5 0.1 0.1\n")
    written(tmp_path / "labels", "empty.txt", "")
    (tmp_path / "images").mkdir()
    for name in ("x", "empty", "forgotten"):
        Image.new("RGB", (20, 10)).save(tmp_path / "images" / f"{name}.png")
    labels = read_labels(tmp_path)
    assert sorted(video.name for video in labels.videos) == ["images/empty", "images/x"]
    assert [(w.text, w.count) for w in labels.warnings] == [
        ("an image without a label file; unannotated, left out", 1)
    ]


def test_numbered_frames_of_folders_become_videos(tmp_path: Path) -> None:
    images = [
        {"id": f"{clip}{n}", "file_name": f"{clip}/{n:06d}.jpg", "width": 8, "height": 8}
        for clip in ("one", "two")
        for n in (1, 2, 3, 5)
    ]
    top = {"images": images, "categories": [{"id": 1, "name": "a"}], "annotations": []}
    labels = read(tmp_path, "a.json", json.dumps(top))
    assert [video.name for video in labels.videos] == ["one", "two"]
    numbers = ("000001", "000002", "000003", "", "000005")
    assert labels.videos[0].images == tuple(f"one/{n}.jpg" if n else "" for n in numbers)
    np.testing.assert_array_equal(labels.videos[0].annotated_frames, [0, 1, 2, 4])


def test_unrelated_pictures_with_numbers_stay_stills(tmp_path: Path) -> None:
    images = [{"id": n, "file_name": f"{n:06d}.jpg"} for n in (1, 2, 3, 4, 5)]
    top = {"images": images, "categories": [{"id": 1, "name": "a"}], "annotations": []}
    assert len(read(tmp_path, "a.json", json.dumps(top)).videos) == 5


def test_two_files_about_one_video_become_one(tmp_path: Path) -> None:
    head = "video,frame,class,x1,y1,x2,y2\n"
    written(tmp_path, "a.csv", f"{head}v.mp4,0,cat,1,2,3,4\n")
    written(tmp_path, "b.csv", f"{head}v.mp4,1,dog,1,2,3,4\n")
    labels = read_labels(tmp_path)
    assert [row[:2] for row in rows(labels)] == [(0, "cat"), (1, "dog")]
    assert len(labels.videos) == 1


def test_the_same_frames_in_two_files_count_once(tmp_path: Path) -> None:
    head = "video,frame,class,x1,y1,x2,y2\n"
    for name in ("a.csv", "b.csv"):
        written(tmp_path, name, f"{head}v.mp4,0,cat,1,2,3,4\n")
    labels = read_labels(tmp_path)
    assert len(rows(labels)) == 1
    assert "same frames in two files" in labels.warnings[0].text


def test_darknet_lists_may_name_images_beside_their_folder(tmp_path: Path) -> None:
    """`obj.data` in `cfg/`, images and labels in `data/`, paths from where darknet is started."""
    for part in ("cfg", "data/images", "data/labels"):
        (tmp_path / part).mkdir(parents=True)
    (tmp_path / "cfg/obj.names").write_text("bird\n")
    (tmp_path / "cfg/train.txt").write_text("data/images/a.png\ndata/images/b.png\n")
    (tmp_path / "cfg/obj.data").write_text(
        "classes = 1\ntrain = cfg/train.txt\nnames = obj.names\n"
    )
    for name in "ab":
        Image.new("RGB", (100, 50)).save(tmp_path / f"data/images/{name}.png")
        (tmp_path / f"data/labels/{name}.txt").write_text("0 0.5 0.5 0.2 0.4\n")
    found = read_labels(tmp_path / "cfg/obj.data")
    assert [video.boxes.tolist() for video in found.videos] == [[[40, 15, 60, 35]]] * 2
    assert found.classes == ("bird",)


def test_a_yaml_may_name_lists_of_images(tmp_path: Path) -> None:
    (tmp_path / "set").mkdir()
    for part in ("images", "labels"):
        (tmp_path / part).mkdir()
    Image.new("RGB", (100, 50)).save(tmp_path / "images/a.png")
    (tmp_path / "labels/a.txt").write_text("0 0.5 0.5 0.2 0.4\n")
    (tmp_path / "set/train.txt").write_text("../images/a.png\n")
    (tmp_path / "set/data.yaml").write_text("names: [bird]\ntrain: train.txt\n")
    (video,) = read_labels(tmp_path / "set/data.yaml").videos
    assert video.boxes.tolist() == [[40, 15, 60, 35]]


@pytest.mark.parametrize("orientation", [1, 3, 6, 8])
def test_a_photograph_has_the_size_in_which_it_is_shown(tmp_path: Path, orientation: int) -> None:
    image = Image.new("RGB", (80, 40))
    exif = image.getexif()
    exif[0x0112] = orientation
    image.save(tmp_path / "a.jpg", exif=exif)
    (tmp_path / "a.txt").write_text("0 0.5 0.5 0.5 0.5\n")
    (video,) = read_labels(tmp_path / "a.txt").videos
    shown = next(read_images([tmp_path / "a.jpg"]))
    assert video.size_hw == shown.size_hw == ((80, 40) if orientation in {6, 8} else (40, 80))


@pytest.mark.parametrize("line", [" ".join(["1234567"] * 12), (" " * 9).join("1" * 12)])
def test_aligned_numbers_are_sniffed_in_no_time(line: str, tmp_path: Path) -> None:
    began = time.perf_counter()
    with pytest.raises(DataError, match="no labels of a known format"):
        read_labels(written(tmp_path, "a.txt", f"{line} x").parent)
    assert time.perf_counter() - began < 2


def with_picture(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (100, 200)).save(path)
    return path


def test_folders_with_pictures_of_the_same_names_stay_apart(tmp_path: Path) -> None:
    for camera in ("cam1", "cam2"):
        with_picture(tmp_path / camera / "JPEGImages" / "1.jpg")
        (tmp_path / camera / "Annotations").mkdir()
        text = VOC.format(folder="", name="1.jpg", more="")
        written(tmp_path / camera / "Annotations", "1.xml", text)
    labels = read_labels(tmp_path)
    assert [video.images for video in labels.videos] == [
        (str(tmp_path / camera / "JPEGImages" / "1.jpg"),) for camera in ("cam1", "cam2")
    ]


def test_a_part_of_a_described_set_is_read_alone(tmp_path: Path) -> None:
    (tmp_path / "data.yaml").write_text("train: images/train\nval: images/val\nnames: [bird]\n")
    for part in ("train", "val"):
        with_picture(tmp_path / "images" / part / "1.jpg")
        (tmp_path / "labels" / part).mkdir(parents=True)
        written(tmp_path / "labels" / part, "1.txt", "0 0.5 0.5 0.1 0.1")
    for part in ("train", "val"):
        labels = read_labels(tmp_path / "labels" / part)
        assert labels.classes == ("bird",)
        assert [video.images for video in labels.videos] == [(f"images/{part}/1.jpg",)]
    assert len(read_labels(tmp_path).videos) == 2


@pytest.mark.parametrize("name", ["100 %", "100 %%"])
def test_a_per_cent_sign_in_the_name_of_a_sequence_may_be_doubled(
    name: str, tmp_path: Path
) -> None:
    written(tmp_path, "gt.txt", "1,1,10,10,20,20,1,1,1\n")
    written(tmp_path / "seq", "seqinfo.ini", f"[Sequence]\nname={name}\nframeRate=25\n")
    assert [video.name for video in read_labels(tmp_path).videos] == ["100 %"]


def test_what_detect_found_is_no_truth_unless_it_is_named(tmp_path: Path) -> None:
    text = "video,frame,time,track_id,class,score,x1,y1,x2,y2\na.mp4,0,0.0,1,bird,0.9,1,2,30,40\n"
    path = written(tmp_path, "a.detections.csv", text)
    with pytest.raises(DataError, match="no labels"):
        read_labels(tmp_path)
    assert len(read_labels(path).videos) == 1


@pytest.mark.parametrize("stem", ["license_plate_1", "test", "names"])
def test_a_label_file_may_be_called_like_a_list(stem: str, tmp_path: Path) -> None:
    with_picture(tmp_path / f"{stem}.jpg")
    assert len(rows(read(tmp_path, f"{stem}.txt", "0 0.5 0.5 0.1 0.1"))) == 1


@pytest.mark.parametrize(
    ("ending", "text"),
    [
        ("xml", VOC.format(folder="", name="{}.jpg", more="")),
        ("txt", "Car 0 0 -1 1 2 30 40 -1 -1 -1 -1 -1 -1 -1"),
        ("txt", "0 0.5 0.5 0.1 0.1"),
        ("json", SAMPLES["labelme"][1].replace("a.jpg", "{}.jpg")),
    ],
)
def test_endings_may_be_written_large(ending: str, text: str, tmp_path: Path) -> None:
    for stem, suffix in (("a", ending), ("b", ending.upper())):
        with_picture(tmp_path / f"{stem}.jpg")
        written(tmp_path, f"{stem}.{suffix}", text.replace("{}", stem))
    assert len(read_labels(tmp_path).videos) == 2


@pytest.mark.parametrize(
    ("last", "second"),
    [("100,50,100,90", (100.0, 50.0, 140.0, 90.0)), ("100,50,30,20", (100.0, 50.0, 140.0, 90.0))],
)
def test_one_odd_box_does_not_turn_corners_into_sides(
    last: str, second: tuple[float, ...], tmp_path: Path
) -> None:
    lines = [f"{n}.jpg,100,50,140,90,car" for n in range(12)]
    labels = read(tmp_path, "a.csv", "\n".join([*lines, f"99.jpg,{last},car"]))
    assert rows(labels)[1][2] == second
    assert labels.warnings


def test_sizes_of_which_most_look_like_corners_are_sizes(tmp_path: Path) -> None:
    """Large objects at the left: 10, 10, 40, 40 could be both, 100, 50, 40, 40 could not."""
    lines = [f"{n}.jpg,10,10,40,40,car" for n in range(8)]
    lines += [f"{n}.jpg,100,50,40,40,car" for n in range(8, 12)]
    labels = read(tmp_path, "a.csv", "\n".join(lines))
    assert {row[2] for row in rows(labels)} == {(10, 10, 50, 50), (100, 50, 140, 90)}
    assert labels.warnings


@pytest.mark.parametrize(
    ("change", "seen", "noted"),
    [
        (('"bbox"', '"file_name": "x", "bbox"'), [("cat", True)], []),
        (('"category_id": 3, ', ""), [("object", True)], ["without a category_id"]),
        (('"image_id": 7, ', ""), [], ["without image"]),
        (('"iscrowd": 1', '"iscrowd": "0"'), [("cat", False)], []),
        (('"iscrowd": 1', '"iscrowd": "1"'), [("cat", True)], []),
    ],
)
def test_every_annotation_of_coco_is_read_or_counted(
    change: tuple[str, str], seen: list[tuple[str, bool]], noted: list[str], tmp_path: Path
) -> None:
    labels = read(tmp_path, "a.json", SAMPLES["coco"][1].replace(*change))
    assert [(row[1], row[4]) for row in rows(labels)] == seen
    assert len(labels.warnings) == len(noted)
    assert all(part in w.text for part, w in zip(noted, labels.warnings, strict=True))


def test_ids_of_any_size_are_read(tmp_path: Path) -> None:
    text = SAMPLES["mot"][1]
    labels = read(tmp_path, "gt.txt", "\n".join((text, text.replace(",4,", f",{'9' * 20},"))))
    assert len({row[3] for row in rows(labels)}) == 2


def test_a_class_beyond_all_numbers_is_told(tmp_path: Path) -> None:
    with_picture(tmp_path / "a.jpg")
    with pytest.raises(DataError, match="class inf"):
        read_labels(written(tmp_path, "a.txt", "1e400 0.5 0.5 0.1 0.1"), format="yolo")


def test_pictures_of_a_split_are_those_of_its_labels(tmp_path: Path) -> None:
    for split in ("train", "val"):
        with_picture(tmp_path / "images" / split / "1.jpg")
        (tmp_path / "labels" / split).mkdir(parents=True)
        written(tmp_path / "labels" / split, "1.txt", "0 0.5 0.5 0.1 0.1")
        written(tmp_path / "labels" / split, "classes.txt", "cat")
    (video,) = read_labels(tmp_path / "labels" / "val").videos
    assert video.images == ("images/val/1.jpg",)
