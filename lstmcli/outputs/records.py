"""Records as text, a line at a time: JSON lines and CSV."""

from __future__ import annotations

import contextlib
import csv
import io
import json
import os
from pathlib import Path

from lstmcli.core.errors import OutputError, write_failure
from lstmcli.core.files import open_partial, partial_path, publish_file
from lstmcli.core.types import Detections
from lstmcli.outputs.contract import AnnotatedFrame, OutputSpec


class LinesFile:
    """A text file that grows by whole lines under its partial name.

    Args:
        path: the name it has when it is complete.
        overwrite: replace a file of that name.

    Raises:
        OutputError: it cannot be written.
    """

    def __init__(self, path: Path, *, overwrite: bool) -> None:
        self.path, self.partial = path, partial_path(path)
        self._overwrite = overwrite
        try:
            # Line by line to the system: what ends the process never cuts a line in two.
            self._file = open_partial(path)
        except OSError as error:
            raise self._failure(error) from None

    def write(self, line: str) -> None:
        """Add a line, given without its end."""
        try:
            self._file.write(line + "\n")
        except OSError as error:
            raise self._failure(error) from None

    def close(self) -> None:
        """Give the file its name."""
        try:
            self._file.close()
            publish_file(self.partial, self.path, overwrite=self._overwrite)
        except OSError as error:
            self.abandon()
            raise self._failure(error) from None

    def abandon(self) -> None:
        """Leave it under the partial name."""
        with contextlib.suppress(OSError):
            self._file.close()

    def sync(self) -> None:
        """Bring what was written so far to the disk."""
        os.fsync(self._file.fileno())

    def _failure(self, error: OSError) -> OutputError:
        return write_failure(self.path, error)


class JsonLinesOutput:
    """JSON lines: one object a frame, empty frames too."""

    SUFFIX = ".detections.jsonl"

    def __init__(self, job: OutputSpec) -> None:
        self._job = job
        self.path = job.path(self.SUFFIX)
        self.notes: list[str] = []
        self._file = LinesFile(self.path, overwrite=job.overwrite)

    def write(self, annotated: AnnotatedFrame) -> None:
        """Add a frame."""
        record = {
            "video": self._job.video,
            "frame": annotated.frame.index,
            "time": round(annotated.frame.time_s, 6),
            "detections": detection_records(annotated.detections, self._job.classes),
        }
        self._file.write(json.dumps(record, ensure_ascii=False))

    def close(self) -> None:
        """Complete the file."""
        self._file.close()

    def abandon(self) -> None:
        """Leave the lines so far."""
        self._file.abandon()

    def sync(self) -> None:
        """Bring the lines so far to the disk."""
        self._file.sync()


def detection_records(detections: Detections, classes: tuple[str, ...]) -> list[dict[str, object]]:
    """Return the detections of a frame as they stand in the JSON lines; -1 stands for no track."""
    boxes = detections.boxes.astype(float).round(2).tolist()
    scores = detections.scores.astype(float).round(4).tolist()
    return [
        {
            "class": classes[label],
            "class_id": label,
            "score": score,
            "box": box,
            "track_id": track,
        }
        for box, score, label, track in zip(
            boxes, scores, detections.labels.tolist(), detections.track_ids.tolist(), strict=True
        )
    ]


class CsvOutput:
    """CSV: one row a detection."""

    SUFFIX = ".detections.csv"
    HEADER = ("video", "frame", "time", "track_id", "class", "score", "x1", "y1", "x2", "y2")

    def __init__(self, job: OutputSpec) -> None:
        self._job = job
        self.path = job.path(self.SUFFIX)
        self.notes: list[str] = []
        self._file = LinesFile(self.path, overwrite=job.overwrite)
        self._file.write(csv_line(self.HEADER))

    def write(self, annotated: AnnotatedFrame) -> None:
        """Add the rows of a frame."""
        frame = annotated.frame
        for record in detection_records(annotated.detections, self._job.classes):
            box = record["box"]
            assert isinstance(box, list)
            self._file.write(
                csv_line(
                    (
                        self._job.video,
                        frame.index,
                        round(frame.time_s, 6),
                        record["track_id"],
                        record["class"],
                        record["score"],
                        *box,
                    )
                )
            )

    def close(self) -> None:
        """Complete the file."""
        self._file.close()

    def abandon(self) -> None:
        """Leave the rows so far."""
        self._file.abandon()

    def sync(self) -> None:
        """Bring the rows so far to the disk."""
        self._file.sync()


def csv_line(values: tuple[object, ...]) -> str:
    """Return values as a line of CSV, quoted where they must be."""
    text = io.StringIO()
    csv.writer(text, lineterminator="").writerow(values)
    return text.getvalue()
