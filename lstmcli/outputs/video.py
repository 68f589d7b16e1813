"""The annotated video."""

from __future__ import annotations

from lstmcli.outputs.contract import AnnotatedFrame, OutputSpec
from lstmcli.video import VideoWriter


class VideoOutput:
    """An mp4 that browsers play, with boxes drawn, the source's times and its sound."""

    SUFFIX = ".annotated.mp4"

    def __init__(self, job: OutputSpec) -> None:
        self.path = job.path(self.SUFFIX)
        self._writer = VideoWriter(
            self.path,
            rate=job.rate,
            codec=job.codec,
            quality=job.quality,
            begins_s=job.begins_s,
            ends_s=job.ends_s,
            sound_from=job.sound_from,
            pixel_aspect=job.pixel_aspect,
            overwrite=job.overwrite,
        )
        self.notes = self._writer.notes
        self._size_hw = job.size_hw
        height, width = job.size_hw
        if height % 2 or width % 2:
            self.notes.append(
                f"{width}x{height} has odd sides, which H.264 does not take: the video is "
                f"{width + width % 2}x{height + height % 2}, its last row or column repeated"
            )
        self._is_fitting = False

    def write(self, annotated: AnnotatedFrame) -> None:
        """Add a frame."""
        frame, planes = annotated.frame, annotated.drawn
        if planes.size_hw != self._size_hw:  # only still images change their size
            planes = planes.fit(self._size_hw)
            if not self._is_fitting:
                self.notes.append("pictures of another size were fitted to the first one's")
            self._is_fitting = True
        self._writer.write(planes, frame.time_s, lasts_s=frame.lasts_s)

    def close(self) -> None:
        """Complete the video and join its sound."""
        self._writer.close()

    def abandon(self) -> None:
        """Leave a playable video up to the last frame."""
        self._writer.abandon()

    def sync(self) -> None:
        """Bring what was encoded so far to the disk."""
        self._writer.sync()
