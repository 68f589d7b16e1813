"""The runtimes of a model, shared by all streams of a process."""

from __future__ import annotations

from functools import partial

from lstmcli.core.progress import Progress
from lstmcli.inference.batching import micro_batch
from lstmcli.inference.loading import load_runtime
from lstmcli.inference.runtime_pool import RuntimePool


def open_runtimes(
    model: str, *, device: str, engine: str, streams: int, progress: Progress
) -> RuntimePool:
    """Return a pool that loads a runtime for each shape of pictures when it is needed first.

    Args:
        model: a checkpoint, a run folder, an exported, shipped or foreign model.
        device: `auto`, `cpu`, `cuda` or `cuda:N`.
        engine: `auto` or a name of `RUNTIMES`.
        streams: that step at once at most; on a CUDA device their steps are batched.
        progress: is given notes on what was chosen.
    """
    load = partial(
        load_runtime,
        model,
        device=device,
        engine=engine,
        leave_core_free=True,
        note=progress.note,
    )
    return RuntimePool(lambda shape: micro_batch(load(picture_hw=shape), streams))
