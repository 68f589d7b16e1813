"""Checkpoints: weights with configuration, classes, metrics and training state.

A checkpoint (`.pt`) holds plain dicts, lists, numbers, strings and tensors only and is loaded with
`weights_only=True`: a hostile file cannot run code. A shipped model (`.safetensors`) holds half
precision weights and the same metadata as JSON in its header.
"""

from __future__ import annotations

import io
import json
import math
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from lstmcli.core.calibration import USUAL_THRESHOLD, ScoreCalibration
from lstmcli.core.config import Config
from lstmcli.core.config_file import config_from
from lstmcli.core.errors import ConfigError, LstmcliError, ModelError
from lstmcli.core.files import atomic_write
from lstmcli.core.limits import check_canvas, check_limit
from lstmcli.core.metadata import ModelMetadata
from lstmcli.core.model_files import find_checkpoint
from lstmcli.models.detector import DetectorNet, fold_norms
from lstmcli.models.renamed_weights import upgrade_weights
from lstmcli.models.torch_archive import check_archive, not_an_archive

FORMAT = 1
BEST_THRESHOLD = "best_threshold"
"""Name of the metric: the score threshold of the best F1 on the validation split."""
SCORE_SLOPE = "score_slope"
"""Name of the metric: the slope of the `ScoreCalibration`."""
CLASS_THRESHOLDS = "class_thresholds"
"""Name of the metric: raw scores of the best F1 by class, see `store_class_thresholds`."""


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A loaded network with metadata, metrics and training state.

    Args:
        path: of the file.
        model: in evaluation mode, on the CPU.
        metadata: of the network, with the calibration of its validation.
        metrics: of its epoch, by name.
        training: optimizer, schedule, carried state and so on of `last.pt`; empty elsewhere.
    """

    path: Path
    model: DetectorNet
    metadata: ModelMetadata
    metrics: Mapping[str, Any]
    training: Mapping[str, Any]

    @property
    def config(self) -> Config:
        """The settings that the network was trained with."""
        return self.model.config

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the classes."""
        return self.model.classes

    @property
    def canvas_hw(self) -> tuple[int, int]:
        """(height, width) of the canvas in pixels."""
        return self.model.canvas_hw


def save_checkpoint(
    path: Path,
    model: DetectorNet,
    weights: Mapping[str, Tensor],
    *,
    metrics: Mapping[str, Any],
    training: Mapping[str, Any] | None = None,
) -> None:
    """Write a checkpoint, under its name only when it is complete.

    Args:
        path: ends in `.pt`.
        model: its configuration, classes and canvas are saved.
        weights: of `model.state_dict()`, or an average of it.
        metrics: plain numbers, strings and lists.
        training: state of a resumable run; tensors in plain containers.

    Raises:
        OutputError: the disk is full or the folder cannot be written.
    """
    metadata = _metadata(model) | {"metrics": dict(metrics)}
    _write(path, metadata | {"weights": dict(weights), "training": dict(training or {})})


def save_shipped(path: Path, model: DetectorNet, *, metrics: Mapping[str, Any]) -> None:
    """Write half precision weights as safetensors, for shipping.

    Raises:
        OutputError: the disk is full or the folder cannot be written.
    """
    weights = {
        name: (value.half() if value.is_floating_point() else value).contiguous()
        for name, value in model.state_dict().items()
    }
    header = {"lstmcli": json.dumps(_metadata(model) | {"metrics": dict(metrics)})}
    with atomic_write(path) as temporary:
        temporary.write_bytes(save(weights, metadata=header))


def _metadata(model: DetectorNet) -> dict[str, Any]:
    return {
        "format": FORMAT,
        "config": model.config.model_dump(mode="json"),
        "classes": list(model.classes),
        "canvas_hw": list(model.canvas_hw),
        "grid": model.grid,
    }


def load_checkpoint(model: Path | str) -> Checkpoint:
    """Read a network.

    Args:
        model: a `.pt` or `.safetensors` file, a run folder, or the name of a shipped model.

    Raises:
        ModelError: it is missing, cut short, hostile, of another version, or its weights do not
            fit its own configuration.
    """
    path = find_checkpoint(model)
    values = _read_safetensors(path) if path.suffix == ".safetensors" else _read_pickle(path)
    if not isinstance(values, dict) or "format" not in values:
        raise ModelError(f"{path}: not a checkpoint of lstmcli", hint="give a best.pt or last.pt")
    if values["format"] != FORMAT:
        raise ModelError(
            f"{path}: format {values['format']!r}, this version reads {FORMAT}",
            hint="train again, or install the version that wrote it",
        )
    weights = values.get("weights")
    network = build_network(values, weights if isinstance(weights, dict) else {}, str(path))
    try:
        metrics, training = (dict(values.get(name, {})) for name in ("metrics", "training"))
        for name in ("model", "ema", "average"):
            if training.get(name) is not None:
                training[name] = upgrade_weights(training[name])
        calibration = ScoreCalibration(
            slope=float(metrics.get(SCORE_SLOPE) or 1.0),
            power=power_for(metrics.get(BEST_THRESHOLD)),
        )
        powers = class_powers(network.classes, metrics.get(CLASS_THRESHOLDS) or {}, calibration)
    except _DAMAGED as error:
        raise _damaged(str(path), error) from None
    network.eval()
    metadata = replace(network.metadata, calibration=calibration, class_powers=powers)
    return Checkpoint(path, network, metadata, metrics, training)


def build_network(
    values: Any, weights: Mapping[str, Tensor], place: str, *, is_folded: bool = False
) -> DetectorNet:
    """Return the network that a file describes, with its weights, in evaluation mode.

    It is built without memory first, so that a file cannot ask for more weights than it brings.

    Args:
        values: config, classes, canvas_hw and grid, as the file has them.
        weights: by name.
        place: names the file in errors.
        is_folded: whether the norms were folded into the convolutions before.

    Raises:
        ModelError: something is missing, damaged or of another version.
    """
    try:
        weights = upgrade_weights(weights)
        config = config_from(_without_foreign_weights(values["config"]), place)
        classes = values["classes"]
        if not isinstance(classes, list) or not all(isinstance(name, str) for name in classes):
            raise ValueError("the classes are no list of names")
        (height, width), grid = values["canvas_hw"], int(values["grid"])
        size_hw = (int(height), int(width))
        check_canvas(size_hw, place, error=ModelError)
        with torch.device("meta"):
            outline = DetectorNet(config, classes, canvas_hw=size_hw, grid=grid)
        count = sum(value.numel() for value in outline.parameters())
        check_limit("parameters", count, place, error=ModelError)
        stored = sum(value.numel() for value in weights.values())
        if count > 2 * stored:
            raise ValueError(f"{count} weights belong into it, {stored} are there")
        network = DetectorNet(config, classes, canvas_hw=size_hw, grid=grid)
        network = fold_norms(network) if is_folded else network
        network.load_state_dict(weights)
    except ConfigError as error:
        raise ModelError(
            error.problem, hint="another version wrote it; train again or install that version"
        ) from None
    except LstmcliError:
        raise
    except _DAMAGED as error:
        raise _damaged(place, error) from None
    return network.eval()


_DAMAGED = (
    KeyError,
    TypeError,
    ValueError,
    RuntimeError,
    AttributeError,
    IndexError,
    ArithmeticError,
    AssertionError,
)
"""What comes of values that are not what they should be; RecursionError is a RuntimeError."""


def _damaged(place: str, error: Exception) -> ModelError:
    first = (str(error).splitlines() or [""])[0][:200]
    return ModelError(
        f"{place}: the checkpoint is damaged ({type(error).__name__}: {first})",
        hint="use another checkpoint of the run",
    )


def power_for(best_threshold: float | None) -> float:
    """Return the power that brings a score to `USUAL_THRESHOLD`; 1 where none is known."""
    if best_threshold is None or not 0 < best_threshold < 1:
        return 1.0
    return math.log(USUAL_THRESHOLD) / math.log(best_threshold)


def class_powers(
    classes: Sequence[str], thresholds: Mapping[str, float], calibration: ScoreCalibration
) -> tuple[float, ...]:
    """Return exponents that bring the threshold of each class to that of all; see `ModelMetadata`.

    Args:
        classes: of the network.
        thresholds: raw score by class; classes without one keep their scores.
        calibration: of the network.
    """
    common = calibration.raw_score(USUAL_THRESHOLD)
    if not thresholds or not 0 < common < 1:
        return ()
    powers = []
    for name in classes:
        threshold = float(thresholds.get(name, common))
        if not 0 < threshold < 1:
            raise ValueError(f"a threshold of {threshold:g} of {name}")
        powers.append(math.log(common) / math.log(threshold))
    return tuple(powers)


def store_class_thresholds(path: Path, thresholds: Mapping[str, float]) -> None:
    """Store raw scores of the best F1 by class in a checkpoint, in place of earlier ones.

    Raises:
        ModelError: it is no checkpoint that can be written.
        OutputError: the disk is full or the folder cannot be written.
    """
    check_can_store(path)
    values = _read_pickle(path)
    values["metrics"] = dict(values.get("metrics", {})) | {CLASS_THRESHOLDS: dict(thresholds)}
    _write(path, values)


def check_can_store(path: Path) -> None:
    """Refuse models whose file `store_class_thresholds` does not change.

    Raises:
        ModelError: it is no `.pt` file.
    """
    if path.suffix != ".pt":
        raise ModelError(
            f"{path}: thresholds are stored in a checkpoint (.pt) only",
            hint="name a run or its best.pt; export it afterwards",
        )


def _write(path: Path, values: Mapping[str, Any]) -> None:
    buffer = io.BytesIO()  # torch's own writer ends the process on a full disk
    torch.save(dict(values), buffer)
    with atomic_write(path) as temporary:
        temporary.write_bytes(buffer.getbuffer())


def _without_foreign_weights(config: dict[str, Any]) -> dict[str, Any]:
    """Return the configuration with an untrained backbone: its weights come from the checkpoint."""
    return config | {"backbone": config["backbone"] | {"weights": "none"}}


def _read_pickle(path: Path) -> Any:
    try:
        with path.open("rb"):
            pass
    except OSError as error:
        raise ModelError(f"{path}: {error.strerror or error}", hint="check the path") from None
    check_archive(path)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # it warns of foreign files before it refuses them
            return torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # torch raises many types here
        if "GLOBAL" in str(error):
            raise ModelError(
                f"{path}: holds more than weights; it was not loaded",
                hint="only load checkpoints that lstmcli wrote",
            ) from None
        raise not_an_archive(path) from None


def _read_safetensors(path: Path) -> Any:
    try:
        with safe_open(path, framework="pt") as file:
            header = file.metadata() or {}
            weights = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        return dict(json.loads(header.get("lstmcli", "{}"))) | {"weights": weights}
    except (SafetensorError, OSError, ValueError, TypeError, RecursionError) as error:
        raise ModelError(f"{path}: not a model file ({error})", hint="use another file") from None
