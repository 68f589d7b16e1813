"""Events as they happen: lines crossed, zones entered, tracks that appear and disappear.

An event is one JSON object. It is appended to a log file, or delivered to a webhook or an MQTT
broker by a thread of its own: detection never waits for a receiver.
"""

from __future__ import annotations

import contextlib
import json
import os
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import IO, Any, Protocol
from urllib.parse import urlsplit

from lstmcli.core.errors import ConfigError, output_exists, write_failure
from lstmcli.core.files import open_partial, partial_path, publish_file
from lstmcli.outputs.contract import make_folder
from lstmcli.outputs.event_delivery import EventQueue, webhook_delivery
from lstmcli.outputs.mqtt import mqtt_topic

Event = Mapping[str, Any]
Say = Callable[[str], None]


class EventSink(Protocol):
    """Takes the events of all videos of a run; several threads may write at once."""

    def write(self, event: Event) -> None:
        """Add an event."""

    def close(self) -> list[str]:
        """Deliver what waits, for a few seconds at most; return what the user should know."""


class EventLog:
    """A file of JSON lines that grows as events happen, each line whole.

    A log that is replaced stays until the first event, or until the end without any.

    Args:
        path: of the log.
        append: continue a log that exists.
        overwrite: replace a log that exists.

    Raises:
        OutputError: it exists, or cannot be written.
    """

    def __init__(self, path: Path, *, append: bool = False, overwrite: bool = False) -> None:
        if path.is_file() and not (append or overwrite):
            raise output_exists(path)
        make_folder(path.parent)
        self.path, self._lock = path, threading.Lock()
        self._is_partial = path.is_file() and overwrite
        try:
            if self._is_partial:
                self._file: IO[str] = open_partial(path)
            else:
                mode = "a" if append else "w"
                self._file = path.open(mode, encoding="utf-8", newline="\n", buffering=1)
        except OSError as error:
            raise write_failure(path, error) from None

    def write(self, event: Event) -> None:
        """Append an event."""
        try:
            with self._lock:
                self._file.write(json_line(event) + "\n")
                self._replace_older()
        except OSError as error:
            raise write_failure(self.path, error) from None

    def close(self) -> list[str]:
        """Bring the log to the disk."""
        try:
            with contextlib.suppress(OSError):  # a pipe or a terminal cannot be synchronised
                os.fsync(self._file.fileno())
            self._replace_older()
            self._file.close()
        except OSError as error:
            raise write_failure(self.path, error) from None
        return []

    def _replace_older(self) -> None:
        if self._is_partial:
            publish_file(partial_path(self.path), self.path, overwrite=True)
            self._is_partial = False


def json_line(event: Event) -> str:
    """Return an event as one line of JSON."""
    return json.dumps(event, ensure_ascii=False, allow_nan=False)


def _webhook(address: str, say: Say) -> EventSink:
    return EventQueue(webhook_delivery(address), address, say)


def _mqtt(address: str, say: Say) -> EventSink:
    topic = mqtt_topic(address)
    return EventQueue(topic.deliver, address, say, hang_up=topic.hang_up)


EVENT_RECEIVERS: Mapping[str, Callable[[str, Say], EventSink]] = {
    "http": _webhook,
    "https": _webhook,
    "mqtt": _mqtt,
    "mqtts": _mqtt,
}
"""What the scheme of an `--events` address means; what has none of these is a file."""


def open_event_sink(
    place: str, *, append: bool = False, overwrite: bool = False, say: Say
) -> EventSink:
    """Return what takes the events of a run.

    Args:
        place: a file, or the address of a webhook or an MQTT topic.
        append: continue a file that exists.
        overwrite: replace a file that exists.
        say: is given one line when a receiver fails first.

    Raises:
        ConfigError: the address cannot be used.
        OutputError: the file exists, or cannot be written.
    """
    scheme = urlsplit(place).scheme.lower() if "://" in place else ""
    if not scheme:
        return EventLog(Path(place), append=append, overwrite=overwrite)
    if scheme not in EVENT_RECEIVERS:
        raise ConfigError(
            f"--events {place}: there is no receiver for {scheme}://",
            hint=f"use a file, or one of: {', '.join(f'{name}://' for name in EVENT_RECEIVERS)}",
        )
    return EVENT_RECEIVERS[scheme](place, say)
