"""Still images: whole or named, turned boxes, deep greys, animations."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from lstmcli.core.errors import MediaError
from lstmcli.video import (
    ReadReport,
    find_sources,
    image_size,
    probe,
    read_frames,
    read_images,
    to_shown_boxes,
)

NOISE = np.random.default_rng(0).integers(0, 255, (48, 64, 3)).astype(np.uint8)


def write(path: Path, pixels: np.ndarray = NOISE, **options: object) -> Path:
    Image.fromarray(pixels).save(path, **options)  # type: ignore[arg-type]
    return path


@pytest.mark.parametrize("ending", [".jpg", ".jfif", ".png", ".webp", ".avif", ".tif", ".bmp"])
def test_an_image_that_is_cut_off_is_an_error_that_names_it(ending: str, tmp_path: Path) -> None:
    path = write(tmp_path / f"p{ending}", format={".jfif": "JPEG"}.get(ending))
    assert next(read_images([path])).size_hw == (48, 64)
    data = path.read_bytes()
    path.write_bytes(data[: len(data) * 2 // 3])
    with pytest.raises(MediaError, match=f"p{ending}: "):
        next(read_images([path]))


def test_a_broken_image_of_a_row_is_left_out_and_named(tmp_path: Path) -> None:
    paths = [write(tmp_path / f"p{i}.jpg") for i in range(5)]
    paths[1].write_bytes(paths[1].read_bytes()[:900])
    paths[2].write_bytes(b"")
    paths[3].write_bytes(b"<!DOCTYPE html><html>404</html>")
    report = ReadReport()
    frames = list(read_images(paths, report=report, skips_broken=True))
    assert [frame.index for frame in frames] == [0, 4]
    (sentence,) = report.sentences()
    assert "3 images are broken" in sentence
    assert all(f"p{i}.jpg" in sentence for i in (1, 2, 3))
    assert "0 bytes" in sentence
    assert "web page" in sentence


def test_an_image_with_bytes_behind_its_end_is_whole(tmp_path: Path) -> None:
    path = write(tmp_path / "p.png")
    path.write_bytes(path.read_bytes() + bytes(100))
    np.testing.assert_array_equal(next(read_images([path])).rgb(), NOISE)


@pytest.mark.parametrize(("most", "is_stretched"), [(4095, True), (16383, True), (65535, False)])
def test_deep_images_fill_the_range_of_eight_bits(
    most: int, is_stretched: bool, tmp_path: Path
) -> None:
    ramp = np.linspace(0, most, 64 * 48).reshape(48, 64).astype(np.uint16)
    report = ReadReport()
    frame = next(read_images([write(tmp_path / "p.png", ramp)], report=report))
    assert float(frame.rgb().mean()) == pytest.approx(127, abs=2)
    assert any("stretched" in sentence for sentence in report.sentences()) == is_stretched


@pytest.mark.parametrize("orientation", range(1, 9))
def test_boxes_turn_with_the_picture(orientation: int, tmp_path: Path) -> None:
    pixels = np.zeros((48, 64, 3), np.uint8)
    pixels[5:15, 10:40] = 255
    exif = Image.Exif()
    exif[0x0112] = orientation
    path = write(tmp_path / "p.jpg", pixels, exif=exif, quality=95, subsampling=0)
    size = image_size(path)
    frame = next(read_images([path]))
    assert size.stored_hw == (48, 64)
    assert size.shown_hw == frame.size_hw
    ((x1, y1, x2, y2),) = to_shown_boxes(np.array([[10, 5, 40, 15]]), size)
    mask = frame.rgb()[..., 0] > 128
    assert mask[y1:y2, x1:x2].all()
    assert mask.sum() == 300


def animation(path: Path, **options: object) -> Path:
    frames = [Image.new("RGB", (64, 48), (40 * i, 0, 0)) for i in range(6)]
    frames[0].save(path, save_all=True, append_images=frames[1:], **options)  # type: ignore[arg-type]
    return path


def test_animated_webp_and_png_are_videos(tmp_path: Path) -> None:
    webp = animation(tmp_path / "a.webp", duration=[100, 200, 100, 100, 100, 100], lossless=True)
    png = animation(tmp_path / "b.png", duration=100)
    sources = find_sources([str(webp), str(png)])
    assert [source.kind for source in sources] == ["file", "file"]
    frames = list(read_frames(webp))
    assert [frame.time_s for frame in frames] == pytest.approx([0, 0.1, 0.3, 0.4, 0.5, 0.6])
    assert float(frames[3].rgb()[..., 0].mean()) == pytest.approx(120, abs=2)
    assert probe(webp).frame_count == 6
    assert len(list(read_frames(webp, start_s=0.3))) == 4
    assert len(list(read_frames(png))) == 6


def test_of_an_animation_among_images_the_first_picture_is_told(tmp_path: Path) -> None:
    report = ReadReport()
    path = animation(tmp_path / "b.png", duration=100)
    assert len(list(read_images([path], report=report))) == 1
    assert "only the first picture" in report.sentences()[0]


def test_a_folder_of_phone_pictures_that_nothing_reads_says_so(tmp_path: Path) -> None:
    buffer = io.BytesIO(b"ftypheic")
    (tmp_path / "IMG_1.HEIC").write_bytes(buffer.getvalue())
    with pytest.raises(MediaError, match="HEIC") as caught:
        find_sources([str(tmp_path)])
    assert "JPEG" in caught.value.hint


def test_phone_pictures_beside_others_are_not_left_out_in_silence(tmp_path: Path) -> None:
    (tmp_path / "IMG_1.HEIC").write_bytes(b"ftypheic")
    Image.new("RGB", (8, 8)).save(tmp_path / "a.png")
    notes: list[str] = []
    (source,) = find_sources([str(tmp_path)], note=notes.append)
    assert [path.name for path in source.images] == ["a.png"]
    (note,) = notes
    assert "1 images like IMG_1.HEIC cannot be read" in note


def test_a_phone_picture_by_name_says_what_to_do(tmp_path: Path) -> None:
    (tmp_path / "IMG_1.heic").write_bytes(b"\0\0\0\x18ftypheic" + b"\0" * 500)
    with pytest.raises(MediaError) as caught:
        list(read_frames(tmp_path / "IMG_1.heic"))
    assert "JPEG" in caught.value.hint
