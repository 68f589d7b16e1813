"""Output layouts of third-party detectors.

A layout is a module with a function `recognize` that returns a decoder if names, shapes and values
of the outputs match; a new one is a file here and a row in `LAYOUTS`.
"""

from __future__ import annotations

from collections.abc import Mapping

from lstmcli.inference.foreign.layouts import (
    detr,
    distance_maps,
    flat,
    suppressed,
    yolox,
)
from lstmcli.inference.foreign.signature import Recognize

LAYOUTS: Mapping[str, Recognize] = {
    "detr": detr.recognize_labels,
    "detr_logits": detr.recognize_logits,
    "suppressed": suppressed.recognize,
    "picodet": distance_maps.recognize_maps,
    "nanodet": distance_maps.recognize_tensor,
    "yolox": yolox.recognize,
    "rows": flat.recognize,
}
"""In the order of trial, from the most to the least distinctive."""
