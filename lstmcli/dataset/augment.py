"""Augmentation of clips: one random crop, flip and colour change for all frames of a clip."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

from lstmcli.core.config import AugmentConfig
from lstmcli.core.types import FloatArray, Picture

RGB_TO_YIQ = np.array(((0.299, 0.587, 0.114), (0.596, -0.274, -0.322), (0.211, -0.523, 0.312)))
TINT = 25.0
"""Grey levels by which a channel may be shifted at the most."""


@dataclass(frozen=True, slots=True)
class ClipTransform:
    """The transform of a clip, the same for all of its frames.

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
        tint: [3], added to the channels at the end, in grey levels.
        colours: 3x3, mixes the channels before all else; None leaves them.
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
    tint: tuple[float, float, float] = (0.0, 0.0, 0.0)
    colours: tuple[tuple[float, float, float], ...] | None = None
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
        matrix = self._colour_matrix(windows)
        if matrix is not None:
            windows = [np.asarray(Image.fromarray(one).convert("RGB", matrix)) for one in windows]
        pictures = torch.from_numpy(np.stack(windows)).permute(0, 3, 1, 2)
        if pictures.shape[-2:] != self.size_hw:
            # on bytes and channels last: several times faster than on floats
            pictures = F.interpolate(
                pictures, size=self.size_hw, mode="bilinear", antialias=True, align_corners=False
            )
        if self.blur > 0:
            pictures = _blurred(pictures.float(), self.blur).round_().to(torch.uint8)
        if self.noise > 0:
            pictures = self._noisy(pictures)
        return pictures.flip(-1) if self.flip else pictures

    def _colour_matrix(self, windows: Sequence[Picture]) -> tuple[float, ...] | None:
        """Return all that happens to colours as one 3x4 matrix, row by row, or None for nothing.

        Pillow multiplies bytes with it several times faster than arrays of floats would.
        """
        mixed = np.eye(3) if self.colours is None else np.array(self.colours)
        if self.grey:
            mixed = np.tile(RGB_TO_YIQ[0], (3, 1))
        mixed = mixed * (np.array(self.gain) * self.contrast)[:, None]
        added = np.array(self.tint) + self.shift
        if not added.any() and np.array_equal(mixed, np.eye(3)):
            return None
        middle = float(np.mean([one[::8, ::8].mean() for one in windows]))
        added = added + middle - mixed.sum(axis=1) * middle
        return tuple(np.column_stack((mixed, added)).flatten().tolist())

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


def draw_transform(
    rng: np.random.Generator,
    config: AugmentConfig,
    *,
    canvas_hw: tuple[int, int],
    size_hw: tuple[int, int],
    focus: FloatArray | None,
) -> ClipTransform:
    """Draw the transform of a clip.

    Args:
        rng: decides everything; the same state gives the same view.
        config: what may vary, and how far.
        canvas_hw: (height, width) of the canvas.
        size_hw: (height, width) of the network's picture.
        focus: a box [4] on the canvas that has to be inside, None for anywhere.
    """
    low, high = config.scale
    zoom = float(np.exp(rng.uniform(np.log(low), np.log(high))))
    height, width = round(size_hw[0] / zoom), round(size_hw[1] / zoom)
    top = _place(rng, height, canvas_hw[0], None if focus is None else focus[[1, 3]])
    left = _place(rng, width, canvas_hw[1], None if focus is None else focus[[0, 2]])
    strength = config.colour
    gain = rng.uniform(-0.3, 0.3, 3) * strength + 1
    contrast = float(np.exp(rng.uniform(-1, 1) * strength))
    shift = float(rng.uniform(-1, 1) * strength * 80)
    turn = float(rng.uniform(-np.pi, np.pi)) * config.hue
    vividness = 1 + config.hue * float(rng.uniform(-1, 0.5))
    tint = rng.uniform(-1, 1, 3) * config.hue * TINT
    blur = float(rng.uniform(0.3, 1.2)) if rng.random() < config.blur else 0.0
    noise = float(rng.uniform(0, config.noise)) * 255 if rng.random() < 0.5 else 0.0
    return ClipTransform(
        left=left,
        top=top,
        width=width,
        height=height,
        size_hw=size_hw,
        flip=bool(rng.random() < config.flip),
        gain=(float(gain[0]), float(gain[1]), float(gain[2])) if strength else (1.0, 1.0, 1.0),
        contrast=contrast,
        shift=shift,
        tint=(float(tint[0]), float(tint[1]), float(tint[2])),
        colours=_turned(turn, vividness) if config.hue else None,
        grey=bool(rng.random() < config.grey),
        blur=blur,
        noise=noise,
        noise_seed=int(rng.integers(1 << 31)),
    )


def _turned(turn: float, vividness: float) -> tuple[tuple[float, float, float], ...]:
    """Return the matrix that turns hues by an angle in radians and multiplies how vivid they are.

    Luma stays (YIQ, as in Haeberli 1993, "Matrix operations for image processing").
    """
    cos, sin = vividness * np.cos(turn), vividness * np.sin(turn)
    inner = np.array(((1.0, 0.0, 0.0), (0.0, cos, -sin), (0.0, sin, cos)))
    whole = np.linalg.inv(RGB_TO_YIQ) @ inner @ RGB_TO_YIQ
    return tuple((float(a), float(b), float(c)) for a, b, c in whole)


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
