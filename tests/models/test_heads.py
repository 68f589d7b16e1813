"""From raw maps to boxes and scores."""

from __future__ import annotations

import math

import pytest
import torch

from lstmcli.core.config import HeadConfig
from lstmcli.core.errors import ConfigError
from lstmcli.models.cells import BOX_RANGE, distances_to_boxes
from lstmcli.models.heads import HEADS, build_head, takes_pyramid


def test_distances_become_boxes_around_the_centres_of_cells() -> None:
    """By hand: exp(0) is one stride to every side, exp(log 2) two."""
    raw = torch.zeros(1, 4, 1, 2)
    raw[0, 2, 0, 1] = math.log(2)  # the second cell, to the right
    boxes = distances_to_boxes(raw, raw, 8)
    expected = torch.tensor([[[-4.0, -4.0, 12.0, 12.0], [4.0, -4.0, 28.0, 12.0]]])
    torch.testing.assert_close(boxes, expected)


def test_boxes_stay_finite_for_any_output() -> None:
    raw = torch.full((1, 4, 2, 2), 1e30)
    boxes = distances_to_boxes(raw, raw, 8)
    assert bool(boxes.isfinite().all())
    assert float(boxes.max()) == pytest.approx(12 + 8 * math.exp(BOX_RANGE))


@pytest.mark.parametrize("name", HEADS)
@pytest.mark.parametrize("depth", [0, 2])
def test_every_head_fulfils_the_contract(name: str, depth: int) -> None:
    strides, cells = ((4, 8), 24 + 6) if takes_pyramid(name) else ((4,), 24)
    head = build_head(HeadConfig(name=name, depth=depth), 8, 3, strides).eval()
    raw = head([torch.randn(2, 8, 16 // stride, 24 // stride) for stride in strides])
    boxes, scores = head.boxes(raw), head.scores(raw)
    assert boxes.shape == (2, cells, 4)
    assert scores.shape == (2, cells, 3)
    assert bool(((scores >= 0) & (scores <= 1)).all())
    assert bool((scores.sum(dim=-1) <= 1 + 1e-5).all())
    assert bool((boxes[..., 2:] > boxes[..., :2]).all())
    assert float(scores.detach().max()) < 0.1  # untrained, it finds nothing


def test_an_unknown_head_is_an_error() -> None:
    with pytest.raises(ConfigError, match="no head named 'clasic'") as caught:
        build_head(HeadConfig(name="clasic"), 8, 3, (4,))
    assert caught.value.hint == "did you mean 'classic'?"
