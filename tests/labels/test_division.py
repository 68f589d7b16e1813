"""A set's own train, val and test are taken from folders, lists and file names."""

from __future__ import annotations

import tempfile
from pathlib import Path

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from PIL import Image

from lstmcli.labels.division import part_of_file, part_of_folder
from lstmcli.labels.search import read_labels


@pytest.mark.parametrize(
    ("name", "part"),
    [
        ("train", "train"),
        ("valid", "val"),
        ("val2017", "val"),
        ("Testing", "test"),
        ("images_train", "train"),
        ("train station", None),
        ("mytest", None),
        ("train_val", None),
        ("MOT17-02", None),
    ],
)
def test_folders_tell_parts_by_whole_words(name: str, part: str | None) -> None:
    assert part_of_folder(name) == part


def test_label_files_tell_parts() -> None:
    assert part_of_file("instances_train2017.json") == "train"
    assert part_of_file("person_keypoints_val.json") == "val"
    assert part_of_file("annotations.json") is None


def picture(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (40, 30)).save(path)


def yolo(folder: Path, *names: str) -> None:
    for name in names:
        picture(folder / "images" / f"{name}.jpg")
        label = folder / "labels" / f"{name}.txt"
        label.parent.mkdir(parents=True, exist_ok=True)
        label.write_text("0 0.5 0.5 0.2 0.2\n")


def parts(folder: Path) -> dict[str, str | None]:
    return {Path(v.name).name: v.split for v in read_labels(folder).videos}


def test_folders_of_roboflow_divide_the_set(tmp_path: Path) -> None:
    for part, name in (("train", "a"), ("valid", "b"), ("test", "c")):
        yolo(tmp_path / part, name)
    assert parts(tmp_path) == {"a": "train", "b": "val", "c": "test"}


def test_a_yaml_divides_the_set_by_lists_of_images(tmp_path: Path) -> None:
    yolo(tmp_path, "a", "b", "c")
    (tmp_path / "train.txt").write_text("./images/a.jpg\n./images/b.jpg\n")
    (tmp_path / "val.txt").write_text("./images/c.jpg\n")
    (tmp_path / "data.yaml").write_text("train: train.txt\nval: val.txt\nnames: [bee]\n")
    assert parts(tmp_path) == {"a": "train", "b": "train", "c": "val"}


def test_a_yaml_whose_parts_are_one_folder_divides_nothing(tmp_path: Path) -> None:
    yolo(tmp_path, "a", "b")
    (tmp_path / "data.yaml").write_text("train: images\nval: images\nnames: [bee]\n")
    assert set(parts(tmp_path).values()) == {None}


def test_one_part_alone_divides_nothing(tmp_path: Path) -> None:
    yolo(tmp_path / "train", "a", "b")
    assert set(parts(tmp_path).values()) == {None}


def test_the_lists_of_voc_divide_the_set(tmp_path: Path) -> None:
    text = (
        "<annotation><filename>{0}.jpg</filename><object><name>bee</name><bndbox><xmin>1</xmin>"
        "<ymin>2</ymin><xmax>9</xmax><ymax>9</ymax></bndbox></object></annotation>"
    )
    (tmp_path / "Annotations").mkdir()
    for name in "abc":
        (tmp_path / "Annotations" / f"{name}.xml").write_text(text.format(name))
    lists = tmp_path / "ImageSets" / "Main"
    lists.mkdir(parents=True)
    (lists / "trainval.txt").write_text("a\nb\n")
    (lists / "train.txt").write_text("a\n")
    (lists / "val.txt").write_text("b\n")
    (lists / "test.txt").write_text("c\n")
    assert parts(tmp_path) == {"a": "train", "b": "val", "c": "test"}


@settings(max_examples=15, deadline=None)
@given(
    st.dictionaries(
        st.text("abxyz", min_size=1, max_size=4),
        st.sampled_from(["train", "valid", "test"]),
        min_size=1,
        max_size=6,
    )
)
def test_any_division_into_folders_is_kept(assigned: dict[str, str]) -> None:
    assume("train" in assigned.values() and len(set(assigned.values())) > 1)
    with tempfile.TemporaryDirectory() as name:
        for stem, part in assigned.items():
            yolo(Path(name) / part, stem)
        read = parts(Path(name))
    assert read == {stem: "val" if part == "valid" else part for stem, part in assigned.items()}


@pytest.mark.parametrize(
    ("folders", "wanted"),
    [
        (("VisDrone2019-DET-train", "VisDrone2019-DET-val"), {"a": "train", "b": "val"}),
        (("birds_train_v2", "birds_test_v2"), {"a": "train", "b": "test"}),
        (("crash-test", "first"), {"a": None, "b": None}),
        (("crash-test", "train"), {"a": None, "b": None}),
        (("night train", "day test"), {"a": None, "b": None}),
    ],
)
def test_folders_divide_a_set_beside_their_siblings(
    folders: tuple[str, str], wanted: dict[str, str | None], tmp_path: Path
) -> None:
    for folder, name in zip(folders, "ab", strict=True):
        yolo(tmp_path / folder, name)
    assert parts(tmp_path) == wanted


def test_a_column_of_a_table_divides_the_set(tmp_path: Path) -> None:
    rows = ["a.jpg,1,2,9,9,bee,TRAIN", "b.jpg,1,2,9,9,bee,validation", "c.jpg,1,2,9,9,bee,test"]
    text = "\n".join(["filename,xmin,ymin,xmax,ymax,class,split", *rows])
    (tmp_path / "a.csv").write_text(text, encoding="utf-8")
    assert parts(tmp_path) == {"a": "train", "b": "val", "c": "test"}


def test_the_subset_of_a_cvat_task_divides_the_set(tmp_path: Path) -> None:
    box = '<box label="bee" xtl="1" ytl="2" xbr="9" ybr="9"/>'
    for n, subset in enumerate(("Train", "Validation")):
        task = f"<meta><task><name>t</name><subset>{subset}</subset></task></meta>"
        image = f'<image id="0" name="{n}.jpg" width="64" height="48">{box}</image>'
        (tmp_path / f"{n}.xml").write_text(f"<annotations>{task}{image}</annotations>")
    assert parts(tmp_path) == {"0": "train", "1": "val"}
