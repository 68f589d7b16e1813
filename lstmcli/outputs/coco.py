"""COCO with the fields of CocoVID: videos, images with frame numbers, tracks as instance_id."""

from __future__ import annotations

import contextlib
import json
import tempfile

from lstmcli.outputs.contract import AnnotatedFrame, OutputSpec, as_output_errors
from lstmcli.outputs.records import LinesFile


class CocoOutput:
    """One JSON file; annotations are buffered in a temporary file, so that memory stays flat."""

    SUFFIX = ".coco.json"

    def __init__(self, job: OutputSpec) -> None:
        self._job = job
        self.path = job.path(self.SUFFIX)
        self.notes: list[str] = []
        self._images = self._boxes = 0
        height, width = job.size_hw
        head = {
            "videos": [{"id": 1, "name": job.video, "width": width, "height": height}],
            "categories": [{"id": i + 1, "name": name} for i, name in enumerate(job.classes)],
        }
        self._file = LinesFile(self.path, overwrite=job.overwrite)
        self._rest = tempfile.TemporaryFile("w+", encoding="utf-8")  # noqa: SIM115
        self._file.write(json.dumps(head, ensure_ascii=False)[:-1] + ', "images": [')

    def write(self, annotated: AnnotatedFrame) -> None:
        """Add an image and its boxes."""
        frame, detections = annotated.frame, annotated.detections
        height, width = frame.size_hw
        self._images += 1
        image = {
            "id": self._images,
            "video_id": 1,
            "frame_id": frame.index,
            "file_name": f"{self._job.stem.name}/{frame.index:06d}.jpg",
            "width": width,
            "height": height,
            "time": round(frame.time_s, 6),
        }
        self._file.write(("" if self._images == 1 else ",") + json.dumps(image, ensure_ascii=False))
        for (x1, y1, x2, y2), score, label, track in zip(
            detections.boxes.astype(float).tolist(),
            detections.scores.astype(float).tolist(),
            detections.labels.tolist(),
            detections.track_ids.tolist(),
            strict=True,
        ):
            self._boxes += 1
            box = {
                "id": self._boxes,
                "image_id": self._images,
                "video_id": 1,
                "category_id": label + 1,
                "instance_id": track,
                "bbox": [round(x1, 2), round(y1, 2), round(x2 - x1, 2), round(y2 - y1, 2)],
                "area": round((x2 - x1) * (y2 - y1), 2),
                "iscrowd": 0,
                "score": round(score, 4),
            }
            with as_output_errors(self.path):
                self._rest.write(("" if self._boxes == 1 else ",") + json.dumps(box) + "\n")

    def sync(self) -> None:
        """Do nothing: the file is complete only at the end."""

    def close(self) -> None:
        """Join both parts and give the file its name."""
        self._file.write('], "annotations": [')
        with as_output_errors(self.path):
            self._rest.seek(0)  # which writes what still waits
        for line in self._rest:
            self._file.write(line.rstrip("\n"))
        self._rest.close()
        self._file.write("]}")
        self._file.close()

    def abandon(self) -> None:
        """Leave the images so far."""
        with contextlib.suppress(OSError):
            self._rest.close()
        self._file.abandon()
