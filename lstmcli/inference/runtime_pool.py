"""Pool of runtimes by aspect ratio, so that no canvas has bars."""

from __future__ import annotations

import threading
from collections.abc import Callable
from fractions import Fraction

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
