"""Runtime of a detector in eager torch, without an export, for validation in training."""

from __future__ import annotations

from typing import Any

import torch

from lstmcli.core.devices import has_fast_bf16
from lstmcli.core.metadata import ModelMetadata
from lstmcli.core.types import Picture
from lstmcli.inference.runtime import Step
from lstmcli.models.detector import DetectorNet


class EagerRuntime:
    """Eager torch, on the CPU (in bf16 where it has matrix units) or on CUDA.

    Args:
        model: the network; it is put into evaluation mode on the device.
        metadata: of the network; None: its own, scores uncalibrated.
        device: `cpu`, `cuda` or `cuda:N`.
        memory: False leaves the temporal core out, as the frame stage of the training does.
    """

    engine = "torch"

    def __init__(
        self,
        model: DetectorNet,
        metadata: ModelMetadata | None = None,
        *,
        device: str = "cpu",
        memory: bool = True,
    ) -> None:
        self._memory = memory
        self.model = model.eval().to(device)
        self.model = self.model.to(memory_format=torch.channels_last)
        self.metadata = metadata or model.metadata
        self.device = device
        device_type = torch.device(device).type
        self._half = torch.float16 if device_type == "cuda" else torch.bfloat16
        self._mixed = device_type == "cuda" or has_fast_bf16()

    @torch.inference_mode()
    def step(self, frame: Picture, previous_frame: Picture, state: Any) -> Step:
        """Return all cells' boxes [M, 4] (canvas), scores [M, classes], and the new state."""
        device = torch.device(self.device)
        shown = torch.tensor(frame).to(device).permute(2, 0, 1)[None, None]
        before = None
        if self.metadata.motion_lag_s:
            before = torch.tensor(previous_frame).to(device).permute(2, 0, 1)[None, None]
        with torch.autocast(device.type, self._half, enabled=self._mixed):
            raw, state = self.model(shown, before, state, memory=self._memory)
        raw = raw[:, 0].float()
        boxes, scores = self.model.head.boxes(raw)[0], self.model.head.scores(raw)[0]
        return boxes.cpu().numpy(), scores.cpu().numpy(), state
