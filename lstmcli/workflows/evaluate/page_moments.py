"""What a page shows of the mistakes of one or two detectors: clips, lists, scores, advice."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path

from lstmcli.core.errors import DataError, MediaError
from lstmcli.core.progress import Progress
from lstmcli.dataset.stream import AnnotatedVideo
from lstmcli.metrics.comparison import Comparison
from lstmcli.metrics.moments import (
    common_false_positives,
    false_positives,
    longest_misses,
    timelines,
    weak_conditions,
    worst_moments,
)
from lstmcli.report.moments_part import PageClip, PageMoments
from lstmcli.workflows.evaluate.clips import render_clips
from lstmcli.workflows.evaluate.data import open_annotations
from lstmcli.workflows.evaluate.options import EvaluateOptions

CLIPS = 8
FEW_BOXES = 100
ADVICE = 6


def page_moments(
    data: Path,
    compared: Mapping[str, Comparison],
    *,
    options: EvaluateOptions,
    progress: Progress,
) -> PageMoments:
    """Return what a page shows of a domain.

    Args:
        data: the prepared dataset or labels.
        compared: one or two detectors on the same frames, each at its threshold.
        options: by which the data was evaluated.
        progress: shows progress, and notes where no clips can be cut.
    """
    moments = worst_moments(compared, CLIPS)
    clips: list[PageClip] = []
    try:
        source = open_annotations(data, options)
        videos: Sequence[AnnotatedVideo] = source.videos
        clips = render_clips(videos, moments, compared, limit=options.limit, progress=progress)
    except (DataError, MediaError) as error:  # a page without clips is better than none
        progress.note(f"no clips in the report: {error.problem}")
    items = list(compared.items())
    misses = [m for name, comparison in items for m in longest_misses(name, comparison)]
    wrong = [m for name, comparison in items for m in false_positives(name, comparison)]
    return PageMoments(
        clips,
        [m.as_json() for m in sorted(misses, key=lambda m: -m.duration_s)[:10]],
        [m.as_json() for m in sorted(wrong, key=lambda m: -(m.score or 0.0))[:10]],
        [asdict(line) | {"class": line.class_name} for line in timelines(compared)],
        _label_next(compared),
    )


def _label_next(compared: Mapping[str, Comparison]) -> list[str]:
    """Return what is worth labelling, the most doubtful first."""
    first = next(iter(compared.values()))
    advice = [
        f"{moment.video} at {moment.begin_s:.2f} s: "
        + ("all detectors show" if len(compared) > 1 else "there is")
        + f" a {moment.class_name} with a score of {moment.score or 0:.2f} and there is no label: "
        "is one missing?"
        for moment in common_false_positives(compared)[:3]
    ]
    for condition, name, boxes, recall, mean in weak_conditions(first)[:3]:
        advice.append(
            f"More objects like these ({condition}: {name}): {100 * recall:.0f} % of {boxes} are "
            f"found, {100 * mean:.0f} % of all."
        )
    for label, class_name in enumerate(first.classes):
        boxes = int((first.gt.labels == label).sum())
        if 0 < boxes < FEW_BOXES:
            advice.append(f"More of {class_name}: {boxes} boxes are too few to trust its numbers.")
    return advice[:ADVICE]
