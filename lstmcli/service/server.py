"""Listens for requests until it is interrupted."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Callable

import uvicorn

from lstmcli.core.errors import ConfigError
from lstmcli.core.progress import Progress
from lstmcli.core.system import share_arenas
from lstmcli.inference.runtime_pool import RuntimePool
from lstmcli.service.app import build_app
from lstmcli.service.options import ServeOptions
from lstmcli.service.state import ServiceState

PING_S = 10.0
"""A client that does not answer a ping for so long is gone, and its session is freed."""


def serve(
    options: ServeOptions,
    *,
    progress: Progress,
    ready: Callable[[str], None],
    runtimes: RuntimePool | None = None,
) -> None:
    """Run the service until Ctrl-C or SIGTERM.

    Args:
        options: of the service.
        progress: is given notes.
        ready: is called with the address when the service listens.
        runtimes: of the model, where they are open already.

    Raises:
        ConfigError: the address cannot be listened at.
        LstmcliError: the model, a camera, the lines or the events cannot be opened.
    """
    share_arenas()
    with listen(options.host, options.port) as listener:
        server = make_server(ServiceState(options, progress, runtimes))
        host = f"[{options.host}]" if ":" in options.host else options.host
        ready(f"http://{host}:{listener.getsockname()[1]}/")
        with contextlib.suppress(KeyboardInterrupt):  # the usual end of a service
            server.run(sockets=[listener])
        progress.note("stopped")


def make_server(state: ServiceState) -> uvicorn.Server:
    """Return the server of a service; nothing runs yet."""
    return uvicorn.Server(
        uvicorn.Config(
            build_app(state),
            log_config=None,
            access_log=False,
            server_header=False,
            ws_max_size=state.options.max_frame,
            ws_ping_interval=PING_S,
            ws_ping_timeout=PING_S,
            ws_per_message_deflate=False,
            timeout_graceful_shutdown=3,
        )
    )


def listen(host: str, port: int) -> socket.socket:
    """Return a socket that listens.

    Raises:
        ConfigError: the address is taken, or is none of this machine.
    """
    try:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        return socket.create_server((host, port), family=family, backlog=128)
    except (OSError, OverflowError) as error:
        raise ConfigError(
            f"{host}:{port}: {getattr(error, 'strerror', None) or error}",
            hint="choose another --port, or --port 0 for a free one",
        ) from None
