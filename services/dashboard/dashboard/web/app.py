"""App: all routes together, behind the guard."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

from bus.clock import SYSTEM_CLOCK, Clock
from fastapi import FastAPI, Request
from fastapi.exception_handlers import http_exception_handler, request_validation_exception_handler
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.responses import RedirectResponse, Response
from starlette.staticfiles import StaticFiles
from starlette.types import ASGIApp

from dashboard.metrics import Metrics
from dashboard.operators import Doorkeeper
from dashboard.sessions import Sessions
from dashboard.settings import Settings
from dashboard.web.access import Access
from dashboard.web.acts import build_acts
from dashboard.web.api import Watches, build_api, build_streams
from dashboard.web.forms import build_forms
from dashboard.web.guard import Guard
from dashboard.web.health import build_health
from dashboard.web.pages import Screens, SignInError, build_pages
from dashboard.web.problems import FAILURES, answer_problems, status_of
from dashboard.web.render import STATIC, Pages
from dashboard.web.streams import OpenStreams

VERSION = "1.0.0"
"""Of the API; the first number changes when a program that used it would have to."""

SAID = "What an operator of xenops sees and does. Times are seconds since the epoch, durations seconds."


@dataclass(frozen=True, slots=True)
class Parts:
    """What all routes stand on."""

    watches: Watches
    metrics: Metrics
    streams: OpenStreams
    clock: Clock = SYSTEM_CLOCK


def build_app(parts: Parts, settings: Settings) -> ASGIApp:
    """The whole; raises TokensError where the file of tokens cannot be used."""
    access = Access(Doorkeeper(settings.tokens), Sessions(), parts.clock)
    app = _app()
    _add_api(app, parts, access)
    screens = Screens(parts.watches, access, Pages(), settings.traces)
    app.include_router(build_pages(screens))
    app.include_router(build_forms(screens, access, secure=settings.tls is not None))
    app.mount("/static", StaticFiles(directory=STATIC), name="static")
    answer_problems(app)
    _answer_people(app, screens)
    return Guard(app, settings.hosts, parts.metrics)


def _app() -> FastAPI:
    return FastAPI(
        title="xenops for operators",
        version=VERSION,
        description=SAID,
        openapi_url="/api/v1/openapi.json",
        docs_url=None,
        redoc_url=None,
    )


def _add_api(app: FastAPI, parts: Parts, access: Access) -> None:
    """All that programs may ask for."""
    app.include_router(build_health(parts.watches.values(), access, parts.metrics))
    app.include_router(build_api(parts.watches, access))
    app.include_router(build_streams(parts.watches, access, parts.streams))
    app.include_router(build_acts(parts.watches, access))


def description(keeper: Doorkeeper) -> dict[str, Any]:
    """The API as OpenAPI describes it; there need be no instance."""
    app = _app()
    metrics = Metrics()
    _add_api(app, Parts({}, metrics, OpenStreams(metrics)), Access(keeper, Sessions(), SYSTEM_CLOCK))
    return app.openapi()


def _answer_people(app: FastAPI, screens: Screens) -> None:
    """A person at the page is answered with a page."""

    async def sign_in(_request: Request, _error: Exception) -> Response:
        return RedirectResponse("/login", HTTPStatus.SEE_OTHER)

    app.add_exception_handler(SignInError, sign_in)

    def tell(request: Request, status: int, words: str) -> Response | None:
        if request.url.path.startswith(("/api/", "/metrics", "/healthz", "/readyz")):
            return None
        return screens.pages.show(
            "problem", status, title="Not found" if status == 404 else "Not done", words=words, back="/"
        )

    async def http(request: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException)  # noqa: S101  for the type checker
        return tell(request, error.status_code, str(error.detail)) or await http_exception_handler(
            request, error
        )

    async def invalid(request: Request, error: Exception) -> Response:
        assert isinstance(error, RequestValidationError)  # noqa: S101  for the type checker
        words = "; ".join(f"{each['loc'][-1]}: {each['msg']}" for each in error.errors())
        found = tell(request, HTTPStatus.UNPROCESSABLE_ENTITY, words)
        return found or await request_validation_exception_handler(request, error)

    app.add_exception_handler(HTTPException, http)
    app.add_exception_handler(RequestValidationError, invalid)
    _wrap_failures(app, tell)


def _wrap_failures(app: FastAPI, tell: Callable[[Request, int, str], Response | None]) -> None:
    for failure in FAILURES:
        for_programs: Callable[[Request, Exception], Awaitable[Response]] = app.exception_handlers[failure]  # type: ignore[assignment]

        async def answer(
            request: Request,
            error: Exception,
            programs: Callable[[Request, Exception], Awaitable[Response]] = for_programs,
        ) -> Response:
            return tell(request, status_of(error), str(error)) or await programs(request, error)

        app.add_exception_handler(failure, answer)
