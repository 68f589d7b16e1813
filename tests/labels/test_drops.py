"""Shapes that are no boxes: each is counted, and no frame that holds one is read as empty.

A row a reader whose `DROPS` promise ignored regions; `test_every_promise_has_a_sample` keeps the
table complete.
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from lstmcli.labels.readers import READERS
from lstmcli.labels.search import ReadOptions, read_labels

Files = dict[str, object]
IMAGE = {"height": 48, "width": 64}


def labelme() -> Files:
    shapes = [{"label": "bee", "points": [[9, 9]], "shape_type": "point"}]
    top = {"shapes": shapes, "imagePath": "p.jpg", "imageHeight": 48, "imageWidth": 64}
    return {"p.json": top | {"version": "5", "flags": {}, "imageData": None}}


def coco() -> Files:
    return {
        "a.json": {
            "images": [{"id": 1, "file_name": "p.jpg", **IMAGE}],
            "categories": [{"id": 1, "name": "bee"}],
            "annotations": [{"id": 1, "image_id": 1, "category_id": 1}],
        }
    }


def label_studio() -> Files:
    value = {"x": 10, "y": 10, "width": 1, "keypointlabels": ["bee"]}
    result = {"type": "keypointlabels", "to_name": "image", "value": value}
    result |= {"original_width": 64, "original_height": 48, "id": "a"}
    return {"a.json": [{"data": {"image": "p.jpg"}, "annotations": [{"result": [result]}]}]}


def via() -> Files:
    region = {"shape_attributes": {"name": "point", "cx": 9, "cy": 9}}
    region |= {"region_attributes": {"type": "bee"}}
    picture = {"filename": "p.jpg", "size": 1, "regions": [region], "file_attributes": {}}
    return {"via.json": {"p.jpg1": picture}}


def voc() -> Files:
    size = "<size><width>64</width><height>48</height><depth>3</depth></size>"
    objects = "<object><name>bee</name><mask>AAAA</mask></object>"
    text = f"<annotation><filename>p.jpg</filename>{size}{objects}</annotation>"
    return {"p.xml": text}


def cvat() -> Files:
    points = '<points label="bee" points="9.0,9.0" occluded="0"></points>'
    image = f'<image id="0" name="p.jpg" width="64" height="48">{points}</image>'
    return {"a.xml": f"<annotations><version>1.1</version>{image}</annotations>"}


def supervisely() -> Files:
    points = {"points": {"exterior": [[9, 9]], "interior": []}}
    figure = {"objectKey": "k", "geometryType": "point", "geometry": points}
    frames = [{"index": 0, "figures": [figure]}]
    objects = [{"key": "k", "classTitle": "bee", "tags": []}]
    top = {"size": IMAGE, "framesCount": 1, "objects": objects, "frames": frames}
    return {"ds/ann/a.mp4.json": top | {"description": "", "tags": []}}


def openlabel() -> Files:
    cuboid = {"name": "c", "val": [0] * 9}
    frame = {"objects": {"1": {"object_data": {"cuboid": [cuboid]}}}}
    top = {"metadata": {"schema_version": "1.0.0"}, "objects": {"1": {"name": "x", "type": "bee"}}}
    return {"a.json": {"openlabel": top | {"frames": {"0": frame}}}}


def scalabel() -> Files:
    label = {"id": "1", "category": "bee", "box3d": {"location": [0, 0, 1]}}
    return {"a.json": [{"name": "p.jpg", "labels": [label], "size": IMAGE}]}


def kitti() -> Files:
    row = "DontCare -1 -1 -10 5.0 5.0 20.0 20.0 -1 -1 -1 -1000 -1000 -1000 -10\n"
    car = "Car 0.0 0 0.0 1.0 1.0 9.0 9.0 1 1 1 1 1 1 0\n"
    return {"label_2/000000.txt": row, "label_2/000001.txt": car}


def mot() -> Files:
    rows = "1,1,5,5,10,10,0,1,1\n2,1,6,5,10,10,1,1,1\n"
    ini = "[Sequence]\nname=s\nimDir=img1\nframeRate=25\nseqLength=2\nimWidth=64\nimHeight=48\n"
    return {"s/gt/gt.txt": rows, "s/seqinfo.ini": ini}


def visdrone() -> Files:
    return {"annotations/a.txt": "1,0,5,5,10,10,0,0,0,0\n2,1,5,5,10,10,1,4,0,0\n"}


def labelbox() -> Files:
    point = {"name": "bee", "value": "bee", "point": {"x": 9, "y": 9}, "feature_id": "f"}
    label = {"label_kind": "Default", "annotations": {"objects": [point], "classifications": []}}
    row = {
        "data_row": {"id": "1", "external_id": "p.jpg", "row_data": "p.jpg"},
        "media_attributes": {"height": 48, "width": 64, "mime_type": "image/jpeg"},
        "projects": {"p": {"labels": [label]}},
    }
    return {"a.ndjson": json.dumps(row) + "\n"}


SAMPLES = {
    "labelme": labelme,
    "coco": coco,
    "label_studio": label_studio,
    "via": via,
    "voc": voc,
    "cvat": cvat,
    "cvat_held": cvat,
    "supervisely": supervisely,
    "openlabel": openlabel,
    "scalabel": scalabel,
    "kitti": kitti,
    "mot": mot,
    "visdrone": visdrone,
    "labelbox": labelbox,
}
UNCOUNTED = {"kitti", "mot", "visdrone"}
"""Formats whose own rules make such rows ignored regions: nothing is lost, nothing is counted."""


def write(folder: Path, files: Files) -> None:
    from PIL import Image

    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        text = content if isinstance(content, str) else json.dumps(content)
        path.write_text(text, encoding="utf-8")
    Image.new("RGB", (64, 48)).save(folder / "p.jpg")


@pytest.mark.parametrize("name", SAMPLES)
def test_a_frame_with_a_lost_shape_is_never_empty(name: str, tmp_path: Path) -> None:
    write(tmp_path, SAMPLES[name]())
    labels = read_labels(tmp_path, options=ReadOptions(format=name, size_hw=(48, 64)))
    empty = [
        (video.name, frame)
        for video in labels.videos
        for frame in video.annotated_frames.tolist()
        if not (video.box_frames == frame).any()
    ]
    assert not empty, labels.warnings
    assert any(video.ignore.any() for video in labels.videos)
    assert name in UNCOUNTED or sum(warning.count for warning in labels.warnings) >= 1


def test_every_promise_has_a_sample() -> None:
    promised = {
        name
        for name, reader in READERS.items()
        if any("an ignored region" in text for text in reader.DROPS)
    }
    assert promised == set(SAMPLES)
