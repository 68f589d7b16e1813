"""Configuration files of model servers for an exported step, whose state follows each stream.

NVIDIA Triton carries the state itself (sequence batching with implicit state). OpenVINO Model
Server runs the step as it is, and the client sends each `new_state_N` back as `state_N`.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping

import torch
from torch import Tensor

from lstmcli.core.metadata import ModelMetadata
from lstmcli.inference.exportable import ExportableStep

BACKENDS: Mapping[str, tuple[str, str]] = {
    "onnx": ("onnxruntime", "model.onnx"),
    "openvino": ("openvino", "model.xml"),
}
"""Formats that Triton serves, with the backend and the file name it wants."""
IDLE_S = 60
"""A sequence without requests for so long is ended, and its state is freed."""
_TYPES = {torch.uint8: "TYPE_UINT8", torch.bool: "TYPE_BOOL", torch.float32: "TYPE_FP32"}


def triton_config(step: ExportableStep, metadata: ModelMetadata, *, name: str, format: str) -> str:
    """Return the `config.pbtxt` of a step: sequence batching, with the state kept by the server.

    Args:
        step: that was exported.
        metadata: of the file.
        name: of the model.
        format: a key of `BACKENDS`.
    """
    backend, file_name = BACKENDS[format]
    inputs = dict(zip(step.input_names, step.examples(), strict=True))
    with torch.no_grad():
        outputs = dict(zip(step.output_names, step(*inputs.values()), strict=True))
    states = [one for one in inputs if one.startswith("state_")]
    hidden = {"starts", *states, *(f"new_{one}" for one in states)}
    lines = [
        f"# {name}/config.pbtxt; put the model beside it as {name}/1/{file_name}.",
        "# One sequence (correlation id) is one stream of frames, in order; sequence_start begins",
        f"# a video. Frames: RGB canvases, {metadata.input_hw[1]}x{metadata.input_hw[0]} pixels.",
        "# Boxes and scores are raw: NMS, calibration and track memory are those of",
        "# lstmcli.inference.predictor.Postprocessor with the metadata in the file.",
        f"name: {json.dumps(name)}",
        f"backend: {json.dumps(backend)}",
        "max_batch_size: 0",
        f"input [\n{_ports(inputs, hidden)}\n]",
        f"output [\n{_ports(outputs, hidden)}\n]",
    ]
    if states:
        lines.append(_sequences(inputs, states))
    lines.append("instance_group [{ kind: KIND_AUTO, count: 1 }]")
    return "\n".join(lines) + "\n"


def openvino_server_config(name: str) -> str:
    """Return the `config.json` of an OpenVINO Model Server for a step in `/models/NAME/1`."""
    config = {"name": name, "base_path": f"/models/{name}", "nireq": 4}
    plugin = {"PERFORMANCE_HINT": "LATENCY"}
    return json.dumps(
        {"model_config_list": [{"config": config | {"plugin_config": plugin}}]}, indent=1
    )


def _ports(values: Mapping[str, Tensor], hidden: Iterable[str]) -> str:
    return ",\n".join(
        f"  {{ name: {json.dumps(name)}, data_type: {_TYPES[value.dtype]}, dims: {_dims(value)} }}"
        for name, value in values.items()
        if name not in set(hidden)
    )


def _dims(value: Tensor) -> str:
    return json.dumps(list(value.shape))


def _sequences(inputs: Mapping[str, Tensor], states: Iterable[str]) -> str:
    kept = ",\n".join(
        f'    {{ input_name: "{name}", output_name: "new_{name}", data_type: TYPE_FP32, '
        f"dims: {_dims(inputs[name])} }}"
        for name in states
    )
    return "\n".join(
        (
            "sequence_batching {",
            "  direct {}",
            f"  max_sequence_idle_microseconds: {IDLE_S * 1_000_000}",
            "  control_input [{",
            '    name: "starts"',
            "    control [{ kind: CONTROL_SEQUENCE_START, bool_false_true: [ false, true ] }]",
            "  }]",
            f"  state [\n{kept}\n  ]",
            "}",
        )
    )
