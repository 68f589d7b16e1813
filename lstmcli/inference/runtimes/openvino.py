"""OpenVINO: the fastest runtime on x86 processors. Only this module writes and runs it."""

from __future__ import annotations

import errno
import hashlib
import os
import queue
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from lstmcli.core.errors import ModelError
from lstmcli.core.jobs import thread_count
from lstmcli.core.metadata import METADATA_NAMES, ModelMetadata
from lstmcli.core.types import Picture, planes_of
from lstmcli.inference.runtime import Step
from lstmcli.inference.runtimes.openvino_library import openvino

if TYPE_CHECKING:
    from lstmcli.inference.exportable import ExportableStep

SUFFIX = ".xml"
_ROOM = "lstmcli"
_WEIGHTS = "weights"
_NO_HASH = "0123456789abcdef0000000000000000"
"""Stands in the graph until the weights are written and their hash is known."""
_MARK = b"lstmcli weights "


class OpenVINORuntime:
    """A step run by OpenVINO on the CPU, in bfloat16 where the chip has units for it.

    The state stays in OpenVINO tensors: a step writes the new state into new memory, which the next
    step reads without a copy. So streams are independent, and an old state stays valid.

    Args:
        model: an `openvino.Model` with the inputs and outputs of `ExportableStep`.
        metadata: of the network.
        threads: maximum; 0: `thread_count`.
    """

    engine = "openvino"

    def __init__(self, model: Any, metadata: ModelMetadata, *, threads: int = 0) -> None:
        library = openvino()
        self.metadata, self.device = metadata, "cpu"
        self._ov = library
        self._compiled = library.Core().compile_model(
            _with_planes(model),
            "CPU",
            {
                "PERFORMANCE_HINT": "LATENCY",
                "NUM_STREAMS": 1,
                "INFERENCE_NUM_THREADS": threads or thread_count(),
                # Two runs on one machine would be pinned to the same core.
                "ENABLE_CPU_PINNING": False,
            },
        )
        self._inputs = [port.get_any_name() for port in model.inputs]
        self._first = [
            np.zeros(tuple(port.shape), np.float32)
            for name, port in zip(self._inputs, model.inputs, strict=True)
            if name.startswith("state_")
        ]
        self._idle: queue.SimpleQueue[Any] = queue.SimpleQueue()

    def step(self, frame: Picture, previous_frame: Picture, state: Any) -> Step:
        """Return all cells' boxes [M, 4] (canvas), scores [M, classes], and the new state."""
        tensor = self._ov.Tensor
        old = [tensor(value) for value in self._first] if state is None else state
        values = {
            "frame": tensor(planes_of(frame)[None]),
            "previous_frame": tensor(planes_of(previous_frame)[None]),
            "starts": tensor(np.array([state is None])),
            **{f"state_{i}": value for i, value in enumerate(old)},
        }
        try:
            request = self._idle.get_nowait()
        except queue.Empty:  # one request for each concurrent thread
            request = self._compiled.create_infer_request()
        for index, name in enumerate(self._inputs):
            request.set_input_tensor(index, values[name])
        new = [tensor(value.element_type, value.shape) for value in old]
        for index, value in enumerate(new):
            request.set_output_tensor(2 + index, value)
        request.infer()
        boxes, scores = (request.get_output_tensor(i).data.copy() for i in range(2))
        self._idle.put(request)
        return boxes, scores, new


def _with_planes(model: Any) -> Any:
    """Return a copy that takes pictures as planes [1, 3, H, W], as the scaler writes them.

    The network transposes its pictures to planes; OpenVINO removes both transposes.
    """
    library = openvino()
    steps = library.preprocess.PrePostProcessor(model.clone())
    for name in {"frame", "previous_frame"} & {port.get_any_name() for port in model.inputs}:
        steps.input(name).tensor().set_layout(library.Layout("NCHW"))
        steps.input(name).model().set_layout(library.Layout("NHWC"))
    return steps.build()


def convert(step: ExportableStep, metadata: ModelMetadata) -> Any:
    """Return the step as an `openvino.Model` that carries its metadata."""
    from lstmcli.inference.exportable import capture

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = openvino().convert_model(capture(step))
    model.reshape({i: list(value.shape) for i, value in enumerate(step.examples())})
    for port, name in zip(model.inputs, step.input_names, strict=True):
        port.get_tensor().set_names({name})
    for port, name in zip(model.outputs, step.output_names, strict=True):
        port.get_tensor().set_names({name})
    _embed(model, metadata)
    return model


def _embed(model: Any, metadata: ModelMetadata) -> None:
    for name, text in metadata.as_texts().items():
        model.set_rt_info(text, [_ROOM, name])


def write(step: ExportableStep, metadata: ModelMetadata, path: Path) -> None:
    """Write graph (`.xml`) and weights (`.bin`) in full precision."""
    _save(convert(step, metadata), path)


def rewrite(onnx: Path, metadata: ModelMetadata, path: Path) -> None:
    """Write an ONNX file in OpenVINO's format, in the precision of the file."""
    model = openvino().convert_model(onnx)
    _embed(model, metadata)
    _save(model, path)


def _save(model: Any, path: Path) -> None:
    """Write both files, and into both the hash of the weights: a copy may mix files of two exports.

    At the end of the weights the hash is of no meaning to OpenVINO.

    Raises:
        OSError: the disk is full.
    """
    model.set_rt_info(_NO_HASH, [_ROOM, _WEIGHTS])
    try:
        openvino().save_model(model, path, compress_to_fp16=False)
        openvino().Core().read_model(path)  # it may pass over a full disk in silence
    except RuntimeError as error:  # of what the system said, nothing is left
        raise OSError(errno.EIO, "OpenVINO cannot write it; is the disk full?") from error
    weights, text = path.with_suffix(".bin"), path.read_bytes()
    with weights.open("r+b") as file:
        name = hashlib.file_digest(file, "sha256").hexdigest()[: len(_NO_HASH)]
        file.seek(0, os.SEEK_END)
        file.write(_MARK + name.encode())
    path.write_bytes(text.replace(_NO_HASH.encode(), name.encode()))


def is_own_weights(path: Path) -> bool:
    """Return whether a `.bin` file was written here, for a graph that may be another one now."""
    return _hash_at_end(path) != ""


def _hash_at_end(path: Path) -> str:
    """Return the hash that stands at the end of weights, "" without one."""
    length = len(_MARK) + len(_NO_HASH)
    with path.open("rb") as file:
        size = file.seek(0, os.SEEK_END)
        file.seek(max(0, size - length))
        end = file.read()
    return end[len(_MARK) :].decode("latin-1") if end.startswith(_MARK) else ""


def read(path: Path, *, device: str = "cpu", threads: int = 0) -> OpenVINORuntime:
    """Read files of `write`.

    Raises:
        ModelError: the file is damaged or not ours.
    """
    if not path.with_suffix(".bin").is_file():
        raise ModelError(
            f"{path}: the weights {path.with_suffix('.bin').name} are missing",
            hint="keep both files together",
        )
    try:
        model = openvino().Core().read_model(path)
        _check_pair(model, path)
        metadata = ModelMetadata.from_texts(_embedded(model), str(path))
        return OpenVINORuntime(model, metadata, threads=threads)
    except RuntimeError as error:
        lines = [line.strip() for line in str(error).splitlines() if line.strip(" :\t")]
        reason = lines[-1] if lines else "it is damaged, or its weights are of another file"
        raise ModelError(
            f"{path}: OpenVINO cannot read it ({reason[:200]})", hint="export it again"
        ) from None


def _check_pair(model: Any, path: Path) -> None:
    """Refuse weights of another network; networks of older versions do not say which are theirs."""
    if model.has_rt_info([_ROOM, _WEIGHTS]):
        own = model.get_rt_info([_ROOM, _WEIGHTS]).astype(str)
        if own != _hash_at_end(path.with_suffix(".bin")):
            raise ModelError(
                f"{path}: the weights {path.with_suffix('.bin').name} are of another network",
                hint="export it again with --overwrite",
            )


def _embedded(model: Any) -> dict[str, str]:
    if not model.has_rt_info([_ROOM, "classes"]):
        return {}
    return {
        name: model.get_rt_info([_ROOM, name]).astype(str)
        for name in METADATA_NAMES
        if model.has_rt_info([_ROOM, name])
    }
