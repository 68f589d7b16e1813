"""Count events as CSV: one row a crossing of a line or of a zone's border."""

from __future__ import annotations

from lstmcli.outputs.contract import OutputSpec
from lstmcli.outputs.records import LinesFile, csv_line

SUFFIX = ".counts.csv"
HEADER = ("video", "name", "direction", "class", "track_id", "frame", "time")


class CountsFile:
    """The table of events of one video.

    Args:
        job: of the video.
    """

    def __init__(self, job: OutputSpec) -> None:
        self._job = job
        self.path = job.path(SUFFIX)
        self._file = LinesFile(self.path, overwrite=job.overwrite)
        self._file.write(csv_line(HEADER))

    def write(
        self, name: str, direction: str, label: int, track_id: int, frame: int, time_s: float
    ) -> None:
        """Add an event."""
        job = self._job
        row = (job.video, name, direction, job.classes[label], track_id, frame, round(time_s, 6))
        self._file.write(csv_line(row))

    def close(self) -> None:
        """Complete the table."""
        self._file.close()

    def abandon(self) -> None:
        """Leave the rows so far."""
        self._file.abandon()
