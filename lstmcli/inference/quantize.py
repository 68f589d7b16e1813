"""8-bit quantisation with ranges measured on the user's own clips."""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from lstmcli.core.metadata import ModelMetadata
from lstmcli.core.types import Picture
from lstmcli.inference.runtime import Step
from lstmcli.inference.runtimes import onnx as onnx_engine
from lstmcli.inference.runtimes import openvino as openvino_engine
from lstmcli.inference.runtimes.onnx import OnnxRuntime

if TYPE_CHECKING:
    from lstmcli.inference.exportable import ExportableStep

Inputs = Mapping[str, npt.NDArray[Any]]


class CalibrationRecorder:
    """A runtime that records the inputs of its steps.

    Args:
        runtime: in full precision.
        record: takes the inputs of every step, by name.
    """

    def __init__(self, runtime: OnnxRuntime, record: Callable[[Inputs], None]) -> None:
        self.metadata, self.engine, self.device = runtime.metadata, runtime.engine, runtime.device
        self._runtime, self._record = runtime, record

    def step(self, frame: Picture, previous_frame: Picture, state: Any) -> Step:
        """Record the inputs and run the step."""
        self._record(self._runtime.inputs(frame, previous_frame, state))
        return self._runtime.step(frame, previous_frame, state)


Feed = Callable[[OnnxRuntime], Iterable[Inputs]]
"""Runs a network along clips and yields its inputs."""


class _Reader:
    """Calibration data reader for ONNX Runtime: one frame after the other, None at the end."""

    def __init__(self, inputs: Iterator[Inputs]) -> None:
        self._inputs = inputs

    def get_next(self) -> Inputs | None:
        """Return the next inputs."""
        return next(self._inputs, None)


def write_int8(
    step: ExportableStep, metadata: ModelMetadata, path: Path, feed: Feed
) -> ModelMetadata:
    """Write a network with an 8-bit backbone.

    The recurrent core, the layers after it, and the first and last convolutions keep full
    precision: rounding there would add up from frame to frame, or move boxes.

    Args:
        step: the network.
        metadata: of the network.
        path: ends in `.onnx` or `.xml`.
        feed: yields the inputs for the ranges.

    Returns:
        The metadata of the written network.
    """
    import onnx
    from onnxruntime.quantization import CalibrationMethod, QuantFormat, QuantType, quantize_static

    metadata = replace(metadata, precision="int8")
    with tempfile.TemporaryDirectory() as folder:
        full, small = Path(folder) / "full.onnx", Path(folder) / "small.onnx"
        onnx_engine.write(step, metadata, full)
        kept = _full_precision_names(onnx.load(full).graph)
        network = onnx_engine.read(full)
        with _silent_logging():
            quantize_static(
                full,
                small,
                _Reader(iter(feed(network))),
                quant_format=QuantFormat.QDQ,
                op_types_to_quantize=["Conv"],
                per_channel=True,
                activation_type=QuantType.QUInt8,
                weight_type=QuantType.QInt8,
                calibrate_method=CalibrationMethod.MinMax,
                nodes_to_exclude=sorted(kept),
            )
        if path.suffix == openvino_engine.SUFFIX:
            openvino_engine.rewrite(small, metadata, path)
            return metadata
        model = onnx.load(small)
        onnx.helper.set_model_props(model, metadata.as_texts())
        path.write_bytes(model.SerializeToString())
    return metadata


@contextmanager
def _silent_logging() -> Iterator[None]:
    """Silence the logger of the quantisation tool."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        yield
    finally:
        logging.disable(before)


def _full_precision_names(graph: Any) -> set[str]:
    """Return the names of the convolutions that keep full precision."""
    pictures = {"frame", "previous_frame"}
    states = {port.name for port in graph.input} - pictures
    after_state = _reached(graph.node, states)
    backwards = [_ReversedNode(node) for node in reversed(graph.node)]
    convolutions = [node for node in graph.node if node.op_type == "Conv"]
    kept = set()
    for node in convolutions:
        others = [other for other in convolutions if other.name != node.name]
        following = _reached(graph.node, set(node.output))
        before = _reached(backwards, set(node.input))
        is_last = not any(other.name in following for other in others)
        is_first = not any(other.name in before for other in others)
        if is_first or is_last or node.name in after_state:
            kept.add(node.name)
    return kept


class _ReversedNode:
    """A node of the reversed graph."""

    def __init__(self, node: Any) -> None:
        self.name, self.input, self.output = node.name, node.output, node.input


def _reached(nodes: Iterable[Any], tensors: set[str]) -> set[str]:
    """Return the names of the nodes that depend on tensors; nodes are in order."""
    tensors, names = set(tensors), set()
    for node in nodes:
        if not tensors.isdisjoint(node.input):
            names.add(node.name)
            tensors.update(node.output)
    return names


def as_arrays(inputs: Mapping[str, Any]) -> Inputs:
    """Return copies of the inputs as NumPy arrays."""
    return {
        name: np.array(value.numpy() if hasattr(value, "numpy") else value)
        for name, value in inputs.items()
    }
