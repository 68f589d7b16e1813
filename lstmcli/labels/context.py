"""The context of one read of labels: options, the media finder, the warning collector."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from lstmcli.core.errors import DataError
from lstmcli.core.media_files import IMAGE_SUFFIXES
from lstmcli.labels.clock import LabelRate, Times, nearest_frames
from lstmcli.labels.media_finder import MediaFinder
from lstmcli.labels.warning_collector import WarningCollector


def probe_size(path: Path) -> tuple[int, int]:
    """Return (height, width) as shown of a video or an image.

    Raises:
        MediaError: it cannot be read.
    """
    from lstmcli.video import image_size, probe

    if path.suffix.lower() in IMAGE_SUFFIXES:
        return image_size(path).shown_hw
    return probe(path).size_hw


@dataclass(slots=True)
class ReadContext:
    """The context of one read: options, the media finder and the warning collector.

    Args:
        finder: finds the media, for formats without sizes or rates.
        size_hw: the size that the person gave, for media that are not there.
        hold: whether a track that never ends is held to the end of the video.
        within: the folder to read, where the file that describes its labels lies above
            it: nothing else that is described there is read.
        annotator: whose boxes are taken where several people drew them; "": see the reader.
        label_rate: the frame rate that the labels count at, see `--label-rate`.
        warnings: what was left out or corrected.
    """

    finder: MediaFinder
    size_hw: tuple[int, int] | None = None
    hold: bool = False
    within: Path | None = None
    annotator: str = ""
    label_rate: LabelRate = None
    warnings: WarningCollector = field(default_factory=WarningCollector)
    times: dict[Path, Times] = field(default_factory=dict)

    def size_of(self, written: str, where: str, *, video: bool) -> tuple[int, int]:
        """Return (height, width) of a medium of which the labels hold only fractions.

        Raises:
            DataError: the medium is not found and no size was given.
        """
        path = self.finder.find(written, video=video)
        if path is None and self.size_hw is not None:
            return self.size_hw
        if path is None and video:
            path = self.finder.only_video()
        if path is None:
            raise DataError(
                f"{where}: the boxes are fractions of {written!r}, whose size is not known",
                hint="say where the media lie with --media DIR, or their size with --size W,H",
            )
        return probe_size(path)

    def times_of(self, written: str) -> Times | None:
        """Return the time of each frame of a video in seconds, None where it is not found.

        Raises:
            MediaError: it cannot be read.
        """
        path = self.finder.find(written, video=True) or self.finder.only_video()
        if path is None:
            return None
        if path not in self.times:
            from lstmcli.video import frame_times

            self.times[path] = frame_times(path)
        return self.times[path]

    def frame_at(self, written: str, seconds: float, where: str) -> int:
        """Return the frame of a video whose own time stamp is nearest.

        Raises:
            DataError: the video is not found, or the time lies after its end.
        """
        times = self.times_of(written)
        if times is None:
            raise DataError(
                f"{where}: the labels hold seconds of {written!r}, which is not found",
                hint="say where the video lies with --media DIR",
            )
        step = float(np.median(np.diff(times))) if len(times) > 1 else 1.0
        if seconds < 0 or seconds > times[-1] + max(1.0, 2 * step):
            raise DataError(
                f"{where}: {seconds:g} s of {written!r}, which ends at {times[-1]:.6g} s",
                hint="the labels belong to another video; --media names the right one",
            )
        return int(nearest_frames(times, seconds))
