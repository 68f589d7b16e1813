"""Carries the state along one stream: the same for `evaluate` and `detect`."""

from __future__ import annotations

import os
from collections import deque
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch

from lstmcli.core.errors import ConfigError
from lstmcli.core.geometry import Letterbox
from lstmcli.core.structures import Detections, FloatArray, Picture
from lstmcli.models.checkpoint import load_checkpoint
from lstmcli.models.detector import Detector
from lstmcli.models.head import keep_best, keep_rows
from lstmcli.models.objects import ObjectMemory, Remembering

FLOOR = 1e-3
"""Scores below are nobody's answer (COCO evaluation starts here)."""


class Network(Protocol):
    """One step of a trained network, in whatever runtime.

    Attributes:
        classes: names of the classes.
        canvas_hw: (height, width) of the canvas.
        motion_lag_s: how long before the frame the earlier one lies; 0: it is not looked at.
        remembering: how objects are remembered along the stream.
        nms_iou: overlap above which the lesser of two boxes is dropped.
        max_detections: boxes that are kept at the most.
        engine: the runtime's name; device: what it runs on.
    """

    classes: tuple[str, ...]
    canvas_hw: tuple[int, int]
    motion_lag_s: float
    remembering: Remembering
    nms_iou: float
    max_detections: int
    engine: str
    device: str

    def step(
        self, frame: Picture, earlier: Picture, state: Any
    ) -> tuple[FloatArray, FloatArray, Any]:
        """Return all cells' boxes [M, 4] (canvas), scores [M, classes], and the new state."""


class TorchNetwork:
    """A detector run by torch, on the CPU in bf16 where it has matrix units for it, or on CUDA.

    Args:
        model: the network; it is put into evaluation mode on the device.
        device: `cpu`, `cuda` or `cuda:N`.
        memory: False leaves the temporal core out, as the frame stage of the training does.
    """

    engine = "torch"

    def __init__(self, model: Detector, *, device: str = "cpu", memory: bool = True) -> None:
        self._memory = memory
        self.model = model.eval().to(device)
        self.model = self.model.to(memory_format=torch.channels_last)
        self.classes = model.classes
        self.canvas_hw = model.canvas_hw
        self.motion_lag_s = model.config.input.motion_lag_s
        self.remembering = model.remembering
        self.nms_iou = model.config.head.nms_iou
        self.max_detections = model.config.head.max_detections
        self.device = device
        kind = torch.device(device).type
        self._half = torch.float16 if kind == "cuda" else torch.bfloat16
        self._mixed = kind == "cuda" or has_fast_bf16()

    @torch.inference_mode()
    def step(
        self, frame: Picture, earlier: Picture, state: Any
    ) -> tuple[FloatArray, FloatArray, Any]:
        """Return all cells' boxes [M, 4] (canvas), scores [M, classes], and the new state."""
        device = torch.device(self.device)
        shown = torch.tensor(frame).to(device).permute(2, 0, 1)[None, None]
        before = None
        if self.motion_lag_s:
            before = torch.tensor(earlier).to(device).permute(2, 0, 1)[None, None]
        with torch.autocast(device.type, self._half, enabled=self._mixed):
            raw, state = self.model(shown, before, state, memory=self._memory)
        raw = raw[:, 0].float()
        boxes, scores = self.model.head.boxes(raw)[0], self.model.head.scores(raw)[0]
        return boxes.cpu().numpy(), scores.cpu().numpy(), state


def has_fast_bf16() -> bool:
    """Say whether this CPU multiplies bf16 matrices in hardware."""
    capability = getattr(torch.cpu, "_is_avx512_bf16_supported", lambda: False)
    return bool(capability())


def choose_device(device: str, *, count: int = 1) -> str:
    """Return the torch device meant by `auto`, `cpu`, `cuda` or `cuda:N`.

    Args:
        device: what was asked for.
        count: how many of the kind will be used; `auto` takes the CPU where there are fewer.

    Raises:
        ConfigError: no such device in this machine.
    """
    # asks the driver's library; asking CUDA itself would forbid it to processes forked later
    os.environ.setdefault("PYTORCH_NVML_BASED_CUDA_CHECK", "1")
    if device == "auto":
        found = torch.cuda.device_count() if torch.cuda.is_available() else 0
        return "cuda" if found >= max(1, count) else "cpu"
    try:
        wanted = torch.device(device)
    except RuntimeError:
        raise ConfigError(
            f"there is no device named {device!r}", hint="use auto, cpu, cuda or cuda:N"
        ) from None
    if wanted.type == "cuda":
        found = torch.cuda.device_count() if torch.cuda.is_available() else 0
        if max((wanted.index or 0) + 1, count) > found:
            raise ConfigError(
                f"--device {device}: torch finds {found} CUDA devices in this machine",
                hint="use --device cpu, or install a torch that fits the driver",
            )
    elif wanted.type != "cpu":
        raise ConfigError(f"--device {device} is not supported", hint="use auto, cpu or cuda")
    return device


def load_network(model: Path | str, *, device: str = "auto") -> TorchNetwork:
    """Return a checkpoint, a run's best one or a shipped model, ready to run by torch."""
    return TorchNetwork(load_checkpoint(model).model, device=choose_device(device))


class Predictor:
    """Carries the state along one stream and answers in pixels of the source.

    Args:
        network: one step of the trained network.
        threshold: smallest score that is answered, 0..1.
        memory: False begins anew at every frame, to show what the memory is worth.
        multi_label: a box may be answered with several classes, as average precision wants it.
    """

    def __init__(
        self,
        network: Network,
        *,
        threshold: float = FLOOR,
        memory: bool = True,
        multi_label: bool = False,
    ) -> None:
        self.network = network
        self.classes = network.classes
        self.canvas_hw = network.canvas_hw
        self.threshold = max(threshold, FLOOR)
        self.memory = memory
        self.multi_label = multi_label
        self._letterbox = Letterbox(network.canvas_hw, network.canvas_hw)
        self._state: Any = None
        self._recent: deque[tuple[float, Picture]] = deque(maxlen=256)
        self._objects = self._no_objects()

    def _no_objects(self) -> ObjectMemory | None:
        how = self.network.remembering
        return ObjectMemory(how) if how.is_on and self.memory else None

    def start(self, size_hw: tuple[int, int]) -> Letterbox:
        """Begin a video of the given (height, width); return how its frames are laid out."""
        self._letterbox = Letterbox(size_hw, self.canvas_hw)
        self._state = None
        self._recent.clear()
        self._objects = self._no_objects()
        return self._letterbox

    def step(self, canvas: Picture, time_s: float) -> Detections:
        """Return what is found in the next frame.

        Args:
            canvas: uint8 [canvas_h, canvas_w, 3] RGB, laid out by the letterbox of `start`.
            time_s: the frame's own timestamp.
        """
        earlier = self._earlier(canvas, time_s)
        boxes, scores, state = self.network.step(
            canvas, earlier, self._state if self.memory else None
        )
        self._state = state if self.memory else None
        if self._objects is not None:
            boxes, scores = self._remembered(self._objects, boxes, scores, time_s)
        kept = keep_best(
            torch.from_numpy(boxes),
            torch.from_numpy(scores),
            threshold=self.threshold,
            iou=self.network.nms_iou,
            limit=self.network.max_detections,
            multi_label=self.multi_label,
        )
        found, values, labels = (part.numpy() for part in kept)
        return Detections(
            self._letterbox.to_source(found),
            values.astype(np.float32),
            labels.astype(np.int64),
            np.full(len(values), -1, np.int64),
        )

    def _remembered(
        self, objects: ObjectMemory, boxes: FloatArray, scores: FloatArray, time_s: float
    ) -> tuple[FloatArray, FloatArray]:
        """Return one box an object and its scores, weighed with what is remembered of it."""
        sums = scores.sum(axis=1, keepdims=True)
        rows, _ = keep_rows(
            torch.from_numpy(boxes),
            torch.from_numpy(sums),
            threshold=FLOOR,
            iou=self.network.nms_iou,
            limit=self.network.max_detections,
        )
        kept = rows.numpy()
        classes = scores[kept] / np.maximum(sums[kept], 1e-9)
        boxes, sureness, classes = objects.step(boxes[kept], sums[kept, 0], classes, time_s)
        return boxes, classes * sureness[:, None]

    def _earlier(self, canvas: Picture, time_s: float) -> Picture:
        """Return the remembered canvas nearest to `motion_lag_s` ago; at the start, this one."""
        lag = self.network.motion_lag_s
        if not lag:
            return canvas
        recent = self._recent
        if recent and time_s < recent[-1][0]:
            recent.clear()  # the clock went back: another video, or a broken one
        wanted = time_s - lag
        while len(recent) > 1 and abs(recent[1][0] - wanted) < abs(recent[0][0] - wanted):
            recent.popleft()
        earlier = recent[0][1] if recent else canvas
        recent.append((time_s, canvas))
        return earlier
