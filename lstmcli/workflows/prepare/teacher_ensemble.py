"""Teachers: several detectors whose detections of a frame are fused."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from lstmcli.core.boxes import Letterbox
from lstmcli.core.errors import ConfigError, near_name
from lstmcli.core.types import Detections
from lstmcli.inference.ensemble import fuse_boxes
from lstmcli.inference.nms import multiclass_nms
from lstmcli.inference.predictor import Predictor
from lstmcli.inference.runtime import Runtime
from lstmcli.video import Frame

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
    """

    teachers: tuple[str, ...]
    classes: tuple[str, ...] = ()
    rename: Mapping[str, str] = field(default_factory=dict)
    every: int = 0
    device: str = "auto"
    engine: str = "auto"


class TeacherEnsemble:
    """Detectors that label a frame together.

    Args:
        runtimes: of the detectors.
        tables: the new class of each of their classes, -1 for none.
        classes: how many new classes there are.
    """

    def __init__(
        self, runtimes: Sequence[Runtime], tables: Sequence[Sequence[int]], classes: int
    ) -> None:
        self._predictors = [Predictor(runtime, threshold=MIN_SCORE / 2) for runtime in runtimes]
        self._tables = [np.array(table, np.int64) for table in tables]
        self.classes = classes
        """How many classes its detections are of."""
        counts = np.zeros(classes)
        for table in self._tables:
            counts[np.unique(table[table >= 0])] += 1
        # fusion divides by all teachers; scores of a class are averaged over those that have it
        self._weights = (len(runtimes) / np.maximum(counts, 1)).astype(np.float32)
        self._letterboxes: list[Letterbox] = []

    def start(self, size_hw: tuple[int, int]) -> None:
        """Begin a video."""
        self._letterboxes = [predictor.start(size_hw) for predictor in self._predictors]

    def step(self, frame: Frame) -> Detections:
        """Return the fused detections of a frame."""
        predictions = []
        for predictor, letterbox, table in zip(
            self._predictors, self._letterboxes, self._tables, strict=True
        ):
            detections = predictor.step(frame.canvas(letterbox), frame.time_s)
            labels = table[detections.labels]
            scores = np.zeros((len(detections), self.classes), np.float32)
            rows = np.flatnonzero(labels >= 0)
            scores[rows, labels[rows]] = detections.scores[rows]
            predictions.append((detections.boxes[rows], scores[rows]))
        boxes, scores = fuse_boxes(predictions)
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
