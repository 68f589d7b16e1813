"""Teachers: several detectors whose detections of a frame are fused."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from lstmcli.core.boxes import Letterbox
from lstmcli.core.errors import ConfigError, near_name
from lstmcli.core.types import Detections, FloatArray
from lstmcli.inference.ensemble import FUSION_IOU, fuse_boxes
from lstmcli.inference.nms import multiclass_nms, nms
from lstmcli.inference.predictor import Predictor
from lstmcli.inference.runtime import Runtime
from lstmcli.video import Frame
from lstmcli.workflows.prepare.tiles import Tile, are_whole, tiles_of

MIN_SCORE = 0.15
"""Minimum score of a fused detection."""
DUPLICATE_IOU = 0.6
"""IoU of class-agnostic NMS in a frame."""


@dataclass(frozen=True, slots=True)
class TeacherOptions:
    """Options of labelling by teachers.

    Args:
        teachers: models, as `load_runtime` takes them.
        classes: kept classes by their new names, in this order; empty: the detected ones.
        rename: a teacher's name to the new one.
        every: label every Nth frame; 0: about ten a second.
        device: `auto`, `cpu`, `cuda` or `cuda:N`.
        engine: `auto` or a name of `RUNTIMES`.
        tiles: detect in so many times so many overlapping parts of each frame, too.
    """

    teachers: tuple[str, ...]
    classes: tuple[str, ...] = ()
    rename: Mapping[str, str] = field(default_factory=dict)
    every: int = 0
    device: str = "auto"
    engine: str = "auto"
    tiles: int = 1


class _Teacher:
    """A detector of whole frames and of their tiles; each view is a stream of its own.

    Args:
        runtime: of the detector.
        table: the new class of each of its classes, -1 for none.
        classes: how many new classes there are.
    """

    def __init__(self, runtime: Runtime, table: Sequence[int], classes: int) -> None:
        self._runtime, self._classes = runtime, classes
        self._table = np.array(table, np.int64)
        self._views: list[tuple[Predictor, Letterbox]] = []

    def start(self, sizes_hw: Sequence[tuple[int, int]]) -> None:
        """Begin a video whose views have (height, width)."""
        predictors = [Predictor(self._runtime, threshold=MIN_SCORE / 2) for _ in sizes_hw]
        self._views = [
            (predictor, predictor.start(size_hw))
            for predictor, size_hw in zip(predictors, sizes_hw, strict=True)
        ]

    def step(
        self, frame: Frame, tiles: Sequence[tuple[Tile, Frame]]
    ) -> tuple[FloatArray, FloatArray]:
        """Return boxes [N, 4] in pixels of the frame, and their scores [N, classes]."""
        predictor, letterbox = self._views[0]
        found = [predictor.step(frame.canvas(letterbox), frame.time_s)]
        for (tile, part), (predictor, letterbox) in zip(tiles, self._views[1:], strict=True):
            detections = predictor.step(part.canvas(letterbox), frame.time_s)
            boxes = detections.boxes + np.array((*tile[:2], *tile[:2]), np.float32)
            placed = replace(detections, boxes=boxes)
            found.append(placed.select(are_whole(boxes, tile, frame.size_hw)))
        boxes = np.concatenate([one.boxes for one in found])
        labels = self._table[np.concatenate([one.labels for one in found])]
        rows = np.flatnonzero(labels >= 0)
        scores = np.zeros((len(boxes), self._classes), np.float32)
        scores[rows, labels[rows]] = np.concatenate([one.scores for one in found])[rows]
        if tiles:  # what several views show
            rows, _ = nms(boxes, scores, threshold=0, iou=FUSION_IOU, limit=len(boxes))
        return boxes[rows], scores[rows]


class TeacherEnsemble:
    """Detectors that label a frame together.

    Args:
        runtimes: of the detectors.
        tables: the new class of each of their classes, -1 for none.
        classes: how many new classes there are.
        tiles: see `TeacherOptions`.
    """

    def __init__(
        self,
        runtimes: Sequence[Runtime],
        tables: Sequence[Sequence[int]],
        classes: int,
        tiles: int = 1,
    ) -> None:
        self._teachers = [
            _Teacher(runtime, table, classes)
            for runtime, table in zip(runtimes, tables, strict=True)
        ]
        self.classes = classes
        """How many classes its detections are of."""
        counts = np.zeros(classes)
        for table in tables:
            counts[[label for label in set(table) if label >= 0]] += 1
        # fusion divides by all teachers; scores of a class are averaged over those that have it
        self._weights = (len(runtimes) / np.maximum(counts, 1)).astype(np.float32)
        self._count = tiles
        self._size_hw = (0, 0)
        self._tiles: list[Tile] = []

    def start(self, size_hw: tuple[int, int]) -> None:
        """Begin a video."""
        self._size_hw = size_hw
        self._tiles = tiles_of(size_hw, self._count)
        sizes_hw = [(bottom - top, right - left) for left, top, right, bottom in self._tiles]
        for teacher in self._teachers:
            teacher.start([size_hw, *sizes_hw])

    def step(self, frame: Frame) -> Detections:
        """Return the fused detections of a frame; another size begins anew."""
        if frame.size_hw != self._size_hw:
            self.start(frame.size_hw)
        tiles = list(zip(self._tiles, frame.crops(self._tiles), strict=True))
        boxes, scores = fuse_boxes([teacher.step(frame, tiles) for teacher in self._teachers])
        boxes, values, labels = multiclass_nms(
            boxes, scores * self._weights, threshold=MIN_SCORE, iou=DUPLICATE_IOU, limit=300
        )
        return Detections(
            boxes.astype(np.float32),
            values.astype(np.float32),
            labels.astype(np.int64),
            np.full(len(values), -1, np.int64),
        )


def classes_of(
    runtimes: Sequence[Runtime], options: TeacherOptions
) -> tuple[tuple[str, ...], list[list[int]]]:
    """Return the classes, and each teacher's table of new class indices, -1 for dropped ones."""
    rename = dict(options.rename)
    known = [name for runtime in runtimes for name in runtime.metadata.classes]
    for old in rename:
        if old not in known:
            raise ConfigError(f"no teacher has a class {old!r}", hint=near_name(old, known))
    names = list(dict.fromkeys(rename.get(name, name) for name in known))
    for name in options.classes:
        if name not in names:
            raise ConfigError(f"no teacher has a class {name!r}", hint=near_name(name, names))
    classes = options.classes or tuple(names)
    tables = [
        [
            classes.index(new) if (new := rename.get(name, name)) in classes else -1
            for name in runtime.metadata.classes
        ]
        for runtime in runtimes
    ]
    return classes, tables
