"""Writes networks in the formats of the runtimes: all files of an export appear at once."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from lstmcli.core.errors import ConfigError, write_failure
from lstmcli.core.files import publish_files, temporary_folder
from lstmcli.core.metadata import ModelMetadata
from lstmcli.inference.installed import check_installed
from lstmcli.inference.runtimes import RUNTIMES

if TYPE_CHECKING:
    from lstmcli.inference.quantize import Feed
    from lstmcli.models.detector import DetectorNet

TextsOf = Callable[[ModelMetadata], Mapping[str, str]]


def write_export(
    model: DetectorNet,
    path: Path,
    *,
    metadata: ModelMetadata,
    feed: Feed | None = None,
    texts: TextsOf | None = None,
    overwrite: bool = True,
) -> ModelMetadata:
    """Write a network in the format of the suffix of `path`.

    Args:
        model: the network.
        path: of the new file; it appears under its name when complete.
        metadata: of the network.
        feed: clips on which the ranges of 8-bit maps are measured; None: full precision.
        texts: (metadata) returns texts by file name that appear together with it.
        overwrite: replace files that are there.

    Returns:
        The metadata as it was written.

    Raises:
        ConfigError: the format's tools are not installed, or it has no 8-bit networks.
    """
    from lstmcli.inference.exportable import ExportableStep
    from lstmcli.inference.quantize import write_int8

    (name,) = (name for name, engine in RUNTIMES.items() if engine.suffix == path.suffix)
    check_installed(name, RUNTIMES[name].to_write)
    step = ExportableStep(model)
    if feed is not None and name == "torch":
        raise ConfigError("the torch format has no 8-bit networks", hint="use onnx or openvino")
    if feed is not None:
        check_installed("onnx", (*RUNTIMES["onnx"].to_run, *RUNTIMES["onnx"].to_write))

    def write(target: Path) -> ModelMetadata:
        if feed is None:
            RUNTIMES[name].write(step, metadata, target)
            return metadata
        return write_int8(step, metadata, target, feed)

    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        return publish_export(path, write, texts, overwrite=overwrite)
    except OSError as error:
        raise write_failure(path, error) from None


def publish_export(
    path: Path,
    write: Callable[[Path], ModelMetadata],
    texts: TextsOf | None = None,
    *,
    overwrite: bool = True,
) -> ModelMetadata:
    """Write under temporary names, and give all files their own when they are complete."""
    with temporary_folder(path) as folder:
        metadata = write(folder / path.name)
        for name, text in (texts(metadata) if texts is not None else {}).items():
            (folder / name).write_text(text, encoding="utf-8")
        publish_files(folder, overwrite=overwrite)
    return metadata
