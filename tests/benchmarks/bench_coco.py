"""How long and how much memory a large COCO file takes: the bar is 20 s and 1.5 GB for 100 MB.

Run: python tests/benchmarks/bench_coco.py [images]. Measured 2026-11-22, Python 3.11, one of two
shared cores: 126 MB, 100,000 images, 1,000,000 boxes: 9.4 s of CPU, peak 0.98 GB (16.4 s before
rows were checked once for the whole set).
"""

from __future__ import annotations

import json
import resource
import sys
import tempfile
import time
from pathlib import Path

BOXES = 1_000_000


def write_file(path: Path, images: int) -> None:
    """Write a file of a million boxes, as pycocotools users have it."""
    with path.open("w", encoding="utf-8") as file:
        file.write('{"images": [')
        for n in range(images):
            row = {"id": n, "file_name": f"{n:012d}.jpg", "width": 640, "height": 480}
            file.write(("," if n else "") + json.dumps(row))
        file.write('], "categories": [{"id": 1, "name": "a"}], "annotations": [')
        for n in range(BOXES):
            row = {
                "id": n,
                "image_id": n % images,
                "category_id": 1,
                "bbox": [n % 600 + 0.25, n % 400, 30.5, 40.125],
                "area": 1223.8,
                "iscrowd": 0,
            }
            file.write(("," if n else "") + json.dumps(row))
        file.write("]}")


def main() -> None:
    """Write, read, say."""
    images = int(sys.argv[1]) if len(sys.argv) > 1 else 100_000
    from lstmcli.labels.search import read_labels

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "large.json"
        write_file(path, images)
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
        start, cpu = time.perf_counter(), time.process_time()
        labels = read_labels(path)
        seconds, cpu = time.perf_counter() - start, time.process_time() - cpu
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
        boxes = sum(len(video.labels) for video in labels.videos)
        print(
            f"{path.stat().st_size / 1e6:.0f} MB, {images} images, {boxes} boxes: "
            f"{seconds:.1f} s ({cpu:.1f} s of CPU), peak {peak:.2f} GB (before {before:.2f} GB)"
        )


if __name__ == "__main__":
    main()
