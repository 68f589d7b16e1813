"""Reader of an ONNX file's declarations without the `onnx` package: inputs, outputs, metadata.

Both engines get a complete file whose external weights are in its own folder. The
fields are those of onnx/onnx.proto (IR version 3 and later), in the wire format of protocol
buffers: https://protobuf.dev/programming-guides/encoding.
"""

from __future__ import annotations

import contextlib
import mmap
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from lstmcli.core.errors import ModelError
from lstmcli.core.media_files import can_be_path

ELEMENT_TYPES = {1: "float32", 2: "uint8", 6: "int32", 7: "int64", 10: "float16", 11: "float64"}
"""NumPy's names for the element types that a detector takes (TensorProto.DataType)."""

_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5


@dataclass(frozen=True, slots=True)
class Port:
    """An input or output of a network.

    Args:
        name: in the graph.
        shape: None where a side is dynamic; () where the file declares none.
        dtype: NumPy's name, "" for an unsupported one.
    """

    name: str
    shape: tuple[int | None, ...]
    dtype: str


@dataclass(frozen=True, slots=True)
class OnnxFile:
    """Declarations of an ONNX file.

    Args:
        inputs: without the weights that old files list among them.
        outputs: in the file's order.
        metadata: its free texts.
    """

    inputs: tuple[Port, ...]
    outputs: tuple[Port, ...]
    metadata: dict[str, str]


def read_onnx_file(path: Path) -> OnnxFile:
    """Read the declarations of an ONNX file.

    Raises:
        ModelError: the file is no ONNX file, is cut short, or names weights outside its folder or
            that are not there.
    """
    if not path.stat().st_size:
        raise ModelError(f"{path}: the file is empty", hint="download or export it again")
    read: tuple[OnnxFile, set[str]] | None = None
    with (
        path.open("rb") as file,
        mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as mapped,
        memoryview(mapped) as data,
        # suppressed here: a traceback would keep slices of the view alive, which could not close
        contextlib.suppress(ValueError, IndexError, UnicodeDecodeError, RecursionError),
    ):
        read = _read_model(data)
    if read is None:
        raise ModelError(
            f"{path}: not an ONNX file, or cut short", hint="download or export it again"
        )
    found, external = read
    if not found.inputs or not found.outputs:
        raise ModelError(
            f"{path}: an ONNX file without inputs or outputs, or cut short",
            hint="download or export it again",
        )
    for location in sorted(external):
        _check_external(path, location)
    return found


def _check_external(path: Path, location: str) -> None:
    """Raise for weights outside the model's folder, as the ONNX standard requires."""
    folder = path.resolve().parent
    target = (folder / location).resolve() if can_be_path(location) else Path("/")
    if not target.is_relative_to(folder):
        raise ModelError(
            f"{path}: its weights lie outside its folder ({location:.80})",
            hint="external data must be in the folder of the model; save it as one file",
        )
    if not target.is_file():
        raise ModelError(
            f"{path}: its weights {location} are missing", hint="keep both files together"
        )


def _read_model(data: memoryview) -> tuple[OnnxFile, set[str]]:
    inputs: list[Port] = []
    outputs: list[Port] = []
    metadata: dict[str, str] = {}
    external: set[str] = set()
    weights: set[str] = set()
    for field, value in _fields(data):
        if field == 14:
            metadata.update([_read_pair(_bytes(value))])
        elif field == 7:
            weights |= _scan_graph(_bytes(value), external)
            for part, inner in _fields(_bytes(value)):
                if part == 11:
                    inputs.append(_read_port(_bytes(inner)))
                elif part == 12:
                    outputs.append(_read_port(_bytes(inner)))
        elif field == 20:  # training: graphs of its own
            for part, inner in _fields(_bytes(value)):
                if part in (1, 2):
                    _scan_graph(_bytes(inner), external)
        elif field == 25:  # a function
            for part, inner in _fields(_bytes(value)):
                if part == 7:
                    _scan_node(_bytes(inner), external)
    real = tuple(port for port in inputs if port.name not in weights)
    return OnnxFile(real, tuple(outputs), metadata), external


def _scan_graph(data: memoryview, external: set[str]) -> set[str]:
    """Collect the external files of a graph; return the names of its weights."""
    weights = set()
    for field, value in _fields(data):
        if field == 1:
            _scan_node(_bytes(value), external)
        elif field == 5:
            weights.add(_scan_tensor(_bytes(value), external))
        elif field == 15:
            _scan_sparse(_bytes(value), external)
    return weights


def _scan_node(data: memoryview, external: set[str]) -> None:
    """Collect the external files of a node's attributes: tensors and subgraphs."""
    for field, value in _fields(data):
        if field != 5:
            continue
        for part, inner in _fields(_bytes(value)):
            if part in (5, 10) and not isinstance(inner, int):
                _scan_tensor(inner, external)
            elif part in (6, 11) and not isinstance(inner, int):
                _scan_graph(inner, external)
            elif part in (22, 23) and not isinstance(inner, int):
                _scan_sparse(inner, external)


def _scan_sparse(data: memoryview, external: set[str]) -> None:
    """Collect the external files of a sparse tensor: of its values and their places."""
    for field, value in _fields(data):
        if field in (1, 2):
            _scan_tensor(_bytes(value), external)


def _scan_tensor(data: memoryview, external: set[str]) -> str:
    """Collect the external file of a tensor; return its name."""
    name = ""
    for field, value in _fields(data):
        if field == 8:
            name = _text(value)
        elif field == 13:
            key, text = _read_pair(_bytes(value))
            if key == "location":
                external.add(text)
    return name


def _read_port(data: memoryview) -> Port:
    name, dtype = "", ""
    shape: tuple[int | None, ...] = ()
    for field, value in _fields(data):
        if field == 1:
            name = _text(value)
        elif field == 2:
            for part, inner in _fields(_bytes(value)):
                if part != 1:  # not a tensor
                    continue
                for field_of, nested in _fields(_bytes(inner)):
                    if field_of == 1 and isinstance(nested, int):
                        dtype = ELEMENT_TYPES.get(nested, "")
                    elif field_of == 2:
                        sides = _fields(_bytes(nested))
                        shape = tuple(_read_side(_bytes(side)) for n, side in sides if n == 1)
    return Port(name, shape, dtype)


def _read_side(data: memoryview) -> int | None:
    for field, value in _fields(data):
        if field == 1 and isinstance(value, int) and 0 < value < 1 << 31:
            return value
    return None


def _read_pair(data: memoryview) -> tuple[str, str]:
    texts = {field: _text(value) for field, value in _fields(data)}
    return texts.get(1, ""), texts.get(2, "")


def _text(value: int | memoryview) -> str:
    return str(_bytes(value), "utf-8")


def _bytes(value: int | memoryview) -> memoryview:
    if isinstance(value, int):
        raise ValueError("a number where a message belongs")
    return value


def _fields(data: memoryview) -> Iterator[tuple[int, int | memoryview]]:
    """Yield number and value of each field of a message; ValueError where it is damaged."""
    offset = 0
    while offset < len(data):
        key, offset = _varint(data, offset)
        if key >> 32:  # the runtimes' parsers drop these bits, and find another field than we do
            raise ValueError("a field with a number out of range")
        wire_type = key & 7
        if wire_type == _VARINT:
            value, offset = _varint(data, offset)
            yield key >> 3, value
            continue
        if wire_type == _BYTES:
            size, offset = _varint(data, offset)
        elif wire_type in (_FIXED32, _FIXED64):
            size = 4 if wire_type == _FIXED32 else 8
        else:
            raise ValueError("an unknown type of field")
        if offset + size > len(data):
            raise ValueError("cut short")
        yield key >> 3, data[offset : offset + size]
        offset += size


def _varint(data: memoryview, offset: int) -> tuple[int, int]:
    value, shift = 0, 0
    while True:
        byte = data[offset]
        value |= (byte & 127) << shift
        offset += 1
        if byte < 128:
            return value, offset
        shift += 7
        if shift > 63:
            raise ValueError("a number without end")
