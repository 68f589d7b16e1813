"""One draw serves a whole clip: the same window, flip and colours for all of its frames."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from lstmcli.core.config import AugmentConfig
from lstmcli.core.structures import FloatArray, Picture


@dataclass(frozen=True, slots=True)
class View:
    """How a clip looks at its canvases.

    Args:
        left: the window's left side on the canvas, in pixels; may lie outside.
        top: its upper side.
        width: its width on the canvas before it is scaled to the network's picture.
        height: its height.
        size_hw: (height, width) of the network's picture.
        flip: mirrored from left to right.
        gain: [3], the channels are multiplied by it.
        contrast: distance from the clip's mean is multiplied by it.
        shift: added at the end, in grey levels.
        grey: colours are taken away.
        blur: standard deviation in pixels of the network's picture, 0 for none.
        noise: standard deviation in grey levels, 0 for none.
        noise_seed: of the noise.
    """

    left: int
    top: int
    width: int
    height: int
    size_hw: tuple[int, int]
    flip: bool = False
    gain: tuple[float, float, float] = (1.0, 1.0, 1.0)
    contrast: float = 1.0
    shift: float = 0.0
    grey: bool = False
    blur: float = 0.0
    noise: float = 0.0
    noise_seed: int = 0

    def boxes(self, boxes: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Return boxes of the canvas in pixels of the network's picture, and their visible share.

        Returns:
            boxes float32 [N, 4] cut to the picture, and [N] in 0..1: which share of each was left.
        """
        height, width = self.size_hw
        scale = np.array((width / self.width, height / self.height) * 2, np.float32)
        moved = (boxes - np.array((self.left, self.top) * 2, np.float32)) * scale
        limits = np.array((width, height) * 2, np.float32)
        cut = np.clip(moved, 0, limits)
        whole = np.clip(moved[:, 2:] - moved[:, :2], 1e-6, None).prod(axis=1)
        share = np.clip(cut[:, 2:] - cut[:, :2], 0, None).prod(axis=1) / whole
        if self.flip:
            cut = np.stack((width - cut[:, 2], cut[:, 1], width - cut[:, 0], cut[:, 3]), axis=1)
        return cut.astype(np.float32), share.astype(np.float32)

    def pictures(self, windows: Sequence[Picture]) -> Tensor:
        """Return the network's pictures, uint8 [n, 3, h, w].

        Args:
            windows: uint8 [height, width, 3] each, what the canvases show there.
        """
        pictures = torch.from_numpy(np.stack(windows)).permute(0, 3, 1, 2)
        if pictures.shape[-2:] != self.size_hw:
            # on bytes and channels last: several times faster than on floats
            pictures = F.interpolate(
                pictures, size=self.size_hw, mode="bilinear", antialias=True, align_corners=False
            )
        if self.grey:
            weights = torch.tensor((0.299, 0.587, 0.114))
            luma = torch.tensordot(pictures.float(), weights, dims=([1], [0]))
            pictures = luma.round_().to(torch.uint8)[:, None].expand(-1, 3, -1, -1)
        if self.contrast != 1.0 or self.shift or self.gain != (1.0, 1.0, 1.0):
            pictures = self._recoloured(pictures)
        if self.blur > 0:
            pictures = _blurred(pictures.float(), self.blur).round_().to(torch.uint8)
        if self.noise > 0:
            pictures = self._noisy(pictures)
        return pictures.flip(-1) if self.flip else pictures

    def _recoloured(self, pictures: Tensor) -> Tensor:
        """Return pictures under a table of 256 values a channel: cheaper than arithmetic."""
        middle = float(pictures[:, :, ::8, ::8].float().mean())
        values = np.arange(256, dtype=np.float32) - middle
        numbers = np.empty(pictures.shape, np.uint8)
        source = pictures.numpy()
        for channel, gain in enumerate(self.gain):
            table = values * (gain * self.contrast) + (middle + self.shift)
            table = np.clip(np.round(table), 0, 255).astype(np.uint8)
            numbers[:, channel] = table[source[:, channel]]
        return torch.from_numpy(numbers)

    def _noisy(self, pictures: Tensor) -> Tensor:
        """Return pictures with sensor noise: one grain, laid elsewhere on every frame."""
        count, _, height, width = pictures.shape
        generator = torch.Generator().manual_seed(self.noise_seed)
        room = 16
        grain = torch.randn(3, height + room, width + room, generator=generator) * self.noise
        grain = grain.round_().to(torch.int16)
        shifts = torch.randint(0, room + 1, (count, 2), generator=generator).tolist()
        laid = torch.stack([grain[:, y : y + height, x : x + width] for y, x in shifts])
        return (pictures.to(torch.int16) + laid).clamp_(0, 255).to(torch.uint8)


def _blurred(pictures: Tensor, sigma: float) -> Tensor:
    """Return pictures [n, 3, h, w] under a separable Gaussian of the given standard deviation."""
    reach = max(1, round(2.5 * sigma))
    x = torch.arange(-reach, reach + 1, dtype=torch.float32)
    kernel = torch.exp(-(x**2) / (2 * sigma**2))
    kernel = (kernel / kernel.sum()).expand(3, 1, -1)
    pictures = F.pad(pictures, (reach, reach, reach, reach), mode="replicate")
    pictures = F.conv2d(pictures, kernel[:, :, None], groups=3)
    return F.conv2d(pictures, kernel[..., None], groups=3)


def draw_view(
    rng: np.random.Generator,
    config: AugmentConfig,
    *,
    canvas_hw: tuple[int, int],
    size_hw: tuple[int, int],
    focus: FloatArray | None,
) -> View:
    """Draw how a clip is looked at.

    Args:
        rng: decides everything; the same state gives the same view.
        config: what may vary, and how far.
        canvas_hw: (height, width) of the canvas.
        size_hw: (height, width) of the network's picture.
        focus: a box [4] on the canvas that has to be seen, None for anywhere.
    """
    low, high = config.scale
    zoom = float(np.exp(rng.uniform(np.log(low), np.log(high))))
    height, width = round(size_hw[0] / zoom), round(size_hw[1] / zoom)
    top = _place(rng, height, canvas_hw[0], None if focus is None else focus[[1, 3]])
    left = _place(rng, width, canvas_hw[1], None if focus is None else focus[[0, 2]])
    strength = config.colour
    tint = rng.uniform(-0.3, 0.3, 3) * strength + 1
    contrast = float(np.exp(rng.uniform(-1, 1) * strength))
    shift = float(rng.uniform(-1, 1) * strength * 80)
    blur = float(rng.uniform(0.3, 1.2)) if rng.random() < config.blur else 0.0
    noise = float(rng.uniform(0, config.noise)) * 255 if rng.random() < 0.5 else 0.0
    return View(
        left=left,
        top=top,
        width=width,
        height=height,
        size_hw=size_hw,
        flip=bool(rng.random() < config.flip),
        gain=(float(tint[0]), float(tint[1]), float(tint[2])) if strength else (1.0, 1.0, 1.0),
        contrast=contrast,
        shift=shift,
        grey=bool(rng.random() < config.grey),
        blur=blur,
        noise=noise,
        noise_seed=int(rng.integers(1 << 31)),
    )


def _place(rng: np.random.Generator, window: int, canvas: int, focus: FloatArray | None) -> int:
    """Draw where a window begins along one axis: on the canvas if it fits, around the focus."""
    lowest, highest = min(0, canvas - window), max(0, canvas - window)
    if focus is not None:
        first, last = float(focus[0]), float(focus[1])
        if last - first < window:
            lowest, highest = max(lowest, round(last) - window), min(highest, round(first))
        else:
            lowest, highest = round(first), round(last) - window
    if highest < lowest:
        return round((lowest + highest) / 2)
    return int(rng.integers(lowest, highest + 1))
