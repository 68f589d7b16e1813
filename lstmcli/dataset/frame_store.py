"""Prepared frames on disk, read at random: whole for a stream, a window of them for a clip.

Two forms. `raw`: luma and subsampled chroma (4:2:0) as they are, memory-mapped; a window costs only
its own pixels. `jpeg`: a tenth of the space, but every window costs a whole picture. Measured where
it matters, see presets/EXPERIMENTS.md, "How frames are stored".
"""

from __future__ import annotations

import io
import json
from pathlib import Path
from types import TracebackType

import numpy as np
from PIL import Image

from lstmcli.core.boxes import LETTERBOX_GREY
from lstmcli.core.errors import DataError
from lstmcli.core.limits import check_canvas
from lstmcli.core.types import IntArray, Picture, pixels_of

QUALITY = 92
FORMS = ("raw", "jpeg")


class FrameStoreWriter:
    """Appends canvases to a file; the index next to it is written when the store is closed.

    Args:
        path: the file.
        form: one of `FORMS`.
        canvas_hw: (height, width) of the canvases, even numbers.
    """

    def __init__(self, path: Path, *, form: str, canvas_hw: tuple[int, int]) -> None:
        assert form in FORMS
        self.path, self.form, self.canvas_hw = path, form, canvas_hw
        self._file = path.open("wb")
        self._offsets = [0]

    def add(self, canvas: Picture) -> None:
        """Append one canvas, uint8 [H, W, 3] RGB."""
        assert canvas.shape == (*self.canvas_hw, 3), canvas.shape
        image = Image.fromarray(pixels_of(canvas))
        if self.form == "raw":
            luma, *chroma = image.convert("YCbCr").split()
            data = luma.tobytes() + b"".join(plane.reduce(2).tobytes() for plane in chroma)
        else:
            buffer = io.BytesIO()
            image.save(buffer, "JPEG", quality=QUALITY)
            data = buffer.getvalue()
        self._file.write(data)
        self._offsets.append(self._offsets[-1] + len(data))

    def __enter__(self) -> FrameStoreWriter:
        """Return the open store."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Close the file, and write the index if all went well."""
        self._file.close()
        if error is None:
            metadata = {"form": self.form, "canvas_hw": self.canvas_hw, "offsets": self._offsets}
            _index_path(self.path).write_text(json.dumps(metadata), encoding="utf-8")


def _index_path(path: Path) -> Path:
    return path.with_name(path.name + ".json")


def _check_index(form: str, offsets: IntArray, canvas_hw: tuple[int, int], place: str) -> None:
    """Refuse an index whose frames are not those of its canvas.

    Raises:
        ValueError: something in it cannot be.
        DataError: the canvas is too large.
    """
    if form not in FORMS:
        raise ValueError(f"a form named {form!r}")
    check_canvas(canvas_hw, place, error=DataError)
    if offsets.ndim != 1 or not len(offsets) or offsets[0] != 0 or (np.diff(offsets) < 0).any():
        raise ValueError("its frames do not follow one another")
    height, width = canvas_hw
    raw = height * width + 2 * (height // 2) * (width // 2)
    if form == "raw" and (np.diff(offsets) != raw).any():
        raise ValueError(f"frames of {width}x{height} pixels have {raw} bytes, these have not")


class FrameStore:
    """The canvases of one prepared video, by their position in it.

    Args:
        path: what a `FrameStoreWriter` wrote.

    Raises:
        DataError: the file is missing, or shorter than its index says.
    """

    def __init__(self, path: Path) -> None:
        try:
            metadata = json.loads(_index_path(path).read_text(encoding="utf-8"))
            self._offsets: IntArray = np.array(metadata["offsets"], np.int64)
            self._form = str(metadata["form"])
            height, width = (int(side) for side in metadata["canvas_hw"])
            size = path.stat().st_size
            _check_index(self._form, self._offsets, (height, width), str(path))
        except (OSError, ValueError, KeyError, TypeError, OverflowError, RecursionError) as error:
            raise DataError(
                f"{path}: the prepared frames cannot be read ({error})", hint="run prepare again"
            ) from None
        if size != self._offsets[-1]:
            raise DataError(
                f"{path}: {size} bytes, the index says {self._offsets[-1]}",
                hint="the file was cut short; run prepare again",
            )
        self._path = path
        self.canvas_hw = (height, width)
        self._bytes = np.memmap(path, np.uint8, "r") if size else np.zeros(0, np.uint8)

    def __len__(self) -> int:
        return len(self._offsets) - 1

    def picture(self, position: int) -> Picture:
        """Return one canvas, uint8 [H, W, 3] RGB."""
        return self.window(position, 0, 0, self.canvas_hw)

    def window(self, position: int, top: int, left: int, size_hw: tuple[int, int]) -> Picture:
        """Return part of a canvas, uint8 [h, w, 3] RGB, grey where it reaches beyond.

        Args:
            position: which canvas.
            top: the window's first row; may be negative.
            left: its first column; may be negative.
            size_hw: its (height, width).
        """
        height, width = self.canvas_hw
        first_row, last_row = max(0, top), min(height, top + size_hw[0])
        first_column, last_column = max(0, left), min(width, left + size_hw[1])
        if first_row >= last_row or first_column >= last_column:
            return np.full((*size_hw, 3), LETTERBOX_GREY, np.uint8)
        part = self._part(position, first_row, last_row, first_column, last_column)
        if part.shape[:2] == size_hw:
            return part
        whole = np.full((*size_hw, 3), LETTERBOX_GREY, np.uint8)
        whole[first_row - top : last_row - top, first_column - left : last_column - left] = part
        return whole

    def _part(self, position: int, top: int, bottom: int, left: int, right: int) -> Picture:
        data = self._bytes[self._offsets[position] : self._offsets[position + 1]]
        if self._form == "jpeg":
            try:
                whole = np.asarray(Image.open(io.BytesIO(data.tobytes())).convert("RGB"))
                if whole.shape[:2] != self.canvas_hw:
                    raise ValueError(f"{whole.shape[1]}x{whole.shape[0]} pixels")
            except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
                raise DataError(
                    f"{self._path}: the prepared frame {position} is damaged ({error})",
                    hint="run prepare again",
                ) from None
            return np.ascontiguousarray(whole[top:bottom, left:right])
        height, width = self.canvas_hw
        # chroma comes in pairs of rows and columns
        even_top, even_left = top - top % 2, left - left % 2
        even_bottom, even_right = bottom + bottom % 2, right + right % 2
        luma = data[: height * width].reshape(height, width)
        chroma = data[height * width :].reshape(2, height // 2, width // 2)
        rows, columns = slice(even_top, even_bottom), slice(even_left, even_right)
        halves = chroma[:, even_top // 2 : even_bottom // 2, even_left // 2 : even_right // 2]
        planes = [Image.fromarray(np.ascontiguousarray(luma[rows, columns]))]
        for half in halves:
            small = Image.fromarray(np.ascontiguousarray(half))
            planes.append(small.resize(planes[0].size, Image.Resampling.NEAREST))
        rgb = np.asarray(Image.merge("YCbCr", planes).convert("RGB"))
        return np.ascontiguousarray(
            rgb[top - even_top : bottom - even_top, left - even_left : right - even_left]
        )
