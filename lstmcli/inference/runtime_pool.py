"""Pool of runtimes by aspect ratio, so that no canvas has bars."""

from __future__ import annotations

import threading
from collections.abc import Callable
from fractions import Fraction
from functools import partial

from lstmcli.core.progress import Progress
from lstmcli.inference.batching import micro_batch
from lstmcli.inference.loading import check_model, load_runtime
from lstmcli.inference.runtime import Runtime

MAX_SHAPES = 4
"""Further aspect ratios share the canvas of the training."""

Size = tuple[int, int]


class RuntimePool:
    """Loads one network for every aspect ratio, lazily.

    Args:
        load: returns the network for pictures of (height, width), None for any pictures.
    """

    def __init__(self, load: Callable[[Size | None], Runtime]) -> None:
        self._load = load
        self._known: dict[Fraction | None, Runtime] = {}
        self._lock = threading.Lock()

    def of(self, picture_hw: Size | None) -> Runtime:
        """Return the network for pictures of (height, width), None for any."""
        shape = Fraction(*picture_hw) if picture_hw is not None else None
        with self._lock:
            if shape not in self._known and len(self._known) >= MAX_SHAPES:
                shape, picture_hw = None, None
            if shape not in self._known:
                self._known[shape] = self._load(picture_hw)
            return self._known[shape]


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

    Raises:
        ModelError: there is no such model.
    """
    check_model(model)
    load = partial(
        load_runtime,
        model,
        device=device,
        engine=engine,
        leave_core_free=True,
        note=progress.note,
    )
    return RuntimePool(lambda shape: micro_batch(load(picture_hw=shape), streams))
