"""Detectors and segmenters of torchvision by name: `torchvision:fasterrcnn_resnet50_fpn_v2`.

torchvision (BSD-3) has the networks and, on its server, the weights. Detectors scale and run NMS
inside; for a segmenter every connected region of a class becomes a box.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torchvision
from scipy import ndimage
from torch import Tensor, nn

from lstmcli.core.boxes import Fit, Letterbox
from lstmcli.core.errors import ConfigError, ModelError, near_name
from lstmcli.core.metadata import FOREIGN_TRACK_MEMORY, ModelMetadata
from lstmcli.core.types import FloatArray, IntArray, Picture, planes_of
from lstmcli.inference.foreign.class_names import ClassTable, class_table
from lstmcli.inference.foreign.signature import scores_of_labels
from lstmcli.inference.runtime import Step

LICENCE = "BSD-3-Clause (torchvision); weights trained on COCO"
SEGMENTER_HW = (520, 924)
"""(height, width) of a segmenter's picture: torchvision resizes the lesser side to 520."""
MIN_REGION = 0.0004
"""Share of the canvas below which a region is noise: 20x20 pixels of a megapixel."""
IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)

Find = Callable[[Tensor], tuple[FloatArray, FloatArray, IntArray]]
"""Finds boxes [N, 4] (canvas), scores [N] and labels [N] in a picture [3, H, W] of 0..1."""


class TorchvisionRuntime:
    """A detector or segmenter of torchvision.

    Args:
        find: the network with its own post-processing.
        table: its classes.
        input_hw: (height, width) of the canvas.
        fit: of frames on the canvas.
        device: torch device.
    """

    engine = "torch"

    def __init__(
        self, find: Find, table: ClassTable, input_hw: tuple[int, int], fit: Fit, device: str
    ) -> None:
        self.device = device
        self._find, self._table = find, table
        self.metadata = ModelMetadata(
            classes=table.names,
            input_hw=input_hw,
            nms="none",
            max_detections=300,
            track_memory=FOREIGN_TRACK_MEMORY,
            licence=LICENCE,
            fit=fit,
        )

    @torch.inference_mode()
    def step(self, frame: Picture, previous_frame: Picture, state: Any) -> Step:
        """Return boxes [M, 4] (canvas), scores [M, classes], and no state."""
        picture = torch.from_numpy(np.ascontiguousarray(planes_of(frame))).to(self.device)
        boxes, values, labels = self._find(picture.float() / 255)
        boxes, scores = scores_of_labels(boxes, values, labels)
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
) -> TorchvisionRuntime:
    """Load a model of torchvision with its newest weights, from its cache or its server.

    Raises:
        ConfigError: no such detector or segmenter.
        ModelError: its weights are not cached and cannot be downloaded.
    """
    known = sorted(_names())
    if name not in known:
        raise ConfigError(
            f"torchvision has no detector or segmenter {name!r}", hint=near_name(name, known)
        )
    weights: Any = torchvision.models.get_model_weights(name).DEFAULT
    target = Path(torch.hub.get_dir()) / "checkpoints" / Path(weights.url).name
    note(f"torchvision:{name}, weights {weights.name}; licence: {LICENCE}")
    try:
        state = weights.get_state_dict(progress=False, check_hash=True)
        model = torchvision.models.get_model(name, weights=None, weights_backbone=None)
        model.load_state_dict(state)
    except (OSError, RuntimeError, EOFError, ValueError) as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0][:160]
        raise ModelError(
            f"torchvision:{name}: no weights ({reason})", hint=f"place {weights.url} at {target}"
        ) from None
    return make(
        model,
        tuple(weights.meta["categories"]),
        where=f"torchvision:{name}",
        device=device,
        size_wh=size_wh,
        picture_hw=picture_hw,
    )


def _names() -> list[str]:
    models = torchvision.models
    return [
        *models.list_models(module=models.detection, exclude="keypointrcnn*"),
        *models.list_models(module=models.segmentation),
    ]


def make(
    model: nn.Module,
    categories: tuple[str, ...],
    *,
    where: str,
    device: str = "cpu",
    size_wh: tuple[int, int] | None = None,
    picture_hw: tuple[int, int] | None = None,
) -> TorchvisionRuntime:
    """Return a model of torchvision as a runtime.

    Args:
        model: a detector, which has a `transform`, or a segmenter.
        categories: names of its outputs, the background first.
        where: name of the model in errors.
        device: torch device.
        size_wh: (width, height) of the canvas; None: as the model resizes by default.
        picture_hw: (height, width) of the source pictures, for a canvas without bars.
    """
    model = model.eval().to(device)
    table = class_table(categories, where, len(categories), where)
    transform: Any = getattr(model, "transform", None)
    if transform is None:
        input_hw = _canvas(SEGMENTER_HW, size_wh, picture_hw)
        return TorchvisionRuntime(_segmenter(model), table, input_hw, "center", device)
    if transform.fixed_size is not None:
        width, height = transform.fixed_size
        return TorchvisionRuntime(_detector(model), table, (height, width), "stretch", device)
    input_hw = _canvas((min(transform.min_size), transform.max_size), size_wh, picture_hw)
    transform.min_size, transform.max_size = (min(input_hw),), max(input_hw)  # no second scaling
    return TorchvisionRuntime(_detector(model), table, input_hw, "center", device)


def _canvas(
    usual_hw: tuple[int, int],
    size_wh: tuple[int, int] | None,
    picture_hw: tuple[int, int] | None,
) -> tuple[int, int]:
    """Return (height, width): the given one, else the default, swapped for portrait pictures."""
    if size_wh is not None:
        usual_hw = (size_wh[1], size_wh[0])
    if picture_hw is None:
        return usual_hw
    if size_wh is None and picture_hw[0] > picture_hw[1]:
        usual_hw = usual_hw[::-1]
    return Letterbox(picture_hw, usual_hw).minimal_canvas(8).canvas_hw


def _detector(model: nn.Module) -> Find:
    def find(picture: Tensor) -> tuple[FloatArray, FloatArray, IntArray]:
        (found,) = model([picture])
        boxes, scores, labels = (found[key].cpu().numpy() for key in ("boxes", "scores", "labels"))
        return boxes.astype(np.float32), scores.astype(np.float32), labels.astype(np.int64)

    return find


def _segmenter(model: nn.Module) -> Find:
    def find(picture: Tensor) -> tuple[FloatArray, FloatArray, IntArray]:
        mean, std = (
            picture.new_tensor(values)[:, None, None] for values in (IMAGENET_MEAN, IMAGENET_STD)
        )
        shares = model(((picture - mean) / std)[None])["out"][0].softmax(dim=0).cpu().numpy()
        return regions(shares)

    return find


def regions(shares: FloatArray) -> tuple[FloatArray, FloatArray, IntArray]:
    """Return boxes [N, 4], mean scores [N] and classes [N] of connected regions.

    Args:
        shares: [classes, H, W], the background first; they add up to 1.
    """
    best = shares.argmax(axis=0)
    boxes, scores, labels = [], [], []
    for label in np.unique(best).tolist():
        if label == 0:
            continue
        numbers, _ = ndimage.label(best == label)
        for number, region in enumerate(ndimage.find_objects(numbers), start=1):
            inside = numbers[region] == number
            if inside.sum() < MIN_REGION * best.size:
                continue
            rows, columns = region
            boxes.append((columns.start, rows.start, columns.stop, rows.stop))
            scores.append(float(shares[label][region][inside].mean()))
            labels.append(label)
    return (
        np.array(boxes, np.float32).reshape(-1, 4),
        np.array(scores, np.float32),
        np.array(labels, np.int64),
    )
