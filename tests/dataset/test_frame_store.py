"""Prepared frames come back as they were, whole or in part, near enough for a lossy form."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from lstmcli.core.boxes import LETTERBOX_GREY
from lstmcli.core.errors import DataError
from lstmcli.core.types import Picture
from lstmcli.dataset.frame_store import FORMS, FrameStore, FrameStoreWriter

CANVAS_HW = (48, 64)
TOLERANCE = 6
"""Grey levels: RGB to YCbCr and back rounds, and JPEG rounds more."""


def smooth(seed: int) -> Picture:
    """Return a picture whose colours change slowly, so that halved chroma does not matter."""
    y, x = np.mgrid[: CANVAS_HW[0], : CANVAS_HW[1]]
    planes = [128 + 60 * np.sin(y / 20 + seed), 128 + 60 * np.cos(x / 25), 100 + y + 0.5 * x]
    return np.stack(planes, axis=-1).astype(np.uint8)


def write(path: Path, form: str, count: int = 3) -> list[Picture]:
    pictures = [smooth(seed) for seed in range(count)]
    with FrameStoreWriter(path, form=form, canvas_hw=CANVAS_HW) as writer:
        for picture in pictures:
            writer.add(picture)
    return pictures


def assert_near(found: Picture, expected: Picture) -> None:
    assert found.shape == expected.shape
    assert found.dtype == np.uint8
    assert np.abs(found.astype(int) - expected).max() <= TOLERANCE


@pytest.mark.parametrize("form", FORMS)
def test_pictures_come_back(form: str, tmp_path: Path) -> None:
    pictures = write(tmp_path / "store", form)
    store = FrameStore(tmp_path / "store")
    assert len(store) == 3
    assert store.canvas_hw == CANVAS_HW
    for place in (2, 0, 1):
        assert_near(store.picture(place), pictures[place])


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize(
    ("top", "left", "size_hw"),
    [
        (0, 0, (48, 64)),
        (4, 6, (10, 12)),
        (5, 7, (11, 13)),  # odd: chroma comes in pairs
        (47, 63, (1, 1)),
        (-5, -7, (20, 20)),
        (40, 60, (20, 20)),
        (-10, -10, (100, 100)),
        (-30, 0, (20, 20)),
        (0, 64, (5, 5)),
        (-1, 13, (3, 1)),
    ],
)
def test_a_window_shows_its_part_and_grey_beyond(
    form: str, top: int, left: int, size_hw: tuple[int, int], tmp_path: Path
) -> None:
    picture = write(tmp_path / "store", form)[1]
    room = 128
    framed = np.full((48 + 2 * room, 64 + 2 * room, 3), LETTERBOX_GREY, np.uint8)
    framed[room : room + 48, room : room + 64] = picture
    expected = framed[top + room :, left + room :][: size_hw[0], : size_hw[1]]
    found = FrameStore(tmp_path / "store").window(1, top, left, size_hw)
    assert_near(found, expected)


def test_the_raw_form_needs_a_byte_and_a_half_for_a_pixel(tmp_path: Path) -> None:
    write(tmp_path / "store", "raw", count=2)
    assert (tmp_path / "store").stat().st_size == 2 * 48 * 64 * 3 // 2


def test_an_interrupted_store_has_no_index(tmp_path: Path) -> None:
    writer = FrameStoreWriter(tmp_path / "store", form="raw", canvas_hw=CANVAS_HW)
    writer.add(smooth(0))
    writer.__exit__(KeyboardInterrupt, KeyboardInterrupt(), None)
    with pytest.raises(DataError, match="cannot be read"):
        FrameStore(tmp_path / "store")


def test_an_empty_store_is_a_store(tmp_path: Path) -> None:
    write(tmp_path / "store", "raw", count=0)
    assert len(FrameStore(tmp_path / "store")) == 0


def cut_short(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-7])


def lose(path: Path) -> None:
    path.unlink()


def lose_index(path: Path) -> None:
    path.with_name(path.name + ".json").unlink()


def cut_index(path: Path) -> None:
    index = path.with_name(path.name + ".json")
    index.write_text(index.read_text(encoding="utf-8")[:20], encoding="utf-8")


def foreign_index(path: Path) -> None:
    path.with_name(path.name + ".json").write_text("[1]", encoding="utf-8")


def other_form(path: Path) -> None:
    index = path.with_name(path.name + ".json")
    metadata = json.loads(index.read_text(encoding="utf-8"))
    index.write_text(json.dumps(metadata | {"form": "zip"}), encoding="utf-8")


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize(
    "damage", [cut_short, lose, lose_index, cut_index, foreign_index, other_form]
)
def test_a_damaged_store_is_told(damage: object, form: str, tmp_path: Path) -> None:
    write(tmp_path / "store", form)
    assert callable(damage)
    damage(tmp_path / "store")
    with pytest.raises(DataError) as caught:
        FrameStore(tmp_path / "store")
    assert str(tmp_path / "store") in caught.value.problem
    assert "run prepare again" in caught.value.hint


def test_damaged_pixels_are_told(tmp_path: Path) -> None:
    write(tmp_path / "store", "jpeg")
    size = (tmp_path / "store").stat().st_size
    (tmp_path / "store").write_bytes(bytes(size))
    store = FrameStore(tmp_path / "store")
    with pytest.raises(DataError, match="the prepared frame 1 is damaged"):
        store.picture(1)
