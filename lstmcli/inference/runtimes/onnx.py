"""ONNX Runtime: one file for many languages and chips. Only this module writes and runs it."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from lstmcli.core.errors import ModelError
from lstmcli.core.jobs import thread_count
from lstmcli.core.metadata import ModelMetadata
from lstmcli.core.types import Picture, pixels_of
from lstmcli.inference.runtime import Step

if TYPE_CHECKING:
    from lstmcli.inference.exportable import ExportableStep

SUFFIX = ".onnx"


class OnnxRuntime:
    """A step run by ONNX Runtime; the state stays in OrtValues.

    Args:
        model: the path of an `.onnx` file, or its bytes.
        where: name of the model in errors.
        device: `cpu`, `cuda` or `cuda:N`.
        threads: maximum; 0: `thread_count`.
    """

    engine = "onnx"

    def __init__(
        self, model: Path | bytes, *, where: str = "", device: str = "cpu", threads: int = 0
    ) -> None:
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads or thread_count()
        options.inter_op_num_threads = 1
        options.log_severity_level = 3
        # Threads that spin for work take the core from decoding and encoding.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        device_type, _, number = device.partition(":")
        provider: Any = "CPUExecutionProvider"
        if (
            device_type == "cuda"
            and "CUDAExecutionProvider" in onnxruntime.get_available_providers()
        ):
            provider = ("CUDAExecutionProvider", {"device_id": number or "0"})
        else:
            device_type = "cpu"
        try:
            self._session = onnxruntime.InferenceSession(
                model if isinstance(model, bytes) else str(model), options, providers=[provider]
            )
        except Exception as error:  # its exceptions share no parent but Exception
            first = (str(error).splitlines() or [type(error).__name__])[0]
            raise ModelError(
                f"{where}: ONNX Runtime cannot read it ({first})", hint="export it again"
            ) from None
        texts = dict(self._session.get_modelmeta().custom_metadata_map)
        self.metadata = ModelMetadata.from_texts(texts, where)
        self.device = device if device_type == "cuda" else "cpu"
        self._device_type, self._number = device_type, int(number or 0)
        self._names = [port.name for port in self._session.get_inputs()]
        self._outputs = [port.name for port in self._session.get_outputs()]
        self._value = onnxruntime.OrtValue.ortvalue_from_numpy
        self._first = [
            self._value(np.zeros(port.shape, np.float32), device_type, self._number)
            for port in self._session.get_inputs()
            if port.name.startswith("state_")
        ]

    def step(self, frame: Picture, previous_frame: Picture, state: Any) -> Step:
        """Return all cells' boxes [M, 4] (canvas), scores [M, classes], and the new state."""
        binding = self._session.io_binding()
        for name, value in self.inputs(frame, previous_frame, state).items():
            if name.startswith("state_"):
                binding.bind_ortvalue_input(name, value)
            else:
                binding.bind_cpu_input(name, value)
        for index, name in enumerate(self._outputs):
            binding.bind_output(name, "cpu" if index < 2 else self._device_type, self._number)
        self._session.run_with_iobinding(binding)
        boxes, scores, *new = binding.get_outputs()
        return boxes.numpy(), scores.numpy(), new

    def inputs(self, frame: Picture, previous_frame: Picture, state: Any) -> dict[str, Any]:
        """Return the inputs of a step by name; states are OrtValues."""
        old = self._first if state is None else state
        values = {
            "frame": pixels_of(frame)[None],
            "previous_frame": pixels_of(previous_frame)[None],
            "starts": np.array([state is None]),
            **{f"state_{i}": value for i, value in enumerate(old)},
        }
        return {name: values[name] for name in self._names}


def write(step: ExportableStep, metadata: ModelMetadata, path: Path) -> None:
    """Write one file with graph, weights and metadata."""
    path.write_bytes(_to_onnx(step, metadata).SerializeToString())


def read(path: Path, *, device: str = "cpu", threads: int = 0) -> OnnxRuntime:
    """Read a file of `write`.

    Raises:
        ModelError: the file is damaged or not ours.
    """
    return OnnxRuntime(path, where=str(path), device=device, threads=threads)


def _to_onnx(step: ExportableStep, metadata: ModelMetadata) -> Any:
    import onnx
    import torch

    from lstmcli.inference.exportable import capture

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        program = torch.onnx.export(
            capture(step),
            input_names=list(step.input_names),
            output_names=list(step.output_names),
            dynamo=True,
            verbose=False,
        )
    assert program is not None
    model = program.model_proto
    for node in model.graph.node:
        node.ClearField("metadata_props")  # file names of this machine
    onnx.helper.set_model_props(model, metadata.as_texts())
    return model
