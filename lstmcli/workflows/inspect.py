"""`inspect`: gates, cell and temporal reach of a model's recurrent core in a video."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from lstmcli.core.boxes import Letterbox, box_iou
from lstmcli.core.errors import ConfigError, DataError, ModelError
from lstmcli.core.files import check_free, claim, write_json
from lstmcli.core.progress import Progress, SilentProgress
from lstmcli.core.types import FloatArray, Picture
from lstmcli.inference.gate_probe import GateProbe
from lstmcli.inference.nms import multiclass_nms
from lstmcli.inference.runtimes.eager import EagerRuntime
from lstmcli.models.checkpoint import load_checkpoint
from lstmcli.report.inspection import draw_panels, draw_timeline
from lstmcli.video import VideoWriter, read_frames

REACHES = (0, 1, 2, 4, 8, 16, 32, 64)
"""Numbers of past frames for the measurement of the temporal reach."""
OVERLAP = 0.5
FOLLOW_OVERLAP = 0.3
"""Least overlap with the box of the frame before, where an object is followed."""
SUFFIXES = (".inspect.mp4", ".inspect.png", ".inspect.json")


@dataclass(frozen=True, slots=True)
class FrameInspection:
    """One frame of an inspection.

    Args:
        frame: index in the source.
        time_s: its time in seconds.
        score: of the object, with memory; 0 where nothing overlaps it.
        score_alone: of the same box, by this frame alone (empty state).
        gates: gate -> its mean at the object's cells, 0..1; `cell` the mean magnitude there.
    """

    frame: int
    time_s: float
    score: float
    score_alone: float
    gates: dict[str, float]


@dataclass(frozen=True, slots=True)
class Inspection:
    """Result of an inspection.

    Args:
        class_name: of the object.
        box: of the object at the moment, in pixels of the frame.
        at_s: the moment in seconds.
        rows: one a frame.
        reach: past frames k -> score at the moment with a state that was reset k frames before; the
            temporal reach is the smallest k from which the score no longer changes.
        outputs: video, plot and JSON.
    """

    class_name: str
    box: tuple[float, float, float, float]
    at_s: float
    rows: tuple[FrameInspection, ...]
    reach: dict[int, float]
    outputs: tuple[Path, ...]

    def as_json(self) -> dict[str, Any]:
        """Return plain values."""
        return {
            "schema": 1,
            "class": self.class_name,
            "box": list(self.box),
            "at_s": self.at_s,
            "reach": {str(frames): score for frames, score in self.reach.items()},
            "frames": [asdict(row) for row in self.rows],
        }


@dataclass(slots=True)
class _InspectedFrame:
    """A frame on the canvas and the network's output for it."""

    frame: int
    time_s: float
    canvas: Picture
    previous: Picture
    boxes: FloatArray
    scores: FloatArray
    alone: tuple[FloatArray, FloatArray]
    maps: dict[str, FloatArray]


def inspect(
    model: str,
    video: Path,
    *,
    at_s: float | None = None,
    class_name: str | None = None,
    out: Path = Path(),
    limit: int = 240,
    overwrite: bool = False,
    progress: Progress | None = None,
) -> Inspection:
    """Render gates and cell of the recurrent core next to the video, and a plot over time.

    Args:
        model: a checkpoint, a run or a shipped model with a temporal core.
        video: a file.
        at_s: the moment in seconds; None: where memory raises a score the most.
        class_name: of the object; None: of the best-scored one at the moment.
        out: folder of the outputs, `VIDEO.inspect.{mp4,png,json}`.
        limit: frames, up to the moment or from the beginning.
        overwrite: replace outputs.
        progress: shows progress and notes.

    Raises:
        ModelError: the model has no temporal core, or is no checkpoint.
        DataError: nothing is detected at the moment, or the moment is not in the video.
        OutputError: an output exists.
    """
    if limit < 2:
        raise ConfigError(f"a limit of {limit} frames", hint="give 2 or more")
    paths = tuple(out / f"{video.stem}{suffix}" for suffix in SUFFIXES)
    with claim(*paths):
        for path in paths:
            check_free(path, overwrite=overwrite)
        return _inspect(
            model, video, at_s, class_name, paths, limit, overwrite, progress or SilentProgress()
        )


def _inspect(
    model: str,
    video: Path,
    at_s: float | None,
    class_name: str | None,
    paths: tuple[Path, ...],
    limit: int,
    overwrite: bool,
    progress: Progress,
) -> Inspection:
    checkpoint = load_checkpoint(model)
    net = checkpoint.model
    if not net.has_temporal_core:
        raise ModelError(
            f"{model}: no temporal core, every frame is predicted alone",
            hint="train with a preset whose temporal.name is not none",
        )
    runtime = EagerRuntime(net, checkpoint.metadata)
    history, letterbox = _stream(runtime, video, at_s, limit, progress)
    moment, label, box = _object_of(history, runtime, at_s, class_name)
    followed = _followed(history, moment, label, box)
    rows = tuple(_row(frame, label, box_at, runtime) for frame, box_at in followed)
    reach = _reach(history, moment, label, box, runtime)
    with VideoWriter(
        paths[0], rate=_rate(history), begins_s=history[0].time_s, overwrite=overwrite
    ) as writer:
        for (frame, box_at), row in zip(followed, rows, strict=True):
            panels = draw_panels(frame.canvas, frame.maps, box_at, row.score, row.score_alone)
            writer.write(panels, frame.time_s)
    x1, y1, x2, y2 = letterbox.to_source(box[None])[0].astype(float).tolist()
    inspection = Inspection(
        runtime.metadata.classes[label],
        (x1, y1, x2, y2),
        history[moment].time_s,
        rows,
        reach,
        paths,
    )
    title = f"{inspection.class_name} in {video.name}"
    draw_timeline(paths[1], rows, reach, at_s=inspection.at_s, title=title)
    write_json(paths[2], inspection.as_json(), overwrite=overwrite)
    return inspection


def _rate(history: Sequence[_InspectedFrame]) -> float:
    steps = np.diff([frame.time_s for frame in history])
    return float(1 / max(np.median(steps), 1e-3)) if len(steps) else 25.0


def _stream(
    runtime: EagerRuntime, video: Path, at_s: float | None, limit: int, progress: Progress
) -> tuple[list[_InspectedFrame], Letterbox]:
    """Run the network over the video with and without state, and keep the last `limit` frames."""
    size = runtime.metadata.input_hw
    history: list[_InspectedFrame] = []
    letterbox: Letterbox | None = None
    state: Any = None
    recent: list[tuple[float, Picture]] = []
    frames = read_frames(video) if at_s is not None else islice(read_frames(video), limit)
    with GateProbe(runtime.model.temporal) as probe:
        for frame in progress.track(frames, total=None, label=video.name):
            letterbox = letterbox or Letterbox(frame.size_hw, size)
            canvas = frame.canvas(letterbox)
            recent.append((frame.time_s, canvas))
            while len(recent) > 1 and recent[1][0] <= frame.time_s - runtime.metadata.motion_lag_s:
                recent.pop(0)
            previous = recent[0][1]
            alone = runtime.step(canvas, previous, None)[:2]
            boxes, scores, state = runtime.step(canvas, previous, state)
            maps = probe.maps(state)
            history.append(
                _InspectedFrame(
                    frame.index, frame.time_s, canvas, previous, boxes, scores, alone, maps
                )
            )
            history = history[-limit:]
            if at_s is not None and frame.time_s >= at_s:
                break
    if letterbox is None or not history:
        raise DataError(f"{video}: no frames", hint="does it play?")
    if at_s is not None and history[-1].time_s < at_s:
        raise DataError(
            f"{video}: it ends at {history[-1].time_s:.2f} s, before --at {at_s:g}",
            hint="give a moment within the video",
        )
    return history, letterbox


def _object_of(
    history: Sequence[_InspectedFrame],
    runtime: EagerRuntime,
    at_s: float | None,
    class_name: str | None,
) -> tuple[int, int, FloatArray]:
    """Return frame index, class and box of the inspected object."""
    metadata = runtime.metadata
    if class_name is not None and class_name not in metadata.classes:
        raise ConfigError(
            f"the model has no class {class_name!r}", hint=f"one of {', '.join(metadata.classes)}"
        )
    best: tuple[float, int, int, FloatArray] | None = None
    indices = range(len(history)) if at_s is None else range(len(history) - 1, len(history))
    for index in indices:
        boxes, scores, labels = multiclass_nms(
            history[index].boxes,
            history[index].scores,
            threshold=0.05,
            iou=metadata.nms_iou,
            limit=20,
            multi_label=False,
        )
        for box, score, label in zip(boxes, scores, labels, strict=True):
            if class_name is not None and metadata.classes[int(label)] != class_name:
                continue
            gain = float(score)
            if at_s is None:
                gain -= _score_at(*history[index].alone, int(label), box)
            if best is None or gain > best[0]:
                best = gain, index, int(label), box
    if best is None:
        raise DataError(
            "nothing is detected there", hint="give another --at, or leave it out to search"
        )
    return best[1:]


def _score_at(boxes: FloatArray, scores: FloatArray, label: int, box: FloatArray) -> float:
    """Return the best score of a class among the cells whose box overlaps the object's."""
    near = box_iou(boxes.astype(np.float32), box[None].astype(np.float32))[:, 0] >= OVERLAP
    return float(scores[near, label].max()) if near.any() else 0.0


def _followed(
    history: Sequence[_InspectedFrame], moment: int, label: int, box: FloatArray
) -> list[tuple[_InspectedFrame, FloatArray]]:
    """Track the object: the best cell of its class that overlaps the last frame's box."""
    boxes: dict[int, FloatArray] = {moment: box}
    for step in (-1, 1):
        last, index = box, moment + step
        while 0 <= index < len(history):
            frame = history[index]
            overlaps = box_iou(frame.boxes.astype(np.float32), last[None].astype(np.float32))[:, 0]
            rows = np.flatnonzero(overlaps >= FOLLOW_OVERLAP)
            if len(rows):
                last = frame.boxes[rows[int(np.argmax(frame.scores[rows, label]))]]
            boxes[index] = last
            index += step
    return [(history[index], boxes[index]) for index in range(len(history))]


def _row(
    frame: _InspectedFrame, label: int, box: FloatArray, runtime: EagerRuntime
) -> FrameInspection:
    height, width = runtime.metadata.input_hw
    gates = {}
    for name, values in frame.maps.items():
        rows, columns = values.shape
        left, right = (int(np.clip(x / width * columns, 0, columns - 1)) for x in box[[0, 2]])
        top, bottom = (int(np.clip(y / height * rows, 0, rows - 1)) for y in box[[1, 3]])
        gates[name] = float(values[top : bottom + 1, left : right + 1].mean())
    return FrameInspection(
        frame.frame,
        frame.time_s,
        _score_at(frame.boxes, frame.scores, label, box),
        _score_at(*frame.alone, label, box),
        gates,
    )


def _reach(
    history: Sequence[_InspectedFrame],
    moment: int,
    label: int,
    box: FloatArray,
    runtime: EagerRuntime,
) -> dict[int, float]:
    """Return the score at the moment with a state that was reset k frames before it."""
    scores = {}
    for frames in REACHES:
        if frames > moment:
            break
        state: Any = None
        for frame in history[moment - frames : moment + 1]:
            boxes, values, state = runtime.step(frame.canvas, frame.previous, state)
        scores[frames] = _score_at(boxes, values, label, box)
    return scores
