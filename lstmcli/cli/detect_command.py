"""`detect`: video in, annotated video and detections as data out."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from lstmcli.cli import parsing
from lstmcli.cli.console import Console, rate_text, time_text

if TYPE_CHECKING:
    from lstmcli.workflows.detect import DetectReport, VideoDone


Style = Literal["box", "blur", "pixelate", "none"]
Stamp = Literal["none", "time", "frame", "both"]


def detect(
    context: typer.Context,
    source: Annotated[
        list[str],
        typer.Argument(
            metavar="SOURCE",
            help="Files, folders, patterns, camera:0, a stream's address, or - for stdin.",
            show_default=False,
        ),
    ],
    model: Annotated[
        str | None,
        typer.Option(
            metavar="MODEL",
            help="A checkpoint, run or shipped model, a,b fuses two; else the newest run's best.",
        ),
    ] = None,
    out: Annotated[Path, typer.Option(metavar="DIR", help="The folder of the outputs.")] = Path(),
    threshold: Annotated[
        float, typer.Option(metavar="SCORE", min=0, max=1, help="The least score that is written.")
    ] = 0.3,
    classes: Annotated[
        str | None, typer.Option(metavar="A,B", help="Only these classes; else all.")
    ] = None,
    start: Annotated[
        str | None, typer.Option(metavar="TIME", help="Begin there: seconds or h:mm:ss.")
    ] = None,
    end: Annotated[
        str | None, typer.Option(metavar="TIME", help="Stop there: seconds or h:mm:ss.")
    ] = None,
    every: Annotated[
        int | None,
        typer.Option(
            metavar="N", min=1, help="Every Nth frame only; else all, 15 a second looked at."
        ),
    ] = None,
    fill: Annotated[
        bool,
        typer.Option("--fill", help="With --every: keep the others, lay boxes between. Faster."),
    ] = False,
    write: Annotated[
        str,
        typer.Option(metavar="A,B", help="Any of video, jsonl, csv, mot, coco, crops, frames."),
    ] = "video,jsonl",
    codec: Annotated[
        str, typer.Option(metavar="NAME", help="Of the video: auto, h264, nvenc or hevc.")
    ] = "auto",
    quality: Annotated[
        int, typer.Option(metavar="N", min=0, max=51, help="Of the video: 0 best, 51 smallest.")
    ] = 23,
    style: Annotated[
        Style, typer.Option(metavar="NAME", help="box, blur, pixelate or none.")
    ] = "box",
    labels: Annotated[
        bool, typer.Option("--labels/--no-labels", help="Write class and score at the boxes.")
    ] = True,
    trails: Annotated[
        bool, typer.Option("--trails/--no-trails", help="Draw where objects came from.")
    ] = True,
    stamp: Annotated[
        Stamp, typer.Option(metavar="NAME", help="In the corner: none, time, frame or both.")
    ] = "none",
    sound: Annotated[
        bool, typer.Option("--sound/--no-sound", help="Keep the sound of the source.")
    ] = True,
    track: Annotated[
        bool, typer.Option("--track/--no-track", help="Give objects ids that last; fill gaps.")
    ] = True,
    count: Annotated[
        Path | None, typer.Option(metavar="FILE", help="A YAML file with lines and zones to count.")
    ] = None,
    memory: Annotated[
        bool,
        typer.Option(
            "--memory/--no-memory", help="Without: forget all but the motion at each frame."
        ),
    ] = True,
    device: Annotated[
        str, typer.Option(metavar="NAME", help="auto, cpu, cuda or cuda:N.")
    ] = "auto",
    engine: Annotated[
        str, typer.Option(metavar="NAME", help="auto (the quickest here), torch, openvino, onnx.")
    ] = "auto",
    jobs: Annotated[
        int, typer.Option(metavar="N", min=1, help="So many videos at the same time.")
    ] = 1,
    skip_existing: Annotated[
        bool, typer.Option("--skip-existing", help="Leave out videos that are done already.")
    ] = False,
    image_rate: Annotated[
        float, typer.Option(metavar="FPS", min=0.01, help="Frames a second of rows of images.")
    ] = 25.0,
    segment: Annotated[
        str, typer.Option(metavar="TIME", help="A camera or stream begins new files so often.")
    ] = "5m",
    patience: Annotated[
        str, typer.Option(metavar="TIME", help="So long a stream may be silent before the end.")
    ] = "60s",
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace outputs.")] = False,
) -> None:
    """Find objects in videos; write annotated videos and the detections as data."""
    start_s, end_s = parsing.moment_s(start), parsing.moment_s(end)
    segment_s, patience_s = parsing.duration_s(segment), parsing.duration_s(patience)
    kept, written = parsing.names(classes), parsing.names(write)

    from lstmcli.workflows.detect import DrawStyle
    from lstmcli.workflows.detect import detect as work

    console: Console = context.obj
    report = work(
        source,
        model=model,
        out=out,
        threshold=threshold,
        classes=kept or (),
        start_s=start_s,
        end_s=end_s,
        every=every,
        fill=fill,
        write=written or (),
        codec=codec,
        quality=quality,
        track=track,
        count=count,
        look=DrawStyle(style=style, labels=labels, trails=trails, stamp=stamp),
        sound=sound,
        image_rate=image_rate,
        memory=memory,
        device=device,
        engine=engine,
        jobs=jobs,
        skip_existing=skip_existing,
        overwrite=overwrite,
        segment_s=segment_s or 0.0,
        patience_s=patience_s or 0.0,
        progress=console.progress,
    )
    show_detected(console, report)
    if report.failed:
        raise typer.Exit(1)


def show_detected(console: Console, report: DetectReport) -> None:
    """Print the outputs of every video, and at the end what failed."""
    for done in report.done:
        console.say(f"{done.name}: {_summary(done)}")
        for note in done.notes:
            console.warn(f"{done.name}: {note}")
        for (gate, direction, name), number in sorted(done.counts.items()):
            console.say(f"  {gate}, {direction}: {number} {name}")
        for path in done.outputs:
            console.result(os.path.relpath(path) if path.is_absolute() else str(path))
    if report.skipped:
        console.say(f"{len(report.skipped)} done already, left out")
    for failed in report.failed:
        console.error(f"{failed.name}: {failed.problem}", failed.hint)


def _summary(done: VideoDone) -> str:
    looked = f" ({done.looked} looked at)" if done.looked < done.frames else ""
    parts = [f"{done.frames} frames{looked}", f"{done.detections} detections"]
    if done.objects:
        parts.append(f"{done.objects} objects")
    rate = rate_text(done.frames / max(done.seconds, 1e-9)).replace("/s", " frames/s")
    return ", ".join(parts) + f" in {time_text(done.seconds)} ({rate})"
