"""What a reader drops or converts is counted and said; no frame with a lost shape is read as empty.

`CASES` holds a file for each line of a reader's `DROPS`; a reader, or a line, without one fails.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from lstmcli.labels.builder import DROPS_OF_ALL
from lstmcli.labels.readers import READERS
from lstmcli.labels.search import ReadOptions, read_labels

IMAGE = {"height": 48, "width": 64}
IGNORED = "an ignored region"


@dataclass(frozen=True)
class Drop:
    """A file with one case of something that is dropped or converted.

    Args:
        line: of the reader's `DROPS`.
        files: path and content (objects are written as JSON).
        said: part of the warning.
        count: how often it is said.
    """

    line: str
    files: dict[str, object]
    said: str
    count: int = 1


def coco(*annotations: dict[str, Any], images: int = 1) -> dict[str, object]:
    """Annotations without an image are of the first one."""
    pictures = [{"id": n + 1, "file_name": "p.jpg", **IMAGE} for n in range(images)]
    rows = [{"id": n, "image_id": 1, "category_id": 1} | row for n, row in enumerate(annotations)]
    categories = [{"id": 1, "name": "bee"}]
    return {"a.json": {"images": pictures, "categories": categories, "annotations": rows}}


def coco_without(key: str, **row: object) -> dict[str, object]:
    files = coco({"bbox": [1, 2, 9, 9]} | row)
    top: Any = files["a.json"]
    del top["annotations"][0][key]
    return files


BOX = {"bbox": [1, 2, 9, 9]}
COCO = (
    Drop(
        "annotations without a bbox: the hull of segmentation or key points is kept",
        coco({"segmentation": [[1, 1, 9, 2, 9, 9]]}, {"keypoints": [3, 3, 2, 9, 9, 2, 0, 0, 0]}),
        "without a bbox; the hull",
        2,
    ),
    Drop("annotations without any of them: an ignored region", coco({}), "no box surrounds"),
    Drop(
        "annotations of images that are not listed: left out",
        coco(BOX | {"image_id": 9}, BOX),
        "image that is not listed; left out",
    ),
    Drop(
        "annotations that name no image: left out",
        coco_without("image_id"),
        "without image or box; left out",
    ),
    Drop(
        "annotations of categories that are not listed: a class named by the number",
        coco(BOX | {"category_id": 7}),
        "not among the categories",
    ),
    Drop(
        "annotations without a category: the class 'object'",
        coco_without("category_id"),
        "called 'object'",
    ),
    Drop(
        "images listed twice under two ids: joined", coco(BOX, images=2), "one image file under two"
    ),
    Drop(
        "scores that are not above 0 and at most 1: left out; others are kept as soft labels",
        coco(BOX | {"score": 7}, {"bbox": [3, 3, 8, 8], "score": 0.5}),
        "a score that is not above 0",
    ),
)


def createml(*boxes: tuple[float, float, float, float]) -> dict[str, object]:
    rows = [
        {"label": "bee", "coordinates": dict(zip(("x", "y", "width", "height"), box, strict=True))}
        for box in boxes
    ]
    return {"a.json": [{"image": "p.jpg", "annotations": rows}]}


INSIDE = [(20.0 + n, 20.0, 10.0, 10.0) for n in range(19)]
CREATEML = (
    Drop(
        "x and y of an upper left corner: taken as such where many boxes would begin outside",
        createml((0, 0, 10, 10), *INSIDE),
        "upper left corner",
    ),
    Drop(
        "boxes that begin outside of the picture: kept, cut to it later",
        createml((3, 20, 10, 10), *INSIDE),
        "begins outside of the picture",
    ),
)
CSV = (
    Drop(
        "rows of four zeros or empty cells: an empty picture",
        {"a.csv": "filename,class,xmin,ymin,xmax,ymax\np.jpg,,0,0,0,0\nq.jpg,,,,,\n"},
        "without a box; its picture is empty",
        2,
    ),
    Drop(
        "rows without a class: the class 'object'",
        {"a.csv": "filename,xmin,ymin,xmax,ymax,kind of thing\np.jpg,1,2,9,9,bee\n"},
        "called 'object'",
    ),
    Drop(
        "decimal commas: taken for points",
        {"a.csv": "filename;class;xmin;ymin;xmax;ymax\np.jpg;bee;1,5;2;9;9\n"},
        "decimal commas",
    ),
    Drop(
        "four numbers without names, many of which are no corners: taken for x, y, width, height",
        {"a.csv": 'image,class,bbox\np.jpg,bee,"[30, 30, 9, 9]"\np.jpg,bee,"[40, 20, 9, 9]"\n'},
        "taken for x, y, width, height",
        0,
    ),
)


def cvat(inner: str) -> dict[str, object]:
    image = f'<image id="0" name="p.jpg" width="64" height="48">{inner}</image>'
    return {"a.xml": f"<annotations><version>1.1</version>{image}</annotations>"}


def cvat_track(inner: str) -> dict[str, object]:
    task = "<task><id>1</id><size>6</size><source>clip.mp4</source></task>"
    track = f'<track id="0" label="bee">{inner}</track>'
    return {"a.xml": f"<annotations><meta>{task}</meta>{track}</annotations>"}


CVAT_HELD = (
    Drop(
        "shapes other than boxes, rotated boxes: the upright hull is kept",
        cvat(
            '<polygon label="bee" points="1,1;9,2;9,9"></polygon>'
            '<ellipse label="bee" cx="20" cy="20" rx="5" ry="6"></ellipse>'
            '<box label="bee" xtl="1" ytl="2" xbr="30" ybr="9" rotation="30"></box>'
        ),
        "upright bounding box",
        3,
    ),
    Drop(
        "single points: an ignored region",
        cvat('<points label="bee" points="9.0,9.0"></points>'),
        "no box surrounds",
    ),
    Drop("tags of whole pictures: left out", cvat('<tag label="day"></tag>'), "a tag of a whole"),
    Drop(
        "elements that are not known: an ignored region where the picture is otherwise empty",
        cvat('<superquadric label="bee" a="1"></superquadric>'),
        "'superquadric' is not known",
    ),
)
CVAT = (
    *CVAT_HELD,
    Drop(
        "frames after the last written box of a track that never ends: without it",
        cvat_track('<box frame="1" xtl="1" ytl="2" xbr="9" ybr="9" outside="0"/>'),
        "a track that never ends",
    ),
)


def datumaro(**annotation: object) -> dict[str, object]:
    item = {"id": "p", "image": {"path": "p.jpg", "size": [48, 64]}}
    categories = {"label": {"labels": [{"name": "bee"}]}}
    return {
        "a.json": {
            "infos": {},
            "categories": categories,
            "items": [item | {"annotations": [{"label_id": 0} | annotation]}],
        }
    }


DATUMARO = (
    Drop(
        "shapes other than boxes: the upright hull is kept",
        datumaro(type="polygon", points=[1, 1, 9, 2, 9, 9]),
        "upright bounding box",
    ),
    Drop(
        "shapes that no box surrounds: an ignored region",
        datumaro(type="points", points=[9, 9]),
        "no box surrounds",
    ),
    Drop("labels and captions of whole items: left out", datumaro(type="label"), "not a shape"),
)
DLIB = (
    Drop(
        "boxes marked ignore: an ignored region",
        {
            "a.xml": '<dataset><images><image file="p.jpg" width="64" height="48"><box top="1" '
            'left="2" width="9" height="9" ignore="1"/></image></images></dataset>'
        },
        "marked ignore",
    ),
)
CAR = "Car 0.0 0 0.0 1.0 1.0 9.0 9.0 1 1 1 1 1 1 0\n"
KITTI = (
    Drop(
        "DontCare: an ignored region",
        {
            "label_2/000000.txt": "DontCare -1 -1 -10 5.0 5.0 20.0 20.0 -1 -1 -1 -1 -1 -1 -10\n",
            "label_2/000001.txt": CAR,
        },
        "a DontCare",
    ),
    Drop(
        "a number between type and the numbers of KITTI: taken for a track id",
        {"label_2/000000.txt": CAR.replace("Car", "Car 7").replace("\n", " 0.9\n")},
        "taken for a track id",
    ),
)


def studio(*results: dict[str, Any], **task: object) -> dict[str, object]:
    sized = [
        {"original_width": 64, "original_height": 48, "id": f"{n}"} | row
        for n, row in enumerate(results)
    ]
    whole = {"data": {"image": "p.jpg"}, "annotations": [{"result": sized}]} | task
    return {"a.json": [whole]}


def studio_rectangle(**value: object) -> dict[str, Any]:
    sides = {"x": 10, "y": 10, "width": 20, "height": 20, "rectanglelabels": ["bee"]}
    return {"type": "rectanglelabels", "value": sides | value}


RECTANGLE = studio_rectangle()
PEOPLE = [
    {"completed_by": n, "result": [RECTANGLE | {"original_width": 64, "original_height": 48}]}
    for n in (1, 2)
]
VIDEO_VALUE = {
    "labels": ["bee"],
    "framesCount": 2,
    "sequence": [{"frame": 1, "vertices": []}, {"frame": 2, "vertices": []}],
}
LABEL_STUDIO = (
    Drop(
        "shapes other than boxes, rotated boxes: the upright hull is kept",
        studio(
            {
                "type": "polygonlabels",
                "value": {"points": [[5, 20], [17, 22], [15, 44]], "polygonlabels": ["bee"]},
            },
            studio_rectangle(rotation=30),
        ),
        "upright bounding box",
        2,
    ),
    Drop(
        "key points: an ignored region",
        studio(
            {
                "type": "keypointlabels",
                "value": {"x": 10, "y": 10, "width": 1, "keypointlabels": ["bee"]},
            }
        ),
        "no box surrounds",
    ),
    Drop(
        "shapes of a video that are no boxes: an ignored region where the frame is otherwise empty",
        studio({"type": "videovector", "value": VIDEO_VALUE}, data={"video": "a.mp4"}),
        "'videovector', not a shape",
    ),
    Drop(
        "annotations of further people: left out",
        studio(annotations=PEOPLE),
        "annotations of several people",
    ),
    Drop(
        "cancelled annotations: left out",
        studio(annotations=[{"was_cancelled": True, "result": []}, PEOPLE[0]]),
        "a cancelled annotation",
    ),
    Drop(
        "tasks without annotation: unannotated",
        {"a.json": [*studio(RECTANGLE)["a.json"], {"data": {"image": "q.jpg"}, "annotations": []}]},  # type: ignore[misc]
        "without annotation",
    ),
    Drop(
        "tasks written again: read once",
        {"a.json": [dict(studio(RECTANGLE)["a.json"][0], id=1)] * 2},  # type: ignore[index]
        "a task written again",
    ),
    Drop(
        "choices, texts, ratings and relations: left out",
        studio(RECTANGLE, {"type": "choices", "value": {"choices": ["day"]}}),
        "'choices', not a shape",
    ),
    Drop(
        "labels of a region after the first: left out",
        studio(studio_rectangle(rectanglelabels=["bee", "wasp"])),
        "several labels",
    ),
    Drop(
        "regions without a label: the class 'object'",
        studio(studio_rectangle(rectanglelabels=[])),
        "called 'object'",
    ),
)


def labelbox(*objects: dict[str, Any], labels: int = 1) -> dict[str, object]:
    named = [
        {"name": "bee", "value": "bee", "feature_id": str(n)} | item
        for n, item in enumerate(objects)
    ]
    label = {"annotations": {"objects": named, "classifications": []}}
    row = {
        "data_row": {"id": "1", "external_id": "p.jpg"},
        "media_attributes": IMAGE,
        "projects": {"p": {"labels": [label] * labels}},
    }
    return {"a.ndjson": json.dumps(row) + "\n"}


POINTS = [{"x": 1, "y": 1}, {"x": 9, "y": 2}, {"x": 9, "y": 9}]
LABELBOX = (
    Drop(
        "polygons and lines: the upright hull is kept",
        labelbox({"polygon": POINTS}, {"line": POINTS[:2]}),
        "upright bounding box",
        2,
    ),
    Drop(
        "points and masks behind an address: an ignored region",
        labelbox({"point": POINTS[0]}, {"mask": {"url": "https://x/y.png"}}),
        "no box surrounds",
        2,
    ),
    Drop(
        "labels of further annotators: left out",
        labelbox({"polygon": POINTS}, labels=3),
        "labels of several people",
        2,
    ),
    Drop(
        "rows without labels: unannotated",
        {
            "a.ndjson": f"{labelbox(labels=0)['a.ndjson']}"
            + f"{labelbox({'polygon': POINTS})['a.ndjson']}".replace('"1"', '"2"')
        },
        "without labels; unannotated",
    ),
)


def labelme(kind: str, points: list[list[float]]) -> dict[str, object]:
    shapes = [{"label": "bee", "points": points, "shape_type": kind}]
    top = {"shapes": shapes, "imagePath": "p.jpg", "imageHeight": 48, "imageWidth": 64}
    return {"p.json": top}


LABELME = (
    Drop(
        "shapes other than boxes: the upright hull is kept",
        labelme("polygon", [[1, 1], [9, 2], [9, 9]]),
        "upright bounding box",
    ),
    Drop("points: an ignored region", labelme("point", [[9, 9]]), "no box surrounds"),
    Drop(
        "JSON files of other formats: left out",
        labelme("rectangle", [[1, 1], [9, 9]]) | {"settings.json": {"a": 1}},
        "not of LabelMe; left out",
    ),
)
INI = "[Sequence]\nname=MOT16-99\nframeRate=25\nimWidth=64\nimHeight=48\n"


def mot(*rows: str) -> dict[str, object]:
    return {"s/gt/gt.txt": "\n".join(rows), "s/seqinfo.ini": INI}


MOT = (
    Drop("rows with flag 0: an ignored region", mot("1,1,5,5,9,9,0,1,1"), "flag 0"),
    Drop(
        "distractors of MOTChallenge sets of pedestrians: an ignored region",
        mot("1,1,5,5,9,9,1,8,1", "2,1,5,5,9,9,1,1,1"),
        "a distractor",
    ),
    Drop(
        "vehicles, bicycles and occluders of such sets: left out",
        mot("1,1,5,5,9,9,1,3,1", "1,2,5,5,9,9,1,1,1"),
        "no target",
    ),
    Drop(
        "an eighth column of ten: taken for the class",
        mot("1,1,5,5,9,9,1,1,1,-1", "1,2,5,5,9,9,1,1,1,-1"),
        "eighth of ten columns",
    ),
)


def openlabel(kind: str, **data: list[dict[str, Any]]) -> dict[str, object]:
    item = {"name": "x", "type": kind, "object_data": data}
    return {"a.json": {"openlabel": {"metadata": {}, "objects": {"1": item}}}}


OPENLABEL = (
    Drop(
        "poly2d and rbbox: the upright hull is kept",
        openlabel(
            "bee",
            rbbox=[{"name": "r", "val": [20, 20, 10, 5, 0.3]}],
            poly2d=[{"name": "p", "val": [1, 1, 9, 2, 9, 9], "mode": "MODE_POLY2D_ABSOLUTE"}],
        ),
        "upright bounding box",
        2,
    ),
    Drop(
        "shapes in the picture that no box surrounds: an ignored region",
        openlabel("bee", point2d=[{"name": "p", "val": [9, 9]}]),
        "'point2d' that no box surrounds",
    ),
    Drop(
        "cuboids and other shapes in space: an ignored region where the frame is otherwise empty",
        openlabel("bee", cuboid=[{"name": "c", "val": [0] * 9}]),
        "'cuboid' that no box surrounds",
    ),
    Drop(
        "DontCare: an ignored region",
        openlabel("DontCare", bbox=[{"name": "b", "val": [20, 20, 10, 5]}]),
        "a DontCare",
    ),
)


def scalabel(*labels: dict[str, Any]) -> dict[str, object]:
    named = [{"id": f"{n}", "category": "bee"} | row for n, row in enumerate(labels)]
    return {"a.json": [{"name": "p.jpg", "videoName": "", "labels": named, "size": IMAGE}]}


BOX_2D = {"box2d": {"x1": 1, "y1": 2, "x2": 9, "y2": 9}}
SCALABEL = (
    Drop(
        "polygons, masks and graphs: the upright hull is kept",
        scalabel({"poly2d": [{"vertices": [[1, 1], [9, 2], [9, 9]], "types": "LLL"}]}),
        "upright bounding box",
    ),
    Drop(
        "shapes that no box surrounds: an ignored region",
        scalabel({"poly2d": [{"vertices": [[9, 9]], "types": "L"}]}),
        "no box surrounds",
    ),
    Drop(
        "3D boxes without box2d: an ignored region where the frame is otherwise empty",
        scalabel({"box3d": {"location": [0, 0, 1]}}),
        "'box3d' that no box surrounds",
    ),
    Drop(
        "crowds and the category ignored: an ignored region",
        scalabel(BOX_2D | {"attributes": {"crowd": True}}, BOX_2D | {"category": "ignored"}),
        "a crowd or a region to ignore",
        2,
    ),
    Drop(
        "frames whose labels are null: unannotated",
        {"a.json": [{"name": "p.jpg", "videoName": "", "labels": None}]},
        "without a list of labels",
    ),
)


def supervisely(kind: str, points: list[list[float]]) -> dict[str, object]:
    geometry = {"points": {"exterior": points, "interior": []}}
    figure = {"objectKey": "k", "geometryType": kind, "geometry": geometry}
    frames = [{"index": 0, "figures": [figure]}]
    objects = [{"key": "k", "classTitle": "bee", "tags": []}]
    top = {"size": IMAGE, "framesCount": 1, "objects": objects, "frames": frames}
    return {"ds/ann/a.mp4.json": top}


SUPERVISELY = (
    Drop(
        "shapes other than boxes: the upright hull is kept",
        supervisely("polygon", [[1, 1], [9, 2], [9, 9]]),
        "upright bounding box",
    ),
    Drop("points: an ignored region", supervisely("point", [[9, 9]]), "no box surrounds"),
)
UA_DETRAC = (
    Drop(
        "ignored_region: an ignored region in every frame",
        {
            "a.xml": '<sequence name="s"><ignored_region><box left="5" top="6" width="2" '
            'height="2"/></ignored_region><frame num="2"/></sequence>'
        },
        "an ignored_region",
    ),
)
VATIC = (
    Drop(
        "boxes marked lost (outside of the view): left out",
        {"a.txt": '0 1 2 9 9 0 0 0 0 "bee"\n0 1 2 9 9 1 1 0 0 "bee"\n'},
        "marked lost",
    ),
)


def via(**shape: object) -> dict[str, object]:
    region = {"shape_attributes": shape, "region_attributes": {"class": "bee"}}
    return {"a.json": {"p.jpg1": {"filename": "p.jpg", "size": 1, "regions": [region]}}}


def via_third(**item: object) -> dict[str, object]:
    return {
        "a.json": {
            "project": {},
            "attribute": {},
            "file": {"1": {"fname": "p.jpg", "type": 2, "src": "p.jpg"}},
            "view": {"1": {"fid_list": ["1"]}},
            "metadata": {"a": {"vid": "1", "z": [], "av": {}} | item},
        }
    }


VIA = (
    Drop(
        "shapes other than boxes: the upright hull is kept",
        via(name="circle", cx=20, cy=20, r=5),
        "upright bounding box",
    ),
    Drop("points: an ignored region", via(name="point", cx=9, cy=9), "no box surrounds"),
    Drop(
        "segments of time and notes of whole frames: left out",
        via_third(xy=[], av={"1": "day"}),
        "a segment of time or a note",
    ),
    Drop(
        "regions without a label: the class 'object'",
        via_third(xy=[2, 1, 2, 9, 9]),
        "called 'object'",
    ),
)
VISDRONE = (
    Drop(
        "categories 0 and 11 and rows with score 0: an ignored region",
        {"annotations/a.txt": "1,0,5,5,9,9,0,0,0,0\n1,1,5,5,9,9,1,11,0,0\n1,2,5,5,9,9,0,4,0,0\n"},
        "category 0 or 11",
        3,
    ),
)


def voc(inner: str) -> dict[str, object]:
    size = "<size><width>64</width><height>48</height><depth>3</depth></size>"
    item = f"<object><name>bee</name>{inner}</object>"
    return {"p.xml": f"<annotation><filename>p.jpg</filename>{size}{item}</annotation>"}


BNDBOX = "<bndbox><xmin>1</xmin><ymin>2</ymin><xmax>9</xmax><ymax>9</ymax></bndbox>"
TURNED = "<robndbox><cx>20</cx><cy>20</cy><w>9</w><h>5</h><angle>0.3</angle></robndbox>"
VOC = (
    Drop("polygons and rotated boxes: the upright hull is kept", voc(TURNED), "upright bounding"),
    Drop("objects without a shape (masks): an ignored region", voc("<mask>A</mask>"), "no box sur"),
    Drop(
        "difficult objects: an ignored region",
        voc(f"<difficult>1</difficult>{BNDBOX}"),
        "marked difficult",
    ),
    Drop("deleted objects: left out", voc(f"<deleted>1</deleted>{BNDBOX}"), "a deleted object"),
    Drop(
        "XML files of other formats: left out",
        voc(BNDBOX) | {"q.xml": "<other/>"},
        "no VOC; left out",
    ),
)


def vott(state: int = 2, **region: object) -> dict[str, object]:
    box = {"left": 1, "top": 2, "width": 9, "height": 9}
    asset = {"name": "p.jpg", "type": 1, "state": state, "size": IMAGE}
    regions = [{"tags": ["bee"], "boundingBox": box} | region]
    return {"a.json": {"assets": {"1": {"asset": asset, "regions": regions}}}}


VOTT = (
    Drop("polygons: the upright hull is kept", vott(type="POLYGON"), "upright bounding box"),
    Drop("tags of a region after the first: left out", vott(tags=["a", "b"]), "several tags"),
    Drop("regions without a tag: the class 'object'", vott(tags=[]), "called 'object'"),
    Drop(
        "assets that were never opened: unannotated",
        vott() | {"b.json": vott(state=0)["a.json"]},
        "never opened",
    ),
)
POSE = "0 0.5 0.5 0.2 0.2 " + "0.45 0.45 2 0.5 0.5 2\n"
TURNED_BOX = "1 1 9 1 9 9 1 9 bee "
YOLO = (
    Drop(
        "polygons, turned boxes: the upright hull is kept",
        {"labels/p.txt": "0 0.1 0.1 0.3 0.1 0.3 0.4\n0 0.1 0.1 0.3 0.1 0.3 0.4 0.1 0.4\n"},
        "upright bounding box",
        2,
    ),
    Drop("key points behind a box: left out", {"labels/p.txt": POSE * 2}, "key points behind", 2),
    Drop(
        "a sixth number behind a box (score or track id): left out",
        {"labels/p.txt": "0 0.5 0.5 0.2 0.2 0.9\n"},
        "a sixth number",
    ),
    Drop(
        "difficult objects of DOTA: an ignored region",
        {"labels/p.txt": f"{TURNED_BOX}1\n", "data.yaml": "names: [bee]\ntrain: images\n"},
        "difficult object of DOTA",
    ),
    Drop(
        "label files whose image is not there: left out",
        {"labels/p.txt": "0 0.5 0.5 0.2 0.2\n", "labels/q.txt": "0 0.5 0.5 0.2 0.2\n"},
        "image is not there; left out",
    ),
    Drop(
        "second label files of an image, texts without labels: left out",
        {
            "labels/p.txt": "0 0.5 0.5 0.2 0.2\n",
            "notes/labels/p.txt": "0 0.5 0.5 0.2 0.2\n",
            "labels/notes.txt": "seen at noon\n",
            "data.yaml": "names: [bee]\ntrain: images\n",
        },
        "; left out",
        2,
    ),
    Drop(
        "images without a label file: unannotated",
        {"labels/p.txt": "0 0.5 0.5 0.2 0.2\n"},
        "without a label file; unannotated",
    ),
)
CASES: dict[str, tuple[Drop, ...]] = {
    "coco": COCO,
    "createml": CREATEML,
    "csv": CSV,
    "cvat": CVAT,
    "cvat_held": CVAT_HELD,
    "datumaro": DATUMARO,
    "dlib": DLIB,
    "kitti": KITTI,
    "label_studio": LABEL_STUDIO,
    "labelbox": LABELBOX,
    "labelme": LABELME,
    "lightly": (),
    "mot": MOT,
    "openlabel": OPENLABEL,
    "scalabel": SCALABEL,
    "supervisely": SUPERVISELY,
    "ua_detrac": UA_DETRAC,
    "vatic": VATIC,
    "via": VIA,
    "visdrone": VISDRONE,
    "voc": VOC,
    "vott": VOTT,
    "yolo": YOLO,
}


def write(folder: Path, files: dict[str, object]) -> None:
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        text = content if isinstance(content, str) else json.dumps(content)
        path.write_text(text, encoding="utf-8")
    is_yolo = any(name.startswith("labels/") for name in files)
    (folder / "images").mkdir()
    for name in ("images/p.jpg", "images/unlabelled.jpg") if is_yolo else ("p.jpg",):
        Image.new("RGB", (64, 48)).save(folder / name)


def cases() -> Iterator[Any]:
    for name, drops in CASES.items():
        for drop in drops:
            yield pytest.param(name, drop, id=f"{name}: {drop.line}")


@pytest.mark.parametrize(("name", "drop"), list(cases()))
def test_what_is_dropped_is_counted_and_said(name: str, drop: Drop, tmp_path: Path) -> None:
    write(tmp_path, drop.files)
    size_hw = None if name == "yolo" else (48, 64)
    labels = read_labels(tmp_path, options=ReadOptions(format=name, size_hw=size_hw))
    said = {warning.text: warning.count for warning in labels.warnings}
    found = sum(count for text, count in said.items() if drop.said in text)
    assert found == drop.count, said
    if IGNORED in drop.line:
        assert any(video.ignore.any() for video in labels.videos)
        empty = [
            (video.name, frame)
            for video in labels.videos
            for frame in video.annotated_frames.tolist()
            if not (video.box_frames == frame).any()
        ]
        assert not empty, "a frame with a lost shape is never empty"


def test_every_line_of_every_reader_has_a_case() -> None:
    assert set(CASES) == set(READERS)
    for name, reader in READERS.items():
        assert [drop.line for drop in CASES[name]] == list(reader.DROPS), name


def test_what_all_readers_drop_is_counted(tmp_path: Path) -> None:
    boxes = [[1, 2, 9, 9]] * 12 + [[30, 40, -9, 5]] + [[5, 5, 0, 0]]
    write(tmp_path, coco(*({"bbox": box} for box in boxes)))
    said = {w.text: w.count for w in read_labels(tmp_path / "a.json").warnings}
    assert said == {
        "a box with its corners in the wrong order; reordered": 1,
        "a box without area; left out": 1,
        "the same box of the same object written again; one is kept": 11,
    }
    assert len(DROPS_OF_ALL) == len(said)


def test_a_frame_with_nothing_but_a_click_is_ignored_and_not_empty(tmp_path: Path) -> None:
    write(tmp_path, coco({"bbox": [5, 5, 0, 0]}))
    (video,) = read_labels(tmp_path / "a.json").videos
    assert video.ignore.tolist() == [True]
    assert video.boxes.tolist() == [[0, 0, 64, 48]]
