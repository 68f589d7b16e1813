"""Single JPEG pictures in memory: frames of a client in, pictures of a live view out."""

from __future__ import annotations

import io

import av
import numpy as np
from PIL import Image

from lstmcli.core.errors import MediaError
from lstmcli.video.frame import Frame, Planes, Scaler
from lstmcli.video.images import ORIENTATION, PIL_ERRORS, TURNS


def decode_jpeg(
    data: bytes, *, index: int, time_s: float, scaler: Scaler, max_pixels: int
) -> Frame:
    """Return a JPEG picture as a frame.

    Args:
        data: the whole file.
        index: of the frame in its stream.
        time_s: of the frame in its stream.
        scaler: of the stream.
        max_pixels: larger pictures are refused before they are decoded.

    Raises:
        MediaError: it is no JPEG picture, damaged, or too large.
    """
    try:
        with Image.open(io.BytesIO(data), formats=("JPEG",)) as image:
            width, height = image.size
            if width * height > max_pixels:
                raise MediaError(
                    f"a picture of {width}x{height} pixels", hint=f"send at most {max_pixels}"
                )
            turn = TURNS.get(int(image.getexif().get(ORIENTATION, 1) or 1), TURNS[1])
            pixels = np.asarray(image.convert("RGB"))
    except PIL_ERRORS as error:
        raise MediaError(
            f"frame {index}: no JPEG picture ({error})", hint="send one whole JPEG file a message"
        ) from None
    return Frame(index, time_s, av.VideoFrame.from_ndarray(pixels, "rgb24"), turn, scaler)


def encode_jpeg(planes: Planes, *, quality: int = 80) -> bytes:
    """Return a picture as a JPEG file."""
    made = io.BytesIO()
    Image.fromarray(planes.rgb()).save(made, "JPEG", quality=quality)
    return made.getvalue()
