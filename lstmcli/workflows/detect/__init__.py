"""`detect`: any video in, a video people can play and data they can use out."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path

from lstmcli.core.calibration import ScoreCalibration
from lstmcli.core.errors import (
    ConfigError,
    LstmcliError,
)
from lstmcli.core.jobs import ProgressCallback, run_jobs
from lstmcli.core.progress import Progress, SilentProgress
from lstmcli.inference.batching import micro_batch
from lstmcli.inference.loading import load_runtime
from lstmcli.inference.predictor import Predictor
from lstmcli.inference.runtime_pool import RuntimePool
from lstmcli.outputs.draw import DrawStyle
from lstmcli.outputs.text_sprites import can_draw
from lstmcli.tracking import GAP_FRAMES, load_count_config
from lstmcli.video import (
    Source,
    find_sources,
    has_nvenc,
    output_names,
)
from lstmcli.workflows.detect.api import Detector
from lstmcli.workflows.detect.options import (
    DetectReport,
    MakePredictor,
    Plan,
    Stopped,
    StreamPredictor,
    VideoDone,
    VideoFailed,
    unexpected,
)
from lstmcli.workflows.detect.pipeline import VideoJob
from lstmcli.workflows.detect.sources import (
    check_options,
    choose_model,
    frames_in_all,
    kept_classes,
    size_of,
    to_do,
)

__all__ = [
    "DetectReport",
    "Detector",
    "DrawStyle",
    "VideoDone",
    "VideoFailed",
    "choose_model",
    "detect",
]


def detect(
    sources: Sequence[str],
    *,
    model: Path | str | None = None,
    out: Path = Path(),
    threshold: float = 0.3,
    classes: Sequence[str] = (),
    start_s: float | None = None,
    end_s: float | None = None,
    every: int | None = None,
    fill: bool = False,
    write: Sequence[str] = ("video", "jsonl"),
    codec: str = "auto",
    quality: int = 23,
    track: bool = True,
    count: Path | None = None,
    look: DrawStyle | None = None,
    sound: bool = True,
    image_rate: float | None = None,
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
        every: look at every Nth frame only; the others are in no output. None: all frames are, and
            where the network is what takes the time (on a CPU, with `track`), it looks 15 times a
            second at the least, and boxes are laid between.
        fill: the others are in the outputs, with the boxes of their neighbours in time laid
            between; needs `track`.
        write: names of `outputs.WRITERS`.
        codec: `auto` (NVENC beside CUDA where there is one, else h264) or one of `video.CODECS`.
        quality: of the video, 0 (best, largest) to 51.
        track: give objects ids that last, fill gaps, drop single flashes.
        count: a YAML file with lines and zones, see `tracking.load_count_config`; needs `track`.
        look: how answers are drawn.
        sound: keep the source's sound.
        image_rate: frames per second of rows of still images and of streams without timestamps;
            None: what a stream's headers say, else 25.
        memory: False forgets everything between frames, to show what the memory is worth.
        device: `auto`, `cpu`, `cuda` or `cuda:N`.
        engine: `auto` or a name of `engines.RUNTIMES`.
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
    check_options(threshold, every, quality, jobs, start_s, end_s)
    if count is not None and not track:
        raise ConfigError("--count needs tracks", hint="leave --no-track out")
    if fill and not track:
        raise ConfigError("--fill needs tracks", hint="leave --no-track out")
    if fill and (every or 1) > GAP_FRAMES:  # the frames between two looks wait in memory
        raise ConfigError(
            f"--fill with --every {every}", hint=f"look at every {GAP_FRAMES}th frame at least"
        )
    plan_to_count = load_count_config(count) if count is not None else None
    found = find_sources(sources)
    names = output_names(found)
    write = tuple(dict.fromkeys(write))
    sentence = ""
    on_cuda, calibration = False, ScoreCalibration()
    size_hw = size_of(found[0])  # the network is made for it: most runs need no other
    if make_predictor is None:
        if model is None:
            model, sentence = choose_model(Path())
            progress.note(sentence)
        load = partial(
            load_runtime,
            model,
            device=device,
            engine=engine,
            leave_core_free=True,
            note=progress.note,
        )
        networks = RuntimePool(
            lambda shape: micro_batch(load(picture_hw=shape), min(jobs, len(found)))
        )
        first = networks.of(size_hw)
        on_cuda, calibration = first.device.startswith("cuda"), first.metadata.calibration

        def predictor_for(floor: float, size_hw: tuple[int, int] | None) -> StreamPredictor:
            return Predictor(networks.of(size_hw), threshold=floor, memory=memory)

    else:
        own = make_predictor

        def predictor_for(floor: float, size_hw: tuple[int, int] | None) -> StreamPredictor:
            return own(floor)

    inference_stride = every if fill else 1
    if every is None and track and not on_cuda:
        inference_stride = None
    known = predictor_for(threshold, size_hw).classes
    plan = Plan(
        predictor_for=predictor_for,
        classes=known,
        kept=kept_classes(classes, known),
        threshold=calibration.raw_score(threshold),
        calibration=calibration,
        start_s=start_s,
        end_s=end_s,
        every=1 if fill or every is None else every,
        inference_stride=inference_stride,
        write=write,
        codec=("nvenc" if on_cuda and has_nvenc() else "h264") if codec == "auto" else codec,
        quality=quality,
        track=track,
        count=plan_to_count,
        look=look or DrawStyle(),
        sound=sound,
        image_rate=image_rate,
        segment_s=segment_s,
        patience_s=patience_s,
    )
    for name in known:
        if "video" in write and not can_draw(name):
            progress.note(f"no font here has the letters of {name!r}; install Noto fonts")
    todo, skipped = to_do(found, names, out, plan, skip_existing, overwrite)
    try:
        results = _run_all(todo, plan, jobs, progress)
    except KeyboardInterrupt:
        progress.note(
            "what is not finished has `.partial` in its name; --skip-existing does the rest"
        )
        raise
    done = tuple(result for result in results if isinstance(result, VideoDone))
    failures = [result for result in results if isinstance(result, tuple)]
    if len(found) == 1 and failures:
        raise failures[0][1]
    failed = tuple(VideoFailed(name, e.problem, e.hint) for name, e in failures)
    return DetectReport(sentence, done, failed, tuple(skipped))


Result = VideoDone | tuple[str, LstmcliError]


def _run_all(
    todo: Sequence[tuple[Source, Path]], plan: Plan, jobs: int, progress: Progress
) -> list[Result]:
    if jobs == 1 or len(todo) < 2:
        return [_run_one(source, stem, plan, progress.track) for source, stem in todo]
    return run_jobs(
        [partial(_run_one, source, stem, plan) for source, stem in todo],
        jobs=jobs,
        progress=progress,
        total=frames_in_all([source for source, _ in todo], plan),
        label=f"{len(todo)} videos",
        stop=plan.stop,
    )


def _run_one(source: Source, stem: Path, plan: Plan, track: ProgressCallback) -> Result:
    """Do one video: files in, files out; nothing else is shared with other videos."""
    try:
        return VideoJob(source, stem, plan).run(track)
    except LstmcliError as error:
        return source.name, error
    except (Stopped, BrokenPipeError):
        raise
    except Exception as error:  # whatever it is, the other videos are not kept by it
        return source.name, unexpected(source.name, error)
