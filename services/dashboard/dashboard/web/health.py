"""Health: what supervisors and Prometheus ask for."""

from collections.abc import Callable, Iterable
from http import HTTPStatus
from typing import Any

from fastapi import APIRouter, Depends
from starlette.responses import JSONResponse, Response

from dashboard import figures
from dashboard.metrics import CONTENT_TYPE, Figures, Metrics
from dashboard.watch import Watch
from dashboard.web.access import Access
from dashboard.web.api import PROBLEMS


def build_health(watches: Iterable[Watch], access: Access, metrics: Metrics) -> APIRouter:
    """`/healthz`: this process serves. `/readyz`: it also still reads what it writes to every log."""
    told: dict[int | str, Any] = {status: PROBLEMS[status] for status in (400, 401, 413, 421, 503)}
    router = APIRouter(tags=["health"], responses=told)
    watched = tuple(watches)
    metrics.gauges(_gather(watched))

    @router.get("/healthz")
    async def healthz() -> dict[str, str]:
        """Whether this process serves."""
        return {"status": "ok"}

    @router.get(
        "/readyz", responses={503: {"description": "It does not read what it writes; says of which log."}}
    )
    async def readyz() -> Response:
        """Whether what is shown is what is: whether our own words come by in the logs."""
        troubles = {watch.name: watch.trouble for watch in watched if watch.trouble}
        if troubles:
            return JSONResponse({"status": "not ready", "why": troubles}, HTTPStatus.SERVICE_UNAVAILABLE)
        return JSONResponse({"status": "ready"})

    @router.get("/metrics", dependencies=[Depends(access.reader)], response_class=Response)
    async def scraped() -> Response:
        """For Prometheus; a reader's token will do."""
        return Response(metrics.text(), media_type=CONTENT_TYPE)

    return router


def _gather(watches: tuple[Watch, ...]) -> Callable[[], dict[str, Figures]]:
    return lambda: {watch.name: _of(watch) for watch in watches}


def _of(watch: Watch) -> Figures:
    told: Figures = {"ready": 0.0 if watch.trouble else 1.0, "quarantined": float(watch.passed_over)}
    if watch.pulse.took_s is not None:
        told["ping_seconds"] = watch.pulse.took_s
    if watch.events is not None:
        told |= figures.of_events(watch.events)
    return told | figures.of_fold(watch.fold, watch.bus.clock.now()) | figures.of_health(watch.health)
