"""Small label files of every format that a reader knows, all with the same boxes.

Each function writes boxes (corners) as its format has them, of the picture `p.jpg` (or of a film or
a numbered image, see `MEDIA`) and the class `bee`; it returns the file's path and text.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from conftest import write_video
from PIL import Image

WIDTH, HEIGHT = 640, 360
Box = tuple[float, float, float, float]


def sides(box: Box) -> Box:
    """Left, top, width and height."""
    return box[0], box[1], box[2] - box[0], box[3] - box[1]


def coco(boxes: Sequence[Box]) -> tuple[str, str]:
    images = [{"id": 1, "file_name": "p.jpg", "width": WIDTH, "height": HEIGHT}]
    rows = [
        {"id": n, "image_id": 1, "category_id": 1, "bbox": sides(box)}
        for n, box in enumerate(boxes)
    ]
    top = {"images": images, "annotations": rows, "categories": [{"id": 1, "name": "bee"}]}
    return "a.json", json.dumps(top)


def voc(boxes: Sequence[Box]) -> tuple[str, str]:
    rows = "".join(
        f"<object><name>bee</name><bndbox><xmin>{a}</xmin><ymin>{b}</ymin><xmax>{c}</xmax>"
        f"<ymax>{d}</ymax></bndbox></object>"
        for a, b, c, d in boxes
    )
    size = f"<size><width>{WIDTH}</width><height>{HEIGHT}</height></size>"
    return "p.xml", f"<annotation><filename>p.jpg</filename>{size}{rows}</annotation>"


def csv_table(boxes: Sequence[Box]) -> tuple[str, str]:
    rows = [f"p.jpg,{WIDTH},{HEIGHT},bee,{a},{b},{c},{d}" for a, b, c, d in boxes]
    return "a.csv", "\n".join(["filename,width,height,class,xmin,ymin,xmax,ymax", *rows])


def cvat(boxes: Sequence[Box]) -> tuple[str, str]:
    rows = "".join(
        f'<box label="bee" xtl="{a}" ytl="{b}" xbr="{c}" ybr="{d}"/>' for a, b, c, d in boxes
    )
    image = f'<image id="0" name="p.jpg" width="{WIDTH}" height="{HEIGHT}">{rows}</image>'
    return "a.xml", f"<annotations><meta/>{image}</annotations>"


def datumaro(boxes: Sequence[Box]) -> tuple[str, str]:
    rows = [
        {"id": n, "type": "bbox", "label_id": 0, "bbox": sides(box)} for n, box in enumerate(boxes)
    ]
    item = {"id": "p", "image": {"path": "p.jpg", "size": [HEIGHT, WIDTH]}, "annotations": rows}
    categories = {"label": {"labels": [{"name": "bee"}]}}
    return "a.json", json.dumps({"infos": {}, "categories": categories, "items": [item]})


def dlib(boxes: Sequence[Box]) -> tuple[str, str]:
    rows = "".join(
        f'<box left="{a}" top="{b}" width="{c}" height="{d}"><label>bee</label></box>'
        for a, b, c, d in map(sides, boxes)
    )
    image = f'<image file="p.jpg" width="{WIDTH}" height="{HEIGHT}">{rows}</image>'
    return "a.xml", f"<dataset><images>{image}</images></dataset>"


def kitti(boxes: Sequence[Box]) -> tuple[str, str]:
    rows = [f"bee 0 0 0 {a} {b} {c} {d} 1 1 1 1 1 1 0" for a, b, c, d in boxes]
    return "000000.txt", "\n".join(rows)


def label_studio(boxes: Sequence[Box]) -> tuple[str, str]:
    results = []
    for n, box in enumerate(boxes):
        x, y, w, h = sides(box)
        value = {
            "x": 100 * x / WIDTH,
            "y": 100 * y / HEIGHT,
            "width": 100 * w / WIDTH,
            "height": 100 * h / HEIGHT,
            "rectanglelabels": ["bee"],
        }
        result = {"id": f"r{n}", "type": "rectanglelabels", "value": value}
        results.append(result | {"original_width": WIDTH, "original_height": HEIGHT})
    task = {"data": {"image": "p.jpg"}, "annotations": [{"result": results}]}
    return "a.json", json.dumps([task])


def labelbox(boxes: Sequence[Box]) -> tuple[str, str]:
    objects = []
    for n, (x, y, w, h) in enumerate(map(sides, boxes)):
        box = {"left": x, "top": y, "width": w, "height": h}
        objects.append({"name": "bee", "feature_id": str(n), "bounding_box": box})
    label = {"annotations": {"objects": objects, "classifications": []}}
    row = {
        "data_row": {"id": "1", "external_id": "p.jpg"},
        "media_attributes": {"height": HEIGHT, "width": WIDTH},
        "projects": {"p": {"labels": [label]}},
    }
    return "a.ndjson", json.dumps(row)


def labelme(boxes: Sequence[Box]) -> tuple[str, str]:
    shapes = [
        {"label": "bee", "shape_type": "rectangle", "points": [[a, b], [c, d]]}
        for a, b, c, d in boxes
    ]
    top = {"imagePath": "p.jpg", "imageWidth": WIDTH, "imageHeight": HEIGHT, "shapes": shapes}
    return "p.json", json.dumps(top)


def lightly(boxes: Sequence[Box]) -> tuple[str, str]:
    rows = [{"category_id": 0, "bbox": sides(box), "score": 1} for box in boxes]
    return "p.json", json.dumps({"file_name": "p.jpg", "predictions": rows})


def mot(boxes: Sequence[Box]) -> tuple[str, str]:
    rows = [f"{n + 1},1,{a},{b},{c},{d},1,1,1" for n, (a, b, c, d) in enumerate(map(sides, boxes))]
    return "s/gt/gt.txt", "\n".join(rows)


def openlabel(boxes: Sequence[Box]) -> tuple[str, str]:
    rows = []
    for n, box in enumerate(boxes):
        x, y, w, h = sides(box)
        rows.append({"name": str(n), "val": [x + w / 2, y + h / 2, w, h]})
    item = {"name": "x", "type": "bee", "object_data": {"bbox": rows}}
    return "a.json", json.dumps({"openlabel": {"metadata": {}, "objects": {"1": item}}})


def scalabel(boxes: Sequence[Box]) -> tuple[str, str]:
    labels = [
        {
            "id": str(n),
            "category": "bee",
            "box2d": dict(zip(("x1", "y1", "x2", "y2"), box, strict=True)),
        }
        for n, box in enumerate(boxes)
    ]
    size = {"width": WIDTH, "height": HEIGHT}
    return "a.json", json.dumps([{"name": "p.jpg", "labels": labels, "size": size}])


def supervisely(boxes: Sequence[Box]) -> tuple[str, str]:
    figures = [
        {
            "objectKey": "k",
            "geometryType": "rectangle",
            "geometry": {"points": {"exterior": [[a, b], [c, d]], "interior": []}},
        }
        for a, b, c, d in boxes
    ]
    top = {
        "size": {"height": HEIGHT, "width": WIDTH},
        "framesCount": 1,
        "objects": [{"key": "k", "classTitle": "bee"}],
        "frames": [{"index": 0, "figures": figures}],
    }
    return "ds/ann/a.mp4.json", json.dumps(top)


def ua_detrac(boxes: Sequence[Box]) -> tuple[str, str]:
    rows = "".join(
        f'<target id="{n}"><box left="{a}" top="{b}" width="{c}" height="{d}"/></target>'
        for n, (a, b, c, d) in enumerate(map(sides, boxes))
    )
    frame = f'<frame num="1"><target_list>{rows}</target_list></frame>'
    return "s.xml", f'<sequence name="s">{frame}</sequence>'


def vatic(boxes: Sequence[Box]) -> tuple[str, str]:
    rows = [
        f'{n} {round(a)} {round(b)} {round(c)} {round(d)} 0 0 0 0 "bee"'
        for n, (a, b, c, d) in enumerate(boxes)
    ]
    return "a.txt", "\n".join(rows)


def via(boxes: Sequence[Box]) -> tuple[str, str]:
    regions = []
    for x, y, w, h in map(sides, boxes):
        shape = {"name": "rect", "x": x, "y": y, "width": w, "height": h}
        regions.append({"shape_attributes": shape, "region_attributes": {"class": "bee"}})
    return "a.json", json.dumps({"p": {"filename": "p.jpg", "size": 1, "regions": regions}})


def visdrone(boxes: Sequence[Box]) -> tuple[str, str]:
    rows = [",".join(str(round(side)) for side in sides(box)) + ",1,4,0,0" for box in boxes]
    return "annotations/p.txt", "\n".join(rows)


def vott(boxes: Sequence[Box]) -> tuple[str, str]:
    regions = []
    for x, y, w, h in map(sides, boxes):
        box = {"left": x, "top": y, "width": w, "height": h}
        regions.append({"tags": ["bee"], "boundingBox": box})
    size = {"width": WIDTH, "height": HEIGHT}
    asset = {"name": "p.jpg", "type": 1, "state": 2, "size": size}
    return "a.json", json.dumps({"assets": {"1": {"asset": asset, "regions": regions}}})


def yolo(boxes: Sequence[Box]) -> tuple[str, str]:
    rows = []
    for box in boxes:
        x, y, w, h = sides(box)
        values = ((x + w / 2) / WIDTH, (y + h / 2) / HEIGHT, w / WIDTH, h / HEIGHT)
        rows.append("0 " + " ".join(f"{value:.8f}" for value in values))
    return "labels/p.txt", "\n".join(rows)


def createml(boxes: Sequence[Box]) -> tuple[str, str]:
    rows = []
    for x, y, w, h in map(sides, boxes):
        coordinates = {"x": x + w / 2, "y": y + h / 2, "width": w, "height": h}
        rows.append({"label": "bee", "coordinates": coordinates})
    return "a.json", json.dumps([{"image": "p.jpg", "annotations": rows}])


Write = Callable[[Sequence[Box]], tuple[str, str]]
WRITE: dict[str, Write] = {
    "coco": coco,
    "createml": createml,
    "csv": csv_table,
    "cvat": cvat,
    "datumaro": datumaro,
    "dlib": dlib,
    "kitti": kitti,
    "label_studio": label_studio,
    "labelbox": labelbox,
    "labelme": labelme,
    "lightly": lightly,
    "mot": mot,
    "openlabel": openlabel,
    "scalabel": scalabel,
    "supervisely": supervisely,
    "ua_detrac": ua_detrac,
    "vatic": vatic,
    "via": via,
    "visdrone": visdrone,
    "voc": voc,
    "vott": vott,
    "yolo": yolo,
}
"""Writes boxes (corners) as each format has them; `cvat_held` is CVAT's."""


MEDIA = {
    "kitti": "000000.png",
    "mot": "s/img1/{:06d}.jpg",
    "openlabel": "a.mp4",
    "supervisely": "ds/video/a.mp4",
    "ua_detrac": "s/img00001.jpg",
    "vatic": "a.mp4",
    "visdrone": "images/p.jpg",
    "yolo": "images/p.jpg",
}
"""Where the medium of a format lies, if not at `p.jpg`; with a number: an image a frame, from 1."""


def write_sample(folder: Path, name: str, boxes: Sequence[Box]) -> Path:
    """Write a label file of a format; return it."""
    file, text = WRITE[name](boxes)
    path = folder / file
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return path


def write_media(folder: Path, name: str, *, frames: int = 1) -> None:
    """Write the picture, pictures or film that `write_sample` labels."""
    written = MEDIA.get(name, "p.jpg")
    path = folder / written
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == ".mp4":
        write_video(path, [np.full((HEIGHT, WIDTH, 3), 90, np.uint8)] * frames)
        return
    for number in range(1, frames + 1):
        Image.new("RGB", (WIDTH, HEIGHT), (90, 90, 90)).save(folder / written.format(number))
