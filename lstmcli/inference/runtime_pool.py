"""A network for each shape of pictures: none spends its time on the bars of a canvas."""

from __future__ import annotations

import threading
from collections.abc import Callable
from fractions import Fraction

from lstmcli.inference.runtime import Runtime

MOST_SHAPES = 4
"""More shapes than these share the canvas that the network was trained with."""

Size = tuple[int, int]


class RuntimePool:
    """Loads a network once for every shape of pictures, at the latest when the first one comes.

    Args:
        load: returns the network for pictures of (height, width), or the one for any pictures.
    """

    def __init__(self, load: Callable[[Size | None], Runtime]) -> None:
        self._load = load
        self._known: dict[Fraction | None, Runtime] = {}
        self._lock = threading.Lock()

    def of(self, picture_hw: Size | None) -> Runtime:
        """Return the network for pictures of (height, width); None: for any."""
        shape = Fraction(*picture_hw) if picture_hw is not None else None
        with self._lock:
            if shape not in self._known and len(self._known) >= MOST_SHAPES:
                shape, picture_hw = None, None
            if shape not in self._known:
                self._known[shape] = self._load(picture_hw)
            return self._known[shape]
