"""Foreign ONNX files: read, refused with one sentence, and run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lstmcli.core.errors import ConfigError, LstmcliError, ModelError
from lstmcli.inference.foreign.loading import is_foreign, split_size
from lstmcli.inference.foreign.onnx_file import read_onnx_file
from lstmcli.inference.loading import load_runtime

onnx = pytest.importorskip("onnx")
FLOAT, INT = 1, 7


def write_model(
    path: Path,
    *,
    shape: tuple[Any, ...] = (1, 3, 32, 64),
    output: tuple[int, ...] = (1, 9, 42),
    metadata: dict[str, str] | None = None,
    external: str = "",
    extra_input: str = "",
) -> Path:
    """Write a network that gives the same output for every picture: one box of class 3."""
    values = np.zeros(output, np.float32)
    if output == (1, 9, 42):
        values[0, :4, 5] = (32, 16, 20, 10)
        values[0, 7, 5] = 0.75
    helper = onnx.helper
    constant = onnx.numpy_helper.from_array(values, "values")
    if external:
        constant.ClearField("raw_data")
        constant.data_location = onnx.TensorProto.EXTERNAL
        constant.external_data.add(key="location", value=external)
    inputs = [helper.make_tensor_value_info("images", FLOAT, shape)]
    if extra_input:
        inputs.append(helper.make_tensor_value_info(extra_input, FLOAT, (1, 2)))
    nodes = [
        helper.make_node("ReduceMax", ["images"], ["top"], keepdims=0),
        helper.make_node("Mul", ["top", "zero"], ["nothing"]),
        helper.make_node("Add", ["values", "nothing"], ["output0"]),
    ]
    zero = onnx.numpy_helper.from_array(np.zeros((), np.float32), "zero")
    graph = helper.make_graph(
        nodes,
        "g",
        inputs,
        [helper.make_tensor_value_info("output0", FLOAT, output)],
        [constant, zero],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    helper.set_model_props(model, metadata or {"names": "['a', 'b', 'c', 'd', 'e']"})
    path.write_bytes(model.SerializeToString())
    return path


def test_the_declarations_of_a_file_are_read(tmp_path: Path) -> None:
    found = read_onnx_file(write_model(tmp_path / "m.onnx", shape=("N", 3, 32, 64)))
    assert found.inputs[0].name == "images"
    assert found.inputs[0].shape == (None, 3, 32, 64)
    assert found.inputs[0].dtype == "float32"
    assert found.outputs[0].shape == (1, 9, 42)
    assert found.metadata["names"].startswith("['a'")


@pytest.mark.parametrize("engine", ["onnx", "openvino"])
def test_both_runtimes_give_the_box(tmp_path: Path, engine: str) -> None:
    pytest.importorskip({"onnx": "onnxruntime"}.get(engine, engine))
    path = write_model(tmp_path / "m.onnx")
    notes: list[str] = []
    runtime = load_runtime(path, engine=engine, note=notes.append)
    assert runtime.engine == engine
    assert runtime.metadata.input_hw == (32, 64)
    assert runtime.metadata.classes == ("a", "b", "c", "d", "e")
    picture = np.zeros((32, 64, 3), np.uint8)
    boxes, scores, state = runtime.step(picture, picture, None)
    best = int(scores.max(axis=1).argmax())
    assert state is None
    assert boxes[best].tolist() == [22, 11, 42, 21]
    assert scores[best].tolist() == [0, 0, 0, 0.75, 0]
    assert "layout rows, 64x32, 5 classes" in notes[0]
    assert "licence" in notes[0]


def test_an_open_input_size_is_required_and_used(tmp_path: Path) -> None:
    path = write_model(tmp_path / "m.onnx", shape=(1, 3, "h", "w"))
    with pytest.raises(ModelError, match="its input size is open") as caught:
        load_runtime(path)
    assert "--size W,H" in caught.value.hint
    assert load_runtime(f"{path}@64x32").metadata.input_hw == (32, 64)
    path.with_suffix(".yaml").write_text("size: [96, 32]\n", encoding="utf-8")
    assert load_runtime(path).metadata.input_hw == (32, 96)


def test_a_fixed_input_size_stays(tmp_path: Path) -> None:
    pytest.importorskip("onnxruntime")
    path = write_model(tmp_path / "m.onnx")
    with pytest.raises(ModelError, match="fixed at 64x32"):
        load_runtime(f"{path}@128x64", engine="onnx")


def test_a_size_is_split_from_a_model(tmp_path: Path) -> None:
    assert split_size("a/m.onnx@640x384") == ("a/m.onnx", (640, 384))
    assert split_size("sky") == ("sky", None)
    with pytest.raises(ConfigError, match="--size for sky"):
        load_runtime("sky@640x384")


def test_a_yaml_file_describes_the_layout(tmp_path: Path) -> None:
    path = write_model(tmp_path / "m.onnx")
    text = "layout: rows\nclasses: [v, w, x, y, z]\nfit: stretch\ncolor: bgr\nscale: 1/255\n"
    path.with_suffix(".yaml").write_text(text + "nms_iou: 0.5\nlicence: MIT\n", encoding="utf-8")
    runtime = load_runtime(path)
    assert runtime.metadata.classes == ("v", "w", "x", "y", "z")
    assert runtime.metadata.nms_iou == 0.5
    assert runtime.metadata.fit == "stretch"


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("layuot: rows", "there is no key 'layuot'"),
        ("layout: nonsense", "no layout named 'nonsense'"),
        ("layout: detr", "not of the layout 'detr'"),
        ("size: [0, 3]", "size is"),
        ("std: [1, 0, 1]", "std is"),
        ("[1, 2]", "a list or text"),
        ("classes: [a, b]", "lists 2"),
        ("classes: ../secret.names", "its names file lies outside its folder"),
        ("classes: /dev/zero", "its names file lies outside its folder"),
        ("classes: gone.names", "there is no such file"),
        ("scale: 1e999999999", "scale is"),
        ("scale: '1e999999999'", "scale is"),
        ("scale: 1/0", "scale is"),
        ("mean: [.nan, 0, 0]", "mean is"),
    ],
)
def test_a_wrong_yaml_file_is_one_sentence(tmp_path: Path, text: str, problem: str) -> None:
    path = write_model(tmp_path / "m.onnx")
    path.with_suffix(".yaml").write_text(text, encoding="utf-8")
    with pytest.raises(LstmcliError) as caught:
        load_runtime(path)
    assert problem in caught.value.problem
    assert caught.value.hint


def test_a_network_that_is_no_detector_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="of no known detector") as caught:
        load_runtime(write_model(tmp_path / "m.onnx", output=(1, 1000)))
    assert "m.yaml" in caught.value.hint
    with pytest.raises(ModelError, match="no input for one picture"):
        load_runtime(write_model(tmp_path / "n.onnx", shape=(1, 128)))
    with pytest.raises(ModelError, match="batches of 8"):
        load_runtime(write_model(tmp_path / "o.onnx", shape=(8, 3, 32, 64)))
    with pytest.raises(ModelError, match="an input 'tokens'"):
        load_runtime(write_model(tmp_path / "p.onnx", extra_input="tokens"))


def test_weights_outside_the_folder_are_refused(tmp_path: Path) -> None:
    (tmp_path / "secret.bin").write_bytes(b"0" * 4 * 9 * 42)
    folder = tmp_path / "model"
    folder.mkdir()
    path = write_model(folder / "m.onnx", external="../secret.bin")
    with pytest.raises(ModelError, match="outside its folder"):
        load_runtime(path)
    with pytest.raises(ModelError, match=r"weights m\.bin are missing"):
        load_runtime(write_model(folder / "m.onnx", external="m.bin"))


def hidden_in(model: Any, place: str) -> None:
    """Name external weights in a place where few files have any."""
    helper = onnx.helper
    tensor = onnx.TensorProto(
        name="hidden", dims=[1], data_type=1, data_location=onnx.TensorProto.EXTERNAL
    )
    tensor.external_data.add(key="location", value="../secret.bin")
    if place == "sparse":
        model.graph.sparse_initializer.add().values.CopyFrom(tensor)
    elif place == "sparse attribute":
        node = helper.make_node("Constant", [], ["hidden"])
        sparse = onnx.SparseTensorProto(values=tensor, dims=[1])
        node.attribute.add(name="sparse_value", type=11).sparse_tensor.CopyFrom(sparse)
        model.graph.node.append(node)
    elif place == "subgraph":
        inner = onnx.GraphProto(name="inner", initializer=[tensor])
        outer = onnx.GraphProto(name="outer")
        outer.node.add(op_type="If").attribute.add(name="then_branch", type=5).g.CopyFrom(inner)
        model.graph.node.add(op_type="If").attribute.add(name="a", type=5).g.CopyFrom(outer)
    elif place == "function":
        function = model.functions.add(name="f", domain="d")
        function.node.add(op_type="Constant").attribute.add(name="value", type=4).t.CopyFrom(tensor)
    else:
        model.training_info.add().algorithm.initializer.append(tensor)


@pytest.mark.parametrize(
    "place", ["sparse", "sparse attribute", "subgraph", "function", "training"]
)
def test_weights_outside_the_folder_are_found_wherever_they_are_named(
    place: str, tmp_path: Path
) -> None:
    (tmp_path / "model").mkdir()
    path = write_model(tmp_path / "model" / "m.onnx")
    model = onnx.load(path)
    hidden_in(model, place)
    path.write_bytes(model.SerializeToString())
    with pytest.raises(ModelError, match="outside its folder"):
        read_onnx_file(path)


def test_a_field_that_parsers_number_differently_is_refused(tmp_path: Path) -> None:
    """C++ drops the bits of a tag above the 32nd: there this is another field than for us."""
    path = write_model(tmp_path / "m.onnx")
    key = (1 << 34) | (7 << 3) | 2  # field 7, the graph, without the highest bit
    tag = bytes([key & 127 | 128, key >> 7 & 127 | 128, 128, 128, key >> 28 & 127])
    path.write_bytes(path.read_bytes() + tag + b"\0")
    with pytest.raises(ModelError, match="not an ONNX file"):
        read_onnx_file(path)


def test_a_model_of_a_folder_has_its_weights_in_it_too(tmp_path: Path) -> None:
    (tmp_path / "secret.bin").write_bytes(b"0" * 4 * 9 * 42)
    (tmp_path / "model").mkdir()
    write_model(tmp_path / "model" / "m.onnx", external="../secret.bin")
    with pytest.raises(ModelError, match="outside its folder"):
        load_runtime(tmp_path / "model")


@pytest.mark.parametrize("share", [0.0, 0.3, 0.9])
def test_a_file_cut_short_is_refused(tmp_path: Path, share: float) -> None:
    path = write_model(tmp_path / "m.onnx")
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * share)])
    with pytest.raises(ModelError, match=r"m\.onnx: ") as caught:
        load_runtime(path)
    assert "again" in caught.value.hint


def test_another_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "m.onnx"
    path.write_text("<!DOCTYPE html><html>404</html>", encoding="utf-8")
    with pytest.raises(ModelError, match="not an ONNX file"):
        load_runtime(path)


def test_an_own_export_is_not_foreign(tmp_path: Path) -> None:
    own = {"format": "3", "classes": "[]", "nms_iou": "0.5"}
    assert not is_foreign(write_model(tmp_path / "own.onnx", metadata=own))
    assert is_foreign(write_model(tmp_path / "m.onnx"))
    assert not is_foreign(tmp_path / "absent.onnx")
    with pytest.raises(ConfigError, match="cannot be run by torch"):
        load_runtime(tmp_path / "m.onnx", engine="torch")
