"""The video set that the demo works on. The joining of the four commands is the command line's."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from lstmcli.core.errors import OutputError
from lstmcli.core.progress import Progress
from lstmcli.dataset.synthetic import write_video_set


@dataclass(frozen=True, slots=True)
class DemoVideos:
    """What was drawn.

    Args:
        train: annotations of the clips to train on.
        val: annotations of the clips that training never sees.
        video: one of the latter, to run `detect` on.
    """

    train: Path
    val: Path
    video: Path


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
        val_videos: clips to be measured on.
        seed: other seeds draw other clips.
        overwrite: draw over what lies there.
        progress: who looks on.

    Raises:
        OutputError: `out` holds something and `overwrite` is False, or it cannot be written.
    """
    if not overwrite and out.exists() and any(out.iterdir()):
        raise OutputError(
            f"{out}: the folder is not empty", hint="use --overwrite, or --out with another folder"
        )
    source = out / "source"
    # Many short clips: few objects would be learned by heart, colours, background and all.
    train = write_video_set(
        source / "train", videos=train_videos, frames=8, seed=2 * seed, progress=progress
    )
    val = write_video_set(
        source / "val", videos=val_videos, frames=24, seed=2 * seed + 1, progress=progress
    )
    return DemoVideos(train, val, sorted((source / "val" / "videos").glob("*.mp4"))[0])
