"""Uploaded videos: a bounded queue, a folder each, and one worker that runs `detect`."""

from __future__ import annotations

import contextlib
import queue
import re
import shutil
import tempfile
import threading
import time
import uuid
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, TypeVar

from lstmcli.core.errors import LstmcliError, MediaError, OutputError, explain
from lstmcli.core.files import claim, temporary_folder
from lstmcli.core.names import upload_name
from lstmcli.core.progress import SilentProgress
from lstmcli.service.network import ServedNetwork
from lstmcli.service.options import ServeOptions
from lstmcli.workflows.detect import DetectOptions, detect
from lstmcli.workflows.detect.video_job import Stopped

T = TypeVar("T")
State = Literal["uploading", "queued", "running", "done", "failed"]

OUTPUT_SUFFIXES = {"detections.jsonl": ".detections.jsonl", "video.mp4": ".annotated.mp4"}
"""What can be fetched of a video, and how `detect` calls it."""
_MAGIC = re.compile(
    rb"....(?:ftyp|moov|mdat|free|wide|skip)|\x1a\x45\xdf\xa3|RIFF....(?:AVI |WEBP)|"
    rb"(?:.{4})?\x47.{187}(?:.{4})?\x47|FLV\x01|OggS|GIF8|\x00\x00\x01[\xba\xb3]|\x00\x00\x00\x01|\x30\x26\xb2\x75|DKIF|YUV4MPEG2",
    re.DOTALL,
)
"""First bytes of containers. A playlist is none of them: it could name files of this machine."""


_ID = re.compile("[0-9a-f]{32}")


@dataclass(slots=True)
class VideoJob:
    """An uploaded video.

    Args:
        id: in its address; nobody can guess it.
        name: as the client calls it, made safe for a file.
        folder: of its files.
    """

    id: str
    name: str
    folder: Path
    state: State = "uploading"
    frames: int = 0
    total: int | None = None
    problem: str = ""
    hint: str = ""
    size: int = 0
    touched: float = field(default_factory=time.monotonic)
    removed: threading.Event = field(default_factory=threading.Event)

    @property
    def source(self) -> Path:
        """Where the uploaded file lies."""
        return self.folder / "in" / self.name

    def output(self, kind: str) -> Path | None:
        """Return a finished output; None where there is none."""
        found = sorted((self.folder / "out").glob(f"*{OUTPUT_SUFFIXES[kind]}"))
        return found[0] if self.state == "done" and found else None

    def record(self) -> dict[str, Any]:
        """Return its state for the client."""
        links = [f"/videos/{self.id}/{kind}" for kind in OUTPUT_SUFFIXES if self.output(kind)]
        return {
            "id": self.id,
            "name": self.name,
            "state": self.state,
            "frames": self.frames,
            "total": self.total,
            "bytes": self.size,
            "problem": self.problem,
            "hint": self.hint,
            "outputs": links,
        }


class VideoJobs:
    """Keeps uploaded videos and works on them one by one.

    Args:
        options: of the service.
        network: of the service.
    """

    def __init__(self, options: ServeOptions, network: ServedNetwork) -> None:
        self._options, self._network = options, network
        self._held = ExitStack()
        try:
            self.folder = self._held.enter_context(_folder_of(options.out))
        except OSError as error:
            raise OutputError(
                f"{options.out}: {error.strerror}", hint="choose another --out"
            ) from None
        self._jobs: dict[str, VideoJob] = {}
        self._lock = threading.Lock()
        self._queue: queue.SimpleQueue[VideoJob | None] = queue.SimpleQueue()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._work, name="videos", daemon=True)
        self._thread.start()

    def begin(self, name: str) -> VideoJob | None:
        """Return a place for a new video; None where as many wait as are allowed.

        Raises:
            OutputError: the folder cannot be made.
        """
        self._remove_old()
        with self._lock:
            waiting = sum(job.state in {"uploading", "queued"} for job in self._jobs.values())
            if waiting >= self._options.max_videos:
                return None
            key = uuid.uuid4().hex
            job = VideoJob(key, upload_name(name), self.folder / key)
            self._jobs[key] = job
        try:
            (job.folder / "in").mkdir(parents=True)
        except OSError as error:
            self.remove(job)
            raise OutputError(f"no place for the video: {error.strerror}") from None
        return job

    def submit(self, job: VideoJob) -> None:
        """Queue a video whose file is complete.

        Raises:
            MediaError: it is no video container.
        """
        with job.source.open("rb") as file:
            if not _MAGIC.match(file.read(512)):
                raise MediaError("the upload is no video container", hint="send mp4, mkv, ts ...")
        job.state, job.touched = "queued", time.monotonic()
        self._queue.put(job)

    def get(self, key: str) -> VideoJob | None:
        """Return a video by its id."""
        return self._jobs.get(key)

    def all(self) -> list[VideoJob]:
        """Return all videos, the oldest first."""
        with self._lock:
            return list(self._jobs.values())

    def remove(self, job: VideoJob) -> None:
        """Forget a video and remove its files; work on it ends."""
        job.removed.set()
        with self._lock:
            self._jobs.pop(job.id, None)
        if job.state != "running":  # the worker removes what it works on
            shutil.rmtree(job.folder, ignore_errors=True)

    def close(self) -> None:
        """End the worker; a temporary folder is removed."""
        self._stop.set()
        self._queue.put(None)
        self._thread.join(10.0)
        self._held.close()

    def _remove_old(self) -> None:
        now = time.monotonic()
        for job in self.all():
            if job.state in {"done", "failed"} and now - job.touched > self._options.keep_s:
                self.remove(job)

    def _work(self) -> None:
        while (job := self._queue.get()) is not None:
            if job.removed.is_set():
                continue
            job.state = "running"
            try:
                self._detect(job)
                job.state = "done"
            except Stopped:
                job.state, job.problem = "failed", "the service ended"
            except LstmcliError as error:
                job.state, job.hint = "failed", error.hint
                job.problem = error.problem.replace(f"{job.folder}/in/", "")
            except Exception as error:
                job.state = "failed"
                job.problem, job.hint = explain(error)
            job.touched = time.monotonic()
            with contextlib.suppress(OSError):
                job.source.unlink(missing_ok=True)
            if job.removed.is_set():
                shutil.rmtree(job.folder, ignore_errors=True)

    def _detect(self, job: VideoJob) -> None:
        options = self._options
        detect(
            [str(job.source)],
            DetectOptions(
                model=self._network.model,
                out=job.folder / "out",
                threshold=options.threshold,
                classes=options.classes,
                device=options.device,
                engine=options.engine,
            ),
            runtimes=self._network.runtimes,
            progress=_JobProgress(job, self._stop, options.video_s),
        )


@contextmanager
def _folder_of(out: Path | None) -> Iterator[Path]:
    """Yield the folder of a service, which no other one uses; see `ServeOptions.out`.

    What a service that was ended left unfinished in it is removed.

    Raises:
        OSError: it cannot be made.
        OutputError: another service uses it.
    """
    if out is None:
        with temporary_folder(Path(tempfile.gettempdir()) / "lstmcli-serve") as folder:
            folder.chmod(0o700)  # what clients upload is not for other users of this machine
            yield folder
        return
    with claim(out, resumes=True):
        out.mkdir(parents=True, exist_ok=True)
        for folder in out.iterdir():
            if _ID.fullmatch(folder.name) and not folder.is_symlink() and _is_unfinished(folder):
                shutil.rmtree(folder, ignore_errors=True)
        yield out.resolve()


def _is_unfinished(folder: Path) -> bool:
    """Return whether a video was uploaded, or worked on: then its source is there."""
    if not folder.is_dir() or not {path.name for path in folder.iterdir()} <= {"in", "out"}:
        return False
    is_begun = (folder / "out").is_dir()
    return not is_begun or ((folder / "in").is_dir() and any((folder / "in").iterdir()))


class _JobProgress(SilentProgress):
    """Counts the frames of a video, and ends work that is not wanted or takes too long."""

    def __init__(self, job: VideoJob, stop: threading.Event, limit_s: float) -> None:
        self._job, self._stop, self._limit_s = job, stop, limit_s
        self._began = time.monotonic()

    def track(
        self, items: Iterable[T], *, total: int | None = None, label: str = ""
    ) -> Iterator[T]:
        """Yield the items."""
        self._job.total = total
        for item in items:
            if self._stop.is_set() or self._job.removed.is_set():
                raise Stopped
            if time.monotonic() - self._began > self._limit_s:
                raise MediaError(
                    f"the video took longer than {self._limit_s:g} s", hint="send it in pieces"
                )
            yield item
            self._job.frames += 1
