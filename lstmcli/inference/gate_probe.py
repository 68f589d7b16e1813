"""Probe that records gates and state of a temporal core, for `inspect`."""

from __future__ import annotations

from types import TracebackType
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from lstmcli.core.types import FloatArray
from lstmcli.models.temporal.state import TemporalCore

LSTM_GATES = ("input gate", "forget gate", "output gate")
GRU_GATES = ("reset gate", "update gate")


class GateProbe:
    """Records the pre-activations of a core's gates; use it in a `with` around the steps.

    LSTMs have input, forget and output gates, GRUs reset and update gates; other cores have a state
    only. The peepholes of a `PeepholeLSTM` are left out of the gates that are shown.

    Args:
        core: the temporal core of a network.
    """

    def __init__(self, core: TemporalCore) -> None:
        self._core = core
        self._recorded: dict[str, Tensor] = {}
        self._handles: list[Any] = []

    def __enter__(self) -> GateProbe:
        for name in ("gates", "from_input", "from_hidden"):
            module = getattr(self._core, name, None)
            if isinstance(module, nn.Module):
                self._handles.append(module.register_forward_hook(self._record(name)))
        return self

    def __exit__(
        self,
        error_type: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for handle in self._handles:
            handle.remove()

    def _record(self, name: str) -> Any:
        def hook(module: nn.Module, inputs: object, output: Tensor) -> None:
            self._recorded[name] = output.detach().float()

        return hook

    @torch.inference_mode()
    def maps(self, state: Any) -> dict[str, FloatArray]:
        """Return the maps after a step of one frame, each float32 [h, w], gates in 0..1.

        Args:
            state: after the step. Its last map is the cell (LSTM) or the hidden map; its mean
                magnitude over the channels is `cell`.
        """
        maps = {name: _mean(gate.sigmoid()) for name, gate in self._gates().items()}
        tensors = [t for t in state if isinstance(t, Tensor) and t.dim() == 4] if state else []
        if tensors:
            maps["cell"] = _mean(tensors[-1].float().abs())
        return maps

    def _gates(self) -> dict[str, Tensor]:
        whole = self._recorded.get("gates")
        if whole is None and {"from_input", "from_hidden"} <= self._recorded.keys():
            new, old = self._recorded["from_input"], self._recorded["from_hidden"]
            if new.shape == old.shape:
                whole = new + old
        channels = getattr(self._core, "channels", 0)
        if whole is None or not channels:
            return {}
        count = whole.shape[1] // channels
        parts = whole.chunk(count, dim=1) if count in (3, 4) else ()
        if count == 4:
            return dict(zip(LSTM_GATES, (parts[0], parts[1], parts[3]), strict=True))
        return dict(zip(GRU_GATES, parts[:2], strict=True)) if count == 3 else {}


def _mean(values: Tensor) -> FloatArray:
    return np.asarray(values[0].mean(dim=0).cpu().numpy(), np.float32)
