"""YOLOX's raw tensor [1, cells, 5 + C]: offsets from each cell, log sizes, objectness, classes.

Ge et al. 2021, https://arxiv.org/abs/2107.08430. Exports that decode inside have the same shape;
there the centers lie in their cells, which distinguishes the two.
"""

from __future__ import annotations

from functools import partial

import numpy as np

from lstmcli.core.types import FloatArray
from lstmcli.inference.foreign.preprocessing import Preprocessing
from lstmcli.inference.foreign.signature import (
    Decoder,
    Outputs,
    Signature,
    best_class_only,
    cell_grid,
    corners_of,
    find_strides,
)

NMS_IOU = 0.65
PREPROCESSING = Preprocessing(fit="corner", bgr=True, scale=1.0)


def recognize(signature: Signature) -> Decoder | None:
    """Recognise one output [1, cells, 5 + C] with one box a cell."""
    (values, *others) = signature.outputs.values()
    if others or values.ndim != 3 or values.shape[0] != 1 or values.shape[2] < 6:
        return None
    found = find_strides(signature.canvas_hw, values.shape[1])
    columns = values.shape[2] - 5
    if found is None or found[1] != 1 or signature.class_count not in (None, columns, 80):
        return None
    cells, strides = cell_grid(signature.canvas_hw, found[0])
    # Decoded centers are in pixels: they follow their cells over the whole width of the input.
    is_decoded = np.abs(values[0, :, :2] - (cells + 0.5) * strides).mean() < 2 * strides.mean()
    decode = partial(_decode, name=next(iter(signature.outputs)), cells=cells, strides=strides)
    if is_decoded:
        decode = partial(_decode, name=next(iter(signature.outputs)), cells=None, strides=None)
    return Decoder(decode, columns, PREPROCESSING, NMS_IOU)


def _decode(
    outputs: Outputs, *, name: str, cells: FloatArray | None, strides: FloatArray | None
) -> tuple[FloatArray, FloatArray]:
    values = outputs[name][0].astype(np.float32, copy=False)
    centers = values[:, :4]
    if cells is not None and strides is not None:
        sizes = np.exp(np.minimum(centers[:, 2:], 20)) * strides
        centers = np.concatenate(((centers[:, :2] + cells) * strides, sizes), axis=1)
    return corners_of(centers), best_class_only(values[:, 4:5] * values[:, 5:])
