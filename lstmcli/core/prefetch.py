"""Lets an iterator work ahead in a thread, a few items at the most; order never changes."""

from __future__ import annotations

import queue
import threading
from collections.abc import Iterable, Iterator
from typing import Generic, TypeVar

T = TypeVar("T")


class _End:
    """The last thing in the queue: the iterator is done, or it failed."""

    def __init__(self, error: BaseException | None = None) -> None:
        self.error = error


class _Worker(Generic[T]):
    def __init__(self, items: Iterable[T], depth: int) -> None:
        self.items = items
        self.queue: queue.Queue[T | _End] = queue.Queue(maxsize=depth)
        self.stopped = threading.Event()
        self.thread = threading.Thread(target=self._run, daemon=True)

    def _run(self) -> None:
        end = _End()
        iterator = iter(self.items)
        try:
            for item in iterator:
                if not self._put(item):
                    break
        except BaseException as error:
            end = _End(error)
        finally:
            close = getattr(iterator, "close", None)
            if close is not None:
                close()
            self._put(end)

    def _put(self, item: T | _End) -> bool:
        while not self.stopped.is_set():
            try:
                self.queue.put(item, timeout=0.1)
                return True
            except queue.Full:
                continue
        return False


def prefetch(items: Iterable[T], *, depth: int = 4) -> Iterator[T]:
    """Yield the items of an iterable that runs in a thread of its own.

    An error of the iterable comes out here, with its own traceback. Leaving the loop early closes
    a generator in its thread.

    Args:
        items: a generator, usually; only the thread touches it from now on.
        depth: how many items may wait.
    """
    worker = _Worker(items, depth)
    worker.thread.start()
    try:
        while True:
            item = worker.queue.get()
            if isinstance(item, _End):
                if item.error is not None:
                    raise item.error
                return
            yield item
    finally:
        worker.stopped.set()
        # the garbage collector may close this generator in any thread, also in the worker itself
        if threading.current_thread() is not worker.thread:
            worker.thread.join()
