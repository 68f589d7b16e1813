"""From sources to tasks to outputs, wherever the tasks run."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from lstmcli.core.errors import ConfigError, LstmcliError, MediaError, OutputError, choose
from lstmcli.core.files import claim
from lstmcli.core.progress import Progress, SilentProgress
from lstmcli.inference.runtimes import RUNTIMES
from lstmcli.outputs import OutputSpec
from lstmcli.outputs.counts import SUFFIX as COUNTS_SUFFIX
from lstmcli.outputs.events import EventSink, open_event_sink
from lstmcli.outputs.records import JsonLinesOutput
from lstmcli.outputs.writer import output_paths
from lstmcli.video import Source, find_sources, output_names
from lstmcli.video.key_frames import key_frame_times
from lstmcli.workflows.detect.done_record import content_key, settings_key
from lstmcli.workflows.detect.options import DetectOptions, DetectReport, VideoDone, VideoFailed
from lstmcli.workflows.detect.plan import ProbedSource
from lstmcli.workflows.detect.run import CLAIMED_AT_ONCE, build_plan
from lstmcli.workflows.detect.sources import default_model, files_of, to_do
from lstmcli.workflows.distribute.options import ClusterOptions
from lstmcli.workflows.distribute.pieces import cut
from lstmcli.workflows.distribute.ray_cluster import run_on_ray
from lstmcli.workflows.distribute.remote import RemoteFile, find_remote, is_remote
from lstmcli.workflows.distribute.remote_folder import RemoteFolder
from lstmcli.workflows.distribute.task_events import events_path, gather_events
from lstmcli.workflows.distribute.tasks import Result, VideoTask, claimed_path, run_task

Executor = Callable[[Sequence[VideoTask], ClusterOptions, int, Progress], list[Result]]


def run_here(
    tasks: Sequence[VideoTask], cluster: ClusterOptions, jobs: int, progress: Progress
) -> list[Result]:
    """Return the results of tasks that run in this process, one after the other."""
    numbered = progress.track(tasks, total=len(tasks), label="tasks")
    return [run_task(task, lambda frames: None) for task in numbered]


EXECUTORS: Mapping[str, Executor] = {"here": run_here, "ray": run_on_ray}
"""What `--on` takes."""


@dataclass(frozen=True, slots=True)
class _Found:
    """A source with the name of its outputs, here or elsewhere."""

    probed: ProbedSource
    remote: RemoteFile | None = None


def detect_distributed(
    sources: Sequence[str],
    options: DetectOptions,
    cluster: ClusterOptions,
    *,
    out: str = "",
    progress: Progress | None = None,
) -> DetectReport:
    """Detect objects in many videos, each a task with files in and files out.

    What is written is what `detect` writes on one machine. All machines reach the sources and
    `options.out` under the same path, or both are addresses of fsspec.

    Args:
        sources: files, folders, patterns, rows of images, or addresses such as s3://bucket/footage.
        options: see `DetectOptions`; `jobs` is the number of cores of a cluster that is started.
        cluster: where tasks run.
        out: address of the outputs, in place of `options.out`; "": they lie there.
        progress: shows the frames of all tasks.

    Raises:
        LstmcliError: the options do not fit, outputs are there already, or the only source failed.
    """
    progress = progress or SilentProgress()
    choose(EXECUTORS, cluster.on, "place to run")
    if options.start_s or options.end_s is not None:
        raise ConfigError("--start and --end are for single videos", hint="leave them or --on out")
    found = _find(sources, options, progress)
    local = [one.probed for one in found if one.remote is None]
    options, sentence = _settled(options, cluster, local, progress)
    with claim(*_claimed(found, out)):
        return _detect(found, options, cluster, out, sentence, progress)


def _claimed(found: Sequence[_Found], out: str) -> list[Path]:
    """Return what keeps other runs from the same outputs; tasks claim the outputs themselves."""
    stems = [] if out else [one.probed.stem for one in found[:CLAIMED_AT_ONCE]]
    return [claimed_path(stem) for stem in stems]


def _detect(
    found: Sequence[_Found],
    options: DetectOptions,
    cluster: ClusterOptions,
    out: str,
    sentence: str,
    progress: Progress,
) -> DetectReport:
    folder = RemoteFolder(out) if out else None
    todo, skipped = _to_do(found, options, folder, progress)
    sink = _open_sink(options, progress)
    notes: list[str] = []
    try:
        tasks = [_task(one, options, cluster, out) for one in todo]
        done = _run_all(tasks, cluster, options.jobs, progress)
        if sink is not None:
            gather_events([_stem(one, options, out) for one in found], folder, sink)
    except KeyboardInterrupt:
        progress.note("finished videos are complete; --skip-existing continues with the others")
        raise
    finally:
        notes += sink.close() if sink is not None else []
    return _report(done, sentence, skipped, notes, len(found))


def _run_all(
    tasks: Sequence[VideoTask], cluster: ClusterOptions, jobs: int, progress: Progress
) -> list[Result]:
    """Return the results of all videos; long ones are done in pieces, and joined."""
    execute = choose(EXECUTORS, cluster.on, "place to run")
    parts = [_parts(task, cluster) for task in tasks]
    if cluster.piece_s is not None and any(task.remote or task.publish_to for task in tasks):
        progress.note("--piece: videos that lie elsewhere, or whose outputs do, stay whole")
    first = [piece for task, pieces in zip(tasks, parts, strict=True) for piece in pieces or [task]]
    results = iter(execute(first, cluster, jobs, progress) if first else [])
    done: list[Result] = []
    joins: list[tuple[int, VideoTask]] = []
    for task, pieces in zip(tasks, parts, strict=True):
        own = [next(results) for _ in pieces or [task]]
        failed = next((result for result in own if isinstance(result, VideoFailed)), None)
        if pieces and failed is None:
            joins.append((len(done), _joined(task, pieces, own)))
        done.append(failed or own[0])
    if joins:
        made = execute([task for _, task in joins], cluster, jobs, progress)
        for (place, _), result in zip(joins, made, strict=True):
            done[place] = result
    for task, pieces in zip(tasks, parts, strict=True):
        if pieces:
            shutil.rmtree(_pieces_folder(task.stem), ignore_errors=True)
    return done


def _open_sink(options: DetectOptions, progress: Progress) -> EventSink | None:
    """Open what takes the events, before there is any work that could be lost."""
    if options.events is None:
        return None
    return open_event_sink(
        options.events,
        append=options.skip_existing,
        overwrite=options.overwrite,
        say=progress.note,
    )


def _stem(one: _Found, options: DetectOptions, out: str) -> Path:
    """Return the stem of the outputs; relative where they lie elsewhere."""
    return one.probed.stem.relative_to(options.out) if out else one.probed.stem


def _find(sources: Sequence[str], options: DetectOptions, progress: Progress) -> list[_Found]:
    """Return all sources in the order given.

    Raises:
        MediaError: a source is missing, or cannot be read again by another process.
    """
    texts = [text for text in sources if not is_remote(text)]
    here = find_sources(texts, note=progress.note) if texts else []
    for source in here:
        if source.kind not in ("file", "images"):
            raise MediaError(
                f"{source.name}: cameras and streams cannot be tasks", hint="leave --on out"
            )
    absolute = [
        replace(
            source,
            address=str(Path(source.address).resolve()),
            images=tuple(path.resolve() for path in source.images),
        )
        for source in here
    ]
    files = [file for text in sources if is_remote(text) for file in find_remote(text)]
    elsewhere = [Source(file.name, "file", file.address) for file in files]
    names = output_names([*absolute, *elsewhere])
    root = options.out.resolve()
    probed = [
        ProbedSource(source, root / name)
        for source, name in zip([*absolute, *elsewhere], names, strict=True)
    ]
    remotes: list[RemoteFile | None] = [*([None] * len(absolute)), *files]
    return [_Found(one, file) for one, file in zip(probed, remotes, strict=True)]


def _settled(
    options: DetectOptions,
    cluster: ClusterOptions,
    local: Sequence[ProbedSource],
    progress: Progress,
) -> tuple[DetectOptions, str]:
    """Return options that mean the same in every process, and a sentence about the model."""
    model, sentence = default_model(options.model)
    if sentence:
        progress.note(sentence)
    path = Path(model)
    device = "cuda" if cluster.gpus else "cpu" if options.device == "auto" else options.device
    settled = replace(
        options,
        model=str(path.resolve()) if path.exists() else model,
        out=options.out.resolve(),
        count=None if options.count is None else options.count.resolve(),
        device=device,
        engine="torch" if cluster.gpus and options.engine == "auto" else options.engine,
    )
    if settled.engine == "auto":  # otherwise each worker would try for itself
        from lstmcli.inference.loading import load_runtime

        size_hw = next((one.size_hw for one in local if one.size_hw is not None), None)
        runtime = load_runtime(
            model, device=device, leave_core_free=True, picture_hw=size_hw, note=progress.note
        )
        if runtime.engine in RUNTIMES:
            settled = replace(settled, engine=runtime.engine)
    return settled, sentence


def _to_do(
    found: Sequence[_Found],
    options: DetectOptions,
    folder: RemoteFolder | None,
    progress: Progress,
) -> tuple[list[_Found], list[str]]:
    """Return the sources that are to be done, and the names of those that are done."""
    if folder is not None:
        return _to_do_elsewhere(found, options, folder)
    plan, _ = build_plan([one.probed for one in found], options, progress=progress)
    wanted, skipped = to_do([one.probed for one in found], plan)
    stems = {one.stem for one in wanted}
    return [one for one in found if one.probed.stem in stems], skipped


def _to_do_elsewhere(
    found: Sequence[_Found], options: DetectOptions, folder: RemoteFolder
) -> tuple[list[_Found], list[str]]:
    """Do the same where outputs lie elsewhere: they are listed once."""
    there, settings = folder.names(), settings_key(options, str(options.model))
    todo, skipped = [], []
    for one in found:
        stem = one.probed.stem.relative_to(options.out)
        paths = output_paths(options.write, OutputSpec(stem.name, stem, (), (1, 1)))
        if options.count is not None:
            paths.append(stem.with_name(stem.name + COUNTS_SUFFIX))
        names = [path.as_posix() for path in paths]
        made = [name for name in names if _is_among(name, there)]
        if options.skip_existing and len(made) == len(names):
            key = _source_key(one.probed.source, one.remote)
            record = folder.record(stem.as_posix())
            if key and record == {"source": key, "settings": settings}:
                skipped.append(one.probed.source.name)
                continue
        if made and not (options.skip_existing or options.overwrite):
            raise OutputError(
                f"{folder.address}/{made[0]} exists",
                hint="use --overwrite, --skip-existing, or another --out",
            )
        todo.append(one)
    return todo, skipped


def _is_among(name: str, there: frozenset[str]) -> bool:
    return name in there or any(path.startswith(f"{name}/") for path in there)


def _source_key(source: Source, remote: RemoteFile | None) -> str:
    return content_key(files_of(source)) if remote is None else remote.key


def _task(one: _Found, options: DetectOptions, cluster: ClusterOptions, out: str) -> VideoTask:
    probed, frames = one.probed, None
    if one.remote is None:
        try:
            frames = probed.info.frame_count if probed.info is not None else None
            frames = len(probed.source.images) or frames
        except LstmcliError:  # its own task says so
            frames = 0
    stem = _stem(one, options, out)
    events = None if options.events is None else str(events_path(stem))
    own = replace(options, jobs=1, overwrite=True, skip_existing=False, events=events)
    return VideoTask(
        source=probed.source,
        stem=stem,
        options=own,
        frames=frames,
        remote=one.remote,
        publish_to=out or None,
        key=one.remote.key if one.remote is not None else "",
    )


def _parts(task: VideoTask, cluster: ClusterOptions) -> list[VideoTask]:
    """Return the pieces of a long video as tasks; none where it stays whole."""
    is_cut = cluster.piece_s is not None and task.source.kind == "file" and not task.publish_to
    if not is_cut or task.remote is not None or task.options.every not in (None, 1):
        return []
    probed = ProbedSource(task.source, task.stem)
    try:
        info = probed.info
        if info is None or not info.duration_s or info.duration_s < 1.5 * (cluster.piece_s or 0):
            return []
        keys = key_frame_times(task.source.address, film=task.source.film)
    except LstmcliError:  # the whole task says so
        return []
    pieces = cut(info.duration_s, keys, cluster.piece_s or 0.0)
    if len(pieces) < 2:
        return []
    rate, folder = info.rate or 25.0, _pieces_folder(task.stem)
    made = []
    for number, piece in enumerate(pieces):
        ends_s = info.duration_s if piece.ends_s is None else piece.ends_s
        own = replace(
            task.options,
            start_s=piece.reads_from_s,
            end_s=piece.reads_until_s,
            write=("jsonl",),
            count=None,
            events=None,
        )
        made.append(
            VideoTask(
                source=task.source,
                stem=folder / f"{number:05d}",
                options=own,
                frames=round((ends_s - (piece.reads_from_s or 0.0)) * rate),
                piece=piece,
            )
        )
    return made


def _pieces_folder(stem: Path) -> Path:
    return stem.with_name(f".{stem.name}.pieces")


def _joined(task: VideoTask, parts: Sequence[VideoTask], done: Sequence[Result]) -> VideoTask:
    """Return the task that writes the outputs of a video from the detections of its pieces."""
    pieces = [
        (part.piece, part.stem.with_name(part.stem.name + JsonLinesOutput.SUFFIX))
        for part in parts
        if part.piece is not None
    ]
    inferences = sum(result.inferences for result in done if isinstance(result, VideoDone))
    return replace(task, pieces=tuple(pieces), inferences=inferences)


def _report(
    results: Sequence[Result],
    sentence: str,
    skipped: Sequence[str],
    notes: Sequence[str],
    count: int,
) -> DetectReport:
    done = tuple(result for result in results if isinstance(result, VideoDone))
    failed = tuple(result for result in results if isinstance(result, VideoFailed))
    if count == 1 and failed:
        raise MediaError(failed[0].problem, hint=failed[0].hint)
    return DetectReport(sentence, done, failed, tuple(skipped), tuple(notes))
