"""Micro-batching: steps of several streams run as one batch on a CUDA device.

Each stream has its own thread and state. The first thread with a request waits a moment for the
others and runs all pending requests as one batch; no thread waits for an idle stream.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from lstmcli.core.types import Picture
from lstmcli.inference.runtime import BatchableRuntime, Runtime, Step

WAIT_S = 0.004
"""Seconds that the first request waits for others: far less than a camera's frame."""


@dataclass(slots=True, eq=False)
class _Request:
    frame: Picture
    previous_frame: Picture
    state: Any
    output: Step | None = None
    error: BaseException | None = None

    @property
    def is_done(self) -> bool:
        return self.output is not None or self.error is not None


class MicroBatcher:
    """One runtime for several threads, each with its own stream.

    It is a `Runtime`: `step` may be called by many threads at once.

    Args:
        runtime: its steps are batched.
        streams: largest batch.
    """

    def __init__(self, runtime: BatchableRuntime, streams: int) -> None:
        self.metadata, self.engine, self.device = runtime.metadata, runtime.engine, runtime.device
        self._runtime, self._streams = runtime, streams
        self._ready = threading.Condition()
        self._waiting: list[_Request] = []
        self._has_leader = False

    def step(self, frame: Picture, previous_frame: Picture, state: Any) -> Step:
        """Return the runtime's step for this stream's frame."""
        request = _Request(frame, previous_frame, state)
        with self._ready:
            self._waiting.append(request)
            self._ready.notify_all()
        # With more requests than a batch holds, the leader may not be in the first batch.
        while not request.is_done:
            batch = self._take_batch(request)
            if batch:
                self._run(batch)
        if request.error is not None:
            raise request.error
        assert request.output is not None
        return request.output

    def _take_batch(self, request: _Request) -> list[_Request]:
        """Wait for the result or for leadership; return the batch to run, empty with a result."""
        with self._ready:
            self._ready.wait_for(lambda: request.is_done or not self._has_leader)
            if request.is_done:
                return []
            self._has_leader = True
            self._ready.wait_for(lambda: len(self._waiting) >= self._streams, timeout=WAIT_S)
            batch = self._waiting[: self._streams]  # the oldest first
            del self._waiting[: self._streams]
            return batch

    def _run(self, batch: Sequence[_Request]) -> None:
        try:
            outputs = self._runtime.step_many(
                [one.frame for one in batch],
                [one.previous_frame for one in batch],
                [one.state for one in batch],
            )
            for one, output in zip(batch, outputs, strict=True):
                one.output = output
        except BaseException as error:
            for one in batch:
                one.error = error
        finally:
            with self._ready:
                self._has_leader = False
                self._ready.notify_all()


def micro_batch(runtime: Runtime, streams: int) -> Runtime:
    """Return a runtime that batches the steps of several threads, or the same if it cannot.

    Args:
        runtime: of any engine.
        streams: number of concurrent threads.
    """
    # On a CPU a batch takes as long as its frames one after the other.
    if streams < 2 or not runtime.device.startswith("cuda"):
        return runtime
    return MicroBatcher(runtime, streams) if isinstance(runtime, BatchableRuntime) else runtime
