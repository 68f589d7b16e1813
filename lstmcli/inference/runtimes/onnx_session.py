"""Session of ONNX Runtime for third-party networks."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from lstmcli.core.errors import ModelError
from lstmcli.core.jobs import thread_count
from lstmcli.inference.foreign.onnx_file import OnnxFile

Array = npt.NDArray[Any]


class OnnxSession:
    """A third-party network in ONNX Runtime.

    Args:
        path: of the file.
        file: its declarations.
        size_hw: (height, width) of its input.
        device: `cpu`, `cuda` or `cuda:N`.
        threads: maximum; 0: `thread_count`.

    Raises:
        ModelError: ONNX Runtime cannot read it, or it has another input size.
    """

    engine = "onnx"

    def __init__(
        self,
        path: Path,
        file: OnnxFile,
        size_hw: tuple[int, int],
        *,
        device: str = "cpu",
        threads: int = 0,
    ) -> None:
        import onnxruntime

        for port in file.inputs:
            _check_size(path, port.shape, size_hw)
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads or thread_count()
        options.inter_op_num_threads = 1
        options.log_severity_level = 4  # errors come as exceptions too
        # Threads that spin for work take the core from decoding and encoding.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        device_type, _, number = device.partition(":")
        provider: Any = "CPUExecutionProvider"
        self.device = "cpu"
        if (
            device_type == "cuda"
            and "CUDAExecutionProvider" in onnxruntime.get_available_providers()
        ):
            provider = ("CUDAExecutionProvider", {"device_id": number or "0"})
            self.device = device
        try:
            self._session = onnxruntime.InferenceSession(str(path), options, providers=[provider])
        except Exception as error:  # its exceptions share no parent but Exception
            first = (str(error).splitlines() or [type(error).__name__])[0]
            raise ModelError(
                f"{path}: ONNX Runtime cannot read it ({first[:200]})",
                hint="try --engine openvino, or export it again",
            ) from None
        self._outputs = [port.name for port in file.outputs]

    def run(self, feed: Mapping[str, Array]) -> dict[str, Array]:
        """Return the outputs by name, in the file's order."""
        values = self._session.run(self._outputs, dict(feed))
        return {name: np.asarray(value) for name, value in zip(self._outputs, values, strict=True)}


def _check_size(path: Path, shape: tuple[int | None, ...], size_hw: tuple[int, int]) -> None:
    """Raise where the file has another fixed size, which ONNX Runtime cannot change."""
    if len(shape) != 4 or 3 not in shape:
        return
    fixed = shape[2:] if shape[1] == 3 else shape[1:3]
    if any(side not in (None, wanted) for side, wanted in zip(fixed, size_hw, strict=True)):
        raise ModelError(
            f"{path}: its input size is fixed at {fixed[1]}x{fixed[0]}",
            hint="leave --size out, or try --engine openvino, which can change some networks",
        )
