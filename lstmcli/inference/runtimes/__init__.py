"""Table of the runtimes, and the contract of their modules.

Every runtime is an `inference.runtime.Runtime`; its file writes (`write`) and reads (`read`) a
network in the runtime's own format. Boxes agree with torch's within `autotune.SCORE_TOLERANCE` and
`autotune.BOX_TOLERANCE` over a whole video. Only a runtime's file imports its library, and torch is
loaded only where it runs the network or writes one: that saves `detect` two seconds.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from lstmcli.core.metadata import ModelMetadata
from lstmcli.inference.runtime import Runtime
from lstmcli.inference.runtimes import onnx, openvino
from lstmcli.inference.runtimes.onnx_session import OnnxSession
from lstmcli.inference.runtimes.openvino_session import OpenVINOSession

if TYPE_CHECKING:
    from lstmcli.inference.exportable import ExportableStep


class Read(Protocol):
    """Reads an exported network."""

    def __call__(self, path: Path, *, device: str, threads: int) -> Runtime:
        """Return the runtime; `threads` 0 takes all of the machine."""


@dataclass(frozen=True, slots=True)
class RuntimeSpec:
    """Row of the table of runtimes.

    Args:
        suffix: of its files.
        write: (step, metadata, path) writes a network in its format.
        read: reads such a file.
        to_run: modules required to run.
        to_write: modules required to write.
        on_cuda: whether it supports CUDA.
    """

    suffix: str
    write: Callable[[ExportableStep, ModelMetadata, Path], None]
    read: Read
    to_run: tuple[str, ...] = ()
    to_write: tuple[str, ...] = ()
    on_cuda: bool = False


def _write_by_torch(step: ExportableStep, metadata: ModelMetadata, path: Path) -> None:
    from lstmcli.inference.runtimes import pytorch

    pytorch.write(step, metadata, path)


def _read_by_torch(path: Path, *, device: str, threads: int) -> Runtime:
    from lstmcli.inference.runtimes import pytorch

    return pytorch.read(path, device=device, threads=threads)


RUNTIMES: Mapping[str, RuntimeSpec] = {
    "torch": RuntimeSpec(".lstmcli", _write_by_torch, _read_by_torch, on_cuda=True),
    "openvino": RuntimeSpec(
        openvino.SUFFIX,
        openvino.write,
        openvino.read,
        to_run=("openvino",),
        to_write=("openvino",),
    ),
    "onnx": RuntimeSpec(
        onnx.SUFFIX,
        onnx.write,
        onnx.read,
        to_run=("onnxruntime",),
        to_write=("onnx", "onnxscript"),
        on_cuda=True,
    ),
}

FOREIGN_RUNTIMES: Mapping[str, Callable[..., OnnxSession | OpenVINOSession]] = {
    "openvino": OpenVINOSession,
    "onnx": OnnxSession,
}
"""Sessions for third-party ONNX files, under names of `RUNTIMES`; the first is the default."""


def load_library(library: str, name: str, **options: Any) -> Runtime:
    """Load a detector of a library; the library is imported only here."""
    loader = import_module(f"lstmcli.inference.runtimes.{library}").load
    runtime: Runtime = loader(name, **options)
    return runtime
