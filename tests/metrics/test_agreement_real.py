"""Metrics on real footage against programs that count by themselves: `pycocotools`, `tidecv`.

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
from lstmcli.metrics.scoring import score
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
FRAMES = 40


Footage = tuple[list[FrameResult], tuple[str, ...]]


def real_results(model: Path | str, data: Path, videos: int) -> Footage:
    """Return the network's own detections, and the classes; without a common one, as one class."""
    options = EvaluateOptions(
        frames_alone=True, limit=FRAMES, videos=videos, device="cpu", needs_class=False
    )
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
        for box, label, value in _rows(result.candidates):
            found.add_detection(image, label, value, box)
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


UNSEEN = (
    ("general", "people/MOT16-11", 1),
    ("general", "people/PETS09-S2L1", 1),
    ("general", "few", 3),
    ("sky", "sky/train", 12),
    ("deimv2_hgnetv2_femto_coco.onnx", "coco128", 128),
    ("deimv2_hgnetv2_femto_coco.onnx", "flies", 1),
)
"""Detector, footage, and how many of its videos."""


@pytest.fixture(scope="module", params=UNSEEN, ids=lambda pair: pair[1])
def footage(request: pytest.FixtureRequest, shared: Path) -> Footage:
    """Give the results of a detector on real footage, and the classes."""
    model, data, videos = request.param
    chosen = shared / "weights" / model if model.endswith(".onnx") else model
    if isinstance(chosen, Path) and not chosen.is_file():
        pytest.skip(f"{chosen.name} is not here")
    return real_results(chosen, shared / "data" / data, videos)


@pytest.mark.real
def test_errors_on_real_footage_are_those_of_tidecv(footage: Footage) -> None:
    results, classes = footage
    theirs, their_costs = counted_by_tidecv(results)
    ours: Any = errors(compare(results, classes, threshold=0.3, iou=0.5))
    counts = {short: ours[name]["count"] for name, short in SHORT_NAMES.items()}
    costs = {short: ours[name]["map50_cost"] for name, short in SHORT_NAMES.items()}
    assert sum(theirs.values()) > 100, "of too few errors nothing follows"
    assert counts == theirs
    assert costs == pytest.approx(their_costs, abs=1e-3)


def averaged_by_pycocotools(results: Sequence[FrameResult], classes: int) -> dict[str, float]:
    """Return `pycocotools`' average precision and recall."""
    coco = pytest.importorskip("pycocotools.coco", reason="pip install pycocotools, to compare")
    evaluation = pytest.importorskip("pycocotools.cocoeval")
    gt, found = coco.COCO(), coco.COCO()
    for data, rows in (
        (gt, [zip(_sides(r.gt.boxes), r.gt.labels.tolist(), strict=True) for r in results]),
        (found, [_rows(r.candidates) for r in results]),
    ):
        boxes = [
            {"id": 1, "image_id": image, "category_id": label, "bbox": box, "iscrowd": 0}
            | {"area": box[2] * box[3], "score": score[0] if score else 1.0}
            for image, frame in enumerate(rows)
            for box, label, *score in frame
        ]
        data.dataset = {
            "images": [{"id": image} for image in range(len(results))],
            "categories": [{"id": label} for label in range(classes)],
            "annotations": [box | {"id": n} for n, box in enumerate(boxes, start=1)],
        }
        data.createIndex()
    run = evaluation.COCOeval(gt, found, "bbox")
    run.evaluate()
    run.accumulate()
    run.summarize()
    names = ("map", "map50", "map75", "small", "medium", "large", "ar1", "ar10", "ar")
    return dict(zip(names, run.stats.tolist(), strict=False))


@pytest.mark.real
def test_average_precision_on_real_footage_is_that_of_pycocotools(footage: Footage) -> None:
    results, classes = footage
    theirs = averaged_by_pycocotools(results, len(classes))
    ours = score(results, classes, threshold=0.3).as_json()
    for key in ("map", "map50", "ar"):
        assert ours[key] == pytest.approx(theirs[key], abs=1e-4)
    for size in ("small", "medium", "large"):
        mine = ours["by_size"][size]["map"]
        assert (-1.0 if mine is None else mine) == pytest.approx(theirs[size], abs=1e-4)
