"""COCO's average precision and recall, of all frames at once in NumPy.

Lin et al. 2014, https://arxiv.org/abs/1405.0312, by the rules of `pycocotools`: greedy matching at
ten IoU thresholds in four ranges of area, at most 100 detections of a class in a frame. Of a
hundred detections a frame, few overlap ground truth by half: only those are matched one by one, and
precision is computed where it can be highest, at the true positives.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from lstmcli.core.types import Annotations, BoolArray, Detections, IntArray
from lstmcli.metrics.matching import JoinedResults, matchable_pairs

Floats = npt.NDArray[np.float64]

RECALLS = np.linspace(0, 1, 101)
COCO_SIZES: dict[str, tuple[float, float]] = {
    "small": (0.0, 32.0**2),
    "medium": (32.0**2, 96.0**2),
    "large": (96.0**2, 1e10),
}
"""COCO's ranges of box area in square pixels."""
AREAS: dict[str, tuple[float, float]] = {"all": (0.0, 1e10), **COCO_SIZES}
THRESHOLDS = np.linspace(0.5, 0.95, 10)
MAX_DETECTIONS = 100
"""Detections of a class that count in a frame, the best ones."""


@dataclass(frozen=True, slots=True)
class CocoAverages:
    """Average precision of each class in each of `AREAS`; -1 without ground truth.

    Args:
        ap: float64 [classes, areas], the mean over the IoU thresholds 0.5, 0.55 ... 0.95.
        ap50: float64 [classes, areas], at an IoU threshold of 0.5.
        ar: float64 [classes, areas], average recall of 100 detections, over the same thresholds.
    """

    ap: Floats
    ap50: Floats
    ar: Floats


@dataclass(frozen=True, slots=True)
class _Pairs:
    """Detections and ground truth of a frame and class that overlap by the lowest threshold.

    Args:
        detections: int64 [P], rows; the best score first, then in the order of the ground truth.
        gt: int64 [P], rows.
        overlaps: float64 [P], IoU; for crowds the share of the detection inside.
    """

    detections: IntArray
    gt: IntArray
    overlaps: Floats

    def select(self, rows: BoolArray) -> _Pairs:
        return _Pairs(self.detections[rows], self.gt[rows], self.overlaps[rows])


Matches = tuple[IntArray, IntArray]
"""Rows of matched detections and of the ground truth that each matches."""


def coco_averages(
    joined: JoinedResults, candidates: tuple[Detections, IntArray], classes: int
) -> CocoAverages:
    """Return COCO average precision; ignored boxes are COCO crowds.

    Args:
        joined: with the ground truth.
        candidates: down to the lowest score, and the row of each one's result, rising.
        classes: how many there are.
    """
    gt, (found, frames) = joined.gt, candidates
    order = np.argsort(-found.scores, kind="stable")
    order = order[_are_counted(frames[order] * classes + found.labels[order])]
    rank = np.full(len(found), -1, np.int64)
    rank[order] = np.arange(len(order))
    pairs = _overlapping(gt, found, (joined.gt_frames, frames), joined.count, rank)
    areas, gt_areas = _areas(found.boxes), _areas(gt.boxes)
    matches = _match(pairs, gt, gt_areas)
    by_class = order[np.argsort(found.labels[order], kind="stable")]
    begins = np.searchsorted(found.labels[by_class], np.arange(classes))
    position = np.full(len(found), -1, np.int64)
    position[by_class] = np.arange(len(by_class))
    precision = np.full((len(THRESHOLDS), len(RECALLS), classes, len(AREAS)), -1.0)
    recall = np.full((len(THRESHOLDS), classes, len(AREAS)), -1.0)
    for column, (low, high) in enumerate(AREAS.values()):
        is_real = ~gt.ignore & (gt_areas >= low) & (gt_areas <= high)
        boxes = np.bincount(gt.labels[is_real], minlength=classes)
        inside = (areas >= low) & (areas <= high)
        before = np.concatenate(([0], np.cumsum(inside[by_class])))
        for number, of_areas in enumerate(matches):
            hits, partners = of_areas[column]
            by_place = np.argsort(position[hits])
            hits, partners = hits[by_place], partners[by_place]
            ends = np.searchsorted(found.labels[hits], np.arange(classes + 1))
            for label in np.flatnonzero(boxes).tolist():
                rows = slice(ends[label], ends[label + 1])
                wrong = before[position[hits[rows]] + 1] - before[begins[label]]
                wrong -= np.cumsum(inside[hits[rows]])  # unmatched ones so far
                wrong = wrong[is_real[partners[rows]]]
                right = np.arange(1, len(wrong) + 1)
                precision[number, :, label, column] = precision_at_recalls(
                    right / (right + wrong), right / boxes[label]
                )
                recall[number, label, column] = len(right) / boxes[label]
    known = (precision >= 0).all(axis=1)
    means = np.where(known, precision.mean(axis=1), -1.0)
    return CocoAverages(
        np.where(known.all(axis=0), means.mean(axis=0), -1.0),
        means[0],
        np.where((recall >= 0).all(axis=0), recall.mean(axis=0), -1.0),
    )


def precision_at_recalls(precision: Floats, recall: Floats) -> Floats:
    """Return the precision at each of `RECALLS`, made to fall; 0 where a recall is not reached.

    Args:
        precision: at each true positive, the best score first.
        recall: likewise.
    """
    envelope = np.zeros(len(precision) + 1)
    envelope[:-1] = np.maximum.accumulate(precision[::-1])[::-1]
    return np.asarray(envelope[np.searchsorted(recall, RECALLS, side="left")])


def _are_counted(groups: IntArray) -> BoolArray:
    """Return which detections are among the first `MAX_DETECTIONS` of their frame and class."""
    counted = np.ones(len(groups), np.bool_)
    if len(groups) and np.bincount(groups).max() > MAX_DETECTIONS:
        order = np.argsort(groups, kind="stable")
        begins = np.searchsorted(groups[order], groups[order])
        counted[order] = np.arange(len(groups)) - begins < MAX_DETECTIONS
    return counted


def _areas(boxes: npt.NDArray[np.floating]) -> Floats:
    wide = boxes.astype(np.float64)
    return np.asarray((wide[:, 2] - wide[:, 0]) * (wide[:, 3] - wide[:, 1]))


def _overlapping(
    gt: Annotations,
    found: Detections,
    frames: tuple[IntArray, IntArray],
    count: int,
    rank: IntArray,
) -> _Pairs:
    """Return the pairs of counted detections and ground truth that may match at a threshold."""
    parts = [(np.zeros(0, np.int64), np.zeros(0, np.int64), np.zeros(0))]
    for first, second in matchable_pairs(gt, found, frames, count):
        overlaps = _overlaps(found.boxes[first], gt.boxes[second], gt.ignore[second])
        near = np.flatnonzero((overlaps >= THRESHOLDS[0]) & (rank[first] >= 0))
        parts.append((first[near], second[near], overlaps[near]))
    first, second, overlaps = (np.concatenate(columns) for columns in zip(*parts, strict=True))
    order = np.lexsort((second, rank[first]))
    return _Pairs(first[order], second[order], overlaps[order])


def _overlaps(
    first: npt.NDArray[np.floating], second: npt.NDArray[np.floating], crowd: BoolArray
) -> Floats:
    """Return the IoU of each pair, float64 [P]; with a crowd the share of the first box inside."""
    ours, theirs = first.astype(np.float64).T, second.astype(np.float64).T
    width = np.minimum(ours[2], theirs[2]) - np.maximum(ours[0], theirs[0])
    height = np.minimum(ours[3], theirs[3]) - np.maximum(ours[1], theirs[1])
    shared = np.maximum(width, 0) * np.maximum(height, 0)
    own = (ours[2] - ours[0]) * (ours[3] - ours[1])
    both = own + (theirs[2] - theirs[0]) * (theirs[3] - theirs[1]) - shared
    union = np.where(crowd, own, both)
    return np.asarray(np.divide(shared, union, out=np.zeros(len(shared)), where=shared > 0))


def _match(pairs: _Pairs, gt: Annotations, gt_areas: Floats) -> list[list[Matches]]:
    """Return the matches at each threshold in each area.

    Where no detection overlaps two boxes, the first detection of a box that reaches the threshold
    matches it, in every area; only the others are matched one after the other.
    """
    is_torn = np.bincount(pairs.detections)[pairs.detections] > 1
    shares = np.zeros(len(gt), np.bool_)
    shares[pairs.gt[is_torn]] = True
    joint = shares[pairs.gt]
    simple, contested = pairs.select(~joint), pairs.select(joint)
    crowd = gt.ignore[simple.gt]
    options = _options(contested)
    matches = []
    for threshold in THRESHOLDS:
        enough = simple.overlaps >= threshold
        in_crowd, rows = np.flatnonzero(enough & crowd), np.flatnonzero(enough & ~crowd)
        _, first = np.unique(simple.gt[rows], return_index=True)
        rows = np.concatenate((in_crowd, rows[first]))
        of_areas = []
        for low, high in AREAS.values():
            ignored = gt.ignore | (gt_areas < low) | (gt_areas > high)
            more = np.array(
                list(_greedy(options, ignored, gt.ignore, float(threshold))), np.int64
            ).reshape(-1, 2)
            of_areas.append(
                (
                    np.concatenate((simple.detections[rows], more[:, 0])),
                    np.concatenate((simple.gt[rows], more[:, 1])),
                )
            )
        matches.append(of_areas)
    return matches


Options = list[tuple[int, list[tuple[int, float]]]]
"""Detections, the best first, each with the ground truth that it overlaps and how much."""


def _options(pairs: _Pairs) -> Options:
    options: Options = []
    columns = (pairs.detections.tolist(), pairs.gt.tolist(), pairs.overlaps.tolist())
    for detection, box, overlap in zip(*columns, strict=True):
        if not options or options[-1][0] != detection:
            options.append((detection, []))
        options[-1][1].append((box, overlap))
    return options


def _greedy(
    options: Options, ignored: BoolArray, crowd: BoolArray, threshold: float
) -> Iterator[tuple[int, int]]:
    """Yield each matched detection and its ground truth.

    The largest overlap wins, of equal ones the last; an ignored box only without another one, and a
    crowd matches any number of detections.
    """
    used: set[int] = set()
    for detection, boxes in options:
        best, best_overlap, is_ignored = -1, threshold, True
        for box, overlap in boxes:
            if overlap < threshold or box in used:
                continue
            if bool(ignored[box]) == is_ignored:
                if overlap < best_overlap:
                    continue
            elif is_ignored:
                is_ignored = False
            else:
                continue
            best, best_overlap = box, overlap
        if best >= 0:
            if not crowd[best]:
                used.add(best)
            yield detection, best
