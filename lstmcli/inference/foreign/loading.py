"""Loads a third-party detector by recognising its layout, or by the YAML file next to it."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from lstmcli.core.detector_description import DetectorDescription, read_description
from lstmcli.core.errors import ConfigError, ModelError, choose
from lstmcli.core.media_files import can_be_path
from lstmcli.inference.foreign.class_names import (
    ClassTable,
    class_table,
    find_names,
    read_names_file,
)
from lstmcli.inference.foreign.layouts import LAYOUTS
from lstmcli.inference.foreign.onnx_file import OnnxFile, Port, read_onnx_file
from lstmcli.inference.foreign.preprocessing import Preprocessing
from lstmcli.inference.foreign.signature import Array, Decoder, Outputs, Signature
from lstmcli.inference.runtimes.foreign import Feed, ForeignRuntime, Session

SUFFIX = ".onnx"
OWN_KEYS = frozenset(("format", "classes", "nms_iou"))
"""Metadata of an export of `lstmcli export`."""
FITS: Mapping[str, Any] = {"letterbox": "center", "corner": "corner", "stretch": "stretch"}

_SIZED = re.compile(r"(.+)@([1-9]\d{0,4})x([1-9]\d{0,4})")

OpenSession = Callable[[Path, OnnxFile, tuple[int, int]], Session]
"""(file, its declarations, (height, width) of the input) -> session."""


def is_foreign(path: Path) -> bool:
    """Return whether a file is an ONNX network that `lstmcli export` did not write.

    Raises:
        ModelError: an ONNX file that is damaged.
    """
    if path.suffix.lower() != SUFFIX or not path.is_file():
        return False
    return not set(read_onnx_file(path).metadata) >= OWN_KEYS


def load_foreign(
    path: Path,
    open_session: OpenSession,
    *,
    size_wh: tuple[int, int] | None = None,
    note: Callable[[str], None] = lambda text: None,
) -> ForeignRuntime:
    """Load a third-party detector as a runtime.

    Args:
        path: of the ONNX file.
        open_session: loads it with one of the runtimes.
        size_wh: (width, height) of its input, where the file leaves that open.
        note: called with one line on the recognised layout.

    Raises:
        ModelError: no detector, or of an unknown layout; sizes or classes that do not fit.
        ConfigError: the YAML file next to it is invalid.
    """
    file, description = read_onnx_file(path), read_description(path)
    image = _image_input(file, path)
    channels_last = len(image.shape) == 4 and image.shape[3] == 3 and image.shape[1] != 3
    canvas_hw = _canvas_of(image, channels_last, size_wh or description.size, path)
    feed = Feed(image.name, image.dtype, channels_last, _other_inputs(file, image, canvas_hw, path))
    names, source = _names_of(path, file, description)
    session = open_session(path, file, canvas_hw)
    outputs = _try_run(session, feed, canvas_hw, path)
    signature = Signature(
        outputs, canvas_hw, len(names) or None, tuple(port.name for port in file.inputs)
    )
    layout, decoder = _recognize(signature, description, path)
    table = class_table(names, source, decoder.columns, str(path))
    licence = description.licence or _licence_of(file.metadata)
    note(_sentence(path, layout, canvas_hw, table, licence))
    return ForeignRuntime(
        session,
        feed=feed,
        decoder=decoder,
        preprocessing=_preprocessing(decoder.preprocessing, description),
        table=table,
        canvas_hw=canvas_hw,
        nms_iou=description.nms_iou or decoder.nms_iou,
        where=path,
        licence=licence,
    )


def _image_input(file: OnnxFile, path: Path) -> Port:
    """Return the input for the picture: the one with four dimensions and three channels."""
    found = [port for port in file.inputs if len(port.shape) == 4 and 3 in port.shape[1:]]
    if len(found) != 1:
        shapes = ", ".join(f"{port.name} {_shape_text(port.shape)}" for port in file.inputs)
        raise ModelError(
            f"{path}: no input for one picture of three channels (inputs: {shapes})",
            hint="a detector takes [1, 3, H, W]; this network is something else",
        )
    (image,) = found
    if image.shape[0] not in (1, None):
        raise ModelError(
            f"{path}: made for batches of {image.shape[0]} pictures",
            hint="export it for a batch of 1, or with a dynamic batch",
        )
    if not image.dtype.startswith(("float", "uint8")):
        raise ModelError(f"{path}: its input is no picture", hint="export it with float inputs")
    return image


def _canvas_of(
    image: Port, channels_last: bool, size_wh: tuple[int, int] | None, path: Path
) -> tuple[int, int]:
    """Return (height, width) of the input."""
    height, width = image.shape[1:3] if channels_last else image.shape[2:]
    if size_wh is not None:
        return size_wh[1], size_wh[0]
    if height is None or width is None:
        raise ModelError(
            f"{path}: its input size is open ({_shape_text(image.shape)})",
            hint="choose one with --size W,H, as the network was trained, or `size: [W, H]` in "
            f"{path.with_suffix('.yaml').name}",
        )
    return height, width


def _other_inputs(
    file: OnnxFile, image: Port, canvas_hw: tuple[int, int], path: Path
) -> dict[str, Array]:
    """Return the other inputs: sizes, for boxes in pixels of the canvas."""
    height, width = canvas_hw
    known: dict[str, tuple[float, ...]] = {
        "orig_target_sizes": (width, height),
        "scale_factor": (1, 1),
        "im_shape": (height, width),
        "image_shape": (height, width),
    }
    others: dict[str, Array] = {}
    for port in file.inputs:
        if port is image:
            continue
        if port.name not in known:
            raise ModelError(
                f"{path}: an input {port.name!r} {_shape_text(port.shape)} of unknown meaning",
                hint=f"a picture and {', '.join(known)} are known; export it without {port.name!r}",
            )
        others[port.name] = np.array([known[port.name]], port.dtype or "float32")
    return others


def _names_of(
    path: Path, file: OnnxFile, description: DetectorDescription
) -> tuple[tuple[str, ...], str]:
    yaml_name = path.with_suffix(".yaml").name
    if isinstance(description.classes, str):
        return _names_beside(path, description.classes), description.classes
    if description.classes is not None:
        return description.classes, yaml_name
    return find_names(path, file.metadata)


def _names_beside(path: Path, name: str) -> tuple[str, ...]:
    """Read a names file of the model's own folder; a description may come from a stranger."""
    folder = path.resolve().parent
    if not can_be_path(name) or not (folder / name).resolve().is_relative_to(folder):
        raise ModelError(
            f"{path}: its names file lies outside its folder ({name:.80})",
            hint="put it next to the model",
        )
    return read_names_file(folder / name)


def _try_run(session: Session, feed: Feed, canvas_hw: tuple[int, int], path: Path) -> Outputs:
    """Return the outputs for a frame of noise, from which the layout is recognised."""
    noise = np.random.default_rng(0).integers(0, 256, (*canvas_hw, 3), np.uint8)
    try:
        return session.run(feed.of(noise, Preprocessing()))
    except Exception as error:  # runtimes raise many types
        first = (str(error).strip().splitlines() or [type(error).__name__])[-1]
        raise ModelError(
            f"{path}: it does not run at {canvas_hw[1]}x{canvas_hw[0]} ({first[:160]})",
            hint="leave --size out, or give the size that the network was trained with",
        ) from None


def _recognize(
    signature: Signature, description: DetectorDescription, path: Path
) -> tuple[str, Decoder]:
    wanted = description.layout
    if wanted is not None:
        choose(LAYOUTS, wanted, "layout")
    for name, recognize in LAYOUTS.items():
        if wanted in (None, name):
            decoder = recognize(signature)
            if decoder is not None:
                return name, decoder
    shapes = ", ".join(
        f"{name} {list(value.shape)}" for name, value in list(signature.outputs.items())[:8]
    )
    if wanted is not None:
        raise ModelError(
            f"{path}: its outputs are not of the layout {wanted!r} ({shapes})",
            hint=f"layouts: {', '.join(LAYOUTS)}",
        )
    raise ModelError(
        f"{path}: its outputs are of no known detector ({shapes})",
        hint=f"give layout and size in {path.with_suffix('.yaml').name}: {', '.join(LAYOUTS)}",
    )


def _preprocessing(usual: Preprocessing, description: DetectorDescription) -> Preprocessing:
    given: dict[str, Any] = {
        "fit": FITS[description.fit] if description.fit else None,
        "bgr": None if description.color is None else description.color == "bgr",
        "scale": description.scale,
        "mean": description.mean,
        "std": description.std,
    }
    return replace(usual, **{key: value for key, value in given.items() if value is not None})


def _licence_of(metadata: Mapping[str, str]) -> str:
    for key in ("license", "licence", "License"):
        if metadata.get(key):
            return " ".join(metadata[key].split())[:80]
    return ""


def _sentence(
    path: Path, layout: str, canvas_hw: tuple[int, int], table: ClassTable, licence: str
) -> str:
    size = f"{canvas_hw[1]}x{canvas_hw[0]}"
    words = f"{path.name}: layout {layout}, {size}, {len(table.names)} classes of {table.source}"
    return f"{words}; licence: {licence or 'not given in the file'}"


def _shape_text(shape: tuple[int | None, ...]) -> str:
    return "[" + ", ".join("?" if side is None else str(side) for side in shape) + "]"


def split_size(model: Path | str) -> tuple[Path | str, tuple[int, int] | None]:
    """Return model and (width, height) of `FILE.onnx@640x384`; the size is None without one."""
    found = _SIZED.fullmatch(str(model))
    if found is None or Path(model).exists():
        return model, None
    return found[1], (int(found[2]), int(found[3]))


def check_size(size_wh: tuple[int, int] | None, model: str) -> None:
    """Refuse an input size for a model that has its own.

    Raises:
        ConfigError: a size is given.
    """
    if size_wh is not None:
        raise ConfigError(
            f"--size for {model}",
            hint="it is for third-party detectors; this model has its own size",
        )
