"""Pictures of the objects that are found only with memory, and of those lost with it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice

import numpy as np

from lstmcli.core.boxes import Letterbox
from lstmcli.core.progress import Progress
from lstmcli.core.types import FloatArray, Picture
from lstmcli.dataset.stream import AnnotatedVideo
from lstmcli.metrics.comparison import Comparison
from lstmcli.metrics.frame_result import FrameResult
from lstmcli.metrics.matching import above, match_frame
from lstmcli.metrics.memory_gain import MemoryGain
from lstmcli.metrics.track_spans import TrackSpan
from lstmcli.report.comparison_page import MemoryPictures
from lstmcli.report.crop import draw_crop
from lstmcli.report.gallery import Mark
from lstmcli.report.page import PagePicture

SHOWN = 8
"""Pictures of a list, those of the longest spans."""


@dataclass(frozen=True, slots=True)
class GainSource:
    """A gain with the detections that it was computed from.

    Args:
        gain: of a pair.
        without, with_memory: the detections, shown at any threshold.
    """

    gain: MemoryGain
    without: Comparison
    with_memory: Comparison


@dataclass(slots=True)
class _Sight:
    """The middle of a span: where the object is, and where the detection of it.

    Args:
        span: found on one side only.
        frame: source frame.
        box: of the ground truth.
        found: of the detection.
        score: of the detection.
        class_name: of the object.
        picture: drawn, b"" until its frame was decoded.
    """

    span: TrackSpan
    frame: int
    box: FloatArray
    found: FloatArray
    score: float
    class_name: str
    picture: bytes = b""


def memory_pictures(
    videos: Iterable[AnnotatedVideo],
    sources: Mapping[tuple[str, str], GainSource],
    *,
    limit: int,
    progress: Progress,
) -> dict[tuple[str, str], MemoryPictures]:
    """Return the pictures of every gain; videos are decoded once more for all of them together.

    Args:
        videos: of the data.
        sources: by model and name of the pair.
        limit: frames of each video that were evaluated; 0: all.
        progress: is shown how far it is.
    """
    sights = {key: _sights(source) for key, source in sources.items()}
    by_video: dict[str, list[_Sight]] = {}
    for lists in sights.values():
        for sight in (*lists[0], *lists[1]):
            by_video.setdefault(sight.span.video, []).append(sight)
    for video in videos:
        if video.name in by_video:
            _draw(video, by_video[video.name], limit, progress)
    return {
        key: MemoryPictures(*(_pictures(one) for one in lists)) for key, lists in sights.items()
    }


def _sights(source: GainSource) -> tuple[list[_Sight], list[_Sight]]:
    gain = source.gain
    without, with_memory = gain.thresholds
    return (
        _of_spans(source.with_memory, gain.recovered[:SHOWN], with_memory),
        _of_spans(source.without, gain.lost[:SHOWN], without),
    )


def _of_spans(comparison: Comparison, spans: Sequence[TrackSpan], threshold: float) -> list[_Sight]:
    """Return the middle annotated frame of every span, in which the comparison finds the object."""
    videos = {span.video for span in spans}
    of_video: dict[str, list[FrameResult]] = {video: [] for video in videos}
    for result in comparison.results:
        if result.video in videos:
            of_video[result.video].append(result)
    sights = []
    for span in spans:
        inside = [r for r in of_video[span.video] if span.first <= r.frame <= span.last]
        result = inside[len(inside) // 2]
        shown = above(result.detections, threshold)
        rows, _ = match_frame(result.gt, shown, iou=comparison.iou)
        own = np.flatnonzero((result.gt.tracks == span.track) & ~result.gt.ignore)
        hit = int(np.flatnonzero(np.isin(rows, own))[0])
        sights.append(
            _Sight(
                span,
                result.frame,
                result.gt.boxes[rows[hit]],
                shown.boxes[hit],
                float(shown.scores[hit]),
                comparison.classes[span.label],
            )
        )
    return sights


def _draw(video: AnnotatedVideo, sights: Sequence[_Sight], limit: int, progress: Progress) -> None:
    last = max(sight.frame for sight in sights)
    frames = progress.track(islice(video.open(), limit or None), label=video.name)
    for index, _, frame in frames:
        if index > last:
            break
        due = [sight for sight in sights if sight.frame == index]
        if due:
            picture = frame.canvas(Letterbox(frame.size_hw, frame.size_hw))
            for sight in due:
                sight.picture = _crop(picture, sight)


def _crop(picture: Picture, sight: _Sight) -> bytes:
    label = np.array([sight.span.label], np.int64)
    marks = (
        Mark("fn", sight.box[None].astype(np.float32), label),
        Mark("tp", sight.found[None], label),
    )
    return draw_crop(picture, sight.box, marks)


def _pictures(sights: Iterable[_Sight]) -> list[PagePicture]:
    pictures = []
    for sight in sights:
        span = sight.span
        length = f"{span.frames} frames" if span.frames > 1 else "1 frame"
        if sight.picture:
            pictures.append(
                PagePicture(
                    f"{sight.class_name}, {length}",
                    sight.picture,
                    f"{span.video}, track {span.track}, {span.begin_s:.2f} to {span.end_s:.2f} s, "
                    f"score {sight.score:.2f}",
                )
            )
    return pictures
