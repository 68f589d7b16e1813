"""`export`: a trained network as a file of a runtime, with its metadata."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

from lstmcli.core.errors import ConfigError, DataError, choose
from lstmcli.core.files import check_free, claim
from lstmcli.core.metadata import ModelMetadata
from lstmcli.core.progress import Progress, SilentProgress
from lstmcli.dataset.stream import AnnotatedSource, open_source
from lstmcli.inference.exportable import ExportableStep
from lstmcli.inference.exporting import write_export
from lstmcli.inference.loading import find_export
from lstmcli.inference.predictor import Predictor
from lstmcli.inference.quantize import CalibrationRecorder, Inputs, as_arrays
from lstmcli.inference.runtimes import RUNTIMES
from lstmcli.inference.runtimes.onnx import OnnxRuntime
from lstmcli.inference.runtimes.openvino import is_own_weights
from lstmcli.inference.serving_config import openvino_server_config, triton_config
from lstmcli.models.checkpoint import load_checkpoint
from lstmcli.models.detector import DetectorNet
from lstmcli.workflows.evaluate import EvaluateOptions, evaluate

CALIBRATION_FRAMES = 120
CALIBRATION_RUN = 12
"""Minimum consecutive frames of a video, so that the recurrent state is realistic."""
SERVER_CONFIGS: Mapping[str, tuple[str, ...]] = {
    "onnx": (".config.pbtxt",),
    "openvino": (".config.pbtxt", ".ovms.json"),
}
"""Endings of the configurations of Triton and OpenVINO Model Server, by format."""


@dataclass(frozen=True, slots=True)
class Exported:
    """Result of an export.

    Args:
        model: the exported checkpoint.
        format: a name of `engines.RUNTIMES`.
        paths: the files, the graph first.
        size: of all files in bytes.
        metadata: stored in the files.
        server_configs: of model servers for these files.
    """

    model: Path
    format: str
    paths: tuple[Path, ...]
    size: int
    metadata: ModelMetadata
    server_configs: tuple[Path, ...] = ()


@dataclass(frozen=True, slots=True)
class ExportScores:
    """Accuracy and speed of a model, before or after its export.

    Args:
        name: `before` or `after`.
        scores: of `Evaluation.as_json`.
    """

    name: str
    scores: Mapping[str, Any]


def compare_export(
    exported: Exported,
    data: Path,
    *,
    split: str = "val",
    threshold: float = 0.3,
    limit: int = 500,
    progress: Progress | None = None,
) -> tuple[ExportScores, ExportScores]:
    """Return the accuracy and speed of the checkpoint and of its exported file.

    Args:
        exported: result of `export`.
        data: a prepared dataset, or any source that `prepare` reads.
        split: of the prepared dataset.
        threshold: minimum score for precision, recall and F1.
        limit: frames per video; 0: all.
        progress: shows both evaluations.
    """
    before, after = (
        ExportScores(
            name,
            evaluate(
                model,
                data,
                EvaluateOptions(split=split, threshold=threshold, limit=limit),
                progress=progress,
            ).as_json(),
        )
        for name, model in (("before", exported.model), ("after", exported.paths[0]))
    )
    return before, after


def export(
    model: Path | str,
    *,
    format: str = "onnx",
    out: Path | None = None,
    int8: bool = False,
    data: Path | None = None,
    split: str = "train",
    threshold: float = 0.3,
    licence: str = "",
    overwrite: bool = False,
    progress: Progress | None = None,
) -> Exported:
    """Write a checkpoint in the format of a runtime.

    Args:
        model: a checkpoint, a run folder or the name of a shipped model.
        format: `onnx`, `openvino` or `torch`.
        out: the file, or a folder for it; None: the model's name in the current folder.
        int8: 8-bit numbers in the backbone, their ranges measured on `data`.
        data: a prepared dataset, or any source that `prepare` reads; for `int8`.
        split: of the prepared dataset.
        threshold: recommended score threshold, stored in the file.
        licence: licence text, stored in the file.
        overwrite: replace files that exist.
        progress: shows the measuring of ranges.

    Raises:
        ConfigError: no such format, its tools are missing, or `int8` without data.
        DataError: the data has no frame.
        ModelError: the model is missing or damaged, or was exported before.
        OutputError: the file exists or cannot be written.
    """
    progress = progress or SilentProgress()
    suffix = choose(RUNTIMES, format, "format").suffix
    if not 0 <= threshold <= 1:
        raise ConfigError(f"a threshold of {threshold:g}", hint="scores are from 0 to 1")
    if int8 and data is None:
        raise ConfigError("--int8 without data", hint="name a prepared dataset with --data")
    exported = find_export(model)
    if exported is not None:
        raise ConfigError(f"{exported} is exported already", hint="name the checkpoint or its run")
    checkpoint = load_checkpoint(model)
    path = _path_of(out, _name(checkpoint.path), suffix, int8=int8)
    weights = path.with_suffix(".bin")
    with claim(path):
        if format == "openvino" and _is_leftover(weights, path):
            weights.unlink()
        configs = [path.with_name(path.stem + ending) for ending in SERVER_CONFIGS.get(format, ())]
        for there in (path, *([weights] if format == "openvino" else []), *configs):
            check_free(there, overwrite=overwrite)
        metadata = replace(checkpoint.metadata, threshold=threshold, licence=licence)
        feed = None
        if int8 and data is not None:
            source = open_source(data, split=split)
            feed = _Calibration(source, str(data), progress)
        metadata = write_export(
            checkpoint.model,
            path,
            metadata=metadata,
            feed=feed,
            texts=partial(_server_configs, checkpoint.model, name=path.stem, format=format),
            overwrite=overwrite,
        )
    paths = (path, weights) if weights.is_file() and format == "openvino" else (path,)
    size = sum(part.stat().st_size for part in paths)
    return Exported(checkpoint.path, format, paths, size, metadata, tuple(configs))


def _is_leftover(weights: Path, graph: Path) -> bool:
    """Return whether weights are of an export whose graph is gone: versions before wrote both."""
    return not os.path.lexists(graph) and weights.is_file() and is_own_weights(weights)


def _server_configs(
    model: DetectorNet, metadata: ModelMetadata, *, name: str, format: str
) -> dict[str, str]:
    """Return the configurations of `SERVER_CONFIGS` by the names of their files."""
    endings = SERVER_CONFIGS.get(format, ())
    if not endings:
        return {}
    texts = [
        triton_config(ExportableStep(model), metadata, name=name, format=format),
        openvino_server_config(name),
    ]
    return {name + ending: text for ending, text in zip(endings, texts, strict=False)}


def _name(checkpoint: Path) -> str:
    """Return the name of a model: of its run, or of its file."""
    is_of_a_run = checkpoint.name in {"best.pt", "last.pt"}
    return checkpoint.absolute().parent.name if is_of_a_run else checkpoint.stem


def _path_of(out: Path | None, name: str, suffix: str, *, int8: bool) -> Path:
    file_name = f"{name}.int8{suffix}" if int8 else f"{name}{suffix}"
    if out is None:
        return Path(file_name)
    if out.suffix == suffix:
        return out
    if out.suffix in {engine.suffix for engine in RUNTIMES.values()}:
        raise ConfigError(f"--out {out}", hint=f"files of this format end in {suffix}")
    return out / file_name


class _Calibration:
    """Runs the network on parts of all videos and yields its inputs."""

    def __init__(self, source: AnnotatedSource, name: str, progress: Progress) -> None:
        self._source, self._name, self._progress = source, name, progress

    def __call__(self, network: OnnxRuntime) -> Iterator[Inputs]:
        frames = islice(self._frames(network), CALIBRATION_FRAMES)
        count = 0
        for inputs in self._progress.track(
            frames, total=CALIBRATION_FRAMES, label="measuring ranges"
        ):
            count += 1
            yield inputs
        if not count:
            raise DataError(
                f"{self._name}: no frame to measure on", hint="name another --data or --split"
            )

    def _frames(self, network: OnnxRuntime) -> Iterator[Inputs]:
        recorded: list[Inputs] = []
        predictor = Predictor(
            CalibrationRecorder(network, lambda inputs: recorded.append(as_arrays(inputs)))
        )
        videos = self._source.videos
        length = max(CALIBRATION_RUN, CALIBRATION_FRAMES // max(1, len(videos)))
        for video in videos:
            letterbox = None
            for _, time_s, frame in islice(video.open(network.metadata.input_hw), length):
                if letterbox is None or letterbox.source_hw != frame.size_hw:
                    letterbox = predictor.start(frame.size_hw)
                predictor.step(frame.canvas(letterbox), time_s)
                yield recorded.pop()
