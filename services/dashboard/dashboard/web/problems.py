"""Problems: which answer each failure is given, for programs; the page says the same in words."""

from collections.abc import Callable
from http import HTTPStatus

from fastapi import FastAPI, Request
from schema.fault import XenopsError
from schema.objects.errors import DoesNotExist
from starlette.responses import JSONResponse, Response

from dashboard.asking import UnreachableError
from dashboard.operators import TokensError
from dashboard.safety import UnknownError, UnsafeError

FAILURES = (UnsafeError, UnknownError, XenopsError, UnreachableError, TokensError)
"""What routes may raise."""


def status_of(error: Exception) -> HTTPStatus:
    """The status of a failure."""
    match error:
        case UnknownError():
            return HTTPStatus.NOT_FOUND
        case XenopsError(error=DoesNotExist()):
            return HTTPStatus.NOT_FOUND
        case UnreachableError() | TokensError():
            return HTTPStatus.SERVICE_UNAVAILABLE
        case _:
            return HTTPStatus.CONFLICT


async def _answer(_request: Request, error: Exception) -> Response:
    return JSONResponse({"detail": str(error)}, status_of(error))


def answer_problems(app: FastAPI) -> None:
    """Have all of them answered."""
    handler: Callable[[Request, Exception], object] = _answer
    for failure in FAILURES:
        app.add_exception_handler(failure, handler)  # type: ignore[arg-type]
