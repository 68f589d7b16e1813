"""lstmcli: a video detector with a memory, as a command-line toolkit and a small Python library."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

__version__ = "0.1.0"
__all__ = ["Detector", "__version__"]

if TYPE_CHECKING:
    from lstmcli.workflows.detect import Detector


def __getattr__(name: str) -> object:
    """Import `Detector` lazily, so that `lstmcli --help` is fast."""
    if name == "Detector":
        return import_module("lstmcli.workflows.detect").Detector
    raise AttributeError(f"module 'lstmcli' has no attribute {name!r}")
