"""Animated WebP, which FFmpeg does not decode, by Pillow; which images are animations at all."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import av
import numpy as np
from PIL import Image

from lstmcli.core.errors import MediaError
from lstmcli.video.container import check_pixels
from lstmcli.video.frame import Frame, Scaler, Turn
from lstmcli.video.read_report import ReadReport

_DEFAULT_S = 0.1
"""Duration of a frame whose header says 0; browsers do the same."""


def is_animation(path: str | Path) -> bool:
    """Return whether a file is an animated WebP (its VP8X header has the flag, 0x02)."""
    head = _head(path)
    return head[:4] == b"RIFF" and head[8:16] == b"WEBPVP8X" and bool(head[20] & 0x02)


def has_several_pictures(path: str | Path) -> bool:
    """Return whether an image file is a film: an animated WebP or PNG."""
    head = _head(path)
    is_apng = head[:8] == b"\x89PNG\r\n\x1a\n" and b"acTL" in head.partition(b"IDAT")[0]
    return is_apng or is_animation(path)


def _head(path: str | Path) -> bytes:
    try:
        with Path(path).open("rb") as file:
            return file.read(4096).ljust(32, b"\0")
    except OSError:
        return bytes(32)


def animation_times(path: str | Path) -> list[float]:
    """Return when each frame of an animation begins, and when the last one ends, in seconds.

    Raises:
        MediaError: it cannot be decoded.
    """
    times = [0.0]
    for _, lasts_s in _pictures(path):
        times.append(times[-1] + lasts_s)
    return times


def read_animation(
    path: str | Path, *, start_s: float | None, end_s: float | None, report: ReadReport
) -> Iterator[Frame]:
    """Yield the frames of an animation on black; see `read_frames`.

    Raises:
        MediaError: it cannot be decoded.
    """
    scaler, time_s = Scaler(), 0.0
    for index, (pixels, lasts_s) in enumerate(_pictures(path)):
        if end_s is not None and time_s >= end_s - 1e-6:
            return
        if time_s >= (start_s or 0.0) - 1e-6:
            frame = Frame(
                index, time_s, av.VideoFrame.from_ndarray(pixels, "rgb24"), Turn(), scaler
            )
            frame.lasts_s = lasts_s
            yield frame
            report.frames += 1
        time_s += lasts_s


def _pictures(path: str | Path) -> Iterator[tuple[np.ndarray, float]]:
    try:
        with Image.open(path) as image:
            check_pixels(path, image.width, image.height)
            for number in range(getattr(image, "n_frames", 1)):
                image.seek(number)
                rgba = image.convert("RGBA")
                black = Image.new("RGBA", rgba.size, (0, 0, 0, 255))
                pixels = np.asarray(Image.alpha_composite(black, rgba).convert("RGB"))
                yield pixels, float(image.info.get("duration") or 0) / 1000 or _DEFAULT_S
    except (OSError, ValueError, EOFError, SyntaxError) as error:
        raise MediaError(
            f"{path}: the animation cannot be decoded: {error}", hint="does it open?"
        ) from None
