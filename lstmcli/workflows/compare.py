"""Compares detectors on annotated videos of one or more domains: models and result files.

Models are run as `detect` runs them, so the best F1 is searched from the usual threshold up: a
lower one would begin tracks that are not shown.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

import numpy as np

from lstmcli.core.calibration import USUAL_THRESHOLD
from lstmcli.core.errors import ConfigError, DataError
from lstmcli.core.files import claim, write_json
from lstmcli.core.progress import Progress, SilentProgress
from lstmcli.core.types import Annotations, Detections, IntArray, VideoLabels
from lstmcli.dataset.stream import RATE
from lstmcli.labels.detections import DetectionSet, read_detections
from lstmcli.metrics.bootstrap import HEADLINES
from lstmcli.metrics.frame_result import FrameResult
from lstmcli.metrics.model_comparison import Contender, SideBySide, Standing, side_by_side
from lstmcli.report.comparison_page import write_comparison
from lstmcli.report.moments_part import PageMoments
from lstmcli.workflows.evaluate import EvaluateOptions, Evaluation, evaluate
from lstmcli.workflows.evaluate.classes import known_as, listed
from lstmcli.workflows.evaluate.data import open_annotations
from lstmcli.workflows.evaluate.options import spaced
from lstmcli.workflows.evaluate.outputs import check_folders, check_outputs
from lstmcli.workflows.evaluate.page_moments import page_moments
from lstmcli.workflows.evaluate.stream import clip_ground_truth

__all__ = ["HEADLINES", "EvaluateOptions", "SideBySide", "compare_models"]


def compare_models(
    models: Sequence[str] | Mapping[str, str],
    data: Sequence[Path] | Mapping[str, Path],
    *,
    detections: Mapping[str, Path] | None = None,
    options: EvaluateOptions | None = None,
    draws: int = 1000,
    json_file: Path | None = None,
    report: Path | None = None,
    overwrite: bool = False,
    progress: Progress | None = None,
) -> SideBySide:
    """Compare detectors on the same frames, with intervals; the first one is the reference.

    Args:
        models: checkpoints, runs, exported, shipped or third-party models; or by a name for the
            tables.
        data: prepared datasets or labels that `prepare` reads, each a domain; or by a name.
        detections: name -> result file or folder of another program.
        options: of each evaluation; its threshold and `needs_class` have no effect.
        draws: of the bootstrap.
        json_file: where to write everything as JSON.
        report: a folder for a page with verdict, tables and clips.
        overwrite: replace a JSON file or report that exists.
        progress: shows progress and notes.

    Raises:
        ConfigError: fewer than two detectors, or two of one name.
        DataError: data or result files that cannot be read, or do not belong together.
        OutputError: the JSON file exists or cannot be written.
    """
    options = replace(
        options or EvaluateOptions(), threshold=USUAL_THRESHOLD, needs_class=len(data) == 1
    )
    progress = progress or SilentProgress()
    files = detections or {}
    chosen, domain_paths = by_name(models), by_name(data)
    names = [*chosen, *files] if isinstance(models, Mapping) else [*models, *files]
    if len(names) < 2 and len(data) < 2:
        raise ConfigError("a comparison of one detector", hint="name two, or use --detections")
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise ConfigError(f"{twice!r} occurs twice in the comparison", hint="name each once")
    domains = {}
    check_folders(json_file, report)
    with claim(json_file, report):
        check_outputs(json_file, report, overwrite=overwrite)
        for domain, path in domain_paths.items():
            contenders = [
                _model(name, model, path, options, progress) for name, model in chosen.items()
            ]
            contenders += [
                _results(name, file, path, options, progress) for name, file in files.items()
            ]
            domains[domain] = _on_common_frames(contenders, path, progress)
        table = side_by_side(domains, iou=options.iou, draws=draws)
        if json_file is not None:
            write_json(json_file, table.as_json(), overwrite=overwrite)
        if report is not None:
            moments = {
                domain: _moments(path, table.domains[domain], options, progress)
                for domain, path in domain_paths.items()
            }
            write_comparison(report, table.as_json(), moments, overwrite=overwrite)
    return table


def _moments(
    path: Path, standings: Sequence[Standing], options: EvaluateOptions, progress: Progress
) -> PageMoments:
    """Return what the page shows of a domain: the reference and the best of the others."""
    others = sorted(standings[1:], key=lambda one: -(one.values["map50"].value or 0.0))
    return page_moments(
        path,
        {one.name: one.comparison for one in (standings[0], *others[:1])},
        options=options,
        progress=progress,
    )


T = TypeVar("T")


def by_name(items: Sequence[T] | Mapping[str, T]) -> dict[str, T]:
    """Return models or data by their names; those without a name are called as they are given."""
    return dict(items) if isinstance(items, Mapping) else {str(item): item for item in items}


def _model(
    name: str, model: str, data: Path, options: EvaluateOptions, progress: Progress
) -> Contender:
    progress.note(f"{name} on {data}")
    evaluation: Evaluation = evaluate(model, data, options, progress=progress)
    values = evaluation.as_json()
    details = {"speed": values["speed"], "pipeline": values["pipeline"]}
    return Contender(name, evaluation.classes, evaluation.results, details)


def _results(
    name: str, file: Path, data: Path, options: EvaluateOptions, progress: Progress
) -> Contender:
    """Return the results of a file like those of a model."""
    source = open_annotations(data, options)
    videos = [video.labels for video in spaced(source.videos, options.videos)]
    found = read_detections(file, videos, source.classes, images=data)
    names = [_labelled_name(one, source.classes, progress) for one in found.classes]
    others = [one for one in names if one not in source.classes]
    if names and len(others) == len(names):
        raise DataError(
            f"{file}: has the classes {listed(found.classes)}, the data {listed(source.classes)}",
            hint="rename the classes of one of them",
        )
    if others:
        progress.note(f"{data} does not label {listed(others)}; such detections are not scored")
    table = np.array([_index(one, source.classes) for one in names], np.int64)
    results = [
        result for video in videos for result in _frames_of(video, found, table, options.limit)
    ]
    if not results:
        raise DataError(f"{data}: no annotated frame", hint="a comparison needs ground truth")
    return Contender(name, source.classes, tuple(results), {"results": str(file)})


def _labelled_name(name: str, classes: Sequence[str], progress: Progress) -> str:
    """Return the data's name of a class of a result file, or the file's own."""
    same = [one for one in classes if known_as(one, (name,), SilentProgress()) == name]
    if same and same[0] != name:
        progress.note(f"the data's {same[0]} is the results' {name}")
    return same[0] if same else known_as(name, classes, progress)


def _index(name: str, classes: Sequence[str]) -> int:
    return classes.index(name) if name in classes else -1


def _frames_of(
    video: VideoLabels, found: DetectionSet, table: IntArray, limit: int
) -> list[FrameResult]:
    of_video = found.videos.get(video.name, {})
    rows = []
    for frame in video.annotated_frames.tolist():
        gt = video.at(frame)
        if gt is None or (limit and frame >= limit):
            continue
        detections = of_video.get(frame, Detections.none())
        if len(detections):
            labels = table[detections.labels]
            detections = replace(detections, labels=labels).select(labels >= 0)
        size_hw = video.size_hw or _size_around(gt, detections)
        time_s = frame / (video.rate or RATE)
        inside = gt if video.size_hw is None else clip_ground_truth(gt, video.size_hw)
        rows.append(FrameResult(video.name, frame, time_s, size_hw, inside, detections))
    return rows


def _size_around(gt: Annotations, detections: Detections) -> tuple[int, int]:
    """Return a size that holds all boxes, where the labels have none."""
    corners = np.concatenate(
        (gt.boxes[:, 2:], detections.boxes[:, 2:], np.ones((1, 2), np.float32))
    )
    width, height = np.ceil(corners.max(axis=0)).astype(int).tolist()
    return height, width


def _on_common_frames(
    contenders: Sequence[Contender], data: Path, progress: Progress
) -> list[Contender]:
    """Keep the frames that all detectors have; note the number of the others."""
    keys = [{(r.video, r.frame) for r in contender.results} for contender in contenders]
    common = set.intersection(*keys)
    if not common:
        raise DataError(
            f"{data}: the detectors have no annotated frame in common",
            hint="are the results of the same videos?",
        )
    left_out = len(set.union(*keys)) - len(common)
    if left_out:
        progress.note(f"{data}: {left_out} frames that not every detector has were left out")
    times = {(r.video, r.frame): r for r in contenders[0].results}
    return [
        replace(
            contender,
            results=tuple(
                replace(r, time_s=times[r.video, r.frame].time_s)
                for r in contender.results
                if (r.video, r.frame) in common
            ),
        )
        for contender in contenders
    ]
