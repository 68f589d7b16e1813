"""Takes the steps of several streams together, where a device would idle with one at a time.

Each stream has a thread and a state of its own. Whoever asks first waits a moment for the others,
takes all that asked and runs them as one batch; nobody waits for a stream that has nothing to ask.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from lstmcli.core.types import Picture
from lstmcli.inference.runtime import BatchableRuntime, Runtime, Step

WAIT_S = 0.004
"""So long the first one waits for the others: less than a frame of a camera, by far."""


@dataclass(slots=True, eq=False)
class _Asked:
    frame: Picture
    previous_frame: Picture
    state: Any
    answer: Step | None = None
    error: BaseException | None = None

    @property
    def is_done(self) -> bool:
        return self.answer is not None or self.error is not None


class MicroBatcher:
    """One runtime for several threads, each of which follows streams of its own.

    It is a `Runtime`: `step` may be called by many threads at once.

    Args:
        runtime: whose steps are joined.
        streams: how many at the most.
    """

    def __init__(self, runtime: BatchableRuntime, streams: int) -> None:
        self.metadata, self.engine, self.device = runtime.metadata, runtime.engine, runtime.device
        self._runtime, self._streams = runtime, streams
        self._ready = threading.Condition()
        self._waiting: list[_Asked] = []
        self._is_led = False

    def step(self, frame: Picture, previous_frame: Picture, state: Any) -> Step:
        """Return what the runtime does for this stream's frame."""
        asked = _Asked(frame, previous_frame, state)
        with self._ready:
            self._waiting.append(asked)
            self._ready.notify_all()
        # Where more wait than a batch has room, who leads may not be of the first batch.
        while not asked.is_done:
            batch = self._lead(asked)
            if batch:
                self._run(batch)
        if asked.error is not None:
            raise asked.error
        assert asked.answer is not None
        return asked.answer

    def _lead(self, asked: _Asked) -> list[_Asked]:
        """Wait until somebody has answered, or until this thread may; return whom it answers."""
        with self._ready:
            self._ready.wait_for(lambda: asked.is_done or not self._is_led)
            if asked.is_done:
                return []
            self._is_led = True
            self._ready.wait_for(lambda: len(self._waiting) >= self._streams, timeout=WAIT_S)
            batch = self._waiting[: self._streams]  # the oldest first
            del self._waiting[: self._streams]
            return batch

    def _run(self, batch: Sequence[_Asked]) -> None:
        try:
            answers = self._runtime.step_many(
                [one.frame for one in batch],
                [one.previous_frame for one in batch],
                [one.state for one in batch],
            )
            for one, answer in zip(batch, answers, strict=True):
                one.answer = answer
        except BaseException as error:
            for one in batch:
                one.error = error
        finally:
            with self._ready:
                self._is_led = False
                self._ready.notify_all()


def micro_batch(runtime: Runtime, streams: int) -> Runtime:
    """Return a runtime for so many threads that batches their steps, or the same where it cannot.

    Args:
        runtime: of any engine.
        streams: threads that step at once.
    """
    # On a CPU a batch takes as long as its frames one after the other.
    if streams < 2 or not runtime.device.startswith("cuda"):
        return runtime
    return MicroBatcher(runtime, streams) if isinstance(runtime, BatchableRuntime) else runtime
