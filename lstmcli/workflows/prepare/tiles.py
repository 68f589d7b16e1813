"""Tiles: overlapping parts of a frame in which small objects are detected enlarged.

After Akyol et al. 2022 (slicing aided hyper inference, https://arxiv.org/abs/2202.06934).
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from lstmcli.core.types import BoolArray, FloatArray

OVERLAP = 0.2
"""Share of a tile's side that its neighbour shows, too: what is smaller is whole in one of them."""
CUT_SHARE = 0.015
"""A box that ends so near to the inside border of a tile, in sides of it, is cut by it."""

Tile = tuple[int, int, int, int]
"""Left, top, right and bottom in pixels of the frame."""


def tiles_of(size_hw: tuple[int, int], count: int) -> list[Tile]:
    """Return `count` x `count` overlapping tiles that cover a frame; none for a count of 1."""
    if count < 2:
        return []
    rows, columns = (_spans(side, count) for side in size_hw)
    return [(left, top, right, bottom) for top, bottom in rows for left, right in columns]


def are_whole(boxes: FloatArray, tile: Tile, size_hw: tuple[int, int]) -> BoolArray:
    """Return which boxes [N, 4], in pixels of a frame, are not cut by the border of a tile.

    The border of the frame itself cuts nothing: what is beyond it no tile shows.
    """
    left, top, right, bottom = tile
    x, y = CUT_SHARE * (right - left), CUT_SHARE * (bottom - top)
    whole = np.ones(len(boxes), np.bool_)
    if left > 0:
        whole &= boxes[:, 0] > left + x
    if top > 0:
        whole &= boxes[:, 1] > top + y
    if right < size_hw[1]:
        whole &= boxes[:, 2] < right - x
    if bottom < size_hw[0]:
        whole &= boxes[:, 3] < bottom - y
    return whole


def _spans(side: int, count: int) -> Sequence[tuple[int, int]]:
    length = min(side, math.ceil(side / (count - (count - 1) * OVERLAP)))
    begins = np.linspace(0, side - length, count).round().astype(int).tolist()
    return [(begin, begin + length) for begin in begins]
