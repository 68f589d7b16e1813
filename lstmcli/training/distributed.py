"""Processes of a training: launch, device, interruption and failure."""

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
from lstmcli.training.launch import Launch

T = TypeVar("T")


def build_fabric(*, device: str, launch: Launch, half: bool) -> Fabric:
    """Build the Fabric that places tensors and communicates between processes.

    Args:
        device: `cpu`, `cuda` or `cuda:N`.
        launch: of this process.
        half: compute in bf16 where that is safe, keep weights in float32.
    """
    # it logs the precision to stderr
    logging.getLogger("lightning_fabric").setLevel(logging.WARNING)
    device_type, _, number = device.partition(":")
    precision: Any = "bf16-mixed" if half else "32-true"
    devices, nodes = launch.devices, launch.nodes
    if devices * nodes == 1:
        index: Any = [int(number)] if number else 1
        return Fabric(accelerator=device_type, devices=index, precision=precision)
    strategy = DDPStrategy(
        start_method="fork" if launch.is_alone else "popen",
        process_group_backend="nccl" if device_type == "cuda" else "gloo",
    )
    return Fabric(
        accelerator=device_type,
        devices=devices,
        num_nodes=nodes,
        strategy=strategy,
        precision=precision,
    )


def run_in_processes(fabric: Fabric, launch: Launch, work: Callable[[Fabric], T]) -> T:
    """Call `work` in every process of the fabric; return the result of the first one.

    An expected failure in any process is raised here; an interruption is forwarded to all of them,
    and `work` ends at its next step (see `Interruption`).

    Raises:
        TrainingError: a process ended without an error, or one that loads data was killed.
    """
    work = _with_loader_errors(work)
    if not isinstance(fabric.strategy, DDPStrategy):
        return work(fabric)
    if not launch.is_alone:
        return _run_among_others(fabric, work)
    # it logs terminated processes to stderr
    logging.getLogger("torch.multiprocessing.spawn").setLevel(logging.ERROR)
    failures = multiprocessing.get_context("fork").SimpleQueue()

    def guarded(fabric: Fabric) -> _Result:
        with suppress(OSError):
            os.setpgid(0, 0)  # an interruption reaches the first process alone, which forwards it
        signal.signal(signal.SIGTTOU, signal.SIG_IGN)  # and may still write to the terminal
        try:
            value = work(fabric)
        except LstmcliError as error:
            failures.put((type(error), error.problem, error.hint))
            raise
        torch.distributed.destroy_process_group()
        return _Result(value)

    def forward_interrupt(number: int, frame: FrameType | None) -> None:
        for child in multiprocessing.active_children():
            if child.pid is not None:
                os.kill(child.pid, signal.SIGINT)

    with _HandlingInterrupts(forward_interrupt):
        try:
            result: T = fabric.launch(guarded).value
        except ProcessException as error:
            if not failures.empty():
                error_type, problem, hint = failures.get()
                raise error_type(problem, hint=hint) from None
            raise TrainingError(
                f"a training process ended: {str(error).strip().splitlines()[-1]}",
                hint="a killed process usually had too little memory: lower train.batch_size",
            ) from error
    return result


def _with_loader_errors(work: Callable[[Fabric], T]) -> Callable[[Fabric], T]:
    """Return `work` that raises TrainingError where a process of a DataLoader was killed."""

    def explained(fabric: Fabric) -> T:
        try:
            return work(fabric)
        except RuntimeError as error:
            if "DataLoader worker" not in str(error):
                raise
            raise TrainingError(
                f"a process that loads data ended: {str(error).strip().splitlines()[0]}",
                hint="it usually had too little memory: lower train.num_workers or "
                "train.batch_size; `train --resume` continues from the last checkpoint",
            ) from error

    return explained


def _run_among_others(fabric: Fabric, work: Callable[[Fabric], T]) -> T:
    """Call `work` in a process that is a command of its own.

    Raises:
        TrainingError: another process is gone.
    """
    result: T
    try:
        result = fabric.launch(work)
    except RuntimeError as error:
        sign = next((sign for sign in _PEER_IS_GONE if sign in str(error)), "")
        if sign or isinstance(error, torch.distributed.DistError):
            reason = sign or str(error).strip().splitlines()[0][:100]
            raise TrainingError(
                f"another process of this training is gone ({reason})",
                hint="see what it printed; `train --resume` continues from the last checkpoint",
            ) from error
        raise
    torch.distributed.destroy_process_group()
    return result


_PEER_IS_GONE = ("closed by peer", "reset by peer", "Broken pipe", "Timed out", "refused")
"""What gloo and NCCL say of a process that ended."""


class _Result:
    """Result of a process as one object: Fabric would convert a dataclass field by field."""

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
    """Lets Ctrl-C end a training between two steps, where all state is consistent.

    The first one sets `requested`; a second one raises KeyboardInterrupt at once.
    """

    def __init__(self) -> None:
        self.requested = False
        self._handling = _HandlingInterrupts(self._request)

    def _request(self, number: int, frame: FrameType | None) -> None:
        if self.requested:
            raise KeyboardInterrupt
        self.requested = True

    def __enter__(self) -> Interruption:
        """Install the handler."""
        self._handling.__enter__()
        return self

    def __exit__(
        self,
        error_type: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Restore the previous handler."""
        self._handling.__exit__(error_type, error, trace)


def quiet_worker(worker: int) -> None:
    """Initialise a loader process: one thread, Ctrl-C is left to the parent."""
    torch.set_num_threads(1)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
