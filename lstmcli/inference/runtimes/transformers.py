"""Detectors of the Hugging Face Hub: `transformers:ORG/NAME`, or a folder with such a model.

transformers (Apache-2.0, extra `pretrained`) has network, image processor and post-processing:
DETR, RT-DETR, D-FINE, DEIMv2, RF-DETR, YOLOS and the other models of `AutoModelForObjectDetection`.
Code of a repository is never run.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import torch

from lstmcli.core.boxes import Fit, Letterbox
from lstmcli.core.errors import ConfigError, ModelError
from lstmcli.core.metadata import FOREIGN_TRACK_MEMORY, ModelMetadata
from lstmcli.core.types import Picture, pixels_of
from lstmcli.inference.foreign.class_names import ClassTable, class_table
from lstmcli.inference.foreign.signature import scores_of_labels
from lstmcli.inference.runtime import Step

MIN_SCORE = 1e-3
FILES = "config.json, model.safetensors and preprocessor_config.json"


class TransformersRuntime:
    """A detector of transformers with its image processor.

    Args:
        model: of `AutoModelForObjectDetection`.
        processor: of `AutoImageProcessor`; the canvas replaces its resizing.
        table: the classes.
        input_hw: (height, width) of the canvas.
        fit: of frames on the canvas.
        device: torch device.
        licence: of the weights, "" where unknown.
    """

    engine = "torch"

    def __init__(
        self,
        model: Any,
        processor: Any,
        table: ClassTable,
        *,
        input_hw: tuple[int, int],
        fit: Fit,
        device: str,
        licence: str = "",
    ) -> None:
        self.device = device
        self._model, self._processor = model.eval().to(device), processor
        self._table = table
        self.metadata = ModelMetadata(
            classes=table.names,
            input_hw=input_hw,
            nms="none",
            max_detections=300,
            track_memory=FOREIGN_TRACK_MEMORY,
            licence=licence,
            fit=fit,
        )

    @torch.inference_mode()
    def step(self, frame: Picture, previous_frame: Picture, state: Any) -> Step:
        """Return boxes [M, 4] (canvas), scores [M, classes], and no state."""
        inputs = self._processor(
            images=pixels_of(frame), do_resize=False, do_pad=False, return_tensors="pt"
        )
        outputs = self._model(pixel_values=inputs["pixel_values"].to(self.device))
        (found,) = self._processor.post_process_object_detection(
            outputs, threshold=MIN_SCORE, target_sizes=[self.metadata.input_hw]
        )
        boxes, values, labels = (found[key].cpu().numpy() for key in ("boxes", "scores", "labels"))
        boxes, scores = scores_of_labels(
            boxes.reshape(-1, 4).astype(np.float32),
            values.astype(np.float32),
            labels.astype(np.int64),
        )
        missing = int(self._table.columns.max()) + 1 - scores.shape[1]
        scores = np.pad(scores, ((0, 0), (0, max(0, missing))))
        return boxes, scores[:, self._table.columns], None


def load(
    name: str,
    *,
    device: str = "cpu",
    size_wh: tuple[int, int] | None = None,
    picture_hw: tuple[int, int] | None = None,
    note: Callable[[str], None] = lambda text: None,
) -> TransformersRuntime:
    """Load a detector of the Hub, of its cache, or of a folder.

    Args:
        name: `ORG/NAME`, `ORG/NAME@REVISION` or a folder.
        device: torch device.
        size_wh: (width, height) of the canvas; None: as its processor resizes.
        picture_hw: (height, width) of the source pictures, for a canvas without bars.
        note: called with revision and licence.

    Raises:
        ConfigError: transformers is not installed.
        ModelError: the model is not cached and cannot be downloaded, or it is no detector.
    """
    if find_spec("transformers") is None:
        raise ConfigError(
            "transformers is not installed here", hint="pip install 'lstmcli[pretrained]'"
        )
    try:
        import transformers
    except ImportError as error:  # it checks the versions of its dependencies
        reason = (str(error).splitlines() or [""])[0][:160]
        raise ConfigError(
            f"transformers cannot be loaded ({reason})", hint="pip install -U 'lstmcli[pretrained]'"
        ) from None

    repository, _, revision = name.partition("@")
    options = {} if Path(repository).is_dir() else {"revision": revision or "main"}
    try:
        processor = transformers.AutoImageProcessor.from_pretrained(repository, **options)
        model = transformers.AutoModelForObjectDetection.from_pretrained(repository, **options)
    except (OSError, ValueError, KeyError, ImportError, RuntimeError) as error:
        reason = next((line for line in str(error).splitlines() if line.strip()), "")[:160]
        raise ModelError(
            f"transformers:{name}: no such detector here, nor could one be downloaded ({reason})",
            hint=f"put its {FILES} into a folder and name that: transformers:FOLDER",
        ) from None
    commit = getattr(model.config, "_commit_hash", None)
    licence = _licence(repository)
    pinned = f"revision {commit}" if commit else "of a folder"
    note(f"transformers:{repository}, {pinned}; licence: {licence or 'see its model card'}")
    names = tuple(str(model.config.id2label[n]) for n in range(len(model.config.id2label)))
    where = f"transformers:{name}"
    input_hw, fit = _canvas(getattr(processor, "size", None), size_wh, picture_hw)
    return TransformersRuntime(
        model,
        processor,
        class_table(names, "its configuration", len(names), where),
        input_hw=input_hw,
        fit=fit,
        device=device,
        licence=licence,
    )


def _canvas(
    size: Any, size_wh: tuple[int, int] | None, picture_hw: tuple[int, int] | None
) -> tuple[tuple[int, int], Fit]:
    """Return (height, width) of the canvas and the fit, as the processor resizes."""
    sides = {key: value for key, value in dict(size or {}).items() if value}
    if size_wh is not None:
        sides = {"height": size_wh[1], "width": size_wh[0]}
    if "height" in sides and "width" in sides:
        return (int(sides["height"]), int(sides["width"])), "stretch"
    shortest = int(sides.get("shortest_edge", 800))
    usual = (shortest, int(sides.get("longest_edge", 1333)))
    if picture_hw is None:
        return usual, "center"
    if picture_hw[0] > picture_hw[1]:
        usual = usual[::-1]
    return Letterbox(picture_hw, usual).minimal_canvas(8).canvas_hw, "center"


def _licence(repository: str) -> str:
    """Return the licence that a local model card names, "" where there is none."""
    card = Path(repository) / "README.md"
    if not card.is_file():
        return ""
    for line in card.read_text(encoding="utf-8", errors="replace").splitlines()[:80]:
        key, _, value = line.partition(":")
        if key.strip() == "license" and value.strip():
            return value.strip()[:80]
    return ""
