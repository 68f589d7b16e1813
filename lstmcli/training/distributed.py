"""The processes of a training: how many, on what device, how they stop and how they fail."""

from __future__ import annotations

import logging
import multiprocessing
import os
import signal
import threading
from collections.abc import Callable
from contextlib import suppress
from types import FrameType, TracebackType
from typing import Any, TypeVar

import torch
from lightning_fabric import Fabric
from lightning_fabric.strategies.ddp import DDPStrategy
from torch.multiprocessing.spawn import ProcessException

from lstmcli.core.errors import LstmcliError, TrainingError

T = TypeVar("T")


def build_fabric(*, device: str, devices: int, nodes: int, half: bool) -> Fabric:
    """Make what places tensors and joins processes.

    Args:
        device: `cpu`, `cuda` or `cuda:N`.
        devices: processes on this machine.
        nodes: machines.
        half: compute in bf16 where that is safe, keep weights in float32.
    """
    # it tells on stderr in what precision it computes
    logging.getLogger("lightning_fabric").setLevel(logging.WARNING)
    kind, _, number = device.partition(":")
    precision: Any = "bf16-mixed" if half else "32-true"
    if devices * nodes == 1:
        index: Any = [int(number)] if number else 1
        return Fabric(accelerator=kind, devices=index, precision=precision)
    strategy = DDPStrategy(
        start_method="fork" if nodes == 1 else "popen",
        process_group_backend="nccl" if kind == "cuda" else "gloo",
    )
    return Fabric(
        accelerator=kind, devices=devices, num_nodes=nodes, strategy=strategy, precision=precision
    )


def run_in_processes(fabric: Fabric, work: Callable[[Fabric], T]) -> T:
    """Call `work` in every process of the fabric and return what the first one returns.

    An expected failure in any of them comes out here as it went in; an interruption is handed on
    to all of them, and `work` ends as it sees fit (see `Interruption`).

    Raises:
        TrainingError: a process ended without a word.
    """
    if not isinstance(fabric.strategy, DDPStrategy):
        return work(fabric)
    if fabric.strategy.num_nodes > 1:
        result: T = fabric.launch(work)  # every process is a command of its own
        return result
    # it tells on stderr whom it ends when one fails
    logging.getLogger("torch.multiprocessing.spawn").setLevel(logging.ERROR)
    failures = multiprocessing.get_context("fork").SimpleQueue()

    def guarded(fabric: Fabric) -> _Result:
        with suppress(OSError):
            os.setpgid(0, 0)  # an interruption reaches the first process alone, which hands it on
        signal.signal(signal.SIGTTOU, signal.SIG_IGN)  # and may still write to the terminal
        try:
            value = work(fabric)
        except LstmcliError as error:
            failures.put((type(error), error.problem, error.hint))
            raise
        torch.distributed.destroy_process_group()
        return _Result(value)

    def hand_on(number: int, frame: FrameType | None) -> None:
        for child in multiprocessing.active_children():
            if child.pid is not None:
                os.kill(child.pid, signal.SIGINT)

    with _HandlingInterrupts(hand_on):
        try:
            result = fabric.launch(guarded).value
        except ProcessException as error:
            if not failures.empty():
                kind, problem, hint = failures.get()
                raise kind(problem, hint=hint) from None
            raise TrainingError(
                f"a training process ended: {str(error).strip().splitlines()[-1]}",
                hint="a killed process usually had too little memory: lower train.batch_size",
            ) from error
    return result


class _Result:
    """Travels from process to process whole: Fabric would take a dataclass apart."""

    def __init__(self, value: Any) -> None:
        self.value = value


class _HandlingInterrupts:
    def __init__(self, handler: Callable[[int, FrameType | None], None]) -> None:
        self._handler = handler
        self._before: Any = None

    def __enter__(self) -> None:
        if threading.current_thread() is threading.main_thread():
            self._before = signal.signal(signal.SIGINT, self._handler)

    def __exit__(self, *_: object) -> None:
        if self._before is not None:
            signal.signal(signal.SIGINT, self._before)


class Interruption:
    """Lets Ctrl-C end a training between two steps, where everything fits together.

    The first one sets `requested`; a second one raises KeyboardInterrupt at once.
    """

    def __init__(self) -> None:
        self.requested = False
        self._handling = _HandlingInterrupts(self._ask)

    def _ask(self, number: int, frame: FrameType | None) -> None:
        if self.requested:
            raise KeyboardInterrupt
        self.requested = True

    def __enter__(self) -> Interruption:
        """Listen."""
        self._handling.__enter__()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Leave Ctrl-C to whoever had it."""
        self._handling.__exit__(kind, error, trace)


def quiet_worker(worker: int) -> None:
    """Begin a process that loads batches: one thread, and deaf to Ctrl-C, its parent hears it."""
    torch.set_num_threads(1)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
