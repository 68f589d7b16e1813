"""Ensemble of runtimes by weighted boxes fusion; each keeps its own state."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from lstmcli.core.boxes import exact_box_iou
from lstmcli.core.calibration import ScoreCalibration
from lstmcli.core.errors import ConfigError
from lstmcli.core.types import FloatArray, Picture
from lstmcli.inference.nms import nms
from lstmcli.inference.runtime import Runtime, Step

FUSION_IOU = 0.55
"""IoU from which boxes of different networks are fused."""
MIN_SCORE = 1e-3
"""Predictions with a lower score are not fused."""


class Ensemble:
    """A runtime made of several, by weighted boxes fusion (Solovyev et al. 2021, 1910.13302).

    Boxes of one object are averaged with their scores as weights; scores are averaged over all
    networks, so that an object detected by only one of them has a lower score.

    Args:
        members: at least one; all with the same classes and input size.

    Raises:
        ConfigError: they do not fit together.
    """

    def __init__(self, members: Sequence[Runtime]) -> None:
        first = members[0].metadata
        for member in members[1:]:
            for name in ("classes", "input_hw", "motion_lag_s", "fit"):
                one, two = getattr(first, name), getattr(member.metadata, name)
                if one != two:
                    raise ConfigError(
                        f"models that differ in {name}: {one} and {two}",
                        hint="fuse models that were trained on one prepared dataset",
                    )
        self._members = tuple(members)
        self.engine = f"{len(members)} x {members[0].engine}"
        self.device = members[0].device
        calibrations = [member.metadata.calibration for member in members]
        mean = ScoreCalibration(
            slope=sum(one.slope for one in calibrations) / len(members),
            power=sum(one.power for one in calibrations) / len(members),
        )
        powers = [member.metadata.class_powers or (1.0,) * len(first.classes) for member in members]
        self.metadata = replace(
            first,
            calibration=mean,
            class_powers=tuple(
                sum(of_class) / len(members) for of_class in zip(*powers, strict=True)
            )
            if any(member.metadata.class_powers for member in members)
            else (),
            nms="greedy",
        )

    def step(self, frame: Picture, previous_frame: Picture, state: Any) -> Step:
        """Return the fused boxes [M, 4] (canvas), scores [M, classes], and all new states."""
        states = (None,) * len(self._members) if state is None else state
        predictions, new = [], []
        for member, old in zip(self._members, states, strict=True):
            boxes, scores, new_state = member.step(frame, previous_frame, old)
            rows, _ = nms(
                boxes,
                scores.sum(axis=1, keepdims=True),
                threshold=MIN_SCORE,
                iou=member.metadata.suppression_iou,
                limit=member.metadata.max_detections,
            )
            predictions.append((boxes[rows], scores[rows]))
            new.append(new_state)
        boxes, scores = fuse_boxes(predictions)
        return boxes, scores, tuple(new)


@dataclass(slots=True)
class _Cluster:
    """Sums over the boxes of one object."""

    boxes: npt.NDArray[np.float64]
    scores: npt.NDArray[np.float64]
    weight: float
    members: set[int]


def fuse_boxes(
    predictions: Sequence[tuple[FloatArray, FloatArray]], *, iou: float = FUSION_IOU
) -> tuple[FloatArray, FloatArray]:
    """Return one box and one row of scores for every object.

    Args:
        predictions: boxes [N, 4] and scores [N, classes] of each network, after NMS.
        iou: IoU from which boxes are fused.
    """
    boxes = np.concatenate([boxes for boxes, _ in predictions]).astype(np.float64)
    scores = np.concatenate([scores for _, scores in predictions]).astype(np.float64)
    owners = np.concatenate([np.full(len(one), n) for n, (one, _) in enumerate(predictions)])
    clusters: list[_Cluster] = []
    means = np.zeros((len(boxes), 4))
    for row in np.argsort(-scores.sum(axis=1), kind="stable").tolist():
        weight, owner = float(scores[row].sum()), int(owners[row])
        overlaps = exact_box_iou(boxes[row][None], means[: len(clusters)])[0]
        overlaps[[owner in cluster.members for cluster in clusters]] = 0  # one vote each
        best = int(overlaps.argmax()) if len(overlaps) else -1
        if best < 0 or overlaps[best] < iou:
            means[len(clusters)] = boxes[row]
            clusters.append(_Cluster(boxes[row] * weight, scores[row].copy(), weight, {owner}))
            continue
        cluster = clusters[best]
        cluster.boxes = cluster.boxes + boxes[row] * weight
        cluster.scores = cluster.scores + scores[row]
        cluster.weight += weight
        cluster.members.add(owner)
        means[best] = cluster.boxes / cluster.weight
    fused = [cluster.scores / len(predictions) for cluster in clusters]
    rows = np.array(fused, np.float32).reshape(len(clusters), scores.shape[1])
    return means[: len(clusters)].astype(np.float32), rows
