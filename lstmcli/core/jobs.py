"""Runs several independent pieces of work at the same time under one progress view."""

from __future__ import annotations

import os
import queue
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, Protocol, TypeVar

from lstmcli.core.progress import Progress

T = TypeVar("T")
Item = TypeVar("Item")


class ProgressCallback(Protocol):
    """`Progress.track` for one of several parallel tasks."""

    def __call__(
        self, items: Iterable[Item], *, total: int | None = None, label: str = ""
    ) -> Iterator[Item]:
        """Yield the items, counting progress."""


def run_jobs(
    tasks: Sequence[Callable[[ProgressCallback], T]],
    *,
    jobs: int,
    progress: Progress,
    total: int | None,
    label: str,
    stop: threading.Event,
) -> list[T]:
    """Return what the tasks return, in their order.

    Args:
        tasks: each passes its items through the `ProgressCallback` it is given.
        jobs: threads.
        progress: counts the items of all of them in one row.
        total: items of all tasks, None where unknown.
        label: of the row.
        stop: set when this thread is interrupted; the tasks check it.

    Raises:
        BaseException: what a task raised, or the interruption, when all of them have ended.
    """
    ticks: queue.SimpleQueue[bool] = queue.SimpleQueue()

    def count(
        items: Iterable[Item], *, total: int | None = None, label: str = ""
    ) -> Iterator[Item]:
        for item in items:
            yield item
            ticks.put(True)

    def ended(future: Future[Any]) -> None:
        ticks.put(False)

    def items_of_all(left: int) -> Iterator[bool]:
        while left:
            if ticks.get():
                yield True
            else:
                left -= 1

    with ThreadPoolExecutor(jobs) as pool:
        futures = [pool.submit(task, count) for task in tasks]
        for future in futures:
            future.add_done_callback(ended)
        try:
            for _ in progress.track(items_of_all(len(futures)), total=total, label=label):
                pass
        except BaseException:
            stop.set()
            for future in futures:
                future.cancel()
            raise
        return [future.result() for future in futures]


def thread_count() -> int:
    """Return how many threads this process may use: OMP_NUM_THREADS, or the cores given to us."""
    wanted = os.environ.get("OMP_NUM_THREADS", "")
    if wanted.isdigit() and int(wanted) > 0:
        return int(wanted)
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
