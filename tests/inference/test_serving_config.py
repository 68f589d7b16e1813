"""Model servers get the tensors' names, types and shapes, and the state follows each stream."""

from __future__ import annotations

import json
import re

from test_runtimes import lively

from lstmcli.inference.exportable import ExportableStep
from lstmcli.inference.serving_config import openvino_server_config, triton_config


def test_triton_keeps_the_state_of_each_sequence() -> None:
    model = lively("conv_lstm")
    step = ExportableStep(model)
    text = triton_config(step, model.metadata, name="birds", format="onnx")
    assert text.count("{") == text.count("}")
    assert text.count("[") == text.count("]")
    assert 'backend: "onnxruntime"' in text
    assert "CONTROL_SEQUENCE_START, bool_false_true: [ false, true ]" in text
    inputs, outputs = text.split("output [")[0], text.split("output [")[1].split("]\nsequence")[0]
    for name, value in zip(step.input_names, step.examples(), strict=True):
        shown = f"dims: {json.dumps(list(value.shape))}"
        if name.startswith("state_"):
            kept = rf'input_name: "{name}", output_name: "new_{name}", data_type: TYPE_FP32, '
            assert kept + shown in text
            assert f'name: "{name}"' not in inputs
        elif name != "starts":
            assert f'name: "{name}", data_type: TYPE_UINT8, {shown}' in inputs
    assert re.search(r'name: "boxes", data_type: TYPE_FP32, dims: \[\d+, 4\]', outputs)
    assert "new_state" not in outputs


def test_a_network_without_state_needs_no_sequences() -> None:
    model = lively("none")
    text = triton_config(ExportableStep(model), model.metadata, name="x", format="openvino")
    assert "sequence_batching" not in text
    assert 'backend: "openvino"' in text


def test_openvino_server_finds_the_model() -> None:
    (entry,) = json.loads(openvino_server_config("birds"))["model_config_list"]
    assert entry["config"]["name"] == "birds"
    assert entry["config"]["base_path"] == "/models/birds"
