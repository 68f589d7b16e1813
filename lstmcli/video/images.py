"""Still images as frames: decoded by FFmpeg, checked by Pillow, 16 bits brought into 8."""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import av
import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from lstmcli.core.errors import MediaError
from lstmcli.video.animation import has_several_pictures
from lstmcli.video.container import (
    FFMPEG_ERRORS,
    check_pixels,
    check_stream,
    media_only,
    reason_of,
)
from lstmcli.video.decoding import decode
from lstmcli.video.frame import Frame, Scaler, Turn
from lstmcli.video.read_report import ReadReport

PIL_ERRORS = (OSError, ValueError, SyntaxError, RuntimeError, Image.DecompressionBombError)
"""Exceptions of Pillow for images that it cannot decode."""
Image.MAX_IMAGE_PIXELS = None  # `check_pixels` has our own limit, which can be raised
_FEWEST_BITS, _MOST_BITS = 9, 14
"""Bits that a camera puts into 16 without filling them."""
ORIENTATION = 0x0112
"""The EXIF tag that says how a camera was held (EXIF 2.32, 4.6.4)."""
TURNS = {
    1: Turn(),
    2: Turn(False, True, False),
    3: Turn(False, True, True),
    4: Turn(False, False, True),
    5: Turn(True, False, False),
    6: Turn(True, True, False),
    7: Turn(True, True, True),
    8: Turn(True, False, True),
}
_QUARTER_TURNS = (5, 6, 7, 8)
"""Its values for pictures that are shown turned by a quarter."""


@dataclass(frozen=True, slots=True)
class ImageSize:
    """Both sizes of an image whose EXIF data may turn it.

    Args:
        stored_hw: (height, width) of the pixels in the file.
        shown_hw: (height, width) as every viewer shows it.
        orientation: the EXIF value, 1 for an upright image, see `to_shown_boxes`.
    """

    stored_hw: tuple[int, int]
    shown_hw: tuple[int, int]
    orientation: int


def image_size(path: str | Path) -> ImageSize:
    """Return the stored and the shown size of an image; only its header is read.

    Raises:
        MediaError: it is no image.
    """
    try:
        with Image.open(path) as image:
            check_pixels(path, image.width, image.height)
            stored_hw = (image.height, image.width)
            orientation = int(image.getexif().get(ORIENTATION, 1) or 1)
    except PIL_ERRORS as error:
        raise MediaError(
            f"{path}: {_pil_reason(error)}", hint="give a JPEG, PNG or other image"
        ) from None
    orientation = orientation if 1 <= orientation <= 8 else 1
    is_turned = orientation in _QUARTER_TURNS
    return ImageSize(stored_hw, stored_hw[::-1] if is_turned else stored_hw, orientation)


def to_shown_boxes(boxes: np.ndarray, size: ImageSize) -> np.ndarray:
    """Turn boxes of the stored image into boxes of the shown one.

    Args:
        boxes: [n, 4] of x1, y1, x2, y2 in pixels of the stored image.
        size: of the image.

    Returns:
        [n, 4] in pixels of the shown image.
    """
    height, width = size.stored_hw
    x1, y1, x2, y2 = np.asarray(boxes).T
    flipped_x, flipped_y = (width - x2, width - x1), (height - y2, height - y1)
    x, y = (x1, x2), (y1, y2)
    (left, right), (top, bottom) = {
        1: (x, y),
        2: (flipped_x, y),
        3: (flipped_x, flipped_y),
        4: (x, flipped_y),
        5: (y, x),
        6: (flipped_y, x),
        7: (flipped_y, flipped_x),
        8: (y, flipped_x),
    }[size.orientation]
    return np.stack((left, top, right, bottom), axis=1)


def read_images(
    paths: Sequence[Path],
    *,
    rate: float = 25.0,
    report: ReadReport | None = None,
    skips_broken: bool = False,
) -> Iterator[Frame]:
    """Yield still images as the frames of a video of constant rate; each keeps its own size.

    Args:
        paths: of the images.
        rate: frames per second.
        report: filled with what was survived.
        skips_broken: leave out images that cannot be decoded, named in the report; their
            numbers stay free.

    Raises:
        MediaError: one of them is not there or is not an image.
    """
    report = report if report is not None else ReadReport()
    scaler, depth = Scaler(), _Depth()
    for index, path in enumerate(paths):
        try:
            picture, turn = _read_image(path, depth, report)
        except MediaError as error:
            if not skips_broken:
                raise
            report.skip(error.problem)
            continue
        frame = Frame(index, index / rate, picture, turn, scaler)
        frame.lasts_s = 1 / rate
        yield frame
        report.frames += 1


def check_image(path: Path) -> None:
    """Decode an image for nothing but its errors.

    Raises:
        MediaError: it is damaged, or no image.
    """
    _read_image(path, _Depth(), ReadReport())


def _read_image(path: Path, depth: _Depth, report: ReadReport) -> tuple[av.VideoFrame, Turn]:
    try:
        data = Path(path).read_bytes()
    except OSError as error:
        raise MediaError(f"{path}: {reason_of(error)}", hint="is it there?") from None
    if not data:
        raise MediaError(f"{path}: the file is empty (0 bytes)", hint="copy it again")
    if has_several_pictures(path):
        report.note("only the first picture of an animated image was taken")
    _check_jpeg(path, data)
    try:
        with av.open(
            io.BytesIO(data), "r", options=media_only(), metadata_errors="replace"
        ) as container:
            stream = container.streams.video[0]
            check_stream(path, stream)
            stream.thread_type = "NONE"
            picture = next(decode(container, stream, ReadReport()), None)
    except (*FFMPEG_ERRORS, IndexError):
        picture = None
    if picture is None:
        return _by_pillow(path, data), Turn()
    turn = _turn_of(data) or Turn.of(picture)
    return depth.in_eight_bits(picture, report), turn


def _turn_of(data: bytes) -> Turn | None:
    """Return the turn of the EXIF data, mirrors too, which FFmpeg's rotation leaves out."""
    try:
        with Image.open(io.BytesIO(data)) as image:
            return TURNS.get(int(image.getexif().get(ORIENTATION, 0) or 0))
    except PIL_ERRORS:
        return None


def _check_jpeg(path: Path, data: bytes) -> None:
    """Refuse a JPEG that ends too early: FFmpeg decodes what is missing as grey or green."""
    if data[:2] != b"\xff\xd8":
        return
    try:
        with Image.open(io.BytesIO(data)) as image:
            check_pixels(path, image.width, image.height)
            image.draft("L", (1, 1))  # every byte is read, but only an eighth of the pixels made
            image.load()
    except PIL_ERRORS as error:
        raise MediaError(
            f"{path}: the image is damaged: {_pil_reason(error)}", hint="copy or download it again"
        ) from None


def _by_pillow(path: Path, data: bytes) -> av.VideoFrame:
    """Decode what FFmpeg refuses, such as a PNG with bytes behind its end."""
    try:
        with Image.open(io.BytesIO(data)) as image:
            check_pixels(path, image.width, image.height)
            upright = ImageOps.exif_transpose(image)
            pixels = np.asarray(upright.convert("RGB"))
    except PIL_ERRORS as error:
        raise MediaError(
            f"{path}: {_pil_reason(error, data)}", hint="give a JPEG, PNG or other image"
        ) from None
    return av.VideoFrame.from_ndarray(np.ascontiguousarray(pixels), "rgb24")


def _pil_reason(error: BaseException, data: bytes = b"") -> str:
    start = data[:200].lstrip().lower()
    if start.startswith((b"<!doctype", b"<html", b"<?xml")):
        return "this is a web page, not an image; the download went wrong"
    if isinstance(error, UnidentifiedImageError):
        return "this is not an image, or it is damaged"
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    text = str(error) or type(error).__name__
    return text[:1].lower() + text[1:]


class _Depth:
    """Brings 16-bit images into 8 bits; the images of one row share their range."""

    def __init__(self) -> None:
        self._bits = 0

    def in_eight_bits(self, picture: av.VideoFrame, report: ReadReport) -> av.VideoFrame:
        """Return an image that fills 8 bits where a camera's 9 to 15 bits lie in 16."""
        name = picture.format.name
        if not name.startswith(("gray16", "rgb48", "bgr48")):
            return picture
        layout = "gray16le" if name.startswith("gray16") else "rgb48le"
        pixels = np.asarray(picture.to_ndarray(format=layout), np.uint16)
        self._bits = max(self._bits, int(pixels.max()).bit_length())
        if not _FEWEST_BITS <= self._bits <= _MOST_BITS:
            return picture
        report.note(f"16-bit images hold {self._bits} bits; their brightness was stretched to fit")
        small = (pixels >> (self._bits - 8)).astype(np.uint8)
        if small.ndim == 2:  # in RGB, whose range is known
            small = np.repeat(small[..., None], 3, axis=2)
        made = av.VideoFrame.from_ndarray(np.ascontiguousarray(small), "rgb24")
        made.pts, made.time_base = picture.pts, picture.time_base
        return made
