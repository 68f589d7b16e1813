"""The one import of OpenVINO, without its telemetry."""

from __future__ import annotations

import sys
from typing import Any


def openvino() -> Any:
    """Return the library. It would tell its makers of every import and conversion; not from here.

    A module that is None cannot be imported; OpenVINO has a stub for where it is not installed.
    """
    sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]
    import openvino
    import openvino.preprocess

    return openvino
