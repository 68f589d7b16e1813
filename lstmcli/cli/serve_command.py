"""`serve`: cameras, uploaded videos and streams of frames over HTTP and WebSockets."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import Annotated

import typer

from lstmcli.cli import parsing
from lstmcli.cli.console import Console
from lstmcli.cli.options import DETECTION, OUTPUT, SOURCE, Device, Engine, argument, option
from lstmcli.core.errors import ConfigError

NETWORK = "Network"
LIMITS = "Limits"


def serve(
    context: typer.Context,
    model: Annotated[
        str | None,
        argument(
            DETECTION,
            "MODEL",
            "Checkpoint, run folder, exported, shipped or third-party model; default: as `detect`.",
        ),
    ] = None,
    camera: Annotated[
        list[str] | None,
        option(
            SOURCE,
            "[NAME=]SOURCE",
            "Camera to watch: camera:0, a stream's URL, or a file that is played in real time; "
            "repeatable.",
        ),
    ] = None,
    threshold: Annotated[
        float, option(DETECTION, "SCORE", "Minimum score of a detection, 0 to 1.", min=0, max=1)
    ] = 0.3,
    classes: Annotated[
        str | None, option(DETECTION, "A,B", "Detect only these classes; default: all.")
    ] = None,
    count: Annotated[
        Path | None,
        option(DETECTION, "FILE", "Count objects at the lines and in the zones of a YAML file."),
    ] = None,
    events: Annotated[
        str | None,
        option(OUTPUT, "FILE|URL", "Events of the cameras: see `detect --events`; appended."),
    ] = None,
    out: Annotated[
        Path | None,
        option(OUTPUT, "DIR", "Folder of uploaded videos and their outputs; default: temporary."),
    ] = None,
    host: Annotated[
        str,
        option(NETWORK, "ADDRESS", "Address to listen at; other than loopback needs a token."),
    ] = "127.0.0.1",
    port: Annotated[
        int, option(NETWORK, "N", "Port to listen at; 0: a free one.", min=0, max=65535)
    ] = 8765,
    token: Annotated[
        str | None,
        option(
            NETWORK,
            "TEXT",
            "Token that every request needs: `Authorization: Bearer TEXT`, or once /?token=TEXT in "
            "a browser. Better in the environment variable LSTMCLI_TOKEN.",
            envvar="LSTMCLI_TOKEN",
            show_envvar=False,
        ),
    ] = None,
    sessions: Annotated[
        int, option(LIMITS, "N", "Sessions of frames at once; more get 429.", min=1)
    ] = 32,
    queue: Annotated[
        int, option(LIMITS, "N", "Uploaded videos that may wait; more get 429.", min=1)
    ] = 8,
    upload_limit: Annotated[
        int, option(LIMITS, "MB", "Size of an uploaded video; larger ones get 413.", min=1)
    ] = 2048,
    video_limit: Annotated[
        str, option(LIMITS, "TIME", "Longest work on an uploaded video.")
    ] = "6h",
    device: Device = "auto",
    engine: Engine = "auto",
) -> None:
    """Serve a model: a live page of cameras, REST for videos, a WebSocket for frames.

    GET / shows the cameras. PUT /videos/NAME takes a video; GET /videos/ID returns its state,
    /videos/ID/detections.jsonl and /videos/ID/video.mp4 its outputs. WebSocket /session takes one
    JPEG a message and returns its detections, with one memory a session; a text message
    {"time": seconds} before a frame sets its time. GET /state, /health, /metrics (Prometheus).

    Needs the extra `serve`: pip install 'lstmcli[serve]'.
    """
    video_s = parsing.duration_s(video_limit)
    kept = parsing.names(classes)
    missing = [name for name in ("starlette", "uvicorn", "websockets") if find_spec(name) is None]
    if missing:
        raise ConfigError(
            f"serve: {' and '.join(missing)} is not installed here",
            hint="pip install 'lstmcli[serve]'",
        )
    from lstmcli.service.options import CameraSpec, ServeOptions
    from lstmcli.service.server import serve as work

    console: Console = context.obj
    cameras = []
    for number, text in enumerate(camera or (), 1):
        name, equals, source = text.partition("=")
        named = bool(equals) and "/" not in name and ":" not in name
        cameras.append(
            CameraSpec(name.strip(), source.strip())
            if named
            else CameraSpec(f"camera{number}", text)
        )
    options = ServeOptions(
        model=model,
        cameras=tuple(cameras),
        host=host,
        port=port,
        token=token,
        threshold=threshold,
        classes=tuple(kept or ()),
        count=count,
        events=events,
        device=device,
        engine=engine,
        out=out,
        max_sessions=sessions,
        max_videos=queue,
        max_upload=upload_limit << 20,
        video_s=video_s or 0.0,
    )
    work(options, progress=console.progress, ready=console.result)
