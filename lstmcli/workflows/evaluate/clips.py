"""Short H.264 pieces of the worst moments, with the boxes of one or two detectors."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import numpy as np

from lstmcli.core.boxes import Letterbox
from lstmcli.core.progress import Progress
from lstmcli.dataset.stream import AnnotatedVideo
from lstmcli.metrics.comparison import Comparison
from lstmcli.metrics.frame_result import FrameResult
from lstmcli.metrics.matching import above, match_frame
from lstmcli.metrics.moments import Moment
from lstmcli.report.clip_frame import Panel, draw_clip_frame
from lstmcli.report.gallery import Mark
from lstmcli.report.moments_part import PageClip
from lstmcli.video import VideoWriter

BEFORE_S, LONGEST_S = 0.6, 4.0
PANEL_PX = 400
"""Width of a panel; smaller pictures stay as they are."""
QUALITY = 29
_WORDS = {
    "miss": "missed by {model}",
    "false positive": "false positive of {model}",
    "only here": "found by {model} only",
}


@dataclass(slots=True)
class _Piece:
    moment: Moment
    begin_s: float
    end_s: float
    writer: VideoWriter
    frames: int = 0


def render_clips(
    videos: Iterable[AnnotatedVideo],
    moments: Sequence[Moment],
    compared: Mapping[str, Comparison],
    *,
    limit: int,
    progress: Progress,
) -> list[PageClip]:
    """Return a clip for each moment, in their order; videos are decoded once more.

    Args:
        videos: of the data.
        moments: what is shown.
        compared: one or two detectors.
        limit: frames of each video that were evaluated; 0: all.
        progress: is shown how far it is.
    """
    by_frame = {
        name: {(r.video, r.frame): r for r in comparison.results}
        for name, comparison in compared.items()
    }
    rendered: dict[int, PageClip] = {}
    with tempfile.TemporaryDirectory(prefix="lstmcli-clips-") as folder:
        for video in videos:
            chosen = [(n, m) for n, m in enumerate(moments) if m.video == video.name]
            if not chosen:
                continue
            pieces = {
                n: _Piece(
                    moment,
                    moment.begin_s - BEFORE_S,
                    min(moment.end_s + BEFORE_S, moment.begin_s + LONGEST_S),
                    VideoWriter(
                        Path(folder) / f"{n}.mp4",
                        rate=video.labels.rate or 25.0,
                        quality=QUALITY,
                        begins_s=max(moment.begin_s - BEFORE_S, 0.0),
                    ),
                )
                for n, moment in chosen
            }
            last_s = max(piece.end_s for piece in pieces.values())
            frames = progress.track(islice(video.open(), limit or None), label=video.name)
            for index, time_s, frame in frames:
                if time_s > last_s:
                    break
                due = [p for p in pieces.values() if p.begin_s <= time_s <= p.end_s]
                if not due:
                    continue
                letterbox = _letterbox(frame.size_hw)
                panels = [
                    _panel(name, by_frame[name].get((video.name, index)), compared[name], letterbox)
                    for name in compared
                ]
                picture = draw_clip_frame(frame.canvas(letterbox), panels, time_s)
                for piece in due:
                    piece.writer.write(picture, time_s)
                    piece.frames += 1
            for n, piece in pieces.items():
                if piece.frames:
                    piece.writer.close()
                    rendered[n] = _page_clip(piece.moment, piece.writer.path.read_bytes())
    return [rendered[n] for n in sorted(rendered)]


def _page_clip(moment: Moment, data: bytes) -> PageClip:
    title = f"{moment.class_name} {_WORDS[moment.kind].format(model=moment.model)}"
    score = "" if moment.score is None else f", score {moment.score:.2f}"
    length = f" for {moment.duration_s:.1f} s" if moment.duration_s > 0 else ""
    return PageClip(title, data, f"{moment.video} at {moment.begin_s:.2f} s{length}{score}")


def _letterbox(size_hw: tuple[int, int]) -> Letterbox:
    """Return how a frame is shrunk to a panel, unstretched."""
    height, width = size_hw
    shown = min(width, PANEL_PX) // 2 * 2
    return Letterbox(size_hw, (max(round(height * shown / width / 2) * 2, 2), max(shown, 2)))


def _panel(
    name: str, result: FrameResult | None, comparison: Comparison, letterbox: Letterbox
) -> Panel:
    if result is None:
        return Panel(name, (), is_annotated=False)
    gt, shown = result.gt, above(result.detections, comparison.threshold)
    rows, ignored = match_frame(gt, shown, iou=comparison.iou)
    missed = ~gt.ignore
    missed[rows[rows >= 0]] = False
    wrong = (rows < 0) & ~ignored
    to_canvas = letterbox.to_canvas
    return Panel(
        name,
        (
            Mark("tp", to_canvas(shown.boxes[rows >= 0]), shown.labels[rows >= 0]),
            Mark("fn", to_canvas(gt.boxes[missed].astype(np.float32)), gt.labels[missed]),
            Mark("fp", to_canvas(shown.boxes[wrong]), shown.labels[wrong]),
        ),
    )
