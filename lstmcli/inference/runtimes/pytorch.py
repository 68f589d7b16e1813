"""torch: the default runtime on CUDA, available everywhere."""

from __future__ import annotations

import json
import threading
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from lstmcli.core.devices import has_fast_bf16
from lstmcli.core.errors import ModelError
from lstmcli.core.metadata import ModelMetadata
from lstmcli.core.types import Picture
from lstmcli.inference.exportable import ExportableStep, capture
from lstmcli.inference.runtime import Step

_METADATA_FILE = "lstmcli.json"


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
    """Write torch's graph with its weights (`torch.export`)."""
    program = capture(step)
    texts = metadata.as_texts() | {"inputs": json.dumps(step.input_names)}
    with warnings.catch_warnings(), path.open("wb") as file:
        warnings.simplefilter("ignore")
        torch.export.save(program, file, extra_files={_METADATA_FILE: json.dumps(texts)})


def read(path: Path, *, device: str = "cpu", threads: int = 0) -> TorchRuntime:
    """Read a file of `write`; its graph is in float32, as captured.

    Raises:
        ModelError: the file is damaged or not ours.
    """
    extra = {_METADATA_FILE: ""}
    try:
        with warnings.catch_warnings(), path.open("rb") as file:
            warnings.simplefilter("ignore")
            program = torch.export.load(file, extra_files=extra)
        texts = json.loads(extra[_METADATA_FILE] or "{}")
    except Exception as error:  # torch raises many types here
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise ModelError(
            f"{path}: not an exported network, or cut short ({reason})", hint="export it again"
        ) from None
    metadata = ModelMetadata.from_texts(texts, str(path))
    inputs = program.example_inputs
    assert inputs is not None
    names = tuple(json.loads(texts["inputs"]))
    first = tuple(
        torch.zeros_like(value)
        for name, value in zip(names, inputs[0], strict=True)
        if name.startswith("state_")
    )
    return TorchRuntime(
        program.module(), metadata, first=first, input_names=names, device=device, mixed=False
    )
