"""Runs tasks on a Ray cluster; the only module that knows Ray."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from lstmcli.core.errors import ConfigError, LstmcliError
from lstmcli.core.progress import Progress
from lstmcli.workflows.detect.options import VideoFailed
from lstmcli.workflows.distribute.options import ClusterOptions
from lstmcli.workflows.distribute.tasks import Result, VideoTask, run_task

POLL_S = 0.5
REPORT_S = 1.0
"""A task reports its frames this often at most."""


class _Board:
    """Knows how many frames of each task are done; an actor of the cluster."""

    def __init__(self) -> None:
        self._done: dict[int, int] = {}

    def set(self, key: int, frames: int) -> None:
        self._done[key] = frames  # a task that begins anew begins at 0

    def total(self) -> int:
        return sum(self._done.values())


def run_on_ray(
    tasks: Sequence[VideoTask], cluster: ClusterOptions, jobs: int, progress: Progress
) -> list[Result]:
    """Return the results of tasks, in their order.

    A worker that dies loses its task only, which is begun anew elsewhere.

    Args:
        tasks: that do not depend on each other.
        cluster: where they run, and what each gets.
        jobs: cores of a cluster that is started here; 1: those of this machine.
        progress: shows the frames of all tasks in one row.

    Raises:
        ConfigError: Ray is not installed, or the cluster cannot be reached or is too small.
    """
    ray = _connect(cluster, jobs)
    _check_resources(ray, cluster)
    board = ray.remote(num_cpus=0)(_Board).remote()
    remote = ray.remote(num_cpus=cluster.cores, num_gpus=cluster.gpus, max_retries=cluster.retries)(
        _work
    )
    places = {remote.remote(task, key, board): key for key, task in enumerate(tasks)}
    results: dict[int, Result] = {}
    known = [task.frames for task in tasks]
    total = sum(n for n in known if n is not None) if None not in known else None
    try:
        ticks = _frames(ray, board, places, tasks, results)
        for _ in progress.track(ticks, total=total, label=f"{len(tasks)} tasks"):
            pass
    except BaseException:
        # The cluster ends the tasks of a driver that leaves it. ray.cancel(force=True) did so, too,
        # but where a task ended at that moment, Ray 2.60 aborted this process with its stack.
        ray.shutdown()
        raise
    if cluster.address is None:
        ray.shutdown()
    return [results[key] for key in range(len(tasks))]


def _work(task: VideoTask, key: int, board: Any) -> Result:
    """Run a task in a worker process."""
    reported = time.monotonic()
    board.set.remote(key, 0)

    def count(frames: int) -> None:
        nonlocal reported
        if time.monotonic() - reported >= REPORT_S:
            reported = time.monotonic()
            board.set.remote(key, frames)

    result = run_task(task, count)
    if not isinstance(result, VideoFailed):
        board.set.remote(key, result.frames)
    return result


def _frames(
    ray: Any,
    board: Any,
    places: dict[Any, int],
    tasks: Sequence[VideoTask],
    results: dict[int, Result],
) -> Iterator[None]:
    """Yield once for every frame that is done anywhere, until all tasks are."""
    waiting, seen = list(places), 0
    while waiting:
        ready, waiting = ray.wait(waiting, timeout=POLL_S)
        for place in ready:
            key = places[place]
            results[key] = _result(ray, place, tasks[key])
        done = ray.get(board.total.remote())
        yield from (None for _ in range(seen, done))
        seen = max(seen, done)


def _result(ray: Any, place: Any, task: VideoTask) -> Result:
    try:
        result: Result = ray.get(place)
        return result
    except (ray.exceptions.WorkerCrashedError, ray.exceptions.NodeDiedError):
        problem, hint = "its worker died every time", "see the logs of Ray; is there enough memory?"
    except ray.exceptions.OutOfMemoryError:
        problem, hint = "out of memory", "give tasks more --task-cores, so that fewer run at once"
    except ray.exceptions.RayError as error:
        problem, hint = str(error).strip().splitlines()[-1], "see the logs of Ray"
    return VideoFailed(task.source.name, problem, hint)


def _connect(cluster: ClusterOptions, jobs: int) -> Any:
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    os.environ.setdefault("RAY_raylet_start_wait_time_s", "120")  # 30 are few on a busy machine
    try:
        import ray
    except ImportError:
        raise ConfigError("Ray is not installed here", hint="pip install 'lstmcli[ray]'") from None
    start: Callable[..., Any] = ray.init
    own: dict[str, Any] = {}
    if cluster.address is None:  # tasks pass files, not objects
        own = {"object_store_memory": 100 << 20} | ({"num_cpus": jobs} if jobs > 1 else {})
    try:
        start(
            address=cluster.address or "local",
            log_to_driver=False,
            logging_level=logging.ERROR,
            include_dashboard=False if cluster.address is None else None,
            ignore_reinit_error=True,
            **own,
        )
    except LstmcliError:
        raise
    except Exception as error:
        first = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise ConfigError(
            f"no Ray cluster at {cluster.address or 'this machine'}: {first[:200]}",
            hint="`ray start --head` starts one; --address is its HOST:PORT",
        ) from None
    return ray


def _check_resources(ray: Any, cluster: ClusterOptions) -> None:
    has = ray.cluster_resources()
    for name, wanted in (("CPU", cluster.cores), ("GPU", cluster.gpus)):
        if wanted > has.get(name, 0):
            raise ConfigError(
                f"a task of {wanted:g} {name}s; the cluster has {has.get(name, 0):g}",
                hint="lower --task-cores or --task-gpus",
            )
