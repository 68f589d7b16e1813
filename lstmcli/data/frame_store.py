"""Prepared frames on disk: the canvases of one video as JPEGs in one file, read at random.

Measured on sky (640x512 canvases, two cores): see presets/README.md, "How frames are stored".
"""

from __future__ import annotations

import io
from pathlib import Path
from types import TracebackType

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torchvision.io import ImageReadMode, decode_jpeg

from lstmcli.core.errors import DataError
from lstmcli.core.structures import IntArray, Picture

QUALITY = 95


class FrameStoreWriter:
    """Appends canvases to a file; the index is written when the store is closed.

    Args:
        path: the file; its index lies beside it with the suffix `.index.npy`.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._file = path.open("wb")
        self._offsets = [0]

    def add(self, canvas: Picture) -> None:
        """Append one canvas, uint8 [H, W, 3] RGB."""
        buffer = io.BytesIO()
        # 4:4:4: an object of a few pixels keeps its colour
        Image.fromarray(canvas).save(buffer, "JPEG", quality=QUALITY, subsampling=0)
        self._file.write(buffer.getvalue())
        self._offsets.append(self._offsets[-1] + buffer.tell())

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
            np.save(_index_path(self.path), np.array(self._offsets, np.int64))


def _index_path(path: Path) -> Path:
    return path.with_name(path.name + ".index.npy")


class FrameStore:
    """The canvases of one prepared video, by their place in it.

    Args:
        path: what a `FrameStoreWriter` wrote.

    Raises:
        DataError: the file is missing, or shorter than its index says.
    """

    def __init__(self, path: Path) -> None:
        try:
            self._offsets: IntArray = np.load(_index_path(path), allow_pickle=False)
            size = path.stat().st_size
        except (OSError, ValueError) as error:
            raise DataError(
                f"{path}: the prepared frames cannot be read ({error})", hint="run prepare again"
            ) from None
        if size != self._offsets[-1]:
            raise DataError(
                f"{path}: {size} bytes, the index says {self._offsets[-1]}",
                hint="the file was cut short; run prepare again",
            )
        self._bytes = np.memmap(path, np.uint8, "r") if size else np.zeros(0, np.uint8)

    def __len__(self) -> int:
        return len(self._offsets) - 1

    def tensor(self, place: int) -> Tensor:
        """Return one canvas, uint8 [3, H, W] RGB."""
        raw = np.array(self._bytes[self._offsets[place] : self._offsets[place + 1]])
        return decode_jpeg(torch.from_numpy(raw), mode=ImageReadMode.RGB)

    def picture(self, place: int) -> Picture:
        """Return one canvas, uint8 [H, W, 3] RGB."""
        return np.ascontiguousarray(self.tensor(place).permute(1, 2, 0).numpy())
