"""Who may use the service: token, host and origin of every request."""

from __future__ import annotations

import hmac
from urllib.parse import urlsplit

from starlette.requests import HTTPConnection
from starlette.responses import JSONResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Receive, Scope, Send
from starlette.websockets import WebSocket

from lstmcli.service.options import ServeOptions

COOKIE = "lstmcli_token"
OPEN_PATHS = frozenset({"/health"})
"""What needs no token: it says no more than that the service runs."""
_LOOPBACK = frozenset({"127.0.0.1", "localhost", "::1"})


class Access:
    """Lets requests through that bring the token and come from the service's own pages.

    A page of another site may not use a service on the visitor's machine: its `Origin` is another
    one, and a name that was pointed at this machine (DNS rebinding) is no known host.

    Args:
        app: that is guarded.
        options: of the service.
    """

    def __init__(self, app: ASGIApp, options: ServeOptions) -> None:
        self._app, self._token = app, options.token
        self._hosts = _LOOPBACK | {options.host} if options.is_loopback else None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a refused request, or hand it on."""
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return
        connection = HTTPConnection(scope)
        refusal = self._refusal(connection)
        if refusal is None:
            await self._app(scope, receive, send)
        elif scope["type"] == "http":
            await refusal(scope, receive, send)
        else:
            await WebSocket(scope, receive, send).send_denial_response(refusal)

    def _refusal(self, connection: HTTPConnection) -> Response | None:
        host = connection.headers.get("host", "")
        if self._hosts is not None and (urlsplit(f"//{host}").hostname or "") not in self._hosts:
            return refused(403, f"unknown host {host!r}")
        origin = connection.headers.get("origin")
        if origin is not None and urlsplit(origin).netloc != host:
            return refused(403, "requests of other sites are refused")
        if self._token is None or connection.url.path in OPEN_PATHS:
            return None
        if self._is_token(connection.query_params.get("token", "")):
            return _signed_in(connection) if connection.url.path == "/" else None
        kind, _, value = connection.headers.get("authorization", "").partition(" ")
        if kind.lower() == "bearer" and self._is_token(value.strip()):
            return None
        if self._is_token(connection.cookies.get(COOKIE, "")):
            return None
        return refused(401, "a token is needed", {"WWW-Authenticate": "Bearer"})

    def _is_token(self, text: str) -> bool:
        expected = (self._token or "").encode("utf-8")
        return hmac.compare_digest(text.encode("utf-8", "surrogateescape"), expected)


def refused(status: int, problem: str, headers: dict[str, str] | None = None) -> Response:
    """Return the JSON answer to a request that is refused."""
    return JSONResponse({"error": problem}, status_code=status, headers=headers)


def _signed_in(connection: HTTPConnection) -> Response:
    """Keep the token of the page's address in a cookie, and take it out of the address."""
    response = RedirectResponse("/", status_code=303)
    token = connection.query_params["token"]
    response.set_cookie(COOKIE, token, httponly=True, samesite="strict")
    return response
