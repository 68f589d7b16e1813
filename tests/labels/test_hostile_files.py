"""Label files as other systems and tools leave them: the same labels, or a clear error, in every
reader."""

from __future__ import annotations

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
