"""Index of the prepared frames by class."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from lstmcli.core.types import IntArray
from lstmcli.dataset.manifest import PreparedVideo


@dataclass(frozen=True, slots=True)
class ClassIndex:
    """The prepared frames of each class, for sampling classes and videos evenly."""

    classes: tuple[int, ...]
    videos: dict[int, tuple[int, ...]]
    positions: dict[tuple[int, int], IntArray]

    @classmethod
    def of(cls, videos: tuple[PreparedVideo, ...], classes: int) -> ClassIndex:
        """Return the index of some videos."""
        positions: dict[tuple[int, int], IntArray] = {}
        for v, video in enumerate(videos):
            labels = video.labels
            for label in range(classes):
                shown = labels.box_frames[(labels.labels == label) & ~labels.ignore]
                found = np.nonzero(np.isin(video.frames, shown))[0]
                if len(found):
                    positions[v, label] = found
        by_class = {
            label: tuple(v for v, other in positions if other == label) for label in range(classes)
        }
        present = tuple(label for label, found in by_class.items() if found)
        return cls(present, by_class, positions)

    def draw(self, rng: np.random.Generator, balance: bool) -> tuple[int, int, int]:
        """Return (video, position, class): classes and videos evenly, or frames evenly."""
        if balance:
            label = int(rng.choice(self.classes))
            video = int(rng.choice(self.videos[label]))
        else:
            keys = list(self.positions)
            sizes = np.array([len(self.positions[key]) for key in keys], float)
            video, label = keys[int(rng.choice(len(keys), p=sizes / sizes.sum()))]
        return video, int(rng.choice(self.positions[video, label])), label
