"""Doubt about a file: what most of its boxes break is an error of the file, in every reader."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from label_files import HEIGHT, WIDTH, WRITE, Box, label_studio, sides, write_media, write_sample

from lstmcli.core.errors import DataError
from lstmcli.core.types import LabelSet
from lstmcli.labels.media import locate_media
from lstmcli.labels.plausibility import base_hint, check_inside
from lstmcli.labels.readers import READERS
from lstmcli.labels.search import ReadOptions, read_labels

GOOD: list[Box] = [(40 + 55 * n, 30 + 27 * n, 90 + 55 * n, 60 + 27 * n) for n in range(9)]
"""Corners of boxes along the diagonal of the picture."""


def located(folder: Path, name: str, boxes: list[Box]) -> LabelSet:
    """Return the labels of a format with their media, as `prepare` and `evaluate` read them."""
    path = write_sample(folder, name, boxes)
    write_media(folder, name, frames=len(boxes) if name == "mot" else 1)
    labels = read_labels(path, options=ReadOptions(format=name))
    return locate_media(labels, path)


def test_every_reader_is_doubted() -> None:
    assert set(WRITE) == set(READERS) - {"cvat_held"}


@pytest.mark.parametrize("name", WRITE)
def test_plausible_boxes_are_read_by_every_reader(name: str, tmp_path: Path) -> None:
    labels = located(tmp_path, name, GOOD)
    (video,) = labels.videos
    order = np.argsort(video.boxes[:, 0])
    np.testing.assert_allclose(video.boxes[order], GOOD, atol=1e-2)
    assert video.size_hw == (HEIGHT, WIDTH)


def exchanged(box: Box) -> Box:
    return box[1], box[0], box[3], box[2]


def corners_as_sizes(box: Box) -> Box:
    """The format's width and height are the right and lower edge."""
    return box[0], box[1], box[0] + box[2], box[1] + box[3]


def of_larger_pictures(box: Box) -> Box:
    return box[0] * 3, box[1] * 3, box[2] * 3, box[3] * 3


def fractions(box: Box) -> Box:
    return box[0] / WIDTH, box[1] / HEIGHT, box[2] / WIDTH, box[3] / HEIGHT


ANY_ORDER = {"labelme", "supervisely"}
"""Formats whose rectangles are two corners in any order."""
WHOLE = {"vatic", "visdrone"}
"""Formats whose numbers are whole."""
RULES: dict[str, tuple[Callable[[Box], Box], str, set[str]]] = {
    "x and y exchanged": (exchanged, "with x and y exchanged", set()),
    "sizes where corners belong": (sides, "end before they begin|a box of|8 whole", ANY_ORDER),
    "corners where sizes belong": (
        corners_as_sizes,
        "width and height taken for the lower right corner",
        set(),
    ),
    "labels of larger pictures": (of_larger_pictures, "their centre outside", set()),
    "fractions where pixels belong": (fractions, "within one pixel", WHOLE | {"csv"}),
}
"""For each rule: what breaks it, what is said (one of), and the formats that allow it."""


@pytest.mark.parametrize(
    ("name", "rule"),
    [(name, rule) for rule in RULES for name in WRITE if name not in RULES[rule][2]],
)
def test_a_rule_that_most_boxes_break_is_an_error_of_the_file(
    name: str, rule: str, tmp_path: Path
) -> None:
    change, text, _ = RULES[rule]
    if name == "yolo" and rule == "labels of larger pictures":
        text = "are these pixels"
    with pytest.raises(DataError) as caught:
        located(tmp_path, name, [change(box) for box in GOOD])
    said = f"{caught.value.problem} {caught.value.hint}"
    assert any(part in said for part in text.split("|")), said


@pytest.mark.parametrize("name", WRITE)
def test_a_slip_among_good_boxes_is_no_error(name: str, tmp_path: Path) -> None:
    slip: Box = (600, 340, 700, 380)
    labels = located(tmp_path, name, [*GOOD, slip])
    assert sum(len(video.boxes) for video in labels.videos) == 10


def test_fractions_are_what_csv_may_hold(tmp_path: Path) -> None:
    (video,) = located(tmp_path, "csv", [fractions(box) for box in GOOD]).videos
    np.testing.assert_allclose(video.boxes, GOOD, atol=1e-3)


def test_pixels_where_percent_belong(tmp_path: Path) -> None:
    in_percent = [(100 / WIDTH, 100 / HEIGHT)] * 2
    scale = np.array(in_percent).ravel()
    boxes = [tuple((np.array(box) / scale).tolist()) for box in GOOD]
    with pytest.raises(DataError, match="their centre outside"):
        located(tmp_path, "label_studio", boxes)


def test_fractions_where_percent_belong(tmp_path: Path) -> None:
    boxes: list[Box] = [tuple(side / 100 for side in box) for box in GOOD]  # type: ignore[misc]
    file, text = label_studio(boxes)
    (tmp_path / file).write_text(text, encoding="utf-8")
    with pytest.raises(DataError, match="within") as caught:
        read_labels(tmp_path / file)
    assert "fractions" in caught.value.hint


def test_corners_where_centre_and_size_belong(tmp_path: Path) -> None:
    """YOLO lines that hold left, top, right and bottom as fractions: a frequent mistake."""
    rng = np.random.default_rng(3)
    boxes: list[Box] = []
    for _ in range(40):
        x, y, w, h = rng.uniform((0, 0, 30, 30), (520, 240, 120, 120)).tolist()
        boxes.append((x, y, x + w, y + h))
    rows = ["0 " + " ".join(f"{side:.6f}" for side in fractions(box)) for box in boxes]
    (tmp_path / "labels").mkdir()
    (tmp_path / "labels" / "p.txt").write_text("\n".join(rows), encoding="utf-8")
    write_media(tmp_path, "yolo")
    with pytest.raises(DataError, match="centre and size taken for two corners"):
        read_labels(tmp_path)


def test_one_file_of_another_tool_in_a_folder_is_named(tmp_path: Path) -> None:
    """The share in the folder is small, in that file it is all."""
    for n in range(12):
        boxes = [sides(box) if n == 7 else box for box in GOOD]
        text = WRITE["voc"](boxes)[1].replace("p.jpg", f"p{n}.jpg")
        (tmp_path / f"p{n}.xml").write_text(text, encoding="utf-8")
    with pytest.raises(DataError, match=r"p7\.xml: \d of 9 boxes end before they begin"):
        read_labels(tmp_path)


def test_whole_objects_that_leave_the_picture_are_no_doubt() -> None:
    """Half of the boxes leave at the lower edge, as in footage of people who walk by closely."""
    rng = np.random.default_rng(0)
    left, top = rng.uniform(100, 500, 200), rng.uniform(200, 300, 200)
    boxes = np.stack((left, top, left + 60, top + 110), axis=1)
    sizes = np.tile(np.array((HEIGHT, WIDTH), np.float64), (200, 1))
    assert ((boxes[:, 3] > HEIGHT).mean()) > 0.4
    check_inside(boxes, sizes, "a")


@pytest.mark.parametrize(
    ("used", "base", "said"),
    [
        ({1, 2, 3}, 0, "are the classes counted from 1?"),
        ({0, 3}, 0, "there are 3 names, from 0"),
        ({0, 1, 2}, 1, "are the classes counted from 0?"),
        ({2, 9}, 1, "there are 3 names, from 1"),
    ],
)
def test_classes_of_another_base_are_suspected(used: set[int], base: int, said: str) -> None:
    assert said in base_hint(used, 3, base=base)


def test_classes_counted_from_1_are_suspected_in_yolo(tmp_path: Path) -> None:
    path = write_sample(tmp_path, "yolo", GOOD[:2])
    first, second = path.read_text().splitlines()
    path.write_text(f"2{first[1:]}\n1{second[1:]}\n")
    write_media(tmp_path, "yolo")
    (tmp_path / "classes.txt").write_text("bee\nwasp\n")
    with pytest.raises(DataError, match=r"p\.txt, line 1: class 2") as caught:
        read_labels(tmp_path)
    assert "counted from 1?" in caught.value.hint


def test_classes_counted_from_0_are_suspected_in_mot(tmp_path: Path) -> None:
    gt = tmp_path / "s" / "gt"
    gt.mkdir(parents=True)
    (gt / "labels.txt").write_text("bee\nwasp\n")
    (gt / "gt.txt").write_text("1,1,5,5,9,9,1,1,1\n2,1,5,5,9,9,1,0,1\n")
    with pytest.raises(DataError, match="class 0") as caught:
        read_labels(tmp_path)
    assert "counted from 0?" in caught.value.hint


def test_labels_counted_from_1_are_suspected_in_datumaro(tmp_path: Path) -> None:
    path = write_sample(tmp_path, "datumaro", GOOD[:2])
    path.write_text(path.read_text().replace('"label_id": 0', '"label_id": 1'))
    with pytest.raises(DataError, match="label_id is 1") as caught:
        read_labels(path)
    assert "counted from 1?" in caught.value.hint


FROM_1 = {
    "mot": ("gt.txt", "0,1,5,5,9,9,1,1,1\n"),
    "visdrone": ("a.txt", "0,1,5,5,9,9,1,4,0,0\n"),
    "ua_detrac": (
        "a.xml",
        '<sequence name="s"><frame num="0"><target_list><target id="1"><box left="1" top="2" '
        'width="3" height="4"/></target></target_list></frame></sequence>',
    ),
    "label_studio": (
        "a.json",
        '[{"data": {"video": "a.mp4"}, "annotations": [{"result": [{"type": "videorectangle", '
        '"original_width": 64, "original_height": 48, "value": {"labels": ["bee"], "sequence": '
        '[{"frame": 0, "x": 1, "y": 1, "width": 5, "height": 5, "enabled": true}]}}]}]}]',
    ),
    "labelbox": (
        "a.ndjson",
        '{"data_row": {"id": "1", "external_id": "a.mp4"}, "projects": {"p": {"labels": '
        '[{"annotations": {"frames": {"0": {"objects": {}}}}}]}}}',
    ),
}


@pytest.mark.parametrize("name", FROM_1)
def test_frame_0_of_a_format_that_counts_from_1_is_an_error_that_says_so(
    name: str, tmp_path: Path
) -> None:
    file, text = FROM_1[name]
    (tmp_path / file).write_text(text, encoding="utf-8")
    with pytest.raises(DataError, match="frame 0") as caught:
        read_labels(tmp_path / file, format=name)
    assert "from 1" in caught.value.hint
