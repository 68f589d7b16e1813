"""Events of tasks: each task leaves a log beside its outputs, and all are gathered at the end."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path

from lstmcli.outputs.events import EventSink
from lstmcli.workflows.distribute.remote_folder import RemoteFolder


def events_path(stem: Path) -> Path:
    """Return where a task leaves its events."""
    return stem.with_name(f".{stem.name}.events.jsonl")


def gather_events(stems: Sequence[Path], folder: RemoteFolder | None, sink: EventSink) -> None:
    """Hand the events of videos to a sink, and remove the logs of the tasks.

    Args:
        stems: of the outputs of all videos, those of an earlier, interrupted run, too.
        folder: where outputs lie elsewhere; stems are relative to it.
        sink: takes the events.
    """
    for text in _here(stems) if folder is None else _elsewhere(stems, folder):
        for line in text.splitlines():
            sink.write(json.loads(line))


def _here(stems: Sequence[Path]) -> Iterator[str]:
    for path in map(events_path, stems):
        if path.exists():
            yield path.read_text(encoding="utf-8")
            path.unlink()


def _elsewhere(stems: Sequence[Path], folder: RemoteFolder) -> Iterator[str]:
    there = folder.names()
    for name in (events_path(stem).as_posix() for stem in stems):
        if name in there:
            yield (folder.read(name) or b"").decode("utf-8")
            folder.remove(name)
