"""Session of OpenVINO for third-party networks."""

from __future__ import annotations

import queue
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from lstmcli.core.errors import ModelError
from lstmcli.core.jobs import thread_count
from lstmcli.inference.foreign.onnx_file import OnnxFile
from lstmcli.inference.runtimes.openvino_library import openvino

Array = npt.NDArray[Any]


class OpenVINOSession:
    """A third-party network in OpenVINO, with all input shapes fixed.

    Args:
        path: of the ONNX file.
        file: its declarations.
        size_hw: (height, width) of its input.
        device: is `cpu`.
        threads: maximum; 0: `thread_count`.

    Raises:
        ModelError: OpenVINO cannot read it, or not at this size.
    """

    engine = "openvino"

    def __init__(
        self,
        path: Path,
        file: OnnxFile,
        size_hw: tuple[int, int],
        *,
        device: str = "cpu",
        threads: int = 0,
    ) -> None:
        library = openvino()
        self.device = "cpu"
        try:
            core = library.Core()
            model = core.read_model(path)
            model.reshape({port.name: _fixed(port.shape, size_hw) for port in file.inputs})
            self._compiled = core.compile_model(
                model,
                "CPU",
                {
                    "PERFORMANCE_HINT": "LATENCY",
                    "NUM_STREAMS": 1,
                    "INFERENCE_NUM_THREADS": threads or thread_count(),
                    "ENABLE_CPU_PINNING": False,
                },
            )
        except RuntimeError as error:
            lines = [line.strip() for line in str(error).splitlines() if line.strip()]
            reason = lines[-1] if lines else type(error).__name__
            raise ModelError(
                f"{path}: OpenVINO cannot run it at {size_hw[1]}x{size_hw[0]} ({reason[:200]})",
                hint="leave --size out where the file has one, or try --engine onnx",
            ) from None
        self._tensor = library.Tensor
        self._inputs = [port.name for port in file.inputs]
        self._outputs = [port.name for port in file.outputs]
        self._idle: queue.SimpleQueue[Any] = queue.SimpleQueue()

    def run(self, feed: Mapping[str, Array]) -> dict[str, Array]:
        """Return the outputs by name, in the file's order."""
        try:
            request = self._idle.get_nowait()
        except queue.Empty:  # one request for each concurrent thread
            request = self._compiled.create_infer_request()
        for name in self._inputs:
            request.set_tensor(name, self._tensor(np.ascontiguousarray(feed[name])))
        request.infer()
        found = {
            name: np.array(request.get_output_tensor(index).data)
            for index, name in enumerate(self._outputs)
        }
        self._idle.put(request)
        return found


def _fixed(shape: tuple[int | None, ...], size_hw: tuple[int, int]) -> list[int]:
    """Return the shape for one picture of (height, width)."""
    if len(shape) == 4 and 3 in shape[1:]:
        return [1, 3, *size_hw] if shape[1] == 3 else [1, *size_hw, 3]
    return [1 if side is None else side for side in shape]
