"""Delivers events to a receiver from a bounded queue; webhooks."""

from __future__ import annotations

import base64
import contextlib
import json
import queue
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import unquote, urlsplit, urlunsplit

from lstmcli.core.errors import ConfigError

QUEUE_SIZE = 1000
"""Events that may wait; later ones are dropped and counted, so that memory stays flat."""
CLOSE_S = 10.0
"""At the end of a run, waiting events are delivered for this long at most."""
TIMEOUT_S = 5.0
PAUSES_S = (0.5, 2.0)
"""Before the second and third attempt at an event."""

Deliver = Callable[[bytes], None]


class DeliveryError(Exception):
    """A receiver did not take an event.

    Args:
        reason: in a few words.
        is_final: whether another attempt makes no sense.
    """

    def __init__(self, reason: str, *, is_final: bool = False) -> None:
        super().__init__(reason)
        self.reason, self.is_final = reason, is_final


class EventQueue:
    """Delivers events in order from a thread of its own; an `EventSink`.

    While a receiver is down, each event gets one attempt only.

    Args:
        deliver: sends one JSON object, or raises DeliveryError.
        address: of the receiver; a password in it is never shown.
        say: is given one line at the first failure.
        hang_up: ends the connection after the last event.
    """

    def __init__(
        self,
        deliver: Deliver,
        address: str,
        say: Callable[[str], None],
        *,
        hang_up: Callable[[], None] | None = None,
    ) -> None:
        self._deliver, self._address, self._say = deliver, without_password(address), say
        self._hang_up = hang_up
        self._queue: queue.Queue[bytes | None] = queue.Queue(QUEUE_SIZE)
        self._lock = threading.Lock()
        self._total = self._delivered = 0
        self._problem = ""
        self._is_down = False
        self._closing, self._given_up = threading.Event(), threading.Event()
        self._thread = threading.Thread(target=self._run, name="events", daemon=True)
        self._thread.start()

    def write(self, event: Mapping[str, Any]) -> None:
        """Put an event into the queue; it is dropped and counted where the queue is full."""
        data = json.dumps(event, ensure_ascii=False, allow_nan=False).encode("utf-8")
        with self._lock:
            self._total += 1
        try:
            self._queue.put_nowait(data)
        except queue.Full:
            self._fail("more events than the receiver takes")

    def close(self) -> list[str]:
        """Deliver what waits; return a sentence where events were lost."""
        ends = time.monotonic() + CLOSE_S
        self._closing.set()
        try:
            self._queue.put(None, timeout=CLOSE_S)
            self._thread.join(max(0.0, ends - time.monotonic()))
        except queue.Full:
            pass
        if self._thread.is_alive():
            self._give_up()
        lost = self._total - self._delivered
        if not lost:
            return []
        problem = self._problem or f"not taken within {CLOSE_S:g} s"
        return [f"{lost} of {self._total} events were not delivered to {self._address}: {problem}"]

    def _give_up(self) -> None:
        """Let the thread end after the attempt that it is at, so that no connection stays open."""
        self._given_up.set()
        with contextlib.suppress(queue.Empty):
            while True:
                self._queue.get_nowait()
        self._queue.put(None)

    def _run(self) -> None:
        while (data := self._queue.get()) is not None and not self._given_up.is_set():
            try:
                self._attempt(data)
                self._delivered += 1
                self._is_down = False
            except DeliveryError as error:
                self._is_down = True
                self._fail(error.reason)
        if self._hang_up is not None:
            self._hang_up()

    def _attempt(self, data: bytes) -> None:
        pauses_s = () if self._is_down else PAUSES_S
        for pause_s in pauses_s:
            if self._given_up.is_set():
                break
            try:
                return self._deliver(data)
            except DeliveryError as error:
                if error.is_final:
                    raise
                self._closing.wait(pause_s)
        return self._deliver(data)

    def _fail(self, problem: str) -> None:
        with self._lock:
            is_first, self._problem = not self._problem, problem
        if is_first:
            self._say(f"events are not delivered to {self._address}: {problem}")


def webhook_delivery(address: str) -> Deliver:
    """Return what posts an event as JSON; 429 and server errors are tried again.

    Raises:
        ConfigError: the address names no host.
    """
    parts = urlsplit(address)
    if not parts.hostname:
        raise ConfigError(f"--events {address}: no host", hint="write http://host:port/path")
    headers = {"Content-Type": "application/json", "User-Agent": "lstmcli"}
    if parts.username is not None:
        user = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
        headers["Authorization"] = "Basic " + base64.b64encode(user.encode()).decode("ascii")
    bare = urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2]))

    def deliver(data: bytes) -> None:
        request = urllib.request.Request(bare, data=data, headers=headers, method="POST")
        try:
            with urllib.request.urlopen(request, timeout=TIMEOUT_S):
                pass
        except urllib.error.HTTPError as error:
            final = error.code < 500 and error.code not in (408, 429)
            raise DeliveryError(f"HTTP {error.code}", is_final=final) from None
        except (OSError, ValueError) as error:
            raise DeliveryError(reason_of(error)) from None
        except Exception as error:  # http.client's own, for answers that are no HTTP
            raise DeliveryError(f"no HTTP ({type(error).__name__})") from None

    return deliver


def without_password(address: str) -> str:
    """Return an address without user and password."""
    parts = urlsplit(address)
    return urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2]))


def reason_of(error: Exception) -> str:
    """Return why a connection failed, in a few words."""
    inner = getattr(error, "reason", error)
    return getattr(inner, "strerror", None) or str(inner) or type(error).__name__
