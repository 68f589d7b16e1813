"""Checks that need pixels: exchanged axes, and one recording in two splits."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from conftest import write_dataset

from lstmcli.core.types import Picture, VideoLabels
from lstmcli.dataset.manifest import Dataset
from lstmcli.dataset.pixel_checks import (
    LEAST_BOXES,
    SwappedAxesCheck,
    check_pictures,
    note_near_duplicates,
    thumbnail,
)
from lstmcli.labels.warning_collector import WarningCollector


def blocks(seed: int) -> Picture:
    rng = np.random.default_rng(seed)
    fields = rng.integers(0, 255, (8, 9, 3)).astype(np.uint8)
    return fields.repeat(24, axis=0).repeat(24, axis=1)


def sky(seed: int) -> Picture:
    """Return a clear sky that grows brighter towards the horizon, with some noise."""
    rng = np.random.default_rng(seed)
    rows = np.linspace(120, 200, 256)[:, None, None]
    noise = rng.normal(0, 3, (256, 320, 3))
    return np.clip(rows + noise + np.array((-30, 0, 30)), 0, 255).astype(np.uint8)


def are_near_duplicates(
    first: Picture, second: Picture, *, splits: tuple[str, str] = ("train", "val")
) -> bool:
    warnings, seen = WarningCollector(), (thumbnail(first), thumbnail(second))
    thumbnails = {
        name: [one for one in [small] if one is not None]
        for name, small in zip("uv", seen, strict=True)
    }
    note_near_duplicates(thumbnails, dict(zip("uv", splits, strict=True)), warnings)
    return len(warnings.collected()) == 1


def test_a_copy_is_known_however_it_was_scaled_and_brightened() -> None:
    picture = blocks(0)
    copy = (picture.astype(np.float32) * 0.7 + 30).astype(np.uint8)[::2, ::2]
    assert are_near_duplicates(picture, copy)
    assert not are_near_duplicates(picture, copy, splits=("train", "train"))
    assert not are_near_duplicates(picture, blocks(1))
    assert not are_near_duplicates(picture, picture[::-1, ::-1])


def test_two_clear_skies_are_not_called_the_same() -> None:
    assert thumbnail(sky(0)) is None
    assert not are_near_duplicates(sky(0), sky(1))
    assert not are_near_duplicates(sky(0), sky(0)), "nothing can be said of it"


def scene(count: int) -> tuple[Picture, np.ndarray]:
    """Return a bright wall with dark squares, and where they are."""
    rng = np.random.default_rng(5)
    picture = np.full((240, 320, 3), 200, np.uint8)
    boxes = []
    for number in range(count):
        left, top = 130 + 18 * (number % 10), 5 + 18 * (number // 10)
        picture[top : top + 12, left : left + 12] = rng.integers(0, 90)
        boxes.append((left - 1, top - 1, left + 13, top + 13))
    return picture, np.array(boxes, np.float32)


def swapped_axes_warnings(boxes: np.ndarray, exchanged: np.ndarray, picture: Picture) -> list[str]:
    check, warnings = SwappedAxesCheck(), WarningCollector()
    check.add(picture, boxes, exchanged)
    check.note("train", warnings)
    return [warning.text for warning in warnings.collected()]


def test_exchanged_axes_are_told_and_right_ones_are_not() -> None:
    picture, boxes = scene(60)
    swapped = boxes[:, [1, 0, 3, 2]]
    fits = (swapped[:, 3] <= 240) & (np.abs(swapped - boxes).max(axis=1) > 14)
    assert fits.sum() >= LEAST_BOXES
    assert swapped_axes_warnings(boxes[fits], swapped[fits], picture) == []
    (text,) = swapped_axes_warnings(swapped[fits], boxes[fits], picture)
    assert "x and y are exchanged" in text


def test_few_boxes_prove_nothing() -> None:
    picture, boxes = scene(LEAST_BOXES - 1)
    assert swapped_axes_warnings(boxes[:, [1, 0, 3, 2]], boxes, picture) == []


def test_boxes_at_the_border_and_of_no_size_are_survived() -> None:
    picture = blocks(0)
    boxes = np.array([(0, 0, 216, 192), (215, 191, 216, 192), (0, 100, 8, 108)], np.float32)
    assert swapped_axes_warnings(boxes, boxes[:, [1, 0, 3, 2]], picture) == []


@pytest.mark.parametrize("exchange", [False, True])
def test_a_prepared_dataset_is_checked(tmp_path: Path, exchange: bool) -> None:
    made = write_dataset(tmp_path / "set", videos=("train",) * 8, frames=56, canvas_hw=(96, 96))
    if exchange:
        videos = tuple(replace(v, labels=exchanged(v.labels)) for v in made.videos)
        made = replace(made, videos=videos)
    found = {warning.text for warning in check_pictures(made)}
    assert any("exchanged" in text for text in found) == exchange


def exchanged(labels: VideoLabels) -> VideoLabels:
    return replace(labels, boxes=labels.boxes[:, [1, 0, 3, 2]])


def test_a_dataset_without_truth_is_survived(tmp_path: Path) -> None:
    made: Dataset = write_dataset(tmp_path / "set", frames=4, annotated_frames=lambda frame: False)
    assert check_pictures(made) == ()
