"""Ids stand for one thing each, in every format that has them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from lstmcli.core.errors import DataError
from lstmcli.labels.identity import IdRegistry, id_key
from lstmcli.labels.media_finder import MediaFinder
from lstmcli.labels.search import read_labels


@given(st.integers(-(10**12), 10**12))
def test_equal_numbers_are_one_id_however_they_are_written(number: int) -> None:
    assert len({id_key(form) for form in (number, str(number), f"{number}.0", f" {number} ")}) == 1
    assert id_key(float(number)) == id_key(number)


def test_numbers_with_zeros_before_them_are_names() -> None:
    assert id_key("007") != id_key(7)


@given(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 2)), max_size=12))
def test_an_id_is_refused_exactly_where_its_content_differs(uses: list[tuple[int, int]]) -> None:
    ids, known = IdRegistry("image", "a.json"), dict[int, int]()
    for number, content in uses:
        if known.setdefault(number, content) != content:
            with pytest.raises(DataError, match=f"image id {number} is used twice"):
                ids.add(f"{number}.0", content, f"{content}.jpg")
            return
        ids.add(number, content, f"{content}.jpg")


COCO = {
    "images": [{"id": 1, "file_name": "a.jpg"}, {"id": 2, "file_name": "b.jpg"}],
    "categories": [{"id": 1, "name": "bee"}],
    "annotations": [{"id": 1, "image_id": 1.0, "category_id": "1", "bbox": [1, 2, 30, 40]}],
}


def coco(tmp_path: Path, **more: list[dict[str, object]]) -> Path:
    top = {key: [*rows, *more.get(key, [])] for key, rows in COCO.items()}
    top |= {key: rows for key, rows in more.items() if key not in COCO}
    path = tmp_path / "a.json"
    path.write_text(json.dumps(top), encoding="utf-8")
    return path


def test_ids_of_coco_are_compared_by_value(tmp_path: Path) -> None:
    labels = read_labels(coco(tmp_path))
    assert labels.classes == ("bee",)
    assert [len(video.boxes) for video in labels.videos] == [1, 0]


@pytest.mark.parametrize(
    ("key", "row", "named"),
    [
        ("images", {"id": "2", "file_name": "c.jpg"}, ("b.jpg", "c.jpg")),
        ("categories", {"id": 1, "name": "wasp"}, ("bee", "wasp")),
        (
            "annotations",
            {"id": 1, "image_id": 2, "category_id": 1, "bbox": [5, 6, 7, 8]},
            ("image 1", "image 2"),
        ),
    ],
)
def test_a_second_use_of_an_id_of_coco_names_both(
    key: str, row: dict[str, object], named: tuple[str, str], tmp_path: Path
) -> None:
    with pytest.raises(DataError) as caught:
        read_labels(coco(tmp_path, **{key: [row]}))
    assert "twice" in caught.value.problem
    assert all(name in caught.value.problem for name in named)
    equal = [dict(COCO[key][-1])]
    assert len(read_labels(coco(tmp_path, **{key: equal})).videos) == 2


def test_two_films_of_one_id_are_named(tmp_path: Path) -> None:
    videos: list[dict[str, object]] = [
        {"id": 1, "file_name": "a.mp4"},
        {"id": 1, "file_name": "b.mp4"},
    ]
    with pytest.raises(DataError, match=r"video id 1 is used twice.*a\.mp4.*b\.mp4"):
        read_labels(coco(tmp_path, videos=videos))


def test_a_key_that_says_two_things_in_json_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    path.write_text('{"images": [], "images": [1], "annotations": [], "categories": []}')
    with pytest.raises(DataError, match="'images' is used twice"):
        read_labels(path)


def test_two_tracks_of_cvat_with_one_id_are_refused(tmp_path: Path) -> None:
    box = '<box frame="{}" xtl="1" ytl="2" xbr="30" ybr="40" outside="0"/>'
    track = '<track id="0" label="{}">{}</track>'
    both = track.format("car", box.format(0)), track.format("bus", box.format(1))
    path = tmp_path / "a.xml"
    path.write_text(f"<annotations><meta/>{both[0]}{both[0]}</annotations>")
    assert len(read_labels(path).videos[0].boxes) == 1
    path.write_text(f"<annotations><meta/>{both[0]}{both[1]}</annotations>")
    with pytest.raises(DataError, match=r"track id 0 is used twice.*'car'.*'bus'"):
        read_labels(path)


def test_two_files_that_name_one_image_are_refused(tmp_path: Path) -> None:
    text = (
        "<annotation><filename>p.jpg</filename><object><name>bee</name><bndbox><xmin>{}</xmin>"
        "<ymin>2</ymin><xmax>30</xmax><ymax>40</ymax></bndbox></object></annotation>"
    )
    (tmp_path / "p.xml").write_text(text.format(1))
    (tmp_path / "q.xml").write_text(text.format(2))
    with pytest.raises(DataError, match=r"twice, for p\.xml and for q\.xml"):
        read_labels(tmp_path)


def via(*sizes: int) -> str:
    region = {"shape_attributes": {"name": "rect", "x": 1, "y": 2, "width": 9, "height": 9}}
    entries = {
        f"p.jpg{size}": {
            "filename": "p.jpg",
            "size": size,
            "regions": [region | {"region_attributes": {"class": "bee"}}],
        }
        for size in sizes
    }
    return json.dumps(entries)


def test_one_file_name_of_two_pictures_is_refused_in_via(tmp_path: Path) -> None:
    path = tmp_path / "via.json"
    path.write_text(via(100), encoding="utf-8")
    assert len(read_labels(path).videos) == 1
    path.write_text(via(100, 999), encoding="utf-8")
    with pytest.raises(DataError, match=r"p\.jpg is used twice.*p\.jpg100.*p\.jpg999"):
        read_labels(path)


def test_one_file_name_of_two_folders_is_two_pictures_in_vott(tmp_path: Path) -> None:
    assets = {}
    for folder in ("first", "second"):
        (tmp_path / folder).mkdir()
        Image.new("RGB", (64, 48), "red" if folder == "first" else "blue").save(
            tmp_path / folder / "p.jpg"
        )
        box = {"left": 1 if folder == "first" else 20, "top": 2, "width": 9, "height": 9}
        asset = {"name": "p.jpg", "path": f"file:C:/set/{folder}/p.jpg", "type": 1, "state": 2}
        regions = [{"tags": ["bee"], "boundingBox": box}]
        assets[folder] = {"asset": asset, "regions": regions}
    path = tmp_path / "export.json"
    path.write_text(json.dumps({"assets": assets}), encoding="utf-8")
    labels = read_labels(path)
    assert [video.boxes[0, 0] for video in labels.videos] == [1, 20]
    second = MediaFinder(path).find(labels.videos[1].images[0], video=False)
    assert second == tmp_path / "second" / "p.jpg"


SAME_NAMES = {
    "yolo": ("data.yaml", "names: [bee, bee]\ntrain: images\n"),
    "coco": (
        "a.json",
        json.dumps(COCO | {"categories": [{"id": 1, "name": "bee"}, {"id": 2, "name": "bee"}]}),
    ),
}


@pytest.mark.parametrize("name", SAME_NAMES)
def test_several_numbers_of_one_class_name_are_said(name: str, tmp_path: Path) -> None:
    file, text = SAME_NAMES[name]
    (tmp_path / file).write_text(text, encoding="utf-8")
    (tmp_path / "p.txt").write_text("0 0.5 0.5 0.1 0.1\n1 0.4 0.4 0.1 0.1\n")
    labels = read_labels(tmp_path / file, size_hw=(48, 64))
    assert labels.classes == ("bee",)
    assert any("class numbers of one name" in warning.text for warning in labels.warnings)


def test_names_that_differ_in_capital_letters_are_said(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("filename,class,xmin,ymin,xmax,ymax\na.jpg,Bee,1,2,9,9\nb.jpg,bee,1,2,9,9\n")
    labels = read_labels(path)
    assert labels.classes == ("Bee", "bee")
    (warning,) = labels.warnings
    assert "capital letters" in warning.text
    assert "'Bee' and 'bee'" in warning.where


TWICE = {
    "createml": (
        "a.json",
        '[{"image": "p.jpg", "annotations": [{"label": "bee", "coordinates": {"x": 20, "y": 20, '
        '"width": 5, "height": 5}}]}, {"image": "p.jpg", "annotations": []}]',
    ),
    "dlib": (
        "a.xml",
        '<dataset><images><image file="p.jpg"/><image file="p.jpg"/></images></dataset>',
    ),
    "cvat": (
        "a.xml",
        '<annotations><meta/><image id="0" name="p.jpg" width="64" height="48"/>'
        '<image id="1" name="p.jpg" width="64" height="48"/></annotations>',
    ),
}


@pytest.mark.parametrize("name", TWICE)
def test_an_image_that_is_listed_twice_is_said(name: str, tmp_path: Path) -> None:
    file, text = TWICE[name]
    (tmp_path / file).write_text(text, encoding="utf-8")
    labels = read_labels(tmp_path / file)
    assert len(labels.videos) == 1
    assert any("listed twice" in warning.text for warning in labels.warnings)
