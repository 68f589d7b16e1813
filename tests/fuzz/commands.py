"""Every command that writes, in small, and what its outputs must be where they are there."""

from __future__ import annotations

import argparse
import contextlib
import importlib
import json
import os
import re
import shutil
import sys
import tempfile
import threading
import time
import traceback
import urllib.error
import urllib.request
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from lstmcli.core.errors import OutputError
from lstmcli.core.progress import SilentProgress
from tests.fuzz.seeds import tiny_network, write_dataset, write_video
from tests.fuzz.targets import _Found

FRAMES = 8
BOXES = 16
DETECTED = ("video", "jsonl", "csv", "coco", "mot", "frames", "crops")


@dataclass(frozen=True, slots=True)
class Command:
    """A command on small inputs.

    Args:
        run: (inputs, out, overwrite) does the work, all of it below the folder `out`.
        check: raises where something has its final name and is not whole.
        result: what must be there, below `out`, after success.
        resumes: whether the same command continues what it finds unfinished, and replaces nothing.
    """

    run: Callable[[Path, Path, bool], None]
    check: Callable[[Path], None]
    result: str
    resumes: bool = False


def make_inputs(folder: Path) -> None:
    """Make what the commands read."""
    import torch

    from lstmcli.models.checkpoint import save_checkpoint

    torch.set_num_threads(1)
    write_video(folder / "a.mp4", FRAMES, sound="aac")
    write_video(folder / "b.mp4", FRAMES)
    rows = [
        {"id": 2 * video + n, "image_id": FRAMES * video + n + 1, "category_id": 1 + n % 2,
         "bbox": [10 + n, 8, 30, 24], "instance_id": 1}
        for video in range(2) for n in range(FRAMES)
    ]  # fmt: skip
    for number, row in enumerate(rows):
        row["id"] = number + 1
    images = [
        {"id": FRAMES * video + n + 1, "video_id": video + 1, "frame_id": n, "width": 96,
         "height": 64, "file_name": f"{'ab'[video]}/{n:06}.jpg"}
        for video in range(2) for n in range(FRAMES)
    ]  # fmt: skip
    videos = [
        {"id": n + 1, "name": "ab"[n], "file_name": f"{'ab'[n]}.mp4", "fps": 25, "length": FRAMES,
         "width": 96, "height": 64}
        for n in range(2)
    ]  # fmt: skip
    classes = [{"id": 1, "name": "red"}, {"id": 2, "name": "blue"}]
    labels = {"videos": videos, "images": images, "annotations": rows, "categories": classes}
    (folder / "labels.json").write_text(json.dumps(labels))
    ends = [image for image in images if image["frame_id"] in (0, FRAMES - 1)]
    seen = {image["id"] for image in ends}
    few = [row for row in rows if row["image_id"] in seen]
    sparse = labels | {"images": ends, "annotations": few}
    (folder / "sparse.json").write_text(json.dumps(sparse))
    write_dataset(folder / "dataset", videos=("train", "val"), frames=6)
    network = tiny_network()
    with torch.no_grad():  # so that it detects something
        network.head.box_pred.bias[0] = 4.0
    save_checkpoint(folder / "best.pt", network, network.state_dict(), metrics={"epoch": 1})
    with torch.no_grad():  # an export of it is replaced by one of the other
        network.head.box_pred.bias[0] = 3.0
    save_checkpoint(folder / "older.pt", network, network.state_dict(), metrics={"epoch": 1})


def _prepare(inputs: Path, out: Path, overwrite: bool) -> None:
    from lstmcli.workflows.prepare import PrepareOptions, prepare

    options = PrepareOptions(size_wh=(96, 64), previews=1, grid=8)
    prepare([inputs / "labels.json"], out=out / "dataset", options=options, overwrite=overwrite)


def _check_prepared(out: Path) -> None:
    from lstmcli.dataset.manifest import Dataset

    if (out / "dataset").exists():
        dataset = Dataset.load(out / "dataset")
        assert sum(len(list(dataset.frames(video))) for video in dataset.videos) == 2 * FRAMES
        assert (out / "dataset" / "preview" / "index.html").is_file()


def _convert(inputs: Path, out: Path, overwrite: bool) -> None:
    from lstmcli.workflows.convert import convert

    convert(inputs / "labels.json", "mot", out / "mot", overwrite=overwrite)


def _check_converted(out: Path) -> None:
    from lstmcli.labels.search import read_labels

    if (out / "mot").exists():
        assert sum(len(video.labels) for video in read_labels(out / "mot").videos) == BOXES


def _propagate(inputs: Path, out: Path, overwrite: bool) -> None:
    from lstmcli.workflows.prepare import PrepareOptions, prepare

    options = PrepareOptions(size_wh=(96, 64), previews=1, grid=8, propagate=True, every=1)
    prepare([inputs / "sparse.json"], out=out / "dataset", options=options, overwrite=overwrite)


def _teach(inputs: Path, out: Path, overwrite: bool) -> None:
    """As `prepare --teacher` does."""
    from lstmcli.workflows.prepare import PrepareOptions, prepare, teacher
    from lstmcli.workflows.prepare.teacher_ensemble import TeacherOptions

    teacher.load_runtime = lambda name, **_: Constant()  # type: ignore[assignment]
    options, films = TeacherOptions(("constant",), every=1), [inputs / "a.mp4", inputs / "b.mp4"]
    folder = out / "dataset.teacher"
    labelled = teacher.label_footage(films, folder, options, overwrite=overwrite)
    chosen = PrepareOptions(size_wh=(96, 64), previews=1, grid=8, notes=labelled.notes, every=1)
    prepare([labelled.path], out=out / "dataset", options=chosen, overwrite=overwrite)


class Constant:
    """A network that gives the same box for every picture."""

    engine, device = "fake", "cpu"

    def __init__(self) -> None:
        from lstmcli.core.metadata import ModelMetadata

        self.metadata = ModelMetadata(("red", "blue"), (64, 96))

    def step(self, frame: Any, previous_frame: Any, state: Any) -> Any:
        """Return a box, its scores, and a state."""
        return np.array([[8, 8, 40, 40]], np.float32), np.array([[0.9, 0.1]], np.float32), 1


def _check_taught(out: Path) -> None:
    from lstmcli.labels.search import read_labels

    labels, scores = (out / "dataset.teacher" / name for name in ("labels.json", "scores.jsonl"))
    if labels.exists():
        assert sum(len(video.boxes) for video in read_labels(labels).videos) == 2 * FRAMES
        assert len([json.loads(line) for line in scores.read_text().splitlines()]) == 2 * FRAMES
    _check_prepared(out)


EPOCHS = 2


def _plot_less() -> None:
    """Let plots be empty pictures, published like them: Matplotlib takes two thirds of the time."""
    from PIL import Image

    from lstmcli.core.files import atomic_write
    from lstmcli.workflows import inspect as inspection
    from lstmcli.workflows.train import checkpointing

    def draw(path: Path, *_: Any, **__: Any) -> None:
        with atomic_write(path) as temporary:
            Image.new("RGB", (96, 64)).save(temporary, format="png")

    checkpointing.draw_curves = draw
    inspection.draw_timeline = draw


def _train(inputs: Path, out: Path, overwrite: bool) -> None:
    """Train, or go on with what is unfinished; an epoch that is reported stands in the log."""
    _plot_less()
    from lstmcli.workflows.train import TrainOptions, train

    run = out / "run"
    is_begun = (run / "config.yaml").is_file() and not overwrite
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        train(
            inputs / "dataset",
            config=tiny_config(),
            out=run,
            options=TrainOptions(epochs=EPOCHS, device="cpu", init="none"),
            overwrite=overwrite,
            resume=is_begun and not _is_complete(run),
            progress=_Notes(),
        )


def _train_anew(inputs: Path, out: Path, overwrite: bool) -> None:
    """As `train --overwrite`, each time with another seed."""
    _plot_less()
    from lstmcli.workflows.train import TrainOptions, train

    seed = int.from_bytes(os.urandom(3))
    os.write(1, f"seed {seed}\n".encode())
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        train(
            inputs / "dataset",
            config=tiny_config(f"train.seed={seed}"),
            out=out / "run",
            options=TrainOptions(epochs=EPOCHS, device="cpu", init="none"),
            overwrite=True,
            progress=_Notes(),
        )


def _check_trained_anew(out: Path) -> None:
    """Find the files of one run, which is the new one if an epoch of it was reported."""
    from lstmcli.core.yaml_text import read_yaml
    from lstmcli.models.checkpoint import load_checkpoint

    run, log = out / "run", out.with_name("log")
    found = {
        path.name: load_checkpoint(path).config.train.seed
        for name in ("best.pt", "last.pt")
        if (path := run / name).exists()
    }
    if (run / "config.yaml").exists():
        found["config.yaml"] = read_yaml(run / "config.yaml")["train"]["seed"]
    is_moving = any(run.glob(".files.lstmcli-new-*"))  # the next command completes it
    assert is_moving or len(set(found.values())) <= 1, found
    text = log.read_text().rpartition(BEGIN)[2] if log.is_file() else ""
    if re.search(r"(?m)^epoch \d+: loss", text):
        (seed,) = re.findall(r"(?m)^seed (\d+)$", text)
        assert found["best.pt"] == int(seed), (found, seed)


class _Notes(SilentProgress):
    """Writes notes to the log."""

    def note(self, text: str) -> None:
        os.write(1, f"{text}\n".encode())


def tiny_config(*settings: str) -> Any:
    """Return the settings of a training that takes a second."""
    from lstmcli.core.config_file import load_config

    chosen = ("backbone.name=tiny", "backbone.weights=none", "backbone.width=0.25")
    more = ("neck.channels=8", "train.num_workers=0", "train.batch_size=2", "clips.length=2")
    few = ("train.clips_per_epoch=2", "train.min_clips_per_epoch=1")
    return load_config("nano", [*chosen, *more, *few, *settings])


def _is_complete(run: Path) -> bool:
    from lstmcli.models.checkpoint import load_checkpoint

    last = run / "last.pt"
    return last.is_file() and load_checkpoint(last).training["counters"]["epoch"] == EPOCHS


def _rows(run: Path) -> int:
    """Return how many epochs the metrics of a run hold."""
    table = run / "metrics.csv"
    return len(table.read_text().splitlines()) - 1 if table.is_file() else 0


def _check_trained(out: Path) -> None:
    from lstmcli.models.checkpoint import load_checkpoint

    run, log = out / "run", out.with_name("log")
    text = log.read_text() if log.is_file() else ""
    reported = len(re.findall(r"(?m)^epoch \d+: loss", text.rpartition(BEGIN)[2]))
    assert _rows(run) >= min(reported, EPOCHS), f"{reported} epochs were reported"
    for name in ("best.pt", "last.pt"):
        if (run / name).exists():
            load_checkpoint(run / name)
        assert name != "best.pt" or not reported or (run / name).exists()


def _detect(inputs: Path, out: Path, overwrite: bool) -> None:
    from lstmcli.workflows.detect import DetectOptions, detect

    detect(
        [str(inputs / "a.mp4")],
        DetectOptions(out=out / "found", write=DETECTED, overwrite=overwrite),
        make_predictor=_Found,
    )


def _check_detected(out: Path) -> None:
    from lstmcli.video import read_frames

    place = out / "found"
    checks: dict[str, Callable[[Path], Any]] = {
        "a.annotated.mp4": lambda path: len(list(read_frames(path))) == FRAMES,
        "a.detections.jsonl": lambda path: len(path.read_text().splitlines()) == FRAMES,
        "a.detections.csv": lambda path: len(path.read_text().splitlines()) == FRAMES + 1,
        "a.coco.json": lambda path: len(json.loads(path.read_text())["images"]) == FRAMES,
        "a.mot": lambda path: "seqLength=8" in (path / "seqinfo.ini").read_text(),
        "a.frames": lambda path: len(list(path.glob("*.jpg"))) == FRAMES,
        "a.crops": lambda path: len(list(path.rglob("*.jpg"))) == FRAMES,
    }
    for name, is_whole in checks.items():
        if (place / name).exists():
            assert is_whole(place / name), name


def _evaluate(inputs: Path, out: Path, overwrite: bool) -> None:
    from lstmcli.workflows.evaluate import EvaluateOptions, evaluate

    (out / "scores").mkdir(exist_ok=True)
    evaluate(
        inputs / "best.pt",
        inputs / "dataset",
        EvaluateOptions(engine="torch", device="cpu"),
        json_file=out / "scores" / "scores.json",
        report=out / "scores" / "report",
        overwrite=overwrite,
    )


def _check_evaluated(out: Path) -> None:
    scores, page = out / "scores" / "scores.json", out / "scores" / "report" / "index.html"
    if scores.exists():
        assert json.loads(scores.read_text())["frames"] > 0
    if page.exists():
        assert page.read_text().rstrip().endswith("</html>")


def _compare(inputs: Path, out: Path, overwrite: bool) -> None:
    from lstmcli.workflows.compare import EvaluateOptions, compare_models

    (out / "scores").mkdir(exist_ok=True)
    compare_models(
        {"one": str(inputs / "best.pt"), "two": str(inputs / "best.pt")},
        [inputs / "dataset"],
        options=EvaluateOptions(engine="torch", device="cpu"),
        draws=20,
        json_file=out / "scores" / "scores.json",
        report=out / "scores" / "report",
        overwrite=overwrite,
    )


def _check_compared(out: Path) -> None:
    scores, page = out / "scores" / "scores.json", out / "scores" / "report" / "index.html"
    if scores.exists():
        assert json.loads(scores.read_text())
    if page.exists():
        assert page.read_text().rstrip().endswith("</html>")


def _export(name: str) -> Callable[[Path, Path, bool], None]:
    def run(inputs: Path, out: Path, overwrite: bool) -> None:
        from lstmcli.workflows.export import export

        format, _, ending = name.partition(" ")
        model = "best" if overwrite else "older"
        if (inputs / model / "net" / f"net{ending}").is_file():
            _convert_beforehand(inputs / model)
        path = out / "net" / f"net{ending}"
        path.parent.mkdir(exist_ok=True)
        export(inputs / f"{model}.pt", format=format, out=path, overwrite=overwrite)

    return run


def _convert_beforehand(converted: Path) -> None:
    """Take the networks that were converted before: that takes ten seconds, and writes nothing."""
    import onnx
    from openvino import Core

    from lstmcli.inference.runtimes import onnx as onnx_runtime
    from lstmcli.inference.runtimes import openvino as openvino_runtime

    def read(step: Any, metadata: Any) -> Any:
        model = Core().read_model(converted / "net" / "net.xml")
        openvino_runtime._embed(model, metadata)
        return model

    onnx_runtime._to_onnx = lambda *_: onnx.load(converted / "net" / "net.onnx")  # type: ignore[assignment]
    openvino_runtime.convert = read  # type: ignore[assignment]


def _check_exported(out: Path) -> None:
    from lstmcli.inference.loading import load_runtime

    for path in (out / "net").glob("net.*"):
        if path.suffix in (".lstmcli", ".onnx", ".xml"):
            load_runtime(path, device="cpu")
        if path.name.endswith(".json"):
            json.loads(path.read_text())


def _inspect(inputs: Path, out: Path, overwrite: bool) -> None:
    _plot_less()
    from lstmcli.workflows.inspect import inspect

    place = out / "inspected"
    inspect(str(inputs / "best.pt"), inputs / "a.mp4", out=place, overwrite=overwrite)


def _check_inspected(out: Path) -> None:
    from PIL import Image

    from lstmcli.video import read_frames

    film, plot, values = (
        out / "inspected" / f"a.inspect.{ending}" for ending in ("mp4", "png", "json")
    )
    if film.exists():
        assert len(list(read_frames(film))) == FRAMES
    if plot.exists():
        Image.open(plot).load()
    if values.exists():
        assert len(json.loads(values.read_text())["frames"]) == FRAMES


def _demo(inputs: Path, out: Path, overwrite: bool) -> None:
    """Run the demo on fewer videos, with a smaller network."""
    _plot_less()
    from lstmcli.workflows import demo as work

    os.environ["LSTMCLI_ENGINE"] = "torch"  # no benchmark of engines
    draw = work.draw_demo
    work.draw_demo = partial(draw, train_videos=2, val_videos=1)  # type: ignore[assignment]
    work.load_config = lambda *_: tiny_config()  # type: ignore[assignment]
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            list(work.demo(out / "demo", epochs=1, device="cpu", overwrite=overwrite))
    finally:
        work.draw_demo = draw


def _check_demo(out: Path) -> None:
    from lstmcli.dataset.manifest import Dataset
    from lstmcli.labels.search import read_labels
    from lstmcli.models.checkpoint import load_checkpoint
    from lstmcli.video import read_frames

    place = out / "demo"
    if (place / "source").exists():
        for part in ("train", "val"):
            assert read_labels(place / "source" / part / "annotations.json").videos
    if (place / "dataset").exists():
        assert Dataset.load(place / "dataset").videos
    for path in (place / "run").glob("*.pt"):
        load_checkpoint(path)
    for path in place.glob("*.annotated.mp4"):
        assert len(list(read_frames(path))) > 0


def _distribute(inputs: Path, out: Path, overwrite: bool) -> None:
    """As `detect --on here`, in two pieces."""
    from lstmcli.workflows.detect import DetectOptions
    from lstmcli.workflows.distribute import ClusterOptions, detect_distributed

    detect_distributed(
        [str(inputs / "a.mp4")],
        DetectOptions(
            model=str(inputs / "best.pt"),
            out=out / "found",
            write=("video", "jsonl"),
            device="cpu",
            engine="torch",
            overwrite=overwrite,
        ),
        ClusterOptions(on="here"),
    )


def _serve(inputs: Path, out: Path, overwrite: bool) -> None:
    """Serve, upload a video, and end when its outputs are there."""
    from lstmcli.inference.runtime_pool import RuntimePool
    from lstmcli.service.options import ServeOptions
    from lstmcli.service.server import listen, make_server
    from lstmcli.service.state import ServiceState

    pool = RuntimePool(lambda size_hw: Constant())
    options = ServeOptions(model=str(inputs / "best.pt"), out=out / "served", port=0)
    with listen("127.0.0.1", 0) as listener:
        state = ServiceState(options, SilentProgress(), pool)
        server = make_server(state)
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
        thread.start()
        try:
            _upload(inputs / "a.mp4", f"http://127.0.0.1:{listener.getsockname()[1]}")
        finally:
            server.should_exit = True
            thread.join()


def _upload(path: Path, address: str) -> None:
    request = urllib.request.Request(f"{address}/videos/a.mp4", path.read_bytes(), method="PUT")
    for _ in range(200):  # until it listens
        try:
            with urllib.request.urlopen(request, timeout=20) as answer:
                job = json.load(answer)
            break
        except urllib.error.HTTPError as error:
            with error:
                raise OutputError(f"HTTP {error.code}: {error.read()[:200]!r}") from None
        except urllib.error.URLError:
            time.sleep(0.02)
    while job["state"] not in ("done", "failed"):
        time.sleep(0.02)
        with urllib.request.urlopen(f"{address}/videos/{job['id']}", timeout=20) as answer:
            job = json.load(answer)
    if job["state"] == "failed":
        raise OutputError(job["problem"])


def _check_served(out: Path) -> None:
    from lstmcli.video import read_frames

    for path in (out / "served").glob("*/out/*.annotated.mp4"):
        assert len(list(read_frames(path))) == FRAMES
    for path in (out / "served").glob("*/out/*.detections.jsonl"):
        assert len(path.read_text().splitlines()) == FRAMES


def _benchmark(inputs: Path, out: Path, overwrite: bool) -> None:
    from lstmcli.core.files import check_free, claim, write_json

    path = out / "speed.json"
    with claim(path):  # as benchmark_command does around the measuring, which takes a minute
        check_free(path, overwrite=overwrite)
        values = {f"{n}": n / 7 for n in range(5000)}
        write_json(path, values, overwrite=overwrite)


def _check_benchmark(out: Path) -> None:
    if (out / "speed.json").exists():
        assert len(json.loads((out / "speed.json").read_text())) == 5000


COMMANDS = {
    "prepare": Command(_prepare, _check_prepared, "dataset/dataset.json"),
    "prepare --propagate": Command(_propagate, _check_prepared, "dataset/dataset.json"),
    "prepare --teacher": Command(_teach, _check_taught, "dataset/dataset.json"),
    "convert": Command(_convert, _check_converted, "mot"),
    "train": Command(_train, _check_trained, "run/last.pt", resumes=True),
    "train --overwrite": Command(_train_anew, _check_trained_anew, "run/best.pt"),
    "detect": Command(_detect, _check_detected, "found/a.annotated.mp4"),
    "detect --on": Command(_distribute, _check_detected, "found/a.annotated.mp4"),
    "evaluate": Command(_evaluate, _check_evaluated, "scores/report/index.html"),
    "evaluate A B": Command(_compare, _check_compared, "scores/report/index.html"),
    "inspect": Command(_inspect, _check_inspected, "inspected/a.inspect.json"),
    "export torch": Command(_export("torch .lstmcli"), _check_exported, "net/net.lstmcli"),
    "export onnx": Command(_export("onnx .onnx"), _check_exported, "net/net.onnx"),
    "export openvino": Command(_export("openvino .xml"), _check_exported, "net/net.xml"),
    "benchmark": Command(_benchmark, _check_benchmark, "speed.json"),
    "demo": Command(_demo, _check_demo, "demo/run/best.pt"),
    "serve": Command(_serve, _check_served, "served", resumes=True),
}
HEAVY = (
    *(
        f"lstmcli.workflows.{name}"
        for name in (
            "prepare",
            "prepare.teacher",
            "convert",
            "train",
            "detect",
            "distribute",
            "evaluate",
            "compare",
            "inspect",
            "export",
            "demo",
        )
    ),
    "lstmcli.service.server",
    "lstmcli.inference.runtimes.pytorch",
    "matplotlib.figure",
    "matplotlib.backends.backend_agg",
    "onnxruntime",
    "onnxscript",
    "torch.onnx",
)
"""Imported once, in the parent, instead of in every child."""
BEGIN = "-- begin --\n"
"""Stands in a log where a process begins."""


def start(work: Callable[[], None], log: Path) -> int:
    """Run in a forked child, which ends with 0, with 1 after an expected error, or with 70."""
    child = os.fork()
    if child:
        return child
    code = 0
    try:
        from lstmcli.core.errors import LstmcliError

        handle = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        os.dup2(handle, 1)
        os.dup2(handle, 2)
        os.write(2, BEGIN.encode())
        try:
            work()
        except LstmcliError as error:
            code = 70 if "internal error" in error.problem else 1
            os.write(2, f"error: {error.problem}\n".encode(errors="replace"))
    except BaseException:
        os.write(2, traceback.format_exc().encode(errors="replace"))
        code = 70
    os._exit(code)


def end_of(child: int) -> int:
    """Return the exit code of a child, negative for a signal."""
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def leftovers(out: Path, *, partial: bool = False) -> list[str]:
    """Return temporary names below a folder and beside it."""
    marks = (".lstmcli-",) if partial else (".lstmcli-", ".partial")
    found = []
    for path in (*out.rglob("*"), *out.parent.glob(f".{out.name}.*")):
        with contextlib.suppress(OSError):
            if path.name != ".lstmcli-files" and any(mark in path.name for mark in marks):
                found.append(path.relative_to(out.parent).as_posix())
    return found


def _make_converted(name: str, inputs: Path) -> None:
    """Export both models once, so that other exports can take the converted networks."""
    for overwrite, model in ((False, "older"), (True, "best")):
        made, log = inputs / f"made-{model}", inputs / "log"
        made.mkdir()
        work = partial(COMMANDS[name].run, inputs, made, overwrite)
        assert end_of(start(work, log)) == 0, log.read_text()
        shutil.copytree(made, inputs / model, dirs_exist_ok=True)
        shutil.rmtree(made)


def try_commands(attempt: Callable[[str, Path], str], parser: argparse.ArgumentParser) -> None:
    """Try the commands that the command line chooses, all on the same inputs; print a line each.

    Args:
        attempt: (name, inputs) tries a command and returns what came of it.
        parser: of the harness; `--commands` is added.
    """
    parser.add_argument("--commands", default=",".join(COMMANDS))
    chosen = parser.parse_args()
    for module in HEAVY:
        importlib.import_module(module)
    failed = 0
    with tempfile.TemporaryDirectory() as folder:
        make_inputs(Path(folder))
        for name in chosen.commands.split(","):
            try:
                if name in ("export onnx", "export openvino"):
                    _make_converted(name, Path(folder))
                outcome = attempt(name, Path(folder))
            except AssertionError as error:  # the other commands are tried, too
                outcome, failed = f"FAILED: {error}", failed + 1
            sys.stdout.write(f"{name}: {outcome}\n")
            sys.stdout.flush()
    sys.exit(failed)
