"""`evaluate` scores what `detect` writes, whatever the shape of the pictures."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from test_evaluate import Listener

from lstmcli.core.boxes import Letterbox
from lstmcli.core.types import Picture
from lstmcli.dataset.stream import open_source
from lstmcli.metrics.frame_result import FrameResult
from lstmcli.workflows.detect import DetectOptions, detect
from lstmcli.workflows.evaluate import EvaluateOptions, evaluate
from lstmcli.workflows.prepare import PrepareOptions, prepare

FRAMES = 6
THRESHOLD = 0.0001
CLASSES = ("person", "bicycle", "car", "motorcycle", "bus", "truck", "animal")
"""All of `general`: detections of a class that the data does not have are not scored."""
UPRIGHT_HW, WIDE_HW, SQUARE_HW = (240, 136), (136, 240), (160, 160)
SHAPES = pytest.mark.parametrize("size_hw", [UPRIGHT_HW, WIDE_HW, SQUARE_HW])


def drawn(size_hw: tuple[int, int]) -> list[Picture]:
    """Return grey frames with moving boxes of all sizes, in which `general` sees something."""
    draw = np.random.default_rng(3)
    height, width = size_hw
    boxes = [
        (*draw.integers(0, (height // 2, width // 2)), *draw.integers(10, 90, 2)) for _ in range(9)
    ]
    levels = draw.integers(0, 255, 9)
    frames = []
    for frame in range(FRAMES):
        picture = np.full((*size_hw, 3), 150, np.uint8)
        for (top, left, high, wide), level in zip(boxes, levels, strict=True):
            shifted = left + 2 * frame
            picture[top : top + high, shifted : shifted + wide] = level
        frames.append(picture)
    return frames


def write_labels(path: Path, images: Sequence[str], size_hw: tuple[int, int], video: str) -> Path:
    values = {
        "videos": [{"id": 1, "name": "clip", "file_name": video}],
        "images": [
            {"id": n, "video_id": 1, "frame_id": n, "file_name": name}
            | {"height": size_hw[0], "width": size_hw[1]}
            for n, name in enumerate(images)
        ],
        "annotations": [
            {"id": n, "image_id": n, "video_id": 1, "category_id": 1, "bbox": [20, 20, 30, 60]}
            | {"area": 1800, "iscrowd": 0}
            for n in range(len(images))
        ],
        "categories": [{"id": n, "name": name} for n, name in enumerate(CLASSES, 1)],
    }
    path.write_text(json.dumps(values), encoding="utf-8")
    return path


@pytest.fixture
def film(tmp_path: Path, make_video: Callable[..., Path]) -> Callable[[tuple[int, int]], Path]:
    """Give a function that writes a film and its labels, and returns the labels' path."""

    def write(size_hw: tuple[int, int]) -> Path:
        make_video(tmp_path / "clip.mp4", drawn(size_hw))
        names = [f"{n}.jpg" for n in range(FRAMES)]
        return write_labels(tmp_path / "labels.json", names, size_hw, "clip.mp4")

    return write


def prepared(labels: Path, folder: Path) -> Path:
    """Return a dataset of every frame on the wide canvas that `general` was trained on."""
    options = PrepareOptions(size_wh=(640, 384), every=1, store="raw", previews=0)
    prepare([], out=folder / "dataset", val=[labels], options=options)
    return folder / "dataset"


def scored(data: Path, listener: Listener | None = None) -> tuple[FrameResult, ...]:
    options = EvaluateOptions(threshold=THRESHOLD, device="cpu", engine="torch")
    return evaluate("general", data, options, progress=listener).results


def assert_written(results: Sequence[FrameResult], source: Path, out: Path) -> None:
    """Check that `detect` writes the detections of an evaluation, with their track ids."""
    options = DetectOptions(
        model="general",
        out=out,
        threshold=THRESHOLD,
        write=("jsonl",),
        device="cpu",
        engine="torch",
    )
    (done,) = detect([str(source)], options).done
    lines = [json.loads(line) for line in done.outputs[0].read_text().splitlines()]
    assert [line["frame"] for line in lines] == [result.frame for result in results]
    assert sum(len(line["detections"]) for line in lines) >= FRAMES
    for line, result in zip(lines, results, strict=True):
        rows, found = line["detections"], result.detections
        assert [row["track_id"] for row in rows] == found.track_ids.tolist()
        boxes = np.array([row["box"] for row in rows]).reshape(-1, 4)
        np.testing.assert_allclose(boxes, found.boxes, atol=0.051)  # written with one decimal
        np.testing.assert_allclose([row["score"] for row in rows], found.scores, atol=1e-4)


@SHAPES
def test_a_film_is_scored_on_the_canvas_of_detect(
    size_hw: tuple[int, int], film: Callable[[tuple[int, int]], Path], tmp_path: Path
) -> None:
    assert_written(scored(film(size_hw)), tmp_path / "clip.mp4", tmp_path / "out")


def test_upright_films_of_a_prepared_dataset_are_read_again_for_the_upright_canvas(
    film: Callable[[tuple[int, int]], Path], tmp_path: Path
) -> None:
    out = prepared(film(UPRIGHT_HW), tmp_path)
    assert_written(scored(out), tmp_path / "clip.mp4", tmp_path / "out")


def test_a_row_of_images_is_scored_at_every_image_as_detect_writes_it(tmp_path: Path) -> None:
    folder = tmp_path / "row"
    folder.mkdir()
    names = [f"{n:03d}.png" for n in range(FRAMES)]
    for name, picture in zip(names, drawn(UPRIGHT_HW), strict=True):
        Image.fromarray(picture).save(folder / name)
    data = write_labels(tmp_path / "labels.json", [f"row/{n}" for n in names], UPRIGHT_HW, "row")
    assert_written(scored(data), folder, tmp_path / "out")


def test_stored_frames_get_the_bars_of_another_canvas(
    film: Callable[[tuple[int, int]], Path], tmp_path: Path
) -> None:
    """Frames are stored as luma and chroma, so grey levels are rounded once more."""
    (video,) = open_source(prepared(film(SQUARE_HW), tmp_path), split="val").videos
    for canvas_hw in ((384, 640), (384, 384), (400, 384)):
        letterbox = Letterbox(SQUARE_HW, canvas_hw)
        stored, read = list(video.open(canvas_hw)), list(video.open())
        assert [index for index, _, _ in stored] == [index for index, _, _ in read]
        for (_, _, ours), (_, _, source) in zip(stored, read, strict=True):
            assert type(ours) is not type(source)
            canvas, wanted = ours.canvas(letterbox), source.canvas(letterbox)
            assert np.abs(canvas.astype(int) - wanted).max() <= 1
    assert not isinstance(next(video.open((192, 320)))[2], type(stored[0][2])), "another scale"


def test_prepared_frames_without_their_film_keep_their_canvas_and_say_so(
    film: Callable[[tuple[int, int]], Path], tmp_path: Path
) -> None:
    out = prepared(film(UPRIGHT_HW), tmp_path)
    (tmp_path / "clip.mp4").unlink()
    listener = Listener()
    assert len(scored(out, listener)) == FRAMES
    note = next(note for note in listener.notes if "prepared for" in note)
    assert "`detect` takes 384x640, but the source video is gone" in note
