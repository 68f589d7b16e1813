"""torch: the default runtime on CUDA, available everywhere."""

from __future__ import annotations

import json
import threading
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor, nn

from lstmcli.core.devices import has_fast_bf16
from lstmcli.core.errors import ModelError
from lstmcli.core.metadata import ModelMetadata
from lstmcli.core.types import Picture
from lstmcli.inference.exportable import ExportableStep
from lstmcli.inference.runtime import Step
from lstmcli.models.checkpoint import build_network

SUFFIX = ".lstmcli"
"""Safetensors; the ending tells an exported network from a checkpoint."""
_NETWORK = "network"
"""The key of the header that holds what the network is built from."""


class TorchRuntime:
    """A step run by torch: float16 and a CUDA graph on CUDA, bfloat16 on a CPU made for it.

    Args:
        step: the network.
        metadata: of the network.
        first: the initial state of a video.
        input_names: of the step.
        device: `cpu`, `cuda` or `cuda:N`.
        mixed: whether convolutions may run in half precision.
    """

    engine = "torch"

    def __init__(
        self,
        step: nn.Module,
        metadata: ModelMetadata,
        *,
        first: tuple[Tensor, ...],
        input_names: tuple[str, ...],
        device: str = "cpu",
        mixed: bool = True,
    ) -> None:
        self.metadata, self.device = metadata, device
        self._device = torch.device(device)
        self._on_cuda = self._device.type == "cuda"
        self._half = torch.float16 if self._on_cuda else torch.bfloat16
        self._mixed = mixed and (self._on_cuda or has_fast_bf16())
        self._step = step.to(self._device)
        self._takes_previous = "previous_frame" in input_names
        self._first = tuple(value.to(self._device) for value in first)
        self._graph = _Graph(self._run, self._first_inputs()) if self._on_cuda else None

    @property
    def problem(self) -> str:
        """Reason why the step was not captured as a CUDA graph, "" if it was or on a CPU."""
        return "" if self._graph is None else self._graph.problem

    def _first_inputs(self) -> tuple[Tensor, ...]:
        height, width = self.metadata.input_hw
        blank = torch.zeros(1, height, width, 3, dtype=torch.uint8, device=self._device)
        return self._inputs(blank, blank.clone(), None)

    def _inputs(
        self, frame: Tensor, previous_frame: Tensor | None, state: tuple[Tensor, ...] | None
    ) -> tuple[Tensor, ...]:
        inputs = (
            [frame, previous_frame]
            if previous_frame is not None and self._takes_previous
            else [frame]
        )
        if self._first:
            inputs.append(torch.tensor([state is None], device=self._device))
        return (*inputs, *(self._first if state is None else state))

    @torch.inference_mode()
    def step(self, frame: Picture, previous_frame: Picture, state: Any) -> Step:
        """Return all cells' boxes [M, 4] (canvas), scores [M, classes], and the new state."""
        before = self._picture(previous_frame) if self._takes_previous else None
        inputs = self._inputs(self._picture(frame), before, state)
        run = self._run if self._graph is None else self._graph
        boxes, scores, *new = run(inputs)
        return boxes.float().cpu().numpy(), scores.float().cpu().numpy(), tuple(new)

    @torch.inference_mode()
    def step_many(
        self, frames: Sequence[Picture], previous_frames: Sequence[Picture], states: Sequence[Any]
    ) -> list[Step]:
        """Return the step of every stream; an exported graph takes one at a time.

        So does a CUDA graph, which is faster than a batch of one kernel by kernel.
        """
        if len(frames) == 1 or not isinstance(self._step, ExportableStep):
            return [self.step(*one) for one in zip(frames, previous_frames, states, strict=True)]
        inputs = [torch.cat([self._picture(frame) for frame in frames])]
        if self._takes_previous:
            inputs.append(torch.cat([self._picture(frame) for frame in previous_frames]))
        if self._first:
            inputs.append(torch.tensor([state is None for state in states], device=self._device))
        parts = [self._first if state is None else state for state in states]
        inputs += [torch.cat(rows) for rows in zip(*parts, strict=True)]
        with torch.autocast(self._device.type, self._half, enabled=self._mixed):
            boxes, scores, *new = self._step.of_many(*inputs)
        ours, theirs = boxes.float().cpu().numpy(), scores.float().cpu().numpy()
        return [
            (ours[row], theirs[row], tuple(part[row : row + 1] for part in new))
            for row in range(len(frames))
        ]

    def _picture(self, picture: Picture) -> Tensor:
        if not picture.flags.writeable:  # torch warns about read-only memory
            picture = picture.copy()
        return torch.from_numpy(picture).to(self._device).unsqueeze(0)

    def _run(self, inputs: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        # A captured graph must not hold weights that were cast before the capture.
        with torch.autocast(
            self._device.type, self._half, enabled=self._mixed, cache_enabled=not self._on_cuda
        ):
            outputs: tuple[Tensor, ...] = self._step(*inputs)
        return outputs


class _Graph:
    """A CUDA graph of one step: inputs are copied into static memory, outputs out of it.

    A network that cannot be captured runs kernel by kernel, and `problem` is the reason.
    """

    def __init__(self, run: Any, examples: tuple[Tensor, ...]) -> None:
        self._run, self._lock = run, threading.Lock()
        self._inputs = tuple(value.clone() for value in examples)
        self._graph: torch.cuda.CUDAGraph | None = None
        self._outputs: tuple[Tensor, ...] = ()
        self.problem = ""
        with torch.inference_mode():
            self._capture()

    def _capture(self) -> None:
        device = self._inputs[0].device
        side: torch.cuda.Stream = torch.cuda.Stream(device)  # type: ignore[no-untyped-call]
        side.wait_stream(torch.cuda.current_stream(device))
        with torch.cuda.stream(side):
            for _ in range(3):  # kernels are chosen and memory is taken before the capture
                self._run(self._inputs)
        torch.cuda.current_stream(device).wait_stream(side)
        graph = torch.cuda.CUDAGraph()
        try:
            # other streams' threads may allocate meanwhile; only this one's calls are checked
            with torch.cuda.graph(graph, capture_error_mode="thread_local"):
                self._outputs = tuple(self._run(self._inputs))
        except RuntimeError as error:
            self.problem = (str(error).splitlines() or ["no reason given"])[0]
            return
        self._graph = graph

    def __call__(self, inputs: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        if self._graph is None:
            return tuple(self._run(inputs))
        with self._lock:
            for fixed, value in zip(self._inputs, inputs, strict=True):
                fixed.copy_(value, non_blocking=True)
            self._graph.replay()
            return tuple(value.clone() for value in self._outputs)


def make(
    step: ExportableStep, metadata: ModelMetadata, *, device: str = "cpu", threads: int = 0
) -> TorchRuntime:
    """Return the step run by torch; the number of threads is torch's own."""
    step = step.to(memory_format=torch.channels_last)
    return TorchRuntime(
        step, metadata, first=step.first, input_names=step.input_names, device=device
    )


def write(step: ExportableStep, metadata: ModelMetadata, path: Path) -> None:
    """Write the weights, and in their header what the network is built from; nothing is code."""
    model = step.model
    network = {
        "config": model.config.model_dump(mode="json"),
        "classes": list(model.classes),
        "canvas_hw": list(model.canvas_hw),
        "grid": model.grid,
    }
    weights = {name: value.clone().contiguous() for name, value in model.state_dict().items()}
    header = metadata.as_texts() | {_NETWORK: json.dumps(network, ensure_ascii=False)}
    path.write_bytes(save(weights, metadata=header))


def read(path: Path, *, device: str = "cpu", threads: int = 0) -> TorchRuntime:
    """Return what `write` wrote: our own network with the weights of the file.

    Raises:
        ModelError: the file is damaged or not ours.
    """
    if path.suffix != SUFFIX:
        raise ModelError(
            f"{path}: files of this kind can run code, and are not loaded",
            hint="export it again with this version, or use the checkpoint",
        )
    try:
        with safe_open(path, framework="pt") as file:
            texts = dict(file.metadata() or {})
            weights = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (SafetensorError, OSError, ValueError, TypeError) as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise ModelError(
            f"{path}: not an exported network, or cut short ({reason})", hint="export it again"
        ) from None
    metadata = ModelMetadata.from_texts(texts, str(path))
    step = ExportableStep(build_network(_network_of(texts), weights, str(path), is_folded=True))
    return TorchRuntime(
        step,
        replace(metadata, input_hw=step.model.canvas_hw),
        first=step.first,
        input_names=step.input_names,
        device=device,
        mixed=False,
    )


def _network_of(texts: Mapping[str, str]) -> Any:
    try:
        return json.loads(texts.get(_NETWORK, "null"))
    except (ValueError, RecursionError):
        return None
