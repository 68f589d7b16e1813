"""A task: files in, files out. It runs in any process that reaches both."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from functools import lru_cache
from pathlib import Path
from typing import TypeVar

from lstmcli.core.errors import LstmcliError, explain
from lstmcli.core.files import noted_at
from lstmcli.core.progress import SilentProgress
from lstmcli.inference.runtime_pool import RuntimePool, open_runtimes
from lstmcli.outputs.events import open_event_sink
from lstmcli.video import Source
from lstmcli.workflows.detect.done_record import content_key, settings_key, write_record
from lstmcli.workflows.detect.options import DetectOptions, VideoDone, VideoFailed
from lstmcli.workflows.detect.plan import ProbedSource
from lstmcli.workflows.detect.run import build_plan, detect_found
from lstmcli.workflows.detect.sources import files_of
from lstmcli.workflows.detect.video_job import VideoJob
from lstmcli.workflows.distribute.pieces import Piece, join
from lstmcli.workflows.distribute.remote import RemoteFile, fetch
from lstmcli.workflows.distribute.remote_folder import RemoteFolder

T = TypeVar("T")
Count = Callable[[int], None]
"""Takes the number of frames that are done."""


@dataclass(frozen=True, slots=True)
class VideoTask:
    """A video, or a piece of one.

    Args:
        source: file or row of images.
        stem: of the outputs.
        options: of the run.
        frames: about how many will come; None: unknown.
        remote: the file that is fetched first, in place of the source's own.
        publish_to: address of the folder that gets the outputs; None: they stay at the stem.
        key: names the content of a remote source in the record of its outputs.
        piece: of the video, whose detections are written for the joining of all; None: all of it.
        pieces: parts whose detections are joined, in place of detecting.
        inferences: of the network on these parts.
    """

    source: Source
    stem: Path
    options: DetectOptions
    frames: int | None = None
    remote: RemoteFile | None = None
    publish_to: str | None = None
    key: str = ""
    piece: Piece | None = None
    pieces: tuple[tuple[Piece, Path], ...] = field(default=())
    inferences: int = 0


Result = VideoDone | VideoFailed


def claimed_path(stem: Path) -> Path:
    """Return what the starting process claims for a video; its tasks claim the stem itself."""
    return stem.with_name(f"{stem.name}.tasks")


def run_task(task: VideoTask, count: Count) -> Result:
    """Do a task; what fails is a result, too."""
    try:
        with noted_at(claimed_path(task.stem)):
            if task.remote is None and task.publish_to is None:
                return _run(task, count)
            with tempfile.TemporaryDirectory(prefix="lstmcli-task-") as folder:
                return _run_remote(task, Path(folder), count)
    except LstmcliError as error:
        return VideoFailed(task.source.name, error.problem, error.hint)
    except Exception as error:
        return VideoFailed(task.source.name, *explain(error))


def _run_remote(task: VideoTask, folder: Path, count: Count) -> Result:
    """Fetch the source, work in a scratch folder, publish the outputs."""
    source, stem = task.source, task.stem
    if task.remote is not None:
        source = replace(source, address=str(fetch(task.remote, folder / "in")))
    options = task.options
    if task.publish_to is not None:
        stem = folder / "out" / stem
        if options.events is not None:
            options = replace(options, events=str(folder / "out" / options.events))
    local = replace(task, source=source, stem=stem, options=options, remote=None, publish_to=None)
    done = _run(local, count)
    if task.publish_to is None:
        return done
    return replace(done, outputs=RemoteFolder(task.publish_to).publish(folder / "out"))


def _run(task: VideoTask, count: Count) -> VideoDone:
    done = _detect(task, count)
    if task.piece is None:
        write_record(
            task.stem,
            source=task.key or content_key(files_of(task.source)),
            settings=settings_key(task.options, str(task.options.model)),
        )
    return done


def _detect(task: VideoTask, count: Count) -> VideoDone:
    progress, probed = _Counting(count), ProbedSource(task.source, task.stem)
    if not task.pieces:
        report = detect_found(
            [probed], task.options, runtimes=_runtimes_of(task.options), progress=progress
        )
        return report.done[0]
    plan, _ = build_plan(
        [probed], task.options, runtimes=_runtimes_of(task.options), progress=progress
    )
    origin_s = probed.info.begins_s if probed.info is not None else 0.0
    joined = join(task.pieces, origin_s=origin_s)
    sink = None
    if task.options.events is not None:
        sink = open_event_sink(task.options.events, overwrite=True, say=progress.note)
        plan = replace(plan, events=sink)
    job = VideoJob(probed, plan, detected=joined, inferences=task.inferences)
    done = job.run(progress.track)
    if sink is not None:
        sink.close()
    return done


def _runtimes_of(options: DetectOptions) -> RuntimePool:
    return _runtimes(str(options.model), options.device, options.engine)


@lru_cache(maxsize=1)
def _runtimes(model: str, device: str, engine: str) -> RuntimePool:
    """Return the runtimes of a model; a worker loads it once for all of its tasks."""
    return open_runtimes(model, device=device, engine=engine, streams=1, progress=SilentProgress())


class _Counting(SilentProgress):
    """Reports how many frames are done."""

    def __init__(self, count: Count) -> None:
        self._count = count

    def track(
        self, items: Iterable[T], *, total: int | None = None, label: str = ""
    ) -> Iterator[T]:
        """Yield the items and count them."""
        for done, item in enumerate(items, 1):
            yield item
            self._count(done)
