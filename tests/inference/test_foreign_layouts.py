"""Each layout gives back the boxes that were written in it."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from numpy.testing import assert_allclose

from lstmcli.core.boxes import Letterbox
from lstmcli.inference.foreign.layouts import LAYOUTS
from lstmcli.inference.foreign.preprocessing import Preprocessing
from lstmcli.inference.foreign.signature import Decoder, Outputs, Signature, cell_grid

CANVAS_HW = (64, 96)
BOX = np.array((20.0, 12.0, 52.0, 44.0), np.float32)
CENTER = np.array((36.0, 28.0, 32.0, 32.0), np.float32)
LABEL, COUNT = 2, 5
STRIDES = (8, 16, 32)
CELLS = 12 * 8 + 6 * 4 + 3 * 2


def detr_labels() -> Outputs:
    boxes = np.stack((BOX, BOX, BOX + 1))[None]
    labels = np.array([[LABEL, 0, 1]])
    return {"labels": labels, "boxes": boxes, "scores": np.array([[0.9, 0.2, 0.1]], np.float32)}


def detr_logits() -> Outputs:
    shares = CENTER / np.array((96, 64, 96, 64), np.float32)
    logits = np.full((1, 3, COUNT), -9.0, np.float32)
    logits[0, 0, LABEL] = np.log(0.9 / 0.1)
    return {"dets": np.broadcast_to(shares, (1, 3, 4)), "labels": logits}


def yolox_raw() -> Outputs:
    cells, strides = cell_grid(CANVAS_HW, STRIDES)
    values = np.zeros((1, CELLS, 5 + COUNT), np.float32)
    row = int(np.flatnonzero((strides[:, 0] == 16) & (cells == (2, 1)).all(axis=1))[0])
    values[0, row, :2] = CENTER[:2] / 16 - cells[row]
    values[0, row, 2:4] = np.log(CENTER[2:] / 16)
    values[0, row, 4], values[0, row, 5 + LABEL] = 1.0, 0.9
    return {"output": values}


def yolox_decoded() -> Outputs:
    cells, strides = cell_grid(CANVAS_HW, STRIDES)
    values = np.zeros((1, CELLS, 5 + COUNT), np.float32)
    values[0, :, :2], values[0, :, 2:4] = (cells + 0.5) * strides, strides
    values[0, 7, :4] = CENTER
    values[0, 7, 4], values[0, 7, 5 + LABEL] = 1.0, 0.9
    return {"output": values}


def distances(offset: float) -> tuple[np.ndarray, int]:
    """Return logits [cells, 4 * 8] whose distributions are two neighbouring bins, and the row."""
    cells, strides = cell_grid(CANVAS_HW, STRIDES)
    row = int(np.flatnonzero((strides[:, 0] == 16) & (cells == (2, 1)).all(axis=1))[0])
    x, y = (cells[row] + offset) * 16
    wanted = np.array((x - BOX[0], y - BOX[1], BOX[2] - x, BOX[3] - y)) / 16
    logits = np.zeros((CELLS, 4, 8), np.float32)
    logits[row] = -50.0
    for side, value in enumerate(wanted):
        low, share = int(value), value - int(value)
        logits[row, side, low] = np.log(max(1 - share, 1e-9))
        logits[row, side, low + 1] = np.log(max(share, 1e-9))
    return logits.reshape(CELLS, 32), row


def picodet() -> Outputs:
    logits, row = distances(0.5)
    scores = np.zeros((CELLS, COUNT), np.float32)
    scores[row, LABEL] = 0.9
    ends = np.cumsum([12 * 8, 6 * 4, 3 * 2])[:-1]
    levels = [*np.split(scores, ends), *np.split(logits, ends)]
    return {f"scale_{n}": level[None] for n, level in enumerate(levels)}


def nanodet() -> Outputs:
    logits, row = distances(0.5)
    scores = np.zeros((CELLS, COUNT), np.float32)
    scores[row, LABEL] = 0.9
    return {"output": np.concatenate((scores, logits), axis=1)[None]}


def channels_first() -> Outputs:
    values = np.zeros((1, 4 + COUNT, CELLS), np.float32)
    values[0, :4, 9], values[0, 4 + LABEL, 9] = CENTER, 0.9
    return {"output0": values}


def rows_with_objectness() -> Outputs:
    values = np.zeros((1, 3 * CELLS, 5 + COUNT), np.float32)
    values[0, 9, :4], values[0, 9, 4], values[0, 9, 5 + LABEL] = CENTER, 1.0, 0.9
    return {"output": values}


def six_columns() -> Outputs:
    values = np.zeros((1, 50, 6), np.float32)
    values[0, 0] = (*BOX, 0.9, LABEL)
    return {"output0": values}


def paddle_rows() -> Outputs:
    return {"boxes": np.array([(LABEL, 0.9, *BOX)], np.float32), "count": np.array([1], np.int32)}


def seven_columns() -> Outputs:
    return {"output": np.array([(0, *BOX, LABEL, 0.9)], np.float32)}


def tensorrt() -> Outputs:
    boxes = np.stack((BOX, BOX * 0))[None]
    return {
        "num_dets": np.array([[1]], np.int32),
        "det_boxes": boxes,
        "det_scores": np.array([[0.9, 0.0]], np.float32),
        "det_classes": np.array([[LABEL, 0]], np.int32),
    }


SAMPLES: dict[str, tuple[str, Callable[[], Outputs]]] = {
    "detr labels": ("detr", detr_labels),
    "detr logits": ("detr_logits", detr_logits),
    "yolox raw": ("yolox", yolox_raw),
    "yolox decoded": ("yolox", yolox_decoded),
    "picodet": ("picodet", picodet),
    "nanodet": ("nanodet", nanodet),
    "channels first": ("rows", channels_first),
    "rows with objectness": ("rows", rows_with_objectness),
    "six columns": ("suppressed", six_columns),
    "paddle": ("suppressed", paddle_rows),
    "seven columns": ("suppressed", seven_columns),
    "tensorrt": ("suppressed", tensorrt),
}


def recognized(outputs: Outputs, inputs: tuple[str, ...] = ()) -> tuple[str, Decoder]:
    signature = Signature(outputs, CANVAS_HW, COUNT, inputs)
    for name, recognize in LAYOUTS.items():
        decoder = recognize(signature)
        if decoder is not None:
            return name, decoder
    raise AssertionError("not recognised")


@pytest.mark.parametrize("sample", SAMPLES)
def test_a_layout_is_recognised_and_gives_its_box_back(sample: str) -> None:
    wanted, make = SAMPLES[sample]
    inputs = ("images", "orig_target_sizes") if wanted == "detr" else ()
    name, decoder = recognized(make(), inputs)
    assert name == wanted
    boxes, scores = decoder.decode(make())
    assert decoder.columns in (None, COUNT)
    best = int(scores.max(axis=1).argmax())
    assert_allclose(boxes[best], BOX, atol=1e-3)
    assert int(scores[best].argmax()) == LABEL
    assert scores[best].max() == pytest.approx(0.9, abs=1e-5)


def test_one_box_with_two_labels_is_one_row() -> None:
    _, decoder = recognized(detr_labels(), ("images", "orig_target_sizes"))
    boxes, scores = decoder.decode(detr_labels())
    assert len(boxes) == 2
    row = int(scores[:, LABEL].argmax())
    assert_allclose(scores[row], (0.2, 0, 0.9))


@pytest.mark.parametrize(
    "outputs",
    [
        {"logits": np.zeros((1, 1000), np.float32)},
        {"mask": np.zeros((1, 21, 64, 96), np.float32)},
        {"a": np.zeros((1, 7, 3), np.float32), "b": np.zeros((1, 9), np.float32)},
    ],
)
def test_other_outputs_are_of_no_layout(outputs: Outputs) -> None:
    signature = Signature(outputs, CANVAS_HW)
    assert all(recognize(signature) is None for recognize in LAYOUTS.values())


def test_preprocessing_swaps_scales_and_normalises() -> None:
    picture = np.zeros((2, 3, 3), np.uint8)
    picture[..., 0], picture[..., 2] = 255, 51
    usual = Preprocessing().apply(picture)
    assert usual.shape == (1, 3, 2, 3)
    assert_allclose(usual[0, :, 0, 0], (1, 0, 0.2), atol=1e-6)
    other = Preprocessing(bgr=True, scale=1, mean=(1, 2, 3), std=(2, 2, 2))
    assert_allclose(other.apply(picture)[0, :, 1, 2], (25, -1, 126))
    assert other.apply(picture, channels_last=True).shape == (1, 2, 3, 3)
    assert other.apply(picture, dtype="uint8").dtype == np.uint8


@pytest.mark.parametrize("fit", ["center", "corner", "stretch"])
def test_boxes_return_from_any_canvas(fit: str) -> None:
    letterbox = Letterbox((100, 300), (64, 64), fit)  # type: ignore[arg-type]
    boxes = np.array([(30, 20, 90, 80)], np.float32)
    assert_allclose(letterbox.to_source(letterbox.to_canvas(boxes)), boxes, atol=1e-3)
    assert letterbox.inner_hw == ((64, 64) if fit == "stretch" else (21, 64))
    assert letterbox.offset_yx == ((21, 0) if fit == "center" else (0, 0))


def test_foreign_pictures_are_unfiltered_only_while_no_pixel_is_overlooked() -> None:
    assert Letterbox((480, 640), (320, 320), "stretch").is_unfiltered
    assert not Letterbox((720, 1280), (320, 320), "stretch").is_unfiltered
    assert not Letterbox((480, 640), (320, 320)).is_unfiltered
