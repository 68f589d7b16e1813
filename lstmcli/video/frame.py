"""Decoded frames as a player shows them: rotated, converted to RGB or YUV, scaled."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import Any, NamedTuple

import av
import numpy as np
import numpy.typing as npt
from av.video.plane import VideoPlane
from av.video.reformatter import VideoReformatter

from lstmcli.core.boxes import LETTERBOX_GREY, Letterbox
from lstmcli.core.types import Picture

Plane = npt.NDArray[np.uint8]

LIMITED, FULL = 1, 2
"""FFmpeg's numbers for the levels 16..235 and 0..255."""
UNSPECIFIED, BT709, BT601 = 2, 1, 5
"""FFmpeg's numbers for colour matrices."""
_PQ, _HLG = 16, 18
"""FFmpeg's numbers for the transfer functions of HDR (BT.2100)."""
_SWS_BILINEAR, _SWS_FULL_CHROMA, _SWS_ROUND = 2, 0x2000, 0x40000
SCALING = _SWS_BILINEAR | _SWS_FULL_CHROMA | _SWS_ROUND
"""swscale's bilinear filter widens when it shrinks: small objects are averaged, not skipped."""

_SMALL = 16
"""Sides of the copy whose side data is read."""


class Turn(NamedTuple):
    """Rotation and mirroring from stored to shown picture: swap the axes first, then mirror."""

    transposed: bool = False
    mirrored_x: bool = False
    mirrored_y: bool = False

    @classmethod
    def of(cls, picture: av.VideoFrame) -> Turn:
        """Read the display matrix of a frame (a b u, c d v, x y w; x' = a x + c y)."""
        # A frame and its side data hold each other. Until the garbage collector comes, the frame
        # holds all buffers of its decoder: 30 MB a video. So a small copy is asked.
        small = picture.reformat(width=_SMALL, height=_SMALL, format="gray")
        try:
            data = small.side_data.get("DISPLAYMATRIX")
        except ValueError:  # EXIF and other side data for which PyAV has no name
            return cls.clockwise(-picture.rotation)
        if data is None:
            return cls()
        a, b, _, c, d = np.frombuffer(_memory(data), np.int32)[:5].tolist()
        if abs(a) + abs(d) >= abs(b) + abs(c):
            return cls(False, a < 0, d < 0)
        return cls(True, c < 0, b < 0)

    @classmethod
    def clockwise(cls, degrees: int) -> Turn:
        """Return the turn by a number of degrees that is near 0, 90, 180 or 270."""
        quarter = round(degrees / 90) % 4
        return (cls(), cls(True, True, False), cls(False, True, True), cls(True, False, True))[
            quarter
        ]

    @property
    def degrees(self) -> int:
        """The clockwise turn in degrees: 0, 90, 180 or 270; mirroring aside."""
        if self.transposed:
            return 90 if self.mirrored_x or not self.mirrored_y else 270
        return 180 if self.mirrored_y else 0

    def size_hw(self, stored_hw: tuple[int, int]) -> tuple[int, int]:
        """Return (height, width) of the shown picture, or of the stored one from the shown one."""
        return (stored_hw[1], stored_hw[0]) if self.transposed else stored_hw

    def apply(self, picture: Plane) -> Plane:
        """Return a view of [H, W, ...] as it is shown."""
        shown = picture.swapaxes(0, 1) if self.transposed else picture
        return shown[:: -1 if self.mirrored_y else 1, :: -1 if self.mirrored_x else 1]


def _memory(buffer: Any) -> memoryview[int]:
    return memoryview(buffer)


def _view(plane: VideoPlane) -> Plane:
    """Return a plane of 8-bit samples as an array [H, W] that shares its memory."""
    rows = np.frombuffer(_memory(plane), np.uint8).reshape(-1, plane.line_size)
    return np.asarray(rows[: plane.height, : plane.width])


class Planes:
    """A writable picture in limited-range YUV 4:2:0, ready to be drawn on and encoded.

    Args:
        size_hw: (height, width) of the picture.
        matrix: FFmpeg's number of the colour matrix, 2 where unspecified.
        primaries: FFmpeg's number of the primaries, 2 where unspecified.
        transfer: FFmpeg's number of the transfer function, 2 where unspecified.
    """

    __slots__ = ("matrix", "primaries", "size_hw", "store", "transfer", "u", "v", "y")

    def __init__(
        self,
        size_hw: tuple[int, int],
        *,
        matrix: int = UNSPECIFIED,
        primaries: int = UNSPECIFIED,
        transfer: int = UNSPECIFIED,
        store: av.VideoFrame | None = None,
    ) -> None:
        height, width = size_hw
        # Encoders want even sides; an odd picture gets one more row or column, see `pad`.
        even = (width + width % 2, height + height % 2)
        self.store = store if store is not None else av.VideoFrame(*even, "yuv420p")
        self.size_hw = size_hw
        self.matrix, self.primaries, self.transfer = matrix, primaries, transfer
        y, self.u, self.v = (_view(plane) for plane in self.store.planes)
        self.y = y[:height, :width]

    @classmethod
    def from_rgb(cls, picture: Picture) -> Planes:
        """Return an RGB picture, uint8 [H, W, 3], as planes."""
        frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(picture), "rgb24")
        return Frame(0, 0.0, frame, Turn(), Scaler()).planes()

    @property
    def is_bt709(self) -> bool:
        """True where the colours follow BT.709, False where BT.601."""
        return is_bt709(self.matrix, self.size_hw[0])

    def rgb(self) -> Picture:
        """Return the picture in RGB, uint8 [H, W, 3]."""
        height, width = self.size_hw
        whole = Scaler().rgb(self.pad(), (self.store.height, self.store.width))
        return np.ascontiguousarray(whole[:height, :width])

    def fit(self, size_hw: tuple[int, int]) -> Planes:
        """Return the picture as large as fits into another size, in the middle of black."""
        box = Letterbox(self.size_hw, size_hw)
        inner = Frame(0, 0.0, self.pad(), Turn(), Scaler()).planes(box.inner_hw)
        made = Planes(
            size_hw, matrix=inner.matrix, primaries=inner.primaries, transfer=inner.transfer
        )
        top, left = (offset // 2 * 2 for offset in box.offset_yx)
        for target, source, step, black in (
            (made.y, inner.y, 1, 16),
            (made.u, inner.u, 2, 128),
            (made.v, inner.v, 2, 128),
        ):
            target[:] = black
            view = target[top // step :, left // step :][: source.shape[0], : source.shape[1]]
            view[:] = source[: view.shape[0], : view.shape[1]]
        return made

    def pad(self) -> av.VideoFrame:
        """Return what an encoder takes: an odd picture's last row and column are repeated."""
        height, width = self.size_hw
        whole = _view(self.store.planes[0])
        whole[:, width:] = whole[:, width - 1 : width]
        whole[height:] = whole[height - 1 : height]
        return self.store


def is_bt709(matrix: int, height: int) -> bool:
    """Return whether a matrix is BT.709; guessed from the height where unspecified."""
    return matrix == BT709 or (matrix in {0, UNSPECIFIED} and height >= 720)


class Scaler(threading.local):
    """Keeps swscale's tables from frame to frame; one for every stream that is read.

    Every thread has tables of its own: two that share them crash the process.
    """

    def __init__(self) -> None:
        self._small, self._planar, self._whole = (VideoReformatter() for _ in range(3))

    def rgb(self, picture: av.VideoFrame, size_hw: tuple[int, int]) -> Picture:
        """Return a stored picture in RGB, scaled to (height, width) in one step."""
        return np.asarray(_in_rgb(self._small, picture, size_hw, "rgb24").to_ndarray())

    def planar_rgb(self, picture: av.VideoFrame, size_hw: tuple[int, int]) -> Picture:
        """Return the same pixels as `rgb`, in memory as three planes: in half of the time."""
        green, blue, red = _in_rgb(self._planar, picture, size_hw, "gbrp").planes
        planes = np.empty((3, *size_hw), np.uint8)
        for target, plane in zip(planes, (red, green, blue), strict=True):
            target[...] = _view(plane)
        return planes.transpose(1, 2, 0)

    def yuv(self, picture: av.VideoFrame, size_hw: tuple[int, int] | None = None) -> av.VideoFrame:
        """Return a stored picture in limited-range yuv420p; the same object if it already is."""
        height, width = size_hw or (picture.height, picture.width)
        if is_hdr(picture):
            return self._whole.reformat(
                picture,
                width=width,
                height=height,
                format="yuv420p",
                dst_colorspace=BT709,
                interpolation=SCALING,
                dst_color_range=LIMITED,
                dst_color_trc=BT709,
                dst_color_primaries=BT709,
                threads=1,
            )
        is_plain = picture.format.name == "yuv420p" and picture.color_range != FULL
        if is_plain and (height, width) == (picture.height, picture.width):
            return picture
        is_rgb = picture.format.is_rgb or picture.format.name.startswith(("pal8", "gbr"))
        matrix = BT709 if is_bt709(UNSPECIFIED, height) else BT601
        return self._whole.reformat(
            _known_matrix(picture),
            width=width,
            height=height,
            format="yuv420p",
            dst_colorspace=matrix if is_rgb else None,
            interpolation=SCALING,
            dst_color_range=LIMITED,
            threads=1,
        )

    def fit(self, picture: av.VideoFrame, size_hw: tuple[int, int]) -> av.VideoFrame:
        """Return a stored picture as large as fits into another size, on black.

        Times and the display matrix stay with the original; the caller keeps them.
        """
        whole = Frame(0, 0.0, picture, Turn(), self).planes().fit(size_hw)
        made = whole.pad()
        made.colorspace, made.color_range = whole.matrix, LIMITED
        if (made.height, made.width) != size_hw:  # odd sides
            made = self.yuv(made, size_hw)
        made.pts, made.time_base = picture.pts, picture.time_base
        return made


def is_hdr(picture: av.VideoFrame) -> bool:
    """Return whether the colours are HDR's, which screens and detectors of today take for flat."""
    return picture.color_trc in {_PQ, _HLG}


def _in_rgb(
    scaler: VideoReformatter, picture: av.VideoFrame, size_hw: tuple[int, int], layout: str
) -> av.VideoFrame:
    hdr = is_hdr(picture)
    return scaler.reformat(
        _known_matrix(picture),
        width=size_hw[1],
        height=size_hw[0],
        format=layout,
        interpolation=SCALING,
        dst_color_range=FULL,
        dst_color_trc=BT709 if hdr else None,
        dst_color_primaries=BT709 if hdr else None,
        threads=1,
    )


def _known_matrix(picture: av.VideoFrame) -> av.VideoFrame:
    """Guess the matrix of a YUV picture without one from its stored height, as players do."""
    if picture.colorspace == UNSPECIFIED and not picture.format.is_rgb:
        picture.colorspace = BT709 if is_bt709(UNSPECIFIED, picture.height) else BT601
    return picture


def _interpolate(picture: Picture, size_hw: tuple[int, int]) -> Picture:
    """Return a picture at another size, bilinear between pixels' centers and without a filter."""
    (y, next_y, dy), (x, next_x, dx) = (
        _neighbors(old, new) for old, new in zip(picture.shape[:2], size_hw, strict=True)
    )
    planes = picture.transpose(2, 0, 1)
    rows = planes[:, y].astype(np.float32)
    rows += (planes[:, next_y] - rows) * dy[:, None]
    found = rows.take(x, axis=2)
    found += (rows.take(next_x, axis=2) - found) * dx
    found += 0.5
    return found.astype(np.uint8).transpose(1, 2, 0)


def _neighbors(
    old: int, new: int
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64], npt.NDArray[np.float32]]:
    """Return the pixels left and right of each new one, and the right one's share."""
    centers = ((np.arange(new) + 0.5) * old / new - 0.5).clip(0, old - 1)
    first = centers.astype(np.int64)
    return first, np.minimum(first + 1, old - 1), (centers - first).astype(np.float32)


class Frame:
    """A decoded frame, as shown.

    Args:
        index: decoded frames of the source from 0.
        time_s: the frame's own timestamp in seconds; grows from frame to frame.
        picture: the decoder's frame.
        turn: from the stored picture to the shown one.
        scaler: of the stream.
    """

    __slots__ = (
        "_picture",
        "_scaler",
        "_turn",
        "index",
        "is_damaged",
        "is_dependent",
        "lasts_s",
        "position",
        "size_hw",
        "time_s",
    )

    def __init__(
        self, index: int, time_s: float, picture: av.VideoFrame, turn: Turn, scaler: Scaler
    ) -> None:
        self.index = index
        self.position = index
        """The index in the file, counted with frames that could not be decoded."""
        self.is_damaged = bool(picture.is_corrupt)
        """Whether it was decoded with errors."""
        self.is_dependent = False
        """Whether it was predicted from a lost or damaged frame, and so shows smears of it."""
        self.time_s = time_s
        self.size_hw: tuple[int, int] = turn.size_hw((picture.height, picture.width))
        """(height, width) in pixels as shown."""
        length = float((picture.duration or 0) * (picture.time_base or 0))
        self.lasts_s: float | None = length or None
        """Duration in seconds, None where unknown."""
        self._picture, self._turn, self._scaler = _known_matrix(picture), turn, scaler

    def rgb(self) -> Picture:
        """Return the whole frame, uint8 [H, W, 3], turned as shown."""
        stored = self._scaler.rgb(self._picture, self._turn.size_hw(self.size_hw))
        return np.ascontiguousarray(self._turn.apply(stored))

    def crops(self, places: Sequence[tuple[int, int, int, int]]) -> list[Frame]:
        """Return parts of the frame as frames of their own, with its index and time.

        Args:
            places: left, top, right and bottom of each in pixels as shown, inside the frame.
        """
        if not places:
            return []
        whole = self.rgb()
        return [
            Frame(
                self.index,
                self.time_s,
                av.VideoFrame.from_ndarray(np.ascontiguousarray(whole[top:bottom, left:right])),
                Turn(),
                self._scaler,
            )
            for left, top, right, bottom in places
        ]

    def canvas(self, letterbox: Letterbox) -> Picture:
        """Return the frame laid on grey bars, uint8 [canvas height, canvas width, 3] as planes.

        The frame is scaled straight from the decoder's pixels, then turned while it is small.
        """
        inner_hw = self._turn.size_hw(letterbox.inner_hw)
        if letterbox.is_unfiltered:
            whole = self._scaler.planar_rgb(self._picture, self._turn.size_hw(self.size_hw))
            stored = _interpolate(whole, inner_hw)
        else:
            stored = self._scaler.planar_rgb(self._picture, inner_hw)
        inner = self._turn.apply(stored)
        if letterbox.inner_hw == letterbox.canvas_hw and self._turn == Turn():
            return inner
        canvas = np.full((3, *letterbox.canvas_hw), LETTERBOX_GREY, np.uint8).transpose(1, 2, 0)
        top, left = letterbox.offset_yx
        canvas[top : top + inner.shape[0], left : left + inner.shape[1]] = inner
        return canvas

    def planes(self, size_hw: tuple[int, int] | None = None) -> Planes:
        """Return a copy in YUV 4:2:0 to draw on and to encode, scaled where a size is given."""
        size_hw = size_hw or self.size_hw
        picture = self._picture
        stored = self._scaler.yuv(picture, self._turn.size_hw(size_hw))
        is_rgb = picture.format.is_rgb or picture.colorspace == 0
        matrix = int(stored.colorspace) or UNSPECIFIED
        tagged = stored if is_hdr(picture) else picture
        primaries = UNSPECIFIED if is_rgb else int(tagged.color_primaries)
        transfer = UNSPECIFIED if is_rgb else int(tagged.color_trc)
        is_even = size_hw[0] % 2 == 0 and size_hw[1] % 2 == 0
        is_ours = stored is not picture and self._turn == Turn() and is_even
        planes = Planes(
            size_hw,
            matrix=matrix,
            primaries=primaries,
            transfer=transfer,
            store=stored if is_ours else None,
        )
        if is_ours:
            return planes
        for target, plane in zip((planes.y, planes.u, planes.v), stored.planes, strict=True):
            np.copyto(target, self._turn.apply(_view(plane)))
        return planes
