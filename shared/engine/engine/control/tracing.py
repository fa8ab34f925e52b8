"""Requests about observers: each becomes a record, and is answered once it is read back."""

import uuid
from collections.abc import Mapping
from typing import Any

from schema.fault import internal_error
from schema.records import ObserverChanged, ObserverCreated, ObserverDestroyed, ObserverRecord, TracingSet

from engine.control.request import RequestContext

Params = Mapping[str, Any]


def create(request: RequestContext, params: Params) -> None:
    """Observer.create."""
    record = ObserverCreated(
        request_id=_fresh(),
        uuid=params["uuid"],
        name=params["name_label"],
        attributes=params["dict"],
        endpoints=params["endpoints"],
        enabled=params["bool"],
    )
    _tell(request, record)


def destroy(request: RequestContext, params: Params) -> None:
    """Observer.destroy."""
    _tell(request, ObserverDestroyed(request_id=_fresh(), uuid=params["uuid"]))


def set_enabled(request: RequestContext, params: Params) -> None:
    """Observer.set_enabled."""
    _tell(request, ObserverChanged(request_id=_fresh(), uuid=params["uuid"], enabled=params["bool"]))


def set_attributes(request: RequestContext, params: Params) -> None:
    """Observer.set_attributes."""
    _tell(request, ObserverChanged(request_id=_fresh(), uuid=params["uuid"], attributes=params["dict"]))


def set_endpoints(request: RequestContext, params: Params) -> None:
    """Observer.set_endpoints."""
    _tell(request, ObserverChanged(request_id=_fresh(), uuid=params["uuid"], endpoints=params["endpoints"]))


def init(_request: RequestContext, _params: Params) -> None:
    """Observer.init, which started the original's exporter; ours starts when an observer is enabled."""


def set_for_all(setting: str, request: RequestContext, params: Params) -> None:
    """The settings that go for every observer: intervals, limits, directories."""
    (value,) = (value for key, value in params.items() if key != "dbg")
    _tell(request, TracingSet(request_id=_fresh(), setting=setting, value=value))


def _fresh() -> str:
    return uuid.uuid4().hex


def _tell(request: RequestContext, record: ObserverRecord) -> None:
    """Write a change down. Errors: `Internal_error` for text that no record can hold."""
    try:
        record.model_dump_json()
    except ValueError as error:  # pydantic's own is one
        raise internal_error("an observer holds bytes that are not UTF-8; the log keeps text only") from error
    request.observers.change(record)
