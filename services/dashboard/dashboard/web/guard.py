"""Guard: what every request must be and every answer must say, before any route sees it."""

from collections.abc import Iterable
from http import HTTPStatus
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from dashboard.metrics import Metrics

BODY_BYTES_MAX = 64 * 1024
"""Nothing that anybody sends here is as long."""

_SAFE = ("GET", "HEAD", "OPTIONS")

_ALWAYS = {
    "content-security-policy": (
        "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self'; connect-src 'self'; "
        "form-action 'self'; frame-ancestors 'none'; base-uri 'none'"
    ),
    "x-content-type-options": "nosniff",
    "referrer-policy": "same-origin",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "x-frame-options": "DENY",
}


class Guard:
    """Turns away what comes under another name, from another page, or is too long."""

    def __init__(self, app: ASGIApp, hosts: Iterable[str], metrics: Metrics) -> None:
        self._app = app
        self._hosts = frozenset(hosts)
        self._metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """See ASGI."""
        if scope["type"] != "http":
            return

        async def send_on(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in _ALWAYS.items():
                    headers.setdefault(name, value)
                headers.setdefault("cache-control", _kept(scope, message["status"]))
                status = f"{message['status'] // 100}xx"
                self._metrics.requests.labels(_method(scope), status).inc()
            await send(message)

        refusal = self._refusal(scope)
        if refusal is not None:
            status, words = refusal
            await JSONResponse({"detail": words}, status, {"connection": "close"})(scope, receive, send_on)
            return
        await self._app(scope, _Limited(receive), send_on)

    def _refusal(self, scope: Scope) -> tuple[int, str] | None:
        headers = Headers(scope=scope)
        if _name(headers.get("host", "")) not in self._hosts:
            return HTTPStatus.MISDIRECTED_REQUEST, "this page is not called so: see XENOPS_PAGE_HOSTS"
        if scope["method"] not in _SAFE and _is_foreign(headers):
            return HTTPStatus.FORBIDDEN, "another site's page sent this: nothing is done"
        length = headers.get("content-length", "0")
        if not length.isdecimal() or int(length) > BODY_BYTES_MAX:
            return HTTPStatus.REQUEST_ENTITY_TOO_LARGE, f"a request has at most {BODY_BYTES_MAX} bytes"
        return None


class _Limited:
    """A body that says no length is ended where it becomes too long."""

    def __init__(self, receive: Receive) -> None:
        self._receive = receive
        self._left = BODY_BYTES_MAX

    async def __call__(self) -> Message:
        message = await self._receive()
        if message["type"] == "http.request":
            self._left -= len(message.get("body", b""))
            if self._left < 0:
                return {"type": "http.disconnect"}
        return message


def _is_foreign(headers: Headers) -> bool:
    """Whether a browser says that another site's page sends it."""
    site, origin = headers.get("sec-fetch-site", "same-origin"), headers.get("origin")
    if site not in ("same-origin", "none"):
        return True
    return origin is not None and urlsplit(origin).netloc != headers.get("host")


def _name(host: str) -> str:
    """A Host header without its port."""
    name, colon, port = host.rpartition(":")
    return name.lower() if colon and port.isdecimal() else host.lower()


def _kept(scope: Scope, status: int) -> str:
    """Style and script are called by their content, and nobody's secret; nothing else is kept."""
    is_dress = scope["path"].startswith("/static/") and bool(scope["query_string"])
    return "max-age=604800, immutable" if is_dress and status == HTTPStatus.OK else "no-store"


def _method(scope: Scope) -> str:
    """One of few, so that nobody makes up labels."""
    method: str = scope["method"]
    return method if method in ("GET", "POST", "HEAD") else "other"
