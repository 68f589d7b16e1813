"""Boxes follow the pixels through every view, and a view is a function of its generator."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from lstmcli.core.config import AugmentConfig
from lstmcli.core.types import FloatArray, Picture
from lstmcli.dataset.augment import ClipTransform, draw_transform

CANVAS_HW = (96, 128)
BOX = np.array([50.0, 30.0, 80.0, 54.0], np.float32)
PLAIN = ClipTransform(left=0, top=0, width=64, height=64, size_hw=(64, 64))
QUIET = {"colour": 0.0, "grey": 0.0, "noise": 0.0, "blur": 0.0}


def canvas() -> Picture:
    """Return a grey canvas with a red rectangle at `BOX`."""
    picture = np.full((*CANVAS_HW, 3), 114, np.uint8)
    left, top, right, bottom = BOX.astype(int)
    picture[top:bottom, left:right] = (250, 20, 20)
    return picture


def window(view: ClipTransform, picture: Picture) -> Picture:
    """Return what a frame store would give for a view."""
    room = 400
    framed = np.pad(picture, ((room, room), (room, room), (0, 0)), constant_values=114)
    top, left = room + view.top, room + view.left
    return framed[top : top + view.height, left : left + view.width]


def red_box(shown: torch.Tensor) -> FloatArray:
    """Return where the red is, from the pixels of a picture [3, h, w] alone."""
    red = (shown[0].int() - shown[1].int()) > 100
    rows, columns = torch.nonzero(red, as_tuple=True)
    sides = columns.min(), rows.min(), columns.max() + 1, rows.max() + 1
    return np.array([float(side) for side in sides], np.float32)


VIEWS = {
    "plain": ClipTransform(20, 10, 64, 64, (64, 64)),
    "mirrored": ClipTransform(20, 10, 64, 64, (64, 64), flip=True),
    "enlarged": ClipTransform(40, 20, 48, 48, (96, 96)),
    "reduced": ClipTransform(0, 0, 128, 96, (48, 64)),
    "beyond the canvas": ClipTransform(-40, -30, 256, 192, (96, 128)),
    "mirrored and beyond": ClipTransform(-41, -31, 255, 193, (96, 128), flip=True),
    "cut": ClipTransform(60, 40, 64, 64, (64, 64)),
    "cut and mirrored": ClipTransform(60, 40, 64, 64, (64, 64), flip=True),
    "unequal": ClipTransform(30, 20, 80, 40, (80, 80)),
}


@pytest.mark.parametrize("name", VIEWS)
def test_the_box_follows_the_pixels(name: str) -> None:
    view = VIEWS[name]
    boxes, share = view.boxes(BOX[None])
    shown = view.pictures([window(view, canvas())])
    assert shown.shape == (1, 3, *view.size_hw)
    # resizing blurs an edge over a pixel of the coarser picture
    blur = 1 + max(view.size_hw[0] / view.height, 1)
    np.testing.assert_allclose(red_box(shown[0]), boxes[0], atol=blur)
    inside = np.clip(BOX, [view.left, view.top] * 2, [view.left + view.width] * 4)
    inside[3] = min(BOX[3], view.top + view.height)
    inside[1] = max(BOX[1], view.top)
    area = np.prod(inside[2:] - inside[:2]) / np.prod(BOX[2:] - BOX[:2])
    assert share[0] == pytest.approx(float(area), rel=1e-5)


def test_a_box_outside_of_the_view_has_no_share() -> None:
    boxes, share = PLAIN.boxes(np.array([[70, 70, 90, 90], [0, 0, 64, 64]], np.float32))
    assert share.tolist() == [0.0, 1.0]
    assert boxes[1].tolist() == [0, 0, 64, 64]
    assert boxes.dtype == np.float32


def test_no_boxes_stay_no_boxes() -> None:
    boxes, share = PLAIN.boxes(np.zeros((0, 4), np.float32))
    assert boxes.shape == (0, 4)
    assert share.shape == (0,)


@pytest.mark.parametrize("seed", range(40))
@pytest.mark.parametrize("size_hw", [(64, 64), (96, 128)])
def test_whatever_is_drawn_the_box_follows_the_pixels(seed: int, size_hw: tuple[int, int]) -> None:
    config = AugmentConfig.model_validate({"scale": (0.5, 2.0), "flip": 0.5} | QUIET)
    view = draw_transform(
        np.random.default_rng(seed), config, canvas_hw=CANVAS_HW, size_hw=size_hw, focus=BOX
    )
    boxes, share = view.boxes(BOX[None])
    assert share[0] > 0.3
    shown = view.pictures([window(view, canvas())])[0]
    blur = 1 + max(size_hw[0] / view.height, 1)
    np.testing.assert_allclose(red_box(shown), boxes[0], atol=blur)


@pytest.mark.parametrize("focus", [BOX, None])
def test_a_view_is_a_function_of_its_generator(focus: FloatArray | None) -> None:
    def drawn(seed: int) -> ClipTransform:
        return draw_transform(
            np.random.default_rng(seed),
            AugmentConfig(),
            canvas_hw=CANVAS_HW,
            size_hw=(64, 64),
            focus=focus,
        )

    assert drawn(1) == drawn(1)
    assert drawn(1) != drawn(2)
    picture = canvas()
    view = replace(drawn(3), noise=8.0, blur=0.7)
    once, again = (view.pictures([window(view, picture)] * 2) for _ in range(2))
    assert torch.equal(once, again)


def test_a_view_of_the_whole_canvas_without_zoom_is_the_canvas() -> None:
    config = AugmentConfig.model_validate({"scale": (1.0, 1.0), "flip": 0.0} | QUIET)
    view = draw_transform(
        np.random.default_rng(0), config, canvas_hw=CANVAS_HW, size_hw=CANVAS_HW, focus=BOX
    )
    assert replace(view, noise_seed=0) == ClipTransform(0, 0, 128, 96, CANVAS_HW)
    shown = view.pictures([canvas()])[0]
    np.testing.assert_array_equal(shown.permute(1, 2, 0).numpy(), canvas())


@pytest.mark.parametrize(
    "changes",
    [
        {"gain": (1.2, 1.0, 0.8)},
        {"contrast": 1.5},
        {"shift": 40.0},
        {"grey": True},
        {"tint": (20.0, 0.0, -20.0)},
        {"colours": ((0.0, 1.0, 0.0), (0.0, 0.0, 1.0), (1.0, 0.0, 0.0))},
        {"blur": 1.0},
        {"noise": 10.0},
        {"flip": True},
    ],
)
def test_every_change_changes_the_picture_alike_in_all_frames(changes: dict[str, Any]) -> None:
    picture = canvas()[:64, 20:84]
    plain = PLAIN.pictures([picture, picture])
    shown = replace(PLAIN, **changes).pictures([picture, picture])
    assert shown.dtype == torch.uint8
    assert shown.shape == plain.shape
    assert not torch.equal(shown, plain)
    if "noise" not in changes:
        assert torch.equal(shown[0], shown[1])


def test_colours_change_as_told() -> None:
    """By hand: grey 100, contrast about its own mean changes nothing, gain and shift do."""
    flat = np.full((64, 64, 3), 100, np.uint8)
    shown = replace(PLAIN, gain=(1.0, 1.0, 1.0), contrast=2.0, shift=30.0).pictures([flat])
    assert shown.unique().tolist() == [130]
    red = np.zeros((64, 64, 3), np.uint8)
    red[..., 0] = 200
    assert replace(PLAIN, grey=True).pictures([red]).unique().tolist() == [round(0.299 * 200)]
    bright = replace(PLAIN, shift=250.0).pictures([flat])
    assert bright.unique().tolist() == [255]


def test_noise_has_its_strength_and_moves_from_frame_to_frame() -> None:
    flat = np.full((64, 64, 3), 128, np.uint8)
    shown = replace(PLAIN, noise=10.0).pictures([flat, flat]).float()
    assert 9 < float(shown[0].std()) < 11
    assert not torch.equal(shown[0], shown[1])


def test_blur_keeps_the_brightness() -> None:
    """A point becomes a Gaussian: its sum stays, its height is about 1 / (2 pi sigma^2)."""
    point = np.zeros((64, 64, 3), np.uint8)
    point[32, 32] = 255
    shown = replace(PLAIN, blur=1.0).pictures([point]).float()[0, 0]
    assert float(shown.sum()) == pytest.approx(255, rel=0.1)
    assert float(shown.max()) == pytest.approx(255 / (2 * math.pi), rel=0.1)


def test_the_focus_is_always_in_the_picture() -> None:
    config = AugmentConfig(scale=(0.7, 1.5))
    rng = np.random.default_rng(0)
    for _ in range(200):
        left, top = rng.uniform(0, 110), rng.uniform(0, 80)
        sides = rng.uniform(6, 18, 2)
        focus = np.array([left, top, left + sides[0], top + sides[1]], np.float32)
        view = draw_transform(rng, config, canvas_hw=CANVAS_HW, size_hw=(48, 48), focus=focus)
        _, share = view.boxes(focus[None])
        assert share[0] > 0.8, (focus, view)  # windows lie on whole pixels


def test_a_window_stays_on_the_canvas_where_it_fits() -> None:
    config = AugmentConfig(scale=(1.0, 1.5))
    rng = np.random.default_rng(0)
    for _ in range(100):
        view = draw_transform(rng, config, canvas_hw=CANVAS_HW, size_hw=(64, 64), focus=None)
        assert 0 <= view.left <= 128 - view.width
        assert 0 <= view.top <= 96 - view.height
