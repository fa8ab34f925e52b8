"""Requests about observers."""

from collections.abc import Mapping
from typing import Any

from engine.control.desk import Desk
from engine.observers import Observer

Params = Mapping[str, Any]


def create(desk: Desk, params: Params) -> None:
    """Observer.create."""
    observer = Observer(params["name_label"], params["dict"], params["endpoints"], params["bool"])
    desk.observers.put(params["uuid"], observer)


def destroy(desk: Desk, params: Params) -> None:
    """Observer.destroy."""
    desk.observers.drop(params["uuid"])


def set_enabled(desk: Desk, params: Params) -> None:
    """Observer.set_enabled."""
    desk.observers.change(params["uuid"], enabled=params["bool"])


def set_attributes(desk: Desk, params: Params) -> None:
    """Observer.set_attributes."""
    desk.observers.change(params["uuid"], attributes=params["dict"])


def set_endpoints(desk: Desk, params: Params) -> None:
    """Observer.set_endpoints."""
    desk.observers.change(params["uuid"], endpoints=params["endpoints"])


def set_for_all(name: str, desk: Desk, params: Params) -> None:
    """The settings that go for every observer: intervals, limits, directories; and Observer.init."""
    values = [value for key, value in params.items() if key != "dbg"]
    desk.observers.settings[name] = values[0] if values else True
