"""Hulls of shapes, by hand and by brute force; no frame with a lost shape trains as empty."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lstmcli.core.types import LabelSet
from lstmcli.labels.readers.yolo_rows import are_poses
from lstmcli.labels.search import read_labels
from lstmcli.labels.shapes import (
    coco_hull,
    counts_of,
    ellipse_hull,
    hull_of,
    mask_hull,
    rle_hull,
    rotated_hull,
)

SIDES = st.floats(-100, 100)


@given(SIDES, SIDES, st.floats(1, 50), st.floats(1, 50), st.floats(-720, 720))
def test_a_turned_box_holds_its_corners(
    x: float, y: float, w: float, h: float, degrees: float
) -> None:
    x1, y1, x2, y2 = rotated_hull((x, y, x + w, y + h), degrees)
    assert math.isclose((x1 + x2) / 2, x + w / 2, abs_tol=1e-6)
    assert math.isclose((y1 + y2) / 2, y + h / 2, abs_tol=1e-6)
    turn = math.radians(degrees)
    wide = abs(w * math.cos(turn)) + abs(h * math.sin(turn))
    assert math.isclose(x2 - x1, wide, abs_tol=1e-6)


def test_turns_by_a_quarter_are_exact() -> None:
    assert rotated_hull((20, 50, 100, 60), 90) == (55, 15, 65, 95)  # about the centre
    assert rotated_hull((64, 24, 112, 48), 90, (64, 24)) == (40, 24, 64, 72)  # about a corner


@given(st.floats(1, 40), st.floats(1, 40), st.floats(0, 360))
def test_an_ellipse_touches_its_hull(rx: float, ry: float, degrees: float) -> None:
    t, turn = np.linspace(0, 2 * np.pi, 4000), math.radians(degrees)
    x = rx * np.cos(t) * math.cos(turn) - ry * np.sin(t) * math.sin(turn)
    y = rx * np.cos(t) * math.sin(turn) + ry * np.sin(t) * math.cos(turn)
    hull = ellipse_hull(0, 0, rx, ry, degrees)
    np.testing.assert_allclose(hull, (x.min(), y.min(), x.max(), y.max()), atol=0.01)


@given(st.lists(st.booleans(), min_size=12, max_size=12))
def test_the_hull_of_a_run_length_mask_is_that_of_its_pixels(pixels: list[bool]) -> None:
    mask = np.array(pixels).reshape(3, 4)
    column = mask.T.ravel().tolist()
    counts, value = [0], False
    for pixel in column:
        if pixel != value:
            counts.append(0)
            value = pixel
        counts[-1] += 1
    found, wanted = rle_hull(counts, 3), mask_hull(mask)
    assert (found is None) == (wanted is None)
    if found is not None and wanted is not None:
        assert found[0] == wanted[0]
        assert found[2] == wanted[2]
        assert found[1] <= wanted[1]
        assert found[3] >= wanted[3]
    assert coco_hull({"counts": counts, "size": [3, 4]}) == found


def test_compressed_counts_are_those_of_cocoapi() -> None:
    """Worked by hand after maskApi.c: 5 bits and a flag from 48, differences from the fourth on."""
    assert counts_of("44<") == [4, 4, 12]
    assert counts_of("44<O") == [4, 4, 12, 3]  # 3 - 4 = -1: 0x1f, no more bits
    assert counts_of("P1") == [32]


def test_points_without_area_have_no_hull() -> None:
    assert hull_of([(1, 2)]) is None
    assert hull_of([(1, 2), (1, 9)]) is None
    assert hull_of([(1, 2), (5, 9), (3, 1)]) == (1, 1, 5, 9)


def labelme(kind: str, points: list[list[float]]) -> tuple[str, str]:
    shape = {"label": "bee", "shape_type": kind, "points": points}
    top = {"imagePath": "a.jpg", "imageWidth": 160, "imageHeight": 120, "shapes": [shape]}
    return "a.json", json.dumps(top)


def via(**shape: Any) -> tuple[str, str]:
    region = {"shape_attributes": shape, "region_attributes": {"class": "bee"}}
    return "a.json", json.dumps({"a": {"filename": "a.jpg", "size": 1, "regions": [region]}})


def cvat(shape: str) -> tuple[str, str]:
    image = f'<image id="0" name="a.jpg" width="160" height="120">{shape}</image>'
    return "a.xml", f"<annotations><meta/>{image}</annotations>"


def studio(kind: str, **value: Any) -> tuple[str, str]:
    result = {"type": kind, "original_width": 200, "original_height": 100}
    result["value"] = value | {kind: ["bee"]}
    task = {"data": {"image": "a.jpg"}, "annotations": [{"result": [result]}]}
    return "a.json", json.dumps([task])


POLYGON = [[10, 20], [34, 22], [30, 44]]
HULLS: dict[str, tuple[tuple[str, str], tuple[float, ...]]] = {
    "labelme polygon": (labelme("Polygon", POLYGON), (10, 20, 34, 44)),
    "labelme circle": (labelme("circle", [[50, 50], [53, 54]]), (45, 45, 55, 55)),
    "labelme rectangle": (labelme("Rectangle", [[34, 44], [10, 20]]), (10, 20, 34, 44)),
    "via polygon": (
        via(name="polygon", all_points_x=[10, 34, 30], all_points_y=[20, 22, 44]),
        (10, 20, 34, 44),
    ),
    "via circle": (via(name="circle", cx=50, cy=50, r=5), (45, 45, 55, 55)),
    "via ellipse": (via(name="ellipse", cx=50, cy=50, rx=5, ry=8), (45, 42, 55, 58)),
    "cvat rotated box": (
        cvat('<box label="bee" xtl="20" ytl="50" xbr="100" ybr="60" rotation="90"/>'),
        (55, 15, 65, 95),
    ),
    "cvat ellipse": (
        cvat('<ellipse label="bee" cx="50" cy="50" rx="5" ry="8" rotation="90"/>'),
        (42, 45, 58, 55),
    ),
    "cvat mask": (
        cvat('<mask label="bee" rle="1,2" left="3" top="4" width="10" height="20"/>'),
        (3, 4, 13, 24),
    ),
    "cvat skeleton": (
        cvat(
            '<skeleton label="bee"><points label="1" points="3,4"/><points label="2" points="9,8"/>'
            '<points label="3" outside="1" points="90,80"/></skeleton>'
        ),
        (3, 4, 9, 8),
    ),
    "label studio turned": (
        studio("rectanglelabels", x=32, y=24, width=24, height=24, rotation=90),
        (40, 24, 64, 72),
    ),
    "label studio ellipse": (
        studio("ellipselabels", x=50, y=50, radiusX=5, radiusY=10, rotation=0),
        (90, 40, 110, 60),
    ),
    "label studio polygon": (
        studio("polygonlabels", points=[[5, 20], [17, 22], [15, 44]]),
        (10, 20, 34, 44),
    ),
}


def read(sample: tuple[str, str], folder: Path) -> LabelSet:
    (folder / sample[0]).write_text(sample[1], encoding="utf-8")
    return read_labels(folder)


@pytest.mark.parametrize("name", HULLS)
def test_a_shape_gives_its_upright_hull(name: str, tmp_path: Path) -> None:
    sample, box = HULLS[name]
    (video,) = read(sample, tmp_path).videos
    np.testing.assert_allclose(video.boxes, [box], atol=1e-3)
    assert not video.ignore.any()


LOST = {
    "labelme": labelme("point", [[5, 6]]),
    "via": via(name="point", cx=5, cy=6),
    "cvat": cvat('<points label="bee" points="5,6"/>'),
    "label_studio": studio("keypointlabels", x=5, y=6, width=1),
    "coco": (
        "a.json",
        '{"images": [{"id": 1, "file_name": "a.jpg", "width": 160, "height": 120}], "categories": '
        '[{"id": 1, "name": "bee"}], "annotations": [{"id": 1, "image_id": 1, "category_id": 1}]}',
    ),
    "voc": (
        "a.xml",
        "<annotation><filename>a.jpg</filename><size><width>160</width><height>120</height></size>"
        "<object><name>bee</name></object></annotation>",
    ),
}


@pytest.mark.parametrize("name", LOST)
def test_a_frame_with_a_lost_shape_is_ignored_and_never_empty(name: str, tmp_path: Path) -> None:
    labels = read(LOST[name], tmp_path)
    (video,) = labels.videos
    found = video.at(0)
    assert found is not None
    assert found.ignore.tolist() == [True]
    assert found.boxes[0, 2] >= 160
    assert found.boxes[0, 3] >= 100
    assert any("no box surrounds" in warning.text for warning in labels.warnings)


BOX = (0.5, 0.5, 0.2, 0.2)


@pytest.mark.parametrize(
    ("points", "is_pose"),
    [
        ((0.9, 0.9, 2, 0.1, 0.1, 2, 0.5, 0.5, 0), True),  # outside of the box, 2 is no fraction
        ((0.9, 0.9, 1, 0.1, 0.1, 1, 0.5, 0.5, 0), True),  # 14 columns are no polygon
        ((0.9, 0.9, 1, 0.1, 0.1, 1), False),  # 11 columns may be a polygon of five corners
        ((0.45, 0.45, 0.55, 0.55), True),  # inside of the box
        ((0.1, 0.9, 0.9, 0.1), False),
    ],
)
def test_key_points_are_known_by_visibilities_columns_or_their_box(
    points: tuple[float, ...], is_pose: bool
) -> None:
    assert are_poses([(0.0, *BOX, *points)] * 3) == is_pose
