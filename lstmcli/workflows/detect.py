"""`detect`: any video in, a video people can play and data they can use out."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import partial
from itertools import chain
from pathlib import Path
from typing import Protocol

import numpy as np

from lstmcli.core.ahead import ahead
from lstmcli.core.errors import (
    ConfigError,
    LstmcliError,
    MediaError,
    ModelError,
    OutputError,
    near_name,
)
from lstmcli.core.geometry import Letterbox, clip_boxes
from lstmcli.core.parallel import Track, run_jobs
from lstmcli.core.progress import Progress, SilentProgress
from lstmcli.core.structures import Detections, Picture
from lstmcli.engines import load_engine
from lstmcli.models.finding import shipped_models
from lstmcli.models.predictor import Predictor
from lstmcli.outputs import Answer, Job
from lstmcli.outputs.counts import SUFFIX as COUNTS_SUFFIX
from lstmcli.outputs.counts import CountsFile
from lstmcli.outputs.draw import Look, Painter, Shape
from lstmcli.outputs.group import OutputGroup, output_paths
from lstmcli.outputs.labels import can_draw
from lstmcli.tracking import Counter, CountPlan, Tracker, load_plan, steady
from lstmcli.video import (
    Frame,
    ReadReport,
    Source,
    describe,
    expected_frames,
    find_sources,
    has_nvenc,
    open_frames,
    output_names,
)

SYNC_S = 2.0
"""A live run brings its files to the disk this often."""


class StreamPredictor(Protocol):
    """What carries the memory along one video; `models.predictor.Predictor` is one."""

    classes: tuple[str, ...]
    canvas_hw: tuple[int, int]

    def start(self, size_hw: tuple[int, int]) -> Letterbox:
        """Begin a video."""

    def step(self, canvas: Picture, time_s: float) -> Detections:
        """Return what is found in the next frame, in pixels of the source."""


MakePredictor = Callable[[float], StreamPredictor]
"""Makes a predictor for one video that answers down to the given score."""


@dataclass(frozen=True, slots=True)
class VideoDone:
    """What came of one video.

    Args:
        name: of the source.
        outputs: files and folders that are complete.
        frames: that were looked at.
        detections: that were written.
        objects: different tracks among them; 0 without tracks.
        seconds: from the first frame to the last file.
        counts: (line or zone, direction, class) -> how many.
        notes: what a person should know.
    """

    name: str
    outputs: tuple[Path, ...]
    frames: int
    detections: int
    objects: int
    seconds: float
    counts: Mapping[tuple[str, str, str], int]
    notes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class VideoFailed:
    """A source that could not be done; the others were not kept by it."""

    name: str
    problem: str
    hint: str


@dataclass(frozen=True, slots=True)
class DetectReport:
    """What came of a run.

    Args:
        model: which model it took, and why, as a sentence; "" where the caller brought its own.
        done: in the order of the sources.
        failed: in the order of the sources.
        skipped: names of sources whose outputs were there already.
    """

    model: str
    done: tuple[VideoDone, ...]
    failed: tuple[VideoFailed, ...]
    skipped: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class _Plan:
    """What is the same for every video of a run; the arguments of `detect`, checked."""

    make_predictor: MakePredictor
    classes: tuple[str, ...]
    threshold: float
    kept: frozenset[int]
    write: tuple[str, ...]
    codec: str
    quality: int
    track: bool
    count: CountPlan | None
    look: Look
    sound: bool
    start_s: float | None
    end_s: float | None
    every: int
    image_rate: float
    segment_s: float
    patience_s: float
    stop: threading.Event = field(default_factory=threading.Event)

    def frames(self, source: Source, report: ReadReport) -> Iterator[Frame]:
        """Yield the frames of a source that are looked at."""
        return open_frames(
            source,
            start_s=self.start_s,
            end_s=self.end_s,
            every=self.every,
            image_rate=self.image_rate,
            patience_s=self.patience_s,
            report=report,
            stop=self.stop,
        )

    def expected(self, source: Source) -> int | None:
        """Return about how many frames that will be."""
        return expected_frames(
            source,
            describe(source),
            start_s=self.start_s,
            end_s=self.end_s,
            every=self.every,
        )


class _Stopped(Exception):
    """Another thread was interrupted; this one leaves its video as it is."""


def choose_model(folder: Path) -> tuple[Path, str]:
    """Return the model to take where none is named, and a sentence that says which and why.

    The newest run's best checkpoint below `folder`/runs; else the model that ships with the
    package.

    Raises:
        ModelError: there is neither.
    """
    runs = sorted((folder / "runs").glob("*/best.pt"), key=lambda path: path.stat().st_mtime)
    if runs:
        return runs[-1], f"using {runs[-1]}, the newest run's best checkpoint"
    shipped = shipped_models()
    if shipped:
        name = "sky" if "sky" in shipped else next(iter(shipped))
        return shipped[name], f"using {name}, the model that ships with lstmcli"
    raise ModelError(
        f"there is no run in {folder / 'runs'} and no shipped model",
        hint="train one with `lstmcli train`, or name one with --model",
    )


def detect(
    sources: Sequence[str],
    *,
    model: Path | str | None = None,
    out: Path = Path(),
    threshold: float = 0.3,
    classes: Sequence[str] = (),
    start_s: float | None = None,
    end_s: float | None = None,
    every: int = 1,
    write: Sequence[str] = ("video", "jsonl"),
    codec: str = "auto",
    quality: int = 23,
    track: bool = True,
    count: Path | None = None,
    look: Look | None = None,
    sound: bool = True,
    image_rate: float = 25.0,
    memory: bool = True,
    device: str = "auto",
    engine: str = "auto",
    jobs: int = 1,
    skip_existing: bool = False,
    overwrite: bool = False,
    segment_s: float = 300.0,
    patience_s: float = 60.0,
    make_predictor: MakePredictor | None = None,
    progress: Progress | None = None,
) -> DetectReport:
    """Find objects in videos and write what was found.

    Args:
        sources: files, folders, patterns, rows of images, `camera:0`, stream addresses, `-`.
        model: a checkpoint, a run folder or the name of a shipped model; None: `choose_model`.
        out: folder of the outputs; sources from a folder keep their place below it.
        threshold: smallest score that is written, 0..1.
        classes: names of the classes that are kept; empty for all.
        start_s: seconds from the beginning at which to start.
        end_s: seconds from the beginning at which to stop.
        every: look at every Nth frame only; the others are in no output.
        write: names of `outputs.WRITERS`.
        codec: `auto` (NVENC beside CUDA where there is one, else h264) or one of `video.CODECS`.
        quality: of the video, 0 (best, largest) to 51.
        track: give objects ids that last, fill gaps, drop single flashes.
        count: a YAML file with lines and zones, see `tracking.load_plan`; needs `track`.
        look: how answers are drawn.
        sound: keep the source's sound.
        image_rate: frames per second of rows of still images.
        memory: False forgets everything between frames, to show what the memory is worth.
        device: `auto`, `cpu`, `cuda` or `cuda:N`.
        engine: `auto` or a name of `engines.ENGINES`.
        jobs: videos at the same time.
        skip_existing: leave out sources whose outputs are all there; do half-done ones anew.
        overwrite: replace outputs that are there.
        segment_s: a live run begins new files this often.
        patience_s: how long a live source may be silent before the run ends.
        make_predictor: brings its own network, in place of `model`, `memory`,
            `device` and `engine`.
        progress: who looks on.

    Raises:
        LstmcliError: the options do not fit, outputs are there already, or the only source failed.
    """
    progress = progress or SilentProgress()
    _check_options(threshold, every, quality, jobs, start_s, end_s)
    if count is not None and not track:
        raise ConfigError("--count needs tracks", hint="leave --no-track out")
    plan_to_count = load_plan(count) if count is not None else None
    found = find_sources(sources)
    names = output_names(found)
    write = tuple(dict.fromkeys(write))
    sentence = ""
    on_cuda = False
    if make_predictor is None:
        if model is None:
            model, sentence = choose_model(Path())
            progress.note(sentence)
        network = load_engine(model, device=device, engine=engine, note=progress.note)
        on_cuda = network.device.startswith("cuda")

        def make_predictor(floor: float) -> StreamPredictor:
            return Predictor(network, threshold=floor, memory=memory)

    known = make_predictor(threshold).classes
    plan = _Plan(
        make_predictor=make_predictor,
        classes=known,
        kept=_kept_classes(classes, known),
        threshold=threshold,
        start_s=start_s,
        end_s=end_s,
        every=every,
        write=write,
        codec=("nvenc" if on_cuda and has_nvenc() else "h264") if codec == "auto" else codec,
        quality=quality,
        track=track,
        count=plan_to_count,
        look=look or Look(),
        sound=sound,
        image_rate=image_rate,
        segment_s=segment_s,
        patience_s=patience_s,
    )
    for name in known:
        if "video" in write and not can_draw(name):
            progress.note(f"no font here has the letters of {name!r}; install Noto fonts")
    todo, skipped = _to_do(found, names, out, plan, skip_existing, overwrite)
    results = _run_all(todo, plan, jobs, progress)
    done = tuple(result for result in results if isinstance(result, VideoDone))
    failures = [result for result in results if isinstance(result, tuple)]
    if len(found) == 1 and failures:
        raise failures[0][1]
    failed = tuple(VideoFailed(name, e.problem, e.hint) for name, e in failures)
    return DetectReport(sentence, done, failed, tuple(skipped))


def _check_options(
    threshold: float,
    every: int,
    quality: int,
    jobs: int,
    start_s: float | None,
    end_s: float | None,
) -> None:
    rules = (
        (0 < threshold <= 1, f"--threshold {threshold:g}", "it lies above 0 and up to 1"),
        (every >= 1, f"--every {every}", "1 takes all frames, 2 every second one"),
        (0 <= quality <= 51, f"--quality {quality}", "it lies in 0 (best) to 51 (smallest)"),
        (jobs >= 1, f"--jobs {jobs}", "it is 1 or more"),
        (not start_s or start_s >= 0, f"--start {start_s}", "it counts from the beginning"),
        (end_s is None or end_s > (start_s or 0), f"--end {end_s}", "it lies behind --start"),
    )
    for holds, problem, hint in rules:
        if not holds:
            raise ConfigError(problem, hint=hint)


def _kept_classes(wanted: Sequence[str], known: tuple[str, ...]) -> frozenset[int]:
    for name in wanted:
        if name not in known:
            raise ConfigError(f"the model knows no class {name!r}", hint=near_name(name, known))
    return frozenset(i for i, name in enumerate(known) if not wanted or name in wanted)


def _to_do(
    found: Sequence[Source],
    names: Sequence[str],
    out: Path,
    plan: _Plan,
    skip_existing: bool,
    overwrite: bool,
) -> tuple[list[tuple[Source, Path]], list[str]]:
    """Return the sources that are to be done with the stems of their outputs, and the others."""
    todo: list[tuple[Source, Path]] = []
    skipped: list[str] = []
    for source, name in zip(found, names, strict=True):
        stem = out / name
        paths = output_paths(plan.write, Job(source.name, stem, plan.classes, (1, 1)))
        if plan.count is not None:
            paths.append(stem.with_name(stem.name + COUNTS_SUFFIX))
        there = [path for path in paths if path.exists()]
        if source.is_live or not there:
            todo.append((source, stem))
        elif skip_existing:
            if len(there) == len(paths):
                skipped.append(source.name)
            else:
                todo.append((source, stem))
        elif overwrite:
            todo.append((source, stem))
        else:
            raise OutputError(
                f"{there[0]} is there already",
                hint="use --overwrite, --skip-existing, or another --out",
            )
    return todo, skipped


Result = VideoDone | tuple[str, LstmcliError]


def _run_all(
    todo: Sequence[tuple[Source, Path]], plan: _Plan, jobs: int, progress: Progress
) -> list[Result]:
    if jobs == 1 or len(todo) < 2:
        return [_run_one(source, stem, plan, progress.track) for source, stem in todo]
    return run_jobs(
        [partial(_run_one, source, stem, plan) for source, stem in todo],
        jobs=jobs,
        progress=progress,
        total=_frames_in_all([source for source, _ in todo], plan),
        label=f"{len(todo)} videos",
        stop=plan.stop,
    )


def _frames_in_all(sources: Sequence[Source], plan: _Plan) -> int | None:
    total = 0
    for source in sources:
        try:
            frames = plan.expected(source)
        except LstmcliError:
            continue  # its own job will tell
        if frames is None:
            return None
        total += frames
    return total


def _run_one(source: Source, stem: Path, plan: _Plan, track: Track) -> Result:
    """Do one video: files in, files out; nothing else is shared with other videos."""
    try:
        return _Run(source, stem, plan).run(track)
    except LstmcliError as error:
        return source.name, error


class _Run:
    """One video on its way from decoding over the network to its outputs."""

    def __init__(self, source: Source, stem: Path, plan: _Plan) -> None:
        self.source, self.stem, self.plan = source, stem, plan
        self.info = describe(source)
        self.report = ReadReport()
        self.frames = self.detections = 0
        self.objects: set[int] = set()
        self.paths: list[Path] = []
        self.notes: list[str] = []
        self.group: OutputGroup | None = None
        self.counts: CountsFile | None = None
        self.counter: Counter | None = None
        self.segment_began_s = 0.0
        self.synced = time.monotonic()

    def run(self, track: Track) -> VideoDone:
        """Do it all; an error or interruption leaves partial files."""
        began = time.monotonic()
        total = self.plan.expected(self.source)
        answers = self._answers()
        try:
            for answer in track(answers, total=total, label=self.source.name):
                if self.plan.stop.is_set():
                    raise _Stopped
                self._write(answer)
            self._close()
        except KeyboardInterrupt:
            # A camera is ended by an interruption and by nothing else: its files are complete.
            if not self.source.is_live or self.group is None:
                self._abandon()
                raise
            self._close()
            self.notes.append("stopped by hand")
        except BaseException:
            self._abandon()
            raise
        finally:
            answers.close()
        names = self.plan.classes
        totals = self.counter.totals if self.counter is not None else {}
        return VideoDone(
            name=self.source.name,
            outputs=tuple(self.paths),
            frames=self.frames,
            detections=self.detections,
            objects=len(self.objects),
            seconds=time.monotonic() - began,
            counts={(gate, way, names[label]): n for (gate, way, label), n in totals.items()},
            notes=tuple(dict.fromkeys(self.report.sentences() + self.notes)),
        )

    def _answers(self) -> Generator[Answer, None, None]:
        """Yield the answers; decoding and network each run ahead in a thread of their own."""
        plan = self.plan
        frames = plan.frames(self.source, self.report)
        first = next(frames, None)
        if first is None:
            raise MediaError(f"{self.source.name}: no frame came", hint="does it play?")
        size_hw = first.size_hw
        tracker = Tracker(threshold=plan.threshold) if plan.track else None
        floor = tracker.faint if tracker is not None else plan.threshold
        predictor = plan.make_predictor(floor)
        if plan.count is not None:
            self.counter = Counter(plan.count, size_hw)
        painter = Painter(plan.classes, size_hw, plan.look)
        canvases = ahead(_with_canvas(chain((first,), frames), predictor.canvas_hw))
        found = ahead(_with_answers(canvases, predictor, tracker))
        steadied = steady(found) if tracker is not None else ((f, d) for f, _, d in found)
        for frame, detections in steadied:
            detections = self._kept(detections, frame)
            yield Answer(frame, detections, painter, self._count(detections, frame))

    def _kept(self, found: Detections, frame: Frame) -> Detections:
        keep = np.array([label in self.plan.kept for label in found.labels.tolist()], bool)
        found = found.select(keep) if len(found) else found
        return replace(found, boxes=clip_boxes(found.boxes, frame.size_hw))

    def _count(self, found: Detections, frame: Frame) -> tuple[Shape, ...]:
        if self.counter is None:
            return ()
        if self.counts is None:
            self.stem.parent.mkdir(parents=True, exist_ok=True)
            self.counts = CountsFile(self._job(frame, self.stem))
        for event in self.counter.step(found, frame.index, frame.time_s):
            self.counts.write(
                event.gate, event.direction, event.label, event.track_id, event.frame, event.time_s
            )
        return tuple(
            Shape(gate.in_pixels(frame.size_hw), gate.is_zone, self.counter.text(gate))
            for gate in self.counter.plan.gates
        )

    def _write(self, answer: Answer) -> None:
        frame = answer.frame
        is_live = self.source.is_live
        if self.group is not None and is_live:
            if frame.time_s - self.segment_began_s >= self.plan.segment_s:
                self._end_group()
            elif time.monotonic() - self.synced >= SYNC_S:
                self.group.sync()
                self.synced = time.monotonic()
        if self.group is None:
            self.segment_began_s = frame.time_s
            stem = self.stem
            if is_live:
                stem = stem.with_name(f"{stem.name}-{datetime.now():%Y%m%d-%H%M%S}")
            self.group = OutputGroup(self.plan.write, self._job(frame, stem))
        self.group.write(answer)
        self.frames += 1
        self.detections += len(answer.found)
        self.objects.update(track for track in answer.found.track_ids.tolist() if track >= 0)

    def _job(self, first: Frame, stem: Path) -> Job:
        plan, info = self.plan, self.info
        rate = plan.image_rate if self.source.kind == "images" else None
        job = Job(
            video=self.source.name,
            stem=stem,
            classes=plan.classes,
            size_hw=first.size_hw,
            rate=rate,
            begins_s=first.time_s,
            codec=plan.codec,
            quality=plan.quality,
        )
        if info is None:
            return job
        return replace(
            job,
            rate=info.rate / plan.every if info.rate else None,
            begins_s=info.begins_s + (plan.start_s or 0.0),
            ends_s=None if plan.end_s is None else info.begins_s + plan.end_s,
            sound_from=Path(info.path) if plan.sound and info.has_audio else None,
            pixel_aspect=info.pixel_aspect,
        )

    def _end_group(self) -> None:
        if self.group is None:
            return
        group, self.group = self.group, None
        group.close()
        self.paths += group.paths
        self.notes += group.notes

    def _close(self) -> None:
        self._end_group()
        if self.counts is not None:
            self.counts.close()
            self.paths.append(self.counts.path)

    def _abandon(self) -> None:
        if self.group is not None:
            self.group.abandon()
        if self.counts is not None:
            self.counts.abandon()


def _with_canvas(
    frames: Iterable[Frame], canvas_hw: tuple[int, int]
) -> Iterator[tuple[Frame, Picture]]:
    for frame in frames:
        yield frame, frame.canvas(Letterbox(frame.size_hw, canvas_hw))


def _with_answers(
    canvases: Iterable[tuple[Frame, Picture]],
    predictor: StreamPredictor,
    tracker: Tracker | None,
) -> Iterator[tuple[Frame, float, Detections]]:
    size_hw: tuple[int, int] | None = None
    for frame, canvas in canvases:
        if frame.size_hw != size_hw:  # still images may differ; a video never does
            size_hw = frame.size_hw
            predictor.start(size_hw)
        found = predictor.step(canvas, frame.time_s)
        if tracker is not None:
            found = tracker.step(found, frame.time_s)
        yield frame, frame.time_s, found


class Detector:
    """A trained detector for Python: `Detector.load("runs/birds").stream("video.mp4")`.

    Args:
        make_predictor: makes a predictor for one stream.
        threshold: smallest score that is answered.
    """

    def __init__(self, make_predictor: MakePredictor, *, threshold: float = 0.3) -> None:
        self._make_predictor = make_predictor
        self.threshold = threshold
        self.classes = make_predictor(threshold).classes
        """Names of the classes; `detections.labels` are indices into it."""

    @classmethod
    def load(
        cls,
        model: Path | str | None = None,
        *,
        device: str = "auto",
        engine: str = "auto",
        threshold: float = 0.3,
    ) -> Detector:
        """Load a checkpoint, a run folder or a shipped model; None takes what `detect` takes.

        Raises:
            ModelError: there is no such model, or it is damaged.
        """
        chosen = choose_model(Path())[0] if model is None else model
        network = load_engine(chosen, device=device, engine=engine)
        return cls(lambda floor: Predictor(network, threshold=floor), threshold=threshold)

    def stream(
        self,
        source: Path | str,
        *,
        start_s: float | None = None,
        end_s: float | None = None,
        every: int = 1,
        track: bool = True,
    ) -> Iterator[tuple[Picture, Detections]]:
        """Yield every frame, RGB uint8 [H, W, 3], with what is in it.

        With `track`, ids last and answers are causal: no frame waits for later ones.

        Args:
            source: a file, `camera:0` or a stream address.
            start_s: seconds from the beginning at which to start.
            end_s: seconds from the beginning at which to stop.
            every: look at every Nth frame only.
            track: give objects ids that last.
        """
        (first, *_) = find_sources([str(source)])
        tracker = Tracker(threshold=self.threshold) if track else None
        predictor = self._make_predictor(tracker.faint if tracker else self.threshold)
        frames = open_frames(first, start_s=start_s, end_s=end_s, every=every, report=ReadReport())
        canvases = ahead(_with_canvas(frames, predictor.canvas_hw))
        for frame, _, found in _with_answers(canvases, predictor, tracker):
            yield frame.rgb(), replace(found, boxes=clip_boxes(found.boxes, frame.size_hw))
