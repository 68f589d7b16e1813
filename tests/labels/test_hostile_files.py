"""Label files as other systems and tools leave them: the same labels, or a clear error, in every
reader."""

from __future__ import annotations

import json
import math
import unicodedata
from pathlib import Path

import numpy as np
import pytest
from label_files import HEIGHT, MEDIA, WIDTH, WRITE, Box, write_media, write_sample
from PIL import Image

from lstmcli.core.errors import DataError, LstmcliError, MediaError
from lstmcli.core.types import LabelSet
from lstmcli.labels.media import locate_media
from lstmcli.labels.search import ReadOptions, read_labels

BOXES: list[Box] = [(40 + 55 * n, 30 + 27 * n, 90 + 55 * n, 60 + 27 * n) for n in range(6)]
OF_A_PICTURE = sorted(name for name in WRITE if name not in MEDIA)
"""Formats that name the picture in their text."""


def read(path: Path, name: str) -> LabelSet:
    return read_labels(path, options=ReadOptions(format=name, size_hw=(HEIGHT, WIDTH)))


def assert_read(labels: LabelSet) -> None:
    boxes = np.concatenate([video.boxes for video in labels.videos])
    np.testing.assert_allclose(boxes[np.argsort(boxes[:, 0])], BOXES, atol=1e-2)


ENCODINGS = {
    "a byte order mark": lambda text: text.encode("utf-8-sig"),
    "UTF-16": lambda text: text.encode("utf-16"),
    "lines of Windows": lambda text: text.replace("\n", "\r\n").encode(),
    "a line end at the end": lambda text: (text + "\n\n").encode(),
}


@pytest.mark.parametrize("how", ENCODINGS)
@pytest.mark.parametrize("name", WRITE)
def test_a_file_of_another_system_is_read_alike(name: str, how: str, tmp_path: Path) -> None:
    path = write_sample(tmp_path, name, BOXES)
    path.write_bytes(ENCODINGS[how](path.read_text(encoding="utf-8")))
    assert_read(read(path, name))
    assert_read(read_labels(path, size_hw=(HEIGHT, WIDTH)))  # recognised, too


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, 1e300])
@pytest.mark.parametrize("name", sorted(set(WRITE) - {"vatic", "visdrone"}))
def test_a_number_that_is_none_is_an_error_with_the_file(
    name: str, value: float, tmp_path: Path
) -> None:
    path = write_sample(tmp_path, name, [*BOXES, (value, 30, 90, 60)])
    with pytest.raises(DataError) as caught:
        read(path, name)
    assert path.name in caught.value.problem


@pytest.mark.parametrize("text", ["nan", "inf", "1e5", "0x10"])
@pytest.mark.parametrize("name", ["vatic", "visdrone"])
def test_a_word_where_whole_numbers_belong_is_an_error(
    name: str, text: str, tmp_path: Path
) -> None:
    path = write_sample(tmp_path, name, BOXES)
    path.write_text(path.read_text().replace("95", text), encoding="utf-8")
    with pytest.raises(DataError, match="line 2"):
        read(path, name)


@pytest.mark.parametrize("name", WRITE)
def test_bytes_of_another_code_are_an_error_or_read_by_their_declaration(
    name: str, tmp_path: Path
) -> None:
    path = write_sample(tmp_path, name, BOXES)
    text = path.read_text(encoding="utf-8")
    if "bee" not in text:
        return
    path.write_bytes(text.replace("bee", "Käfer").encode("latin-1"))
    with pytest.raises(DataError) as caught:
        read(path, name)
    assert path.name in caught.value.problem
    assert "UTF-8" in caught.value.hint or "no XML" in caught.value.hint


@pytest.mark.parametrize("written", ["C:\\set\\p.jpg", "..\\p.jpg", "/home/me/p.jpg", "P.JPG"])
@pytest.mark.parametrize("name", OF_A_PICTURE)
def test_paths_of_another_computer_are_found(name: str, written: str, tmp_path: Path) -> None:
    path = write_sample(tmp_path, name, BOXES)
    text = path.read_text(encoding="utf-8")
    escaped = written.replace("\\", "\\\\") if path.suffix in {".json", ".ndjson"} else written
    path.write_text(text.replace("p.jpg", escaped), encoding="utf-8")
    write_media(tmp_path, name)
    assert_read(locate_media(read(path, name), path))


@pytest.mark.parametrize("forms", [("NFC", "NFD"), ("NFD", "NFC")])
@pytest.mark.parametrize("name", OF_A_PICTURE)
def test_names_of_composed_and_decomposed_letters_are_one(
    name: str, forms: tuple[str, str], tmp_path: Path
) -> None:
    in_text, on_disk = (unicodedata.normalize(form, "Bäume é.jpg") for form in forms)
    path = write_sample(tmp_path, name, BOXES)
    text = path.read_text(encoding="utf-8").replace("p.jpg", in_text)
    path.write_text(text, encoding="utf-8")
    Image.new("RGB", (WIDTH, HEIGHT)).save(tmp_path / on_disk)
    assert_read(locate_media(read(path, name), path))


@pytest.mark.parametrize("name", WRITE)
def test_media_that_are_missing_are_named(name: str, tmp_path: Path) -> None:
    path = write_sample(tmp_path, name, BOXES)
    with pytest.raises(MediaError, match="is not found") as caught:
        locate_media(read(path, name), path)
    assert "--media" in caught.value.hint


@pytest.mark.parametrize("name", OF_A_PICTURE)
def test_a_name_of_two_pictures_is_no_guess(name: str, tmp_path: Path) -> None:
    path = write_sample(tmp_path, name, BOXES)
    for n, folder in enumerate(("first", "second")):
        (tmp_path / folder).mkdir()
        Image.new("RGB", (WIDTH, HEIGHT), (90 * n, 0, 0)).save(tmp_path / folder / "p.jpg")
    with pytest.raises(LstmcliError, match=r"p\.jpg"):
        locate_media(read(path, name), path)


@pytest.mark.parametrize("content", [b"", b"\0" * 50, b"{", b"<", b"\xff\xfe", b"[]", b"{}"])
@pytest.mark.parametrize("name", WRITE)
def test_a_file_without_labels_is_an_error_and_no_set(
    name: str, content: bytes, tmp_path: Path
) -> None:
    path = write_sample(tmp_path, name, BOXES)
    path.write_bytes(content)
    try:
        labels = read(path, name)
    except DataError:
        return
    assert not sum(len(video.boxes) for video in labels.videos)


@pytest.mark.parametrize("name", ["yolo", "csv", "via"])
def test_a_picture_that_is_damaged_is_named_and_the_others_are_read(
    name: str, tmp_path: Path
) -> None:
    """Formats without sizes ask the pictures themselves."""
    folder = tmp_path / "images"
    folder.mkdir()
    for n in range(3):
        Image.new("RGB", (WIDTH, HEIGHT), (9 * n, 9, 9)).save(folder / f"p{n}.png")
    whole = (folder / "p1.png").read_bytes()
    (folder / "p1.png").write_bytes(whole[: len(whole) // 2])
    path = tmp_path / "labels"
    if name == "yolo":
        path.mkdir()
        for n in range(3):
            (path / f"p{n}.txt").write_text("0 0.5 0.5 0.1 0.1\n")
    else:
        path = write_sample(tmp_path, name, BOXES[:3])
        text = path.read_text()
        if name == "csv":
            text = "filename,class,xmin,ymin,xmax,ymax\n" + "".join(
                f"p{n}.png,bee,10,20,60,80\n" for n in range(3)
            )
        else:
            entry = json.loads(text)["p"]
            text = json.dumps({f"p{n}": entry | {"filename": f"p{n}.png"} for n in range(3)})
        path.write_text(text)
    labels = locate_media(read_labels(path), path)
    assert [video.name[-2:] for video in labels.videos] == ["p0", "p2"]
    assert any("p1.png" in w.text and "left out" in w.text for w in labels.warnings)


def test_many_damaged_pictures_are_named_in_part(tmp_path: Path) -> None:
    rows = ["filename,class,xmin,ymin,xmax,ymax"]
    for n in range(9):
        rows.append(f"p{n}.png,bee,10,20,60,80")
        (tmp_path / f"p{n}.png").write_text("no picture")
    path = tmp_path / "a.csv"
    path.write_text("\n".join(rows))
    with pytest.raises(MediaError, match=r"p0\.png: this is not an image"):
        locate_media(read_labels(path), path)
    Image.new("RGB", (WIDTH, HEIGHT)).save(tmp_path / "p4.png")
    said = {w.text: w.count for w in locate_media(read_labels(path), path).warnings}
    assert sum(said.values()) == 8
    assert len(said) == 6


def test_the_short_export_of_label_studio_is_read(tmp_path: Path) -> None:
    """JSON_MIN: results beside the data, a row for each person."""
    box = {"x": 10, "y": 10, "width": 20, "height": 20, "rectanglelabels": ["bee"]}
    box |= {"original_width": 200, "original_height": 100}
    rows = [
        {"id": 1, "image": "/data/upload/1/p.jpg", "label": [box], "annotator": person}
        for person in ("a@x.org", "b@x.org")
    ]
    keys = [{"frame": n, "enabled": True, **box} for n in (1, 3)]
    film = {"framesCount": 3, "sequence": keys, "labels": ["bee"]}
    film |= {"original_width": 200, "original_height": 100}
    rows.append({"id": 2, "video": "clip.mp4", "box": [film], "annotator": 1})
    path = tmp_path / "min.json"
    path.write_text(json.dumps(rows), encoding="utf-8")
    labels = read_labels(path)
    assert [video.boxes[0].tolist() for video in labels.videos] == [[20, 10, 60, 30]] * 2
    assert labels.videos[1].media == "clip.mp4"
    assert labels.videos[1].annotated_frames.tolist() == [0, 1, 2]
    assert any("several people" in warning.text for warning in labels.warnings)
    rows[1]["image"] = "other.jpg"
    path.write_text(json.dumps(rows), encoding="utf-8")
    with pytest.raises(DataError, match=r"task id 1 is used twice.*p\.jpg.*other\.jpg"):
        read_labels(path)
