"""Sound files of every kind that the program reads, made on the spot, to be damaged."""

from __future__ import annotations

import json
import multiprocessing
import sys
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

sys.path.insert(0, str(Path(__file__).parents[1]))
from conftest import write_dataset, write_video  # the tests' own makers of files

KINDS = (
    "labels", "results", "preset", "count", "dataset", "video", "image", "model", "foreign",
    "teacher", "resume",
)  # fmt: skip
CLASSES = ("red", "blue")


@dataclass(frozen=True, slots=True)
class Seed:
    """Files of which one is damaged.

    Args:
        name: says what they are.
        files: relative path -> content; the first one is the one to open.
        damaged: the paths that may be damaged.
    """

    name: str
    files: Mapping[str, bytes]
    damaged: tuple[str, ...]

    @property
    def main(self) -> str:
        """The path to open."""
        return next(iter(self.files))


def seeds_of(kind: str) -> list[Seed]:
    """Return the seeds of a kind."""
    with tempfile.TemporaryDirectory() as folder:
        return list(_MAKERS[kind](Path(folder)))


def _one(name: str, text: str | bytes) -> Seed:
    data = text.encode() if isinstance(text, str) else text
    return Seed(name, {name: data}, (name,))


def _of_folder(name: str, folder: Path, first: str, *, only: tuple[str, ...] = ()) -> Seed:
    files = {p.relative_to(folder).as_posix(): p for p in sorted(folder.rglob("*")) if p.is_file()}
    ordered = {first: files[first].read_bytes()} | {n: p.read_bytes() for n, p in files.items()}
    return Seed(name, ordered, only or tuple(ordered))


def _labels(folder: Path) -> Iterator[Seed]:
    from lstmcli.core.types import LabelSet, VideoLabels
    from lstmcli.labels.warning_collector import WarningCollector
    from lstmcli.labels.writers import LABEL_WRITERS

    boxes = np.array([[10, 12, 40, 50]], np.float32) + np.arange(6, dtype=np.float32)[:, None]
    video = VideoLabels(
        name="clip",
        media="clip.mp4",
        annotated_frames=np.arange(8),
        box_frames=np.array([0, 0, 1, 3, 4, 7]),
        boxes=boxes,
        labels=np.array([0, 1, 0, 0, 1, 1]),
        tracks=np.array([1, 2, 1, 1, 2, -1]),
        ignore=np.array([False, False, False, False, True, False]),
        size_hw=(64, 96),
        rate=25.0,
        frame_count=8,
    )
    for name, writer in LABEL_WRITERS.items():
        out = folder / name
        if writer.FOLDER:
            out.mkdir()
            writer.write(LabelSet(CLASSES, (video,)), out, WarningCollector())
            files = sorted(p.relative_to(out).as_posix() for p in out.rglob("*") if p.is_file())
            yield _of_folder(name, out, files[0])
        else:
            out = folder / f"{name}.json"
            writer.write(LabelSet(CLASSES, (video,)), out, WarningCollector())
            yield _one(f"{name}.json", out.read_bytes())
    sys.path.insert(0, str(Path(__file__).parents[1] / "labels"))
    from test_readers import SAMPLES

    for name, (path, text, _) in SAMPLES.items():
        yield Seed(name, {path: text.encode()}, (path,))
    real = Path(__file__).resolve().parents[3] / "shared" / "data" / "formats"
    for path in sorted(real.rglob("*")) if real.is_dir() else ():
        suffixes = {".json", ".jsonl", ".ndjson", ".xml", ".txt", ".csv", ".yaml"}
        if path.suffix in suffixes and path.is_file() and path.stat().st_size < 60_000:
            yield Seed(
                f"real {path.relative_to(real)}", {path.name: path.read_bytes()}, (path.name,)
            )


def _video(folder: Path) -> Iterator[Seed]:
    for name, options in {
        "a.mp4": {"sound": "aac"},
        "b.mkv": {"codec": "ffv1"},
        "c.avi": {"codec": "mjpeg", "pix_fmt": "yuvj420p"},
        "d.webm": {},
        "e.ts": {},
        "f.mov": {"turn": 90},
        "g.gif": {"codec": "gif", "pix_fmt": "rgb8"},
        "h.264": {},
    }.items():
        yield _one(name, write_video(folder / name, 6, **options).read_bytes())


def _image(folder: Path) -> Iterator[Seed]:
    picture = Image.fromarray(np.arange(64 * 96 * 3, dtype=np.uint8).reshape(64, 96, 3))
    for name in ("i.png", "j.jpg", "k.webp", "l.tif", "m.bmp"):
        picture.save(folder / name)
        yield _one(name, (folder / name).read_bytes())
    more = [picture.rotate(90 * n) for n in (1, 2)]
    for name in ("n.webp", "o.png"):
        picture.save(folder / name, save_all=True, append_images=more, duration=40)
        yield _one(name, (folder / name).read_bytes())


def tiny_network(*settings: str) -> Any:
    """Return an untrained network with a memory, of a few thousand weights."""
    import torch

    from lstmcli.core.config_file import load_config
    from lstmcli.models.detector import DetectorNet

    torch.manual_seed(0)
    chosen = ("backbone.name=tiny", "backbone.weights=none", "backbone.width=0.25")
    config = load_config("nano", [*chosen, "neck.channels=8", *settings])
    return DetectorNet(config, CLASSES, canvas_hw=(64, 96), grid=8).eval()


def _model(folder: Path) -> Iterator[Seed]:
    from lstmcli.inference.exporting import write_export
    from lstmcli.models.checkpoint import save_checkpoint, save_shipped

    network = tiny_network()
    save_checkpoint(folder / "best.pt", network, network.state_dict(), metrics={"epoch": 1})
    save_shipped(folder / "small.safetensors", network, metrics={"score_slope": 1.2})
    for name in ("best.pt", "small.safetensors"):
        yield _one(name, (folder / name).read_bytes())
    for name in ("net.lstmcli", "net.onnx", "net.xml"):
        place = folder / name.replace(".", "_")
        write_export(network, place / name, metadata=network.metadata)
        yield _of_folder(name, place, name)


def _foreign(folder: Path) -> Iterator[Seed]:
    """Yield a third-party detector, with what lies beside it."""
    sys.path.insert(0, str(Path(__file__).parents[1] / "inference"))
    from test_foreign_loading import write_model

    write_model(folder / "foreign.onnx")
    network = {"foreign.onnx": (folder / "foreign.onnx").read_bytes()}
    listed = b"layout: rows\nclasses: [a, b, c, d, e]\nsize: [64, 32]\nmean: [0, 0, 0]\n"
    named = b"classes: own.names\nscale: 1/255\nfit: corner\ncolor: bgr\nnms_iou: 0.5\n"
    names = b"a\nb\nc\nd\ne\n"
    for name, beside in {
        "listed": {"foreign.yaml": listed},
        "named": {"foreign.yaml": named, "own.names": names},
        "names": {"foreign.names": names},
    }.items():
        files = network | beside
        yield Seed(name, files, (*files, *beside))


def _dataset(folder: Path) -> Iterator[Seed]:
    for form in ("raw", "jpeg"):
        write_dataset(folder / form, form=form, frames=6)
        yield _of_folder(form, folder / form, "dataset.json")


def _preset(folder: Path) -> Iterator[Seed]:
    from lstmcli.core.config_file import load_config, preset_folder
    from lstmcli.core.yaml_text import dump_yaml

    for path in sorted(preset_folder().glob("*.yaml")):
        yield _one(path.name, path.read_bytes())
    whole = dump_yaml(load_config("small").model_dump(mode="json"))
    yield _one("whole.yaml", whole)


def _count(folder: Path) -> Iterator[Seed]:
    lines = "  - {name: gate, from: [0.1, 0.8], to: [0.9, 0.8], anchor: bottom}\n"
    zones = "  - {name: yard, points: [[10, 10], [60, 10], [60.5, 50]]}\n"
    yield _one("lines.yaml", f"lines:\n{lines}")
    yield _one("zones.yaml", f"zones:\n{zones}{zones.replace('yard', 'garden')}")
    yield _one("both.yaml", f"lines:\n{lines}{lines.replace('gate', 'door')}zones:\n{zones}")


def _results(folder: Path) -> Iterator[Seed]:
    box = [1.0, 2.0, 30.0, 40.0]
    found = [{"class": "red", "class_id": 0, "score": 0.9, "box": box, "track_id": 1}]
    frame = {"video": "clip.mp4", "detections": found}
    rows = [frame | {"frame": n, "time": n / 25} for n in range(4)]
    yield _one("clip.detections.jsonl", "".join(json.dumps(row) + "\n" for row in rows))
    coco = [
        {"image_id": f"clip_{n:06d}", "category_id": 1, "bbox": [1, 2, 30, 40], "score": 0.5}
        for n in range(4)
    ]
    images = [
        {"id": row["image_id"], "file_name": f"clip/{n:06d}.jpg"}
        | {"video_id": 1, "frame_id": n, "width": 96, "height": 64}
        for n, row in enumerate(coco)
    ]
    video = [{"id": 1, "name": "clip", "file_name": "clip.mp4", "length": 8}]
    classes = [{"id": n + 1, "name": name} for n, name in enumerate(CLASSES)]
    gt = {"videos": video, "images": images, "annotations": [], "categories": classes}
    files = {"results.json": json.dumps(coco).encode(), "gt.json": json.dumps(gt).encode()}
    yield Seed("coco", files, ("results.json",))
    yield _one("clip.txt", "".join(f"{n},1,10,12,30,40,0.9,1,1\n" for n in range(1, 6)))
    yolo = {f"r/clip_{n:06d}.txt": b"0 0.5 0.5 0.2 0.3 0.8\n" * 3 for n in range(3)}
    yield Seed("yolo", yolo, tuple(yolo))


def _teacher(folder: Path) -> Iterator[Seed]:
    from lstmcli.core.types import Detections
    from lstmcli.workflows.prepare.teacher_detections import save_detections

    film = write_video(folder / "clip.mp4", 6).read_bytes()
    boxes = np.array([[8, 8, 40, 40], [50, 20, 80, 60]], np.float32)
    found = [
        Detections(boxes + n, np.array([0.9, 0.2], np.float32), np.array([0, 1]), np.full(2, -1))
        for n in range(6)
    ]
    sizes = np.tile(np.array([64, 96]), (6, 1))
    save_detections(folder / "cache.npz", found, np.arange(6), np.arange(6) / 25, sizes)
    files = {"cache.npz": (folder / "cache.npz").read_bytes(), "clip.mp4": film}
    yield Seed("cache", files, ("cache.npz",))


def _resume(folder: Path) -> Iterator[Seed]:
    from lstmcli.core.config_file import load_config
    from lstmcli.workflows.train import TrainOptions, train

    dataset = folder / "dataset"
    write_dataset(dataset, videos=("train", "val"), frames=6)
    chosen = ("backbone.name=tiny", "backbone.weights=none", "backbone.width=0.25")
    more = ("neck.channels=8", "train.num_workers=0", "train.batch_size=2", "clips.length=2")
    few = ("train.clips_per_epoch=2", "train.min_clips_per_epoch=1")
    config, run = load_config("nano", [*chosen, *more, *few]), folder / "run"
    options = TrainOptions(epochs=1, device="cpu", init="none")
    # in a process of its own: a process that has trained cannot fork others that do
    child = multiprocessing.get_context("fork").Process(
        target=train, args=(dataset,), kwargs={"config": config, "out": run, "options": options}
    )
    child.start()
    child.join()
    kept = ("last.pt", "config.yaml", "best.pt")
    files = {f"run/{name}": (run / name).read_bytes() for name in kept}
    for path in sorted(dataset.rglob("*")):
        if path.is_file():
            files[f"dataset/{path.relative_to(dataset)}"] = path.read_bytes()
    yield Seed("resume", files, ("run/last.pt",))


_MAKERS = {
    "labels": _labels,
    "video": _video,
    "image": _image,
    "model": _model,
    "foreign": _foreign,
    "teacher": _teacher,
    "dataset": _dataset,
    "preset": _preset,
    "count": _count,
    "results": _results,
    "resume": _resume,
}
