"""Every command that writes, in small, and what its outputs must be where they are there."""

from __future__ import annotations

import argparse
import contextlib
import importlib
import json
import os
import sys
import tempfile
import traceback
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

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
    """

    run: Callable[[Path, Path, bool], None]
    check: Callable[[Path], None]
    result: str


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
    write_dataset(folder / "dataset", videos=("train", "val"), frames=6)
    network = tiny_network()
    save_checkpoint(folder / "best.pt", network, network.state_dict(), metrics={"epoch": 1})


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


def _train(inputs: Path, out: Path, overwrite: bool) -> None:
    from lstmcli.core.config_file import load_config
    from lstmcli.workflows.train import TrainOptions, train

    chosen = ("backbone.name=tiny", "backbone.weights=none", "backbone.width=0.25")
    more = ("neck.channels=8", "train.num_workers=0", "train.batch_size=2", "clips.length=2")
    few = ("train.clips_per_epoch=2", "train.min_clips_per_epoch=1")
    run = out / "run"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        train(
            inputs / "dataset",
            config=load_config("nano", [*chosen, *more, *few]),
            out=run,
            options=TrainOptions(epochs=1, device="cpu", init="none"),
            overwrite=overwrite,
        )


def _check_trained(out: Path) -> None:
    from lstmcli.models.checkpoint import load_checkpoint

    for name in ("best.pt", "last.pt"):
        if (out / "run" / name).exists():
            load_checkpoint(out / "run" / name)


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


def _export(inputs: Path, out: Path, overwrite: bool) -> None:
    from lstmcli.workflows.export import export

    (out / "net").mkdir(exist_ok=True)
    export(inputs / "best.pt", format="torch", out=out / "net" / "net.lstmcli", overwrite=overwrite)


def _check_exported(out: Path) -> None:
    from lstmcli.inference.loading import load_runtime

    if (out / "net" / "net.lstmcli").exists():
        load_runtime(out / "net" / "net.lstmcli", device="cpu")


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
    "convert": Command(_convert, _check_converted, "mot"),
    "train": Command(_train, _check_trained, "run/last.pt"),
    "detect": Command(_detect, _check_detected, "found/a.annotated.mp4"),
    "evaluate": Command(_evaluate, _check_evaluated, "scores/report/index.html"),
    "export": Command(_export, _check_exported, "net/net.lstmcli"),
    "benchmark": Command(_benchmark, _check_benchmark, "speed.json"),
}
HEAVY = tuple(
    f"lstmcli.workflows.{name}"
    for name in ("prepare", "convert", "train", "detect", "evaluate", "export")
)


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
    with tempfile.TemporaryDirectory() as folder:
        make_inputs(Path(folder))
        for name in chosen.commands.split(","):
            sys.stdout.write(f"{name}: {attempt(name, Path(folder))}\n")
            sys.stdout.flush()
