"""A MOTChallenge sequence: `gt/gt.txt`, `gt/labels.txt`, `seqinfo.ini`."""

from __future__ import annotations

import contextlib
import os

from lstmcli.core.files import PartialFolder
from lstmcli.labels.mot_rows import left_top_width_height, mot_row, sequence_info
from lstmcli.outputs.contract import AnnotatedFrame, OutputSpec, as_output_errors


class MotOutput:
    """A folder that trackers' evaluation tools and `prepare` read; frames from 1, pixels from 0."""

    SUFFIX = ".mot"

    def __init__(self, job: OutputSpec) -> None:
        self._job = job
        self.path = job.path(self.SUFFIX)
        self.notes: list[str] = []
        self._folder = PartialFolder(self.path, overwrite=job.overwrite)
        self._frames = 0
        with as_output_errors(self.path):
            names = self._folder.place("gt/labels.txt")
            names.write_text("\n".join(job.classes) + "\n", encoding="utf-8")
            rows = self._folder.place("gt/gt.txt")
            self._file = rows.open("w", encoding="utf-8", newline="\n", buffering=1)

    def write(self, annotated: AnnotatedFrame) -> None:
        """Add the rows of a frame: frame, id, x, y, width, height, score, class, visibility."""
        detections, frame = annotated.detections, annotated.frame.index
        self._frames = frame + 1
        for box, score, label, track in zip(
            detections.boxes.tolist(),
            detections.scores.tolist(),
            detections.labels.tolist(),
            detections.track_ids.tolist(),
            strict=True,
        ):
            sides = [f"{side:.2f}" for side in left_top_width_height(box)]
            with as_output_errors(self.path):
                self._file.write(mot_row(frame, track, sides, f"{score:.4f}", label))

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
        text = sequence_info(
            self._job.stem.name,
            frames=self._frames,
            rate=self._job.source_rate or self._job.rate or 25,  # frame numbers are the source's
            size_hw=self._job.size_hw,
        )
        self._folder.place("seqinfo.ini").write_text(text, encoding="utf-8")

    def abandon(self) -> None:
        """Leave the rows so far."""
        with contextlib.suppress(OSError):
            self._file.close()
        self._folder.abandon()
