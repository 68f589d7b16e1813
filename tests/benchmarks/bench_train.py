"""Training speed beside a peer: `python tests/benchmarks/bench_train.py DATASET --peer YOLO`.

Ours: frames a second and the share of the time that the network waited for data, as `train` writes
them into `metrics.csv`. The peer's: images a second between the ends of one and of two epochs over
pictures of the same size and number. YOLO is the path of the `yolo` command of an environment
of its own, made for the measurement.
"""

from __future__ import annotations

import argparse
import csv
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from PIL import Image

from lstmcli.dataset.manifest import Dataset


def ours(dataset: Path, preset: str, seconds: int, settings: list[str], folder: Path) -> None:
    """Train for a while and print the median rate of the epochs of either stage."""
    out = folder / "run"
    command = [
        str(Path(sys.executable).with_name("lstmcli")), "-q", "train", str(dataset.resolve()),
        "--preset", preset, "--out", str(out), "--time-budget", f"{seconds}s", "--device", "cpu",
    ]  # fmt: skip
    for setting in settings:
        command += ["--set", setting]
    subprocess.run(command, check=True)
    with (out / "metrics.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    for stage in dict.fromkeys(row["stage"] for row in rows):
        # the median: an epoch that the budget cut short is mostly the start of its workers
        rates, waits = (
            float(np.median([float(row[name]) for row in rows if row["stage"] == stage]))
            for name in ("frames_per_second", "data_wait")
        )
        print(f"lstmcli {preset}, {stage}: {rates:.1f} frames/s")
        print(f"bar: {100 * waits:.1f} % of the time waited for data (at most 10)")


def make_pictures(folder: Path, count: int, side: int) -> Path:
    """Write pictures and labels in the peer's form; return its data file."""
    rng = np.random.default_rng(0)
    for split in ("train", "val"):
        (folder / "images" / split).mkdir(parents=True)
        (folder / "labels" / split).mkdir(parents=True)
        for number in range(count if split == "train" else 8):
            small = rng.integers(0, 255, (side // 8, side // 8, 3), dtype=np.uint8)
            picture = Image.fromarray(small).resize((side, side))
            picture.save(folder / "images" / split / f"{number}.jpg")
            rows = [f"0 {x:.3f} {y:.3f} 0.1 0.1" for x, y in rng.uniform(0.1, 0.9, (3, 2))]
            (folder / "labels" / split / f"{number}.txt").write_text("\n".join(rows) + "\n")
    data = folder / "data.yaml"
    data.write_text(f"path: {folder}\ntrain: images/train\nval: images/val\nnames: [thing]\n")
    return data


def peer(yolo: Path, model: str, side: int, batch: int, count: int, folder: Path) -> None:
    """Train one epoch and two, and print the rate of the difference."""
    data = make_pictures(folder / "pictures", count, side)
    walls = []
    for epochs in (1, 2):
        begin = time.perf_counter()
        subprocess.run(
            [
                str(yolo), "detect", "train", f"model={model}", f"data={data}", f"imgsz={side}",
                f"epochs={epochs}", f"batch={batch}", "device=cpu", "workers=1", "val=False",
                "plots=False", "project=peer", f"name=epochs{epochs}", "amp=False",
            ],
            check=True, cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        walls.append(time.perf_counter() - begin)
    print(f"peer {model}: {count / (walls[1] - walls[0]):.1f} images/s")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("dataset", type=Path, help="a prepared one")
    parser.add_argument("--preset", default="small")
    parser.add_argument("--seconds", type=int, default=120)
    parser.add_argument("--set", action="append", default=[], metavar="SECTION.KEY=VALUE")
    parser.add_argument("--peer", type=Path, help="the yolo command of its own environment")
    parser.add_argument("--peer-model", default="yolo11n.yaml")
    parser.add_argument("--side", type=int, default=0, help="0: the crop of the dataset")
    parser.add_argument("--images", type=int, default=320)
    asked = parser.parse_args()
    side = asked.side or Dataset.load(asked.dataset).crop
    with tempfile.TemporaryDirectory() as place:
        ours(asked.dataset, asked.preset, asked.seconds, asked.set, Path(place))
        if asked.peer is not None:
            peer(asked.peer, asked.peer_model, side, 16, asked.images, Path(place))


if __name__ == "__main__":
    main()
