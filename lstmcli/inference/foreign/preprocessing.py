"""Preprocessing of third-party detectors: canvas to input tensor."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from lstmcli.core.boxes import Fit
from lstmcli.core.types import Picture, planes_of

Triple = tuple[float, float, float]
IMAGENET_MEAN: Triple = (0.485, 0.456, 0.406)
IMAGENET_STD: Triple = (0.229, 0.224, 0.225)


@dataclass(frozen=True, slots=True)
class Preprocessing:
    """Normalisation of pixels 0..255: `(pixel * scale - mean) / std`, channel by channel.

    Args:
        fit: of a frame on the canvas, see `Letterbox`.
        bgr: whether the network takes blue first.
        scale: factor of the pixels.
        mean: in the network's order of channels.
        std: likewise.
    """

    fit: Fit = "stretch"
    bgr: bool = False
    scale: float = 1 / 255
    mean: Triple = (0.0, 0.0, 0.0)
    std: Triple = (1.0, 1.0, 1.0)

    def apply(
        self, canvas: Picture, *, dtype: str = "float32", channels_last: bool = False
    ) -> npt.NDArray[np.generic]:
        """Return the input tensor, [1, 3, H, W] or [1, H, W, 3].

        Args:
            canvas: uint8 [H, W, 3] RGB.
            dtype: of the input; a network that takes uint8 normalises by itself.
            channels_last: whether the network takes [1, H, W, 3].
        """
        planes = planes_of(canvas)
        if self.bgr:
            planes = planes[::-1]
        if dtype == "uint8":
            tensor: npt.NDArray[np.generic] = planes
        else:
            factor = (self.scale / np.array(self.std, np.float64)).astype(np.float32)
            shift = (np.array(self.mean, np.float64) / self.std).astype(np.float32)
            values = planes.astype(np.float32)
            values *= factor[:, None, None]
            if shift.any():
                values -= shift[:, None, None]
            tensor = values.astype(dtype, copy=False)
        if channels_last:
            tensor = tensor.transpose(1, 2, 0)
        return np.ascontiguousarray(tensor[None])
