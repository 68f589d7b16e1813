"""Runtime of a third-party detector: preprocessing, session and decoder."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from lstmcli.core.errors import ModelError
from lstmcli.core.metadata import FOREIGN_TRACK_MEMORY, ModelMetadata
from lstmcli.core.types import FloatArray, Picture
from lstmcli.inference.foreign.class_names import ClassTable
from lstmcli.inference.foreign.preprocessing import Preprocessing
from lstmcli.inference.foreign.signature import NO_NMS, Array, Decoder, Outputs
from lstmcli.inference.runtime import Step


class Session(Protocol):
    """A network loaded by an inference library: arrays in, arrays out.

    Attributes:
        engine: the library's name in the table of runtimes.
        device: `cpu`, `cuda` or `cuda:N`.
    """

    engine: str
    device: str

    def run(self, feed: Mapping[str, Array]) -> dict[str, Array]:
        """Return the outputs by name, in the file's order; may be called by several threads."""


@dataclass(frozen=True, slots=True)
class Feed:
    """Maps a frame to the inputs of a network.

    Args:
        image: name of the picture's input.
        dtype: of it.
        channels_last: whether it is [1, H, W, 3].
        others: constant inputs.
    """

    image: str
    dtype: str
    channels_last: bool
    others: Mapping[str, Array]

    def of(self, canvas: Picture, preprocessing: Preprocessing) -> dict[str, Array]:
        """Return the inputs for a frame."""
        image = preprocessing.apply(canvas, dtype=self.dtype, channels_last=self.channels_last)
        return {self.image: image, **self.others}


class ForeignRuntime:
    """A third-party detector: stateless, boxes in pixels of the canvas.

    Args:
        session: the loaded network.
        feed: its inputs.
        decoder: of its outputs.
        table: its classes.
        canvas_hw: (height, width) of its input.
        nms_iou: IoU above which NMS suppresses the lower of two scores.
        where: path of the model, for errors.
        licence: of the weights, "" where unknown.
    """

    def __init__(
        self,
        session: Session,
        *,
        feed: Feed,
        decoder: Decoder,
        preprocessing: Preprocessing,
        table: ClassTable,
        canvas_hw: tuple[int, int],
        nms_iou: float,
        where: Path,
        licence: str = "",
    ) -> None:
        self.metadata = ModelMetadata(
            classes=table.names,
            input_hw=canvas_hw,
            nms="none" if nms_iou >= NO_NMS else "greedy",
            nms_iou=nms_iou,
            max_detections=decoder.max_detections,
            licence=licence,
            fit=preprocessing.fit,
            track_memory=FOREIGN_TRACK_MEMORY,
        )
        self.engine, self.device = session.engine, session.device
        self._session, self._feed, self._decoder = session, feed, decoder
        self._preprocessing, self._table, self._where = preprocessing, table, where
        self._width = int(table.columns.max()) + 1

    def step(self, frame: Picture, previous_frame: Picture, state: Any) -> Step:
        """Return boxes [M, 4] (canvas), scores [M, classes], and no state."""
        outputs = self._session.run(self._feed.of(frame, self._preprocessing))
        boxes, scores = self._read(outputs)
        return boxes, scores, None

    def _read(self, outputs: Outputs) -> tuple[FloatArray, FloatArray]:
        boxes, scores = self._decoder.decode(outputs)
        missing = self._width - scores.shape[1]
        if missing > 0:  # no box of the last classes
            scores = np.pad(scores, ((0, 0), (0, missing)))
        elif missing < 0 and self._decoder.columns is None:
            raise ModelError(
                f"{self._where}: a box of class {scores.shape[1] - 1}, but "
                f"{self._table.source} lists {len(self._table.names)}",
                hint="give a file with all names, one a line, named "
                f"{self._where.with_suffix('.names').name}",
            )
        finite = np.isfinite(boxes).all(axis=1) & np.isfinite(scores).all(axis=1)
        if not finite.all():  # half precision overflows on background
            boxes, scores = boxes[finite], scores[finite]
        return boxes.astype(np.float32, copy=False), scores[:, self._table.columns]
