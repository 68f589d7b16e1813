"""A stream of single frames from a client: one recurrent state and one tracker each."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from lstmcli.core.boxes import clip_boxes
from lstmcli.core.errors import DataError
from lstmcli.inference.predictor import Predictor
from lstmcli.outputs.records import detection_records
from lstmcli.service.network import ServedNetwork
from lstmcli.video.frame import Scaler
from lstmcli.video.jpeg import decode_jpeg


class FrameSession:
    """Detects in the frames of one client, in order.

    Args:
        network: of the service.
        max_pixels: of a frame.
    """

    def __init__(self, network: ServedNetwork, *, max_pixels: int) -> None:
        self._network, self._max_pixels = network, max_pixels
        self._tracker, self._scaler = network.tracker(), Scaler()
        self._predictor: Predictor | None = None
        self._size_hw: tuple[int, int] | None = None
        self._last_s = float("-inf")
        self.frames = 0

    def step(self, jpeg: bytes, time_s: float) -> dict[str, Any]:
        """Return the detections of the next frame as a record of `*.detections.jsonl`.

        Args:
            jpeg: the picture; where its size changes, the recurrent state begins anew.
            time_s: of the frame; it grows from frame to frame.

        Raises:
            DataError: the time does not grow.
            MediaError: it is no picture, or too large.
        """
        if time_s <= self._last_s:
            raise DataError(
                f"frame {self.frames}: time {time_s:g} s after {self._last_s:g} s",
                hint="times grow from frame to frame",
            )
        frame = decode_jpeg(
            jpeg,
            index=self.frames,
            time_s=time_s,
            scaler=self._scaler,
            max_pixels=self._max_pixels,
        )
        if self._predictor is None or frame.size_hw != self._size_hw:
            self._size_hw = frame.size_hw
            self._predictor = self._network.predictor(frame.size_hw, self._tracker.min_score)
            self._predictor.start(frame.size_hw)
        canvas = frame.canvas(self._predictor.letterbox(frame.size_hw))
        found = self._tracker.step(self._predictor.step(canvas, time_s), time_s)
        kept = np.isin(found.labels, sorted(self._network.kept))
        found = found.select(kept)
        found = replace(found, boxes=clip_boxes(found.boxes, frame.size_hw))
        self._last_s = time_s
        self.frames += 1
        return {
            "frame": frame.index,
            "time": round(time_s, 6),
            "detections": detection_records(found, self._network.classes),
        }
