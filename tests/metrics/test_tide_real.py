"""Error types and their costs on real footage, against `tidecv`, which counts them by itself.

The rule of repair was changed after it was seen that `sky/val` and TUD-Campus differed from
`tidecv`; the data here had no part in that. Ignored regions are left out: `tidecv` gives detections
in them an error type, here they count neither way.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lstmcli.core.progress import SilentProgress
from lstmcli.core.types import Annotations, Detections
from lstmcli.metrics.comparison import compare
from lstmcli.metrics.error_types import errors
from lstmcli.metrics.frame_result import FrameResult
from lstmcli.workflows.evaluate import EvaluateOptions, PipelineUse
from lstmcli.workflows.evaluate.data import open_data, open_model
from lstmcli.workflows.evaluate.stream import EvaluationStream

SHORT_NAMES = {
    "classification": "Cls",
    "localisation": "Loc",
    "both": "Both",
    "duplicate": "Dupe",
    "background": "Bkg",
    "missed": "Miss",
}
FRAMES = 60


def real_results(model: Path | str, data: Path) -> tuple[list[FrameResult], tuple[str, ...]]:
    """Return the network's own detections, and the classes; without a common one, as one class."""
    options = EvaluateOptions(
        frames_alone=True, limit=FRAMES, device="cpu", engine="torch", needs_class=False
    )
    if isinstance(model, Path):
        options = replace(options, engine="auto")
    opened = open_data(
        data, open_model(model, options, SilentProgress()), options, SilentProgress()
    )
    stream = EvaluationStream(options, PipelineUse(False, False, False, True), gallery=None)
    for video, runtime in opened.videos:
        stream.add(video, runtime, SilentProgress())
    known = {label for result in stream.results for label in result.gt.labels.tolist()}
    is_foreign = not any(
        label in known for r in stream.results for label in r.candidates.labels.tolist()
    )
    results = [_plain(result, as_one=is_foreign, known=known) for result in stream.results]
    return results, ("object",) if is_foreign else opened.classes


def _plain(result: FrameResult, *, as_one: bool, known: set[int]) -> FrameResult:
    """Return a frame without ignored regions, and without classes that nothing has."""
    counted = ~result.gt.ignore
    gt = Annotations(
        result.gt.boxes[counted],
        result.gt.labels[counted] * (not as_one),
        result.gt.tracks[counted],
        result.gt.ignore[counted],
    )
    found = result.candidates
    if as_one:
        found = replace(found, labels=np.zeros_like(found.labels))
    else:
        found = found.select(np.isin(found.labels, sorted(known)))
    return replace(result, gt=gt, candidates=found, shown=None)


def counted_by_tidecv(results: Sequence[FrameResult]) -> tuple[dict[str, int], dict[str, float]]:
    """Return `tidecv`'s counts of its error types, and their costs as shares of 1."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the libraries that it draws with
        tidecv = pytest.importorskip("tidecv", reason="pip install tidecv, to compare with it")
    gt, found = tidecv.Data("gt", max_dets=10_000), tidecv.Data("found")
    for image, result in enumerate(results):
        for data in (gt, found):
            data.add_image(image, str(image))
        for box, label in zip(_sides(result.gt.boxes), result.gt.labels.tolist(), strict=True):
            gt.add_ground_truth(image, label, box)
        for box, label, score in _rows(result.candidates):
            found.add_detection(image, label, score, box)
    run = tidecv.TIDE().evaluate(gt, found, mode=tidecv.TIDE.BOX)
    counts = {kind.short_name: number for kind, number in run.count_errors().items()}
    costs = {kind.short_name: cost / 100 for kind, cost in run.fix_main_errors().items()}
    return counts, costs


def _sides(boxes: np.ndarray[Any, Any]) -> list[list[float]]:
    wide = boxes.astype(np.float64)
    wide[:, 2:] -= wide[:, :2]
    sides: list[list[float]] = wide.tolist()
    return sides


def _rows(found: Detections) -> Sequence[tuple[list[float], int, float]]:
    return list(zip(_sides(found.boxes), found.labels.tolist(), found.scores.tolist(), strict=True))


@pytest.mark.real
@pytest.mark.parametrize(
    ("model", "data"),
    [
        ("general", "people/MOT16-11"),
        ("general", "people/PETS09-S2L1"),
        ("general", "few"),
        ("general", "coco128"),
        ("deimv2_hgnetv2_femto_coco.onnx", "flies"),
    ],
)
def test_errors_on_real_footage_are_those_of_tidecv(shared: Path, model: str, data: str) -> None:
    chosen = shared / "weights" / model if model.endswith(".onnx") else model
    results, classes = real_results(chosen, shared / "data" / data)
    theirs, their_costs = counted_by_tidecv(results)
    ours: Any = errors(compare(results, classes, threshold=0.3, iou=0.5))
    counts = {short: ours[name]["count"] for name, short in SHORT_NAMES.items()}
    costs = {short: ours[name]["map50_cost"] for name, short in SHORT_NAMES.items()}
    assert sum(theirs.values()) > 100, "of too few errors nothing follows"
    assert counts == theirs
    assert costs == pytest.approx(their_costs, abs=1e-3)
