"""What the program does with a file of each kind, in process, to the end."""

from __future__ import annotations

import io
import json
import random
import shutil
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from lstmcli.core.boxes import Letterbox
from lstmcli.core.types import Detections, Picture, VideoLabels


class HalfDone(AssertionError):
    """Something is left that should not be, or a number is none."""


def check_outputs(folder: Path, *, failed: bool) -> None:
    """Look for NaN, for files that were not completed, and for those of dead processes."""
    for path in sorted(folder.rglob("*")):
        if "lstmcli-" in path.name and path.name != ".lstmcli-files":
            raise HalfDone(f"{path.name} was left")
        if ".partial" in path.name and not failed:
            raise HalfDone(f"{path.name} was left after success")
        if path.suffix == ".json" and path.is_file():
            json.loads(path.read_text(encoding="utf-8"), parse_constant=_refuse)
        elif path.suffix == ".jsonl" and path.is_file() and not failed:
            for line in path.read_text(encoding="utf-8").splitlines():
                json.loads(line, parse_constant=_refuse)


def _refuse(name: str) -> None:
    raise HalfDone(f"{name} in an output")


def labels(path: Path, out: Path, chance: random.Random) -> None:
    """Convert to a format drawn by chance."""
    from lstmcli.labels.writers import LABEL_WRITERS
    from lstmcli.workflows.convert import convert

    to = chance.choice(sorted(LABEL_WRITERS))
    source = path.parent if chance.random() < 0.2 else path
    convert(source, to, out / "converted", size_hw=(100, 120))


class _Found:
    """A predictor with one constant box."""

    classes = ("red", "blue")
    canvas_hw = (64, 96)

    def __init__(self, floor: float) -> None:
        self.layout = Letterbox((64, 96), self.canvas_hw)

    def letterbox(self, size_hw: tuple[int, int]) -> Letterbox:
        return Letterbox(size_hw, self.canvas_hw)

    def start(self, size_hw: tuple[int, int]) -> Letterbox:
        self.layout = self.letterbox(size_hw)
        return self.layout

    def postprocess(self, raw: Detections) -> Detections:
        return raw

    def forward(self, canvas: Picture, time_s: float) -> Detections:
        box = self.layout.to_source(np.array([[8, 8, 40, 40]], np.float32))
        return Detections(box, np.array([0.9], np.float32), np.array([0]), np.array([-1]))


def video(path: Path, out: Path, chance: random.Random) -> None:
    """Detect in it, sometimes with all outputs."""
    from lstmcli.workflows.detect import DetectOptions, detect

    write = chance.choice((("jsonl",), ("jsonl", "csv"), ("video", "jsonl"), ("mot", "frames")))
    detect([str(path)], DetectOptions(out=out, write=write), make_predictor=_Found)


image = video


def model(path: Path, out: Path, chance: random.Random) -> None:
    """Load it and run three frames; what comes out is made of numbers."""
    from lstmcli.inference.loading import load_runtime
    from lstmcli.inference.predictor import Predictor

    engine = chance.choice(("onnx", "openvino")) if "foreign" in path.name else "auto"
    engine = "torch" if path.suffix in (".pt", ".safetensors") else engine
    runtime = load_runtime(path, device="cpu", engine=engine)
    predictor = Predictor(runtime, threshold=0.01)
    layout = predictor.start((64, 96))
    height, width = layout.canvas_hw
    for n in range(3):
        found = predictor.step(np.full((height, width, 3), 60 * n, np.uint8), n / 25)
        if not (np.isfinite(found.boxes).all() and np.isfinite(found.scores).all()):
            raise HalfDone("NaN in the detections")


def dataset(path: Path, out: Path, chance: random.Random) -> None:
    """Evaluate on it and draw a batch for training."""
    from lstmcli.core.config_file import load_config
    from lstmcli.core.metadata import ModelMetadata
    from lstmcli.dataset.clips import ClipDataset
    from lstmcli.dataset.manifest import Dataset
    from lstmcli.workflows.evaluate import EvaluateOptions, evaluate

    class Network:
        metadata = ModelMetadata(("red", "blue"), (64, 96))
        engine, device = "fake", "cpu"

        def step(self, frame: Picture, previous_frame: Picture, state: Any) -> Any:
            return np.array([[8, 8, 40, 40]], np.float32), np.array([[0.9, 0.1]], np.float32), 1

    if chance.random() < 0.5:
        config = load_config("nano")
        source = ClipDataset(
            Dataset.load(path), "train", config.clips, config.augment, batch=2, steps=1, seed=0
        )
        batch = source[0]
        assert batch.boxes.isfinite().all(), "NaN in a batch"
    else:
        evaluate(Network(), path, EvaluateOptions(limit=6), json_file=out / "scores.json")


def preset(path: Path, out: Path, chance: random.Random) -> None:
    """Read it, with a setting, and outline its network."""
    import torch

    from lstmcli.core.config_file import load_config
    from lstmcli.models.detector import DetectorNet

    config = load_config(path, chance.choice(([], ["train.lr=1e-3"], ["backbone.weights=none"])))
    config = config.model_copy(
        update={"backbone": config.backbone.model_copy(update={"weights": "none"})}
    )
    with torch.device("meta"):
        DetectorNet(config, ("red",), canvas_hw=(64, 96), grid=8)


def count(path: Path, out: Path, chance: random.Random) -> None:
    """Count with it over thirty frames."""
    from lstmcli.tracking import Counter, load_count_config

    counter = Counter(load_count_config(path), (64, 96))
    for frame in range(30):
        box = np.array([[2.0 * frame, 1.0 * frame, 20 + 2 * frame, 20 + frame]], np.float32)
        found = Detections(box, np.array([0.9], np.float32), np.array([0]), np.array([1]))
        for event in counter.step(found, frame, frame / 25):
            json.dumps(event.zone)
        for zone in counter.config.zones:
            counter.text(zone)


def results(path: Path, out: Path, chance: random.Random) -> None:
    """Read another program's detections."""
    from lstmcli.labels.detections import read_detections

    none = np.zeros(0, np.int64)
    video = VideoLabels(
        "clip", "clip.mp4", np.arange(8), none, np.zeros((0, 4), np.float32), none, none,
        np.zeros(0, np.bool_), size_hw=(64, 96), rate=25.0, frame_count=8,
    )  # fmt: skip
    source = path.parent if path.parent.name == "r" else path
    gt = path.with_name("gt.json")
    images = gt if gt.is_file() else None
    found = read_detections(source, [video], ("red", "blue"), images=images)
    for frames in found.videos.values():
        for one in frames.values():
            if not (np.isfinite(one.boxes).all() and np.isfinite(one.scores).all()):
                raise HalfDone("NaN in the detections")


def resume(path: Path, out: Path, chance: random.Random) -> None:
    """Go on with a training whose last.pt is damaged."""
    from lstmcli.core.config_file import load_config
    from lstmcli.workflows.train import TrainOptions, train

    run = path.parent
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        train(
            run.parent / "dataset",
            config=load_config("nano"),
            out=run,
            options=TrainOptions(epochs=2, device="cpu"),
            resume=True,
        )


class _Teachers:
    """Teachers that detect nothing."""

    classes = 2

    def start(self, size_hw: tuple[int, int]) -> None:
        pass

    def step(self, frame: Any) -> Detections:
        none = np.zeros(0, np.int64)
        return Detections(np.zeros((0, 4), np.float32), np.zeros(0, np.float32), none, none)


def teacher(path: Path, out: Path, chance: random.Random) -> None:
    """Label a video from its cached detections."""
    from lstmcli.core.progress import SilentProgress
    from lstmcli.video import find_sources
    from lstmcli.workflows.prepare import teacher as work
    from lstmcli.workflows.prepare.teacher_ensemble import TeacherOptions

    (film,) = find_sources([str(path.with_name("clip.mp4"))])
    shutil.copy(path, out / work.cache_name(film, "key"))
    teachers: Any = _Teachers()
    made = list(work._label(film, 1, teachers, out, "key", SilentProgress()))
    work._write(made, ("red", "blue"), TeacherOptions(("x",), ()), out, overwrite=False)


def damage_cache(data: bytes, chance: random.Random) -> bytes:
    """Return cached detections with other values, shapes or types in one of their columns."""
    with np.load(io.BytesIO(data)) as file:
        columns: dict[str, Any] = dict(file)
    for _ in range(chance.choice((1, 1, 2))):
        name = chance.choice(sorted(columns))
        values = columns[name]
        what = chance.randrange(8)
        if what == 0:
            del columns[name]
        elif what == 1:
            columns[name] = values[: chance.randrange(len(values) + 1)] if values.ndim else values
        elif what == 2:
            columns[name] = values.astype(chance.choice(("f8", "i2", "u8", "c8", "S3", "?", "O")))
        elif what == 3:
            columns[name] = values.reshape(chance.choice(((-1,), (1, -1), (-1, 1))))
        elif what == 4:
            columns[name] = np.concatenate((values, values)) if values.ndim else values
        elif values.size and values.dtype != object:
            wrong = (-1, 0, 7, 1e9, -1e9, 1e30, float("nan"), float("inf"), 2**62, -(2**62))
            values = values.copy()
            with np.errstate(all="ignore"), warnings.catch_warnings():
                warnings.simplefilter("ignore")
                values.flat[chance.randrange(values.size)] = np.array(
                    chance.choice(wrong), np.float64
                ).astype(values.dtype)
            columns[name] = values
        if not columns:
            break
    buffer = io.BytesIO()
    chance.choice((np.savez, np.savez_compressed))(buffer, **columns)
    return buffer.getvalue()


def damage_checkpoint(data: bytes, chance: random.Random) -> bytes:
    """Return a checkpoint with other values inside, or the same one where that cannot be."""
    import torch

    from tests.fuzz.mutations import mutate_values

    values = torch.load(io.BytesIO(data), weights_only=True)
    part = chance.choice(("training", "training", "all", "counters", "weights"))
    try:
        if part == "all":
            values = mutate_values(values, chance)
        elif part == "counters":
            mutate_values(values["training"]["counters"], chance)
        else:
            mutate_values(values[part], chance)
        buffer = io.BytesIO()
        torch.save(values, buffer)
    except (TypeError, ValueError, AttributeError, KeyError, RuntimeError, RecursionError):
        return data  # such a value cannot be saved
    return buffer.getvalue()


TARGETS: dict[str, Callable[[Path, Path, random.Random], None]] = {
    "labels": labels,
    "video": video,
    "image": image,
    "model": model,
    "foreign": model,
    "teacher": teacher,
    "dataset": dataset,
    "preset": preset,
    "count": count,
    "results": results,
    "resume": resume,
}

DAMAGE_INSIDE: dict[str, Callable[[bytes, random.Random], bytes]] = {
    ".pt": damage_checkpoint,
    ".npz": damage_cache,
}
"""Damage to the values in a file, whose container stays sound, by its ending."""
