"""Centres of the cells of a map, and boxes from their distances."""

from __future__ import annotations

import torch
from torch import Tensor

BOX_RANGE = 8.0
"""Largest exponent of a side in strides; keeps an untrained box finite."""


def cell_centres(raw: Tensor, stride: int) -> Tensor:
    """Return the centres (x, y) of the grid cells in pixels of the canvas, [h*w, 2]."""
    height, width = raw.shape[-2:]
    y, x = torch.meshgrid(
        torch.arange(height, device=raw.device, dtype=torch.float32),
        torch.arange(width, device=raw.device, dtype=torch.float32),
        indexing="ij",
    )
    return (torch.stack((x.flatten(), y.flatten()), dim=1) + 0.5) * stride


def distances_to_boxes(distances: Tensor, raw: Tensor, stride: int) -> Tensor:
    """Turn raw distances to the four sides [N, 4, h, w] into boxes [N, h*w, 4] (FCOS, 1904.01355).

    A distance is exp(raw) strides, so that it is positive and a step means the same at any size.
    """
    centres = cell_centres(raw, stride)
    sides = distances.flatten(2).transpose(1, 2).float().clamp(-BOX_RANGE, BOX_RANGE).exp() * stride
    return torch.cat((centres - sides[..., :2], centres + sides[..., 2:]), dim=-1)
