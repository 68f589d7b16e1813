"""A MOTChallenge sequence: `gt/gt.txt`, `gt/labels.txt`, `seqinfo.ini`."""

from __future__ import annotations

import contextlib
import os

from lstmcli.core.files import PartialFolder
from lstmcli.outputs.contract import AnnotatedFrame, OutputSpec, as_output_errors


class MotOutput:
    """A folder that trackers' evaluation tools and `prepare` read; frames from 1, pixels from 0."""

    SUFFIX = ".mot"

    def __init__(self, job: OutputSpec) -> None:
        self._job = job
        self.path = job.path(self.SUFFIX)
        self.notes: list[str] = []
        self._folder = PartialFolder(self.path, overwrite=job.overwrite)
        self._last = 0
        with as_output_errors(self.path):
            names = self._folder.place("gt/labels.txt")
            names.write_text("\n".join(job.classes) + "\n", encoding="utf-8")
            rows = self._folder.place("gt/gt.txt")
            self._file = rows.open("w", encoding="utf-8", newline="\n", buffering=1)

    def write(self, annotated: AnnotatedFrame) -> None:
        """Add the rows of a frame: frame, id, x, y, width, height, score, class, visibility."""
        detections, frame = annotated.detections, annotated.frame.index + 1
        self._last = frame
        for (x1, y1, x2, y2), score, label, track in zip(
            detections.boxes.tolist(),
            detections.scores.tolist(),
            detections.labels.tolist(),
            detections.track_ids.tolist(),
            strict=True,
        ):
            row = (
                f"{frame},{track},{x1:.2f},{y1:.2f},{x2 - x1:.2f},{y2 - y1:.2f},"
                f"{score:.4f},{label + 1},1\n"
            )
            with as_output_errors(self.path):
                self._file.write(row)

    def sync(self) -> None:
        """Bring the rows so far to the disk."""
        with as_output_errors(self.path):
            os.fsync(self._file.fileno())

    def close(self) -> None:
        """Complete the folder."""
        with as_output_errors(self.path):
            self._file.close()
            self._write_info()
        self._folder.publish()

    def _write_info(self) -> None:
        height, width = self._job.size_hw
        rate = self._job.source_rate or self._job.rate or 25  # frame numbers are the source's
        lines = (
            "[Sequence]",
            f"name={self._job.stem.name.replace('%', '%%')}",  # "%" is special to ini files
            "imDir=img1",
            f"frameRate={rate:g}",
            f"seqLength={self._last}",
            f"imWidth={width}",
            f"imHeight={height}",
            "imExt=.jpg",
        )
        self._folder.place("seqinfo.ini").write_text("\n".join(lines) + "\n", encoding="utf-8")

    def abandon(self) -> None:
        """Leave the rows so far."""
        with contextlib.suppress(OSError):
            self._file.close()
        self._folder.abandon()
