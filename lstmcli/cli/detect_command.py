"""`detect`: annotated videos and machine-readable detections."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from lstmcli.cli import parsing
from lstmcli.cli.console import Console, rate_text, time_text
from lstmcli.cli.options import (
    CLUSTER,
    DETECTION,
    DRAWING,
    HARDWARE,
    OUTPUT,
    SOURCE,
    Device,
    Engine,
    InputSize,
    Memory,
    Overwrite,
    argument,
    option,
)

if TYPE_CHECKING:
    from lstmcli.workflows.detect import DetectReport, VideoDone


Style = Literal["box", "blur", "pixelate", "none"]
Timestamp = Literal["none", "time", "frame", "both"]


def detect(
    context: typer.Context,
    source: Annotated[
        list[str],
        argument(
            SOURCE,
            "SOURCE",
            "Video files, folders, glob patterns, camera:0, a stream's URL (rtsp, http), or - for "
            "stdin.",
        ),
    ],
    start: Annotated[
        str | None,
        option(SOURCE, "TIME", "Start time: seconds or h:mm:ss; default: 0."),
    ] = None,
    end: Annotated[
        str | None, option(SOURCE, "TIME", "End time: seconds or h:mm:ss; default: the end.")
    ] = None,
    every: Annotated[
        int | None,
        option(
            SOURCE,
            "N",
            "Process and output every Nth frame. Default: output all frames; on a CPU the network "
            "runs at 15 fps or more and boxes in between are interpolated.",
            min=1,
        ),
    ] = None,
    image_rate: Annotated[
        float | None,
        option(
            SOURCE,
            "FPS",
            "Frame rate of image sequences and of raw streams (.h264, .mjpeg), frames per second. "
            "Default: that of the stream's headers, else 25.",
            min=0.01,
        ),
    ] = None,
    segment: Annotated[
        str,
        option(SOURCE, "TIME", "Camera or stream: start a new output file every TIME."),
    ] = "5m",
    patience: Annotated[
        str, option(SOURCE, "TIME", "Camera or stream: stop after TIME without frames.")
    ] = "60s",
    model: Annotated[
        str | None,
        option(
            DETECTION,
            "MODEL",
            "Checkpoint, run folder, exported, shipped or third-party (ONNX) model; A,B fuses two. "
            "Default: the best "
            "checkpoint of the newest run, else a shipped model.",
        ),
    ] = None,
    size: InputSize = None,
    threshold: Annotated[
        float, option(DETECTION, "SCORE", "Minimum score of a detection, 0 to 1.", min=0, max=1)
    ] = 0.3,
    classes: Annotated[
        str | None, option(DETECTION, "A,B", "Detect only these classes; default: all.")
    ] = None,
    track: Annotated[
        bool,
        option(
            DETECTION,
            None,
            "Track objects: stable ids, short gaps interpolated.",
            "--track/--no-track",
        ),
    ] = True,
    fill: Annotated[
        bool,
        option(
            DETECTION,
            None,
            "With --every: output all frames and interpolate boxes between the processed ones.",
            "--fill",
        ),
    ] = False,
    memory: Memory = True,
    count: Annotated[
        Path | None,
        option(DETECTION, "FILE", "Count objects at the lines and in the zones of a YAML file."),
    ] = None,
    out: Annotated[str, option(OUTPUT, "DIR", "Output folder.")] = ".",
    events: Annotated[
        str | None,
        option(
            OUTPUT,
            "FILE|URL",
            "Event log: lines crossed and zones entered (with --count), tracks that appear and "
            "disappear. JSON lines appended to a file, one POST each to http://..., or mqtt://host/"
            "topic (extra `mqtt`); detection never waits for a receiver.",
        ),
    ] = None,
    write: Annotated[str, option(OUTPUT, "A,B", "Outputs: any of {outputs}.")] = "video,jsonl",
    codec: Annotated[str, option(OUTPUT, "NAME", "Video codec: auto, {codecs}.")] = "auto",
    quality: Annotated[
        int, option(OUTPUT, "N", "Video quality: 0 (best) to 51 (smallest).", min=0, max=51)
    ] = 23,
    sound: Annotated[
        bool, option(OUTPUT, None, "Copy the audio track.", "--sound/--no-sound")
    ] = True,
    skip_existing: Annotated[
        bool, option(OUTPUT, None, "Skip videos whose outputs exist.", "--skip-existing")
    ] = False,
    overwrite: Overwrite = False,
    style: Annotated[
        Style, option(DRAWING, "NAME", "Drawing of objects: box, blur, pixelate or none.")
    ] = "box",
    labels: Annotated[
        bool, option(DRAWING, None, "Draw class and score at each box.", "--labels/--no-labels")
    ] = True,
    trails: Annotated[
        bool, option(DRAWING, None, "Draw traces of tracked objects.", "--trails/--no-trails")
    ] = True,
    stamp: Annotated[
        Timestamp, option(DRAWING, "NAME", "Timestamp in the corner: none, time, frame or both.")
    ] = "none",
    device: Device = "auto",
    engine: Engine = "auto",
    jobs: Annotated[
        int, option(HARDWARE, "N", "Number of videos processed at the same time.", min=1)
    ] = 1,
    on: Annotated[
        str | None,
        option(
            CLUSTER,
            "NAME",
            "Run each video as a task: ray (extra `ray`; without --address a cluster of --jobs "
            "cores is started here), or here. Sources and --out may be s3://, gs://, https:// "
            "(extra `remote`).",
        ),
    ] = None,
    address: Annotated[
        str | None, option(CLUSTER, "HOST:PORT", "Ray cluster to use; needs --on ray.")
    ] = None,
    piece: Annotated[
        str | None,
        option(
            CLUSTER,
            "TIME",
            "Cut longer videos at key frames into pieces of about TIME, each a task; tracks are "
            "joined where pieces overlap. Default: videos stay whole.",
        ),
    ] = None,
    task_cores: Annotated[float, option(CLUSTER, "N", "CPU cores of a task.", min=0.1)] = 1.0,
    task_gpus: Annotated[
        float, option(CLUSTER, "N", "Share of a GPU of a task; 0: tasks run on CPUs.", min=0)
    ] = 0.0,
    retries: Annotated[
        int, option(CLUSTER, "N", "Retries of a task whose worker died.", min=0)
    ] = 3,
) -> None:
    """Detect objects in videos; write annotated videos and machine-readable detections."""
    start_s, end_s = parsing.moment_s(start), parsing.moment_s(end)
    segment_s, patience_s = parsing.duration_s(segment), parsing.duration_s(patience)
    kept, written = parsing.names(classes), parsing.names(write)

    from lstmcli.workflows.detect import DetectOptions, DrawStyle
    from lstmcli.workflows.detect import detect as work

    console: Console = context.obj
    options = DetectOptions(
        model=parsing.sized_model(model, size),
        out=Path() if "://" in out else Path(out),
        threshold=threshold,
        classes=tuple(kept or ()),
        start_s=start_s,
        end_s=end_s,
        every=every,
        interpolate=fill,
        write=tuple(written or ()),
        codec=codec,
        quality=quality,
        track=track,
        count=count,
        events=events,
        style=DrawStyle(style=style, labels=labels, traces=trails, timestamp=stamp),
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
    )
    if on is None and address is not None:
        raise typer.BadParameter("--address needs --on ray")
    if on is None and not any(map(_is_elsewhere, (out, *source))):
        report = work(source, options, progress=console.progress)
    else:
        from lstmcli.workflows.distribute import ClusterOptions, detect_distributed

        cluster = ClusterOptions(
            on=on or "here",
            address=address,
            cores=task_cores,
            gpus=task_gpus,
            retries=retries,
            piece_s=parsing.duration_s(piece),
        )
        report = detect_distributed(
            source, options, cluster, out=out if "://" in out else "", progress=console.progress
        )
    show_detected(console, report)
    if report.failed:
        raise typer.Exit(1)


def _is_elsewhere(text: str) -> bool:
    """Return whether a text is an address of files; http without --on is a stream."""
    return re.match(r"(s3|gs|gcs|az|abfs|hdfs|webhdfs|sftp|ssh|smb|memory)://", text) is not None


def show_detected(console: Console, report: DetectReport) -> None:
    """Print the outputs of every video, then the failures."""
    for done in report.done:
        console.say(f"{done.name}: {_summary(done)}")
        for note in done.notes:
            console.warn(f"{done.name}: {note}")
        for (zone, direction, name), number in sorted(done.counts.items()):
            console.say(f"  {zone}, {direction}: {number} {name}")
        for path in done.outputs:
            is_absolute = isinstance(path, Path) and path.is_absolute()
            console.result(os.path.relpath(path) if is_absolute else str(path))
    for note in report.notes:
        console.warn(note)
    if report.skipped:
        console.say(f"{len(report.skipped)} skipped, outputs exist")
    for failed in report.failed:
        named = failed.name in failed.problem.split(": ")[0]
        console.error(failed.problem if named else f"{failed.name}: {failed.problem}", failed.hint)


def _summary(done: VideoDone) -> str:
    inferred = f" ({done.inferences} by the network)" if done.inferences < done.frames else ""
    parts = [f"{done.frames} frames{inferred}", f"{done.detections} detections"]
    if done.objects:
        parts.append(f"{done.objects} objects")
    rate = rate_text(done.frames / max(done.seconds, 1e-9)).replace("/s", " frames/s")
    return ", ".join(parts) + f" in {time_text(done.seconds)} ({rate})"
