"""`demo`: draws an annotated video set, then runs prepare, train, evaluate and detect on it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lstmcli.core.config_file import load_config
from lstmcli.core.errors import OutputError
from lstmcli.core.files import claim, holds_only_unreported, new_folder
from lstmcli.core.progress import Progress, SilentProgress
from lstmcli.dataset.synthetic import write_video_set
from lstmcli.workflows.detect import DetectOptions, detect
from lstmcli.workflows.evaluate import EvaluateOptions, evaluate
from lstmcli.workflows.prepare import prepare
from lstmcli.workflows.train import TrainOptions, train


@dataclass(frozen=True, slots=True)
class DemoVideos:
    """Paths of the drawn videos.

    Args:
        train: annotations of the training clips.
        val: annotations of the held-out clips.
        video: a held-out clip for `detect`.
    """

    train: Path
    val: Path
    video: Path


@dataclass(frozen=True, slots=True)
class DemoStage:
    """A finished stage of the demo.

    Args:
        command: `prepare`, `train`, `evaluate` or `detect`.
        result: of the workflow of that name.
    """

    command: str
    result: Any


def demo(
    out: Path,
    *,
    epochs: int | None = None,
    seed: int = 0,
    device: str = "auto",
    overwrite: bool = False,
    progress: Progress | None = None,
) -> Iterator[DemoStage]:
    """Yield every stage as it is done; an interrupted training is the last one.

    Args:
        out: the folder of all outputs: `source/`, `dataset/`, `run/` and an annotated video.
        epochs: of the training; None: the preset's.
        seed: of the drawn videos and of the training.
        device: `auto`, `cpu`, `cuda` or `cuda:N`.
        overwrite: replace an earlier demo.
        progress: shows the equivalent commands, and the progress of each.

    Raises:
        OutputError: `out` holds something and `overwrite` is False, or it cannot be written.
    """
    with claim(out):
        overwrite = overwrite or (out.is_dir() and holds_only_unreported(out))
        yield from _stages(out, epochs, seed, device, overwrite, progress or SilentProgress())


def _stages(
    out: Path, epochs: int | None, seed: int, device: str, overwrite: bool, progress: Progress
) -> Iterator[DemoStage]:
    dataset, run = out / "dataset", out / "run"
    progress.note(f"1. drawing videos of moving shapes in {out / 'source'}")
    videos = draw_demo(out, seed=seed, overwrite=overwrite, progress=progress)
    progress.note(f"2. lstmcli prepare {videos.train} --val {videos.val} --out {dataset}")
    prepared = prepare(
        [videos.train], val=[videos.val], out=dataset, overwrite=overwrite, progress=progress
    )
    yield DemoStage("prepare", prepared)
    progress.note(f"3. lstmcli train {dataset} --preset demo --out {run}")
    trained = train(
        dataset,
        config=load_config("demo", [f"train.seed={seed}"]),
        out=run,
        options=TrainOptions(epochs=epochs, device=device),
        overwrite=overwrite,
        progress=progress,
    )
    yield DemoStage("train", trained)
    if trained.interrupted:
        return
    progress.note(f"4. lstmcli evaluate {run} {dataset}")
    yield DemoStage(
        "evaluate", evaluate(run, dataset, EvaluateOptions(device=device), progress=progress)
    )
    progress.note(f"5. lstmcli detect {videos.video} --model {run} --out {out}")
    report = detect(
        [str(videos.video)],
        DetectOptions(model=run, out=out, device=device, overwrite=overwrite),
        progress=progress,
    )
    yield DemoStage("detect", report)


def draw_demo(
    out: Path,
    *,
    train_videos: int = 240,
    val_videos: int = 24,
    seed: int = 0,
    overwrite: bool = False,
    progress: Progress,
) -> DemoVideos:
    """Draw an annotated video set below `out/source`.

    Args:
        out: the demo's folder; it is made where it is missing.
        train_videos: clips to train on.
        val_videos: held-out clips.
        seed: of the drawing.
        overwrite: replace existing files.
        progress: shows the drawing.

    Raises:
        OutputError: `out` holds something and `overwrite` is False, or it cannot be written.
    """
    if not overwrite and out.exists() and any(out.iterdir()):
        raise OutputError(
            f"{out} exists and is not empty", hint="use --overwrite, or name another --out"
        )
    source = out / "source"
    with new_folder(source, overwrite=overwrite) as folder:
        # Many short clips: a network would overfit to the colours and backgrounds of a few.
        train = write_video_set(
            folder / "train", videos=train_videos, frames=8, seed=2 * seed, progress=progress
        )
        val = write_video_set(
            folder / "val", videos=val_videos, frames=24, seed=2 * seed + 1, progress=progress
        )
        video = sorted((folder / "val" / "videos").glob("*.mp4"))[0]
    return DemoVideos(*(source / path.relative_to(folder) for path in (train, val, video)))
