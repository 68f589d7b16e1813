"""Labels of photos as they are stored turn with the picture; labels of the shown ones stay."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
from PIL import Image

from lstmcli.core.types import LabelSet, VideoLabels
from lstmcli.labels.exif import turn_found_images, turn_with_exif
from lstmcli.labels.media import locate_media
from lstmcli.labels.media_finder import MediaFinder
from lstmcli.labels.search import read_labels


def photo_labels(path: Path, size_hw: tuple[int, int]) -> LabelSet:
    exif = Image.Exif()
    exif[0x0112] = 6  # shown turned clockwise by 90 degrees
    Image.new("RGB", (64, 48)).save(path, exif=exif)
    labels = VideoLabels(
        name="photo",
        media=None,
        annotated_frames=np.array([0]),
        box_frames=np.array([0]),
        boxes=np.array([[10, 5, 40, 15]], np.float32),
        labels=np.array([0]),
        tracks=np.array([-1]),
        ignore=np.array([False]),
        size_hw=size_hw,
        images=(str(path),),
    )
    return LabelSet(("bee",), (labels,))


def test_boxes_of_the_stored_size_are_turned_and_that_is_told(tmp_path: Path) -> None:
    made = turn_with_exif(photo_labels(tmp_path / "p.jpg", (48, 64)))
    assert made.videos[0].size_hw == (64, 48)
    assert made.videos[0].boxes.tolist() == [[33, 10, 43, 40]]
    assert "EXIF" in made.warnings[0].text


def test_boxes_of_the_shown_size_stay(tmp_path: Path) -> None:
    labels = photo_labels(tmp_path / "p.jpg", (64, 48))
    assert turn_with_exif(labels) is labels
    unknown = replace(labels, videos=(replace(labels.videos[0], size_hw=None),))
    assert turn_with_exif(unknown) is unknown


def test_written_paths_of_found_images_are_kept_while_boxes_turn(tmp_path: Path) -> None:
    (tmp_path / "photos").mkdir()
    labels = photo_labels(tmp_path / "photos" / "p.jpg", (48, 64))
    written = replace(
        labels, videos=(replace(labels.videos[0], images=("photos\\p.jpg", "missing.jpg")),)
    )
    made = turn_found_images(written, MediaFinder(tmp_path / "labels.json"))
    assert made.videos[0].boxes.tolist() == [[33, 10, 43, 40]]
    assert made.videos[0].images == ("photos\\p.jpg", "missing.jpg")


def test_photos_labelled_as_stored_without_a_size_are_turned(tmp_path: Path) -> None:
    """A table without sizes: the boxes leave the shown photos and fit the stored ones."""
    rows = ["filename,class,xmin,ymin,xmax,ymax"]
    for n in range(3):
        photo_labels(tmp_path / f"{n}.jpg", (48, 64))
        rows.append(f"{n}.jpg,bee,40,{5 + n},60,15")
    path = tmp_path / "a.csv"
    path.write_text("\n".join(rows), encoding="utf-8")
    labels = turn_with_exif(locate_media(read_labels(path), path))
    assert [video.size_hw for video in labels.videos] == [(64, 48)] * 3
    assert labels.videos[0].boxes.tolist() == [[33, 40, 43, 60]]
    assert any("EXIF" in warning.text for warning in labels.warnings)


def test_photos_labelled_as_shown_without_a_size_stay(tmp_path: Path) -> None:
    rows = ["filename,class,xmin,ymin,xmax,ymax"]
    for n in range(3):
        photo_labels(tmp_path / f"{n}.jpg", (48, 64))
        rows.append(f"{n}.jpg,bee,5,{40 + n},15,60")
    path = tmp_path / "a.csv"
    path.write_text("\n".join(rows), encoding="utf-8")
    labels = turn_with_exif(locate_media(read_labels(path), path))
    assert labels.videos[0].boxes.tolist() == [[5, 40, 15, 60]]
