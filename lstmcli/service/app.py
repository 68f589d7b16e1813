"""The routes of the service: page, cameras, sessions, videos, health and metrics."""

from __future__ import annotations

import asyncio
import json
import secrets
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import ClientDisconnect, Request
from starlette.responses import (
    FileResponse,
    HTMLResponse,
    JSONResponse,
    PlainTextResponse,
    Response,
)
from starlette.routing import Route, WebSocketRoute
from starlette.websockets import WebSocket, WebSocketDisconnect

from lstmcli.core.errors import LstmcliError
from lstmcli.report.page import render_page
from lstmcli.service.access import Access, refused
from lstmcli.service.frame_session import FrameSession
from lstmcli.service.state import ServiceState
from lstmcli.service.video_jobs import OUTPUT_SUFFIXES, VideoJob

CHUNK_TIMEOUT_S = 30.0
"""An upload that is silent for longer is given up."""
RETRY_AFTER_S = 10
_TYPES = {"detections.jsonl": "application/x-ndjson", "video.mp4": "video/mp4"}
_POLL_S = 0.02


def build_app(state: ServiceState) -> Starlette:
    """Return the application; cameras run as long as it does."""

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        state.start()
        try:
            yield
        finally:
            await asyncio.to_thread(state.close)

    app = Starlette(
        routes=[
            Route("/", page),
            Route("/health", health),
            Route("/metrics", metrics),
            Route("/state", service_state),
            WebSocketRoute("/cameras/{name:path}/live", live_view),
            WebSocketRoute("/session", frame_session),
            Route("/videos", all_videos, methods=["GET"]),
            Route("/videos/{name:path}", put_video, methods=["PUT"]),
            Route("/videos/{key}", video, methods=["GET", "DELETE"]),
            Route("/videos/{key}/{kind}", video_output, methods=["GET"]),
        ],
        middleware=[Middleware(Access, options=state.options)],
        lifespan=lifespan,
    )
    app.state.service = state
    return app


def _service(connection: Request | WebSocket) -> ServiceState:
    state = connection.app.state.service
    assert isinstance(state, ServiceState)
    return state


async def page(request: Request) -> Response:
    """Show the cameras, their counts and the last events."""
    state = _service(request)
    nonce = secrets.token_urlsafe(12)
    html = render_page(
        "service_page",
        title="lstmcli serve",
        nonce=nonce,
        model=state.network.model,
        engine=f"{state.network.engine} on {state.network.device}",
        cameras=list(state.cameras),
    )
    policy = (
        f"default-src 'none'; script-src 'nonce-{nonce}'; style-src 'unsafe-inline'; "
        "connect-src 'self'; img-src blob:; frame-ancestors 'none'; base-uri 'none'"
    )
    headers = {"Content-Security-Policy": policy, "Cache-Control": "no-store"}
    return HTMLResponse(html, headers=headers)


async def health(request: Request) -> Response:
    """Say that the service runs."""
    return JSONResponse({"status": "ok"})


async def metrics(request: Request) -> Response:
    """Return the counters for Prometheus."""
    return PlainTextResponse(
        _service(request).metrics(), media_type="text/plain; version=0.0.4; charset=utf-8"
    )


async def service_state(request: Request) -> Response:
    """Return cameras, videos and the last events."""
    return JSONResponse(_service(request).record(), headers={"Cache-Control": "no-store"})


async def live_view(socket: WebSocket) -> None:
    """Send the newest picture of a camera whenever the client is ready for one."""
    state = _service(socket)
    camera = state.cameras.get(socket.path_params["name"])
    if camera is None:
        await socket.send_denial_response(refused(404, "there is no such camera"))
        return
    if not state.viewers.take():
        await _too_many(socket, state, "viewers")
        return
    try:
        await socket.accept()
        loop, shown = asyncio.get_running_loop(), 0
        while True:
            await socket.receive_text()
            while camera.frames == shown:
                await asyncio.sleep(_POLL_S)
            shown, picture = await loop.run_in_executor(state.views, camera.view)
            await socket.send_bytes(picture)
    except (WebSocketDisconnect, RuntimeError):
        pass
    finally:
        state.viewers.give_back()


async def frame_session(socket: WebSocket) -> None:
    """Take JPEG frames, return detections; one recurrent state for as long as it is open.

    A binary message is a frame. A text message `{"time": seconds}` before it gives its time;
    otherwise it is the time of arrival since the first frame.
    """
    state = _service(socket)
    if not state.sessions.take():
        await _too_many(socket, state, "sessions")
        return
    try:
        await socket.accept()
        state.tallies.add("lstmcli_sessions_total")
        await _serve_frames(socket, state)
    except (WebSocketDisconnect, RuntimeError):
        pass
    finally:
        state.sessions.give_back()


async def _serve_frames(socket: WebSocket, state: ServiceState) -> None:
    loop, options = asyncio.get_running_loop(), state.options
    session = FrameSession(state.network, max_pixels=options.max_pixels)
    began: float | None = None
    given_s: float | None = None
    while True:
        try:
            message = await asyncio.wait_for(socket.receive(), options.idle_s)
        except TimeoutError:
            await socket.close(1001, f"no frame for {options.idle_s:g} s")
            return
        if message["type"] == "websocket.disconnect":
            return
        arrived = time.monotonic()
        data = message.get("bytes")
        if data is None:
            given_s = _time_of(message.get("text") or "")
            if given_s is None:
                await socket.send_json({"error": 'a text message is {"time": seconds}'})
            continue
        began = arrived if began is None else began
        time_s, given_s = arrived - began if given_s is None else given_s, None
        try:
            record = await loop.run_in_executor(state.steps, session.step, data, time_s)
        except LstmcliError as error:
            record = {"error": error.problem, "hint": error.hint}
        state.latency.add(time.monotonic() - arrived)
        await socket.send_text(json.dumps(record, ensure_ascii=False))


def _time_of(text: str) -> float | None:
    try:
        value = json.loads(text)["time"]
        return float(value) if abs(float(value)) < 1e12 else None
    except (ValueError, TypeError, KeyError, OverflowError, RecursionError):
        return None


async def _too_many(socket: WebSocket, state: ServiceState, what: str) -> None:
    state.tallies.add("lstmcli_rejected_total", "what", what)
    headers = {"Retry-After": str(RETRY_AFTER_S)}
    await socket.send_denial_response(refused(429, f"too many {what}", headers))


async def all_videos(request: Request) -> Response:
    """Return the states of all videos."""
    return JSONResponse([job.record() for job in _service(request).videos.all()])


async def put_video(request: Request) -> Response:
    """Take a video as the body of the request, and queue it."""
    state = _service(request)
    limit = state.options.max_upload
    if int(request.headers.get("content-length") or 0) > limit:
        return refused(413, f"a video has at most {limit} bytes")
    job = state.videos.begin(request.path_params["name"])
    if job is None:
        state.tallies.add("lstmcli_rejected_total", "what", "videos")
        headers = {"Retry-After": str(RETRY_AFTER_S)}
        return refused(429, "too many videos wait", headers)
    refusal: Response | None = None
    try:
        refusal = await _receive(request, job, limit)
        if refusal is None:
            state.videos.submit(job)
    except ClientDisconnect:
        refusal = refused(400, "the upload broke off")
    except LstmcliError as error:
        refusal = refused(415, error.problem)
    except OSError as error:
        refusal = refused(507, f"the video cannot be stored: {error.strerror}")
    finally:
        if job.state == "uploading":
            state.videos.remove(job)
    if refusal is not None:
        return refusal
    return JSONResponse(job.record(), status_code=202, headers={"Location": f"/videos/{job.id}"})


async def _receive(request: Request, job: VideoJob, limit: int) -> Response | None:
    """Write the body of a request to the file of a video; return why that was refused."""
    chunks = request.stream()
    with job.source.open("xb") as file:
        while True:
            try:
                chunk = await asyncio.wait_for(anext(chunks, None), CHUNK_TIMEOUT_S)
            except TimeoutError:
                return refused(408, f"no data for {CHUNK_TIMEOUT_S:g} s")
            if chunk is None:
                return None if job.size else refused(400, "the upload is empty")
            job.size += len(chunk)
            if job.size > limit:
                return refused(413, f"a video has at most {limit} bytes")
            file.write(chunk)


async def video(request: Request) -> Response:
    """Return the state of a video, or remove it."""
    state = _service(request)
    job = state.videos.get(request.path_params["key"])
    if job is None:
        return refused(404, "there is no such video")
    if request.method == "DELETE":
        await asyncio.to_thread(state.videos.remove, job)
        return Response(status_code=204)
    return JSONResponse(job.record())


async def video_output(request: Request) -> Response:
    """Return an output of a video: `detections.jsonl` or `video.mp4`."""
    job = _service(request).videos.get(request.path_params["key"])
    kind = request.path_params["kind"]
    if job is None or kind not in OUTPUT_SUFFIXES:
        return refused(404, "there is no such video or output")
    path = job.output(kind)
    if path is None:
        return refused(409, f"the video is {job.state}")
    return FileResponse(path, media_type=_TYPES[kind], filename=path.name)
