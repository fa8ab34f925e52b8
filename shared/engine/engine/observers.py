"""Observers: what clients want to be traced; kept as they say, to be exported by whoever traces."""

import threading
from dataclasses import dataclass, field, replace
from typing import Any

from schema.fault import internal_error


@dataclass(frozen=True, slots=True)
class Observer:
    """One observer: which spans it wants and where they shall go."""

    name: str
    attributes: tuple[tuple[str, str], ...] = ()
    endpoints: tuple[str, ...] = ()
    enabled: bool = False


@dataclass(slots=True)
class Observers:
    """All observers of a worker, and what goes for all of them; lost with the process, as in the original."""

    settings: dict[str, Any] = field(default_factory=dict)
    _observers: dict[str, Observer] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def put(self, uuid: str, observer: Observer) -> None:
        """Add or replace one."""
        with self._lock:
            self._observers[uuid] = observer

    def change(self, uuid: str, **changes: Any) -> None:
        """Change one. Errors: `Internal_error` for one that is not known."""
        with self._lock:
            found = self._observers.get(uuid)
            if found is None:
                raise internal_error(f"no observer {uuid}: create it first")
            self._observers[uuid] = replace(found, **changes)

    def drop(self, uuid: str) -> None:
        """Forget one, known or not."""
        with self._lock:
            self._observers.pop(uuid, None)

    def all(self) -> dict[str, Observer]:
        """Every observer by its uuid."""
        with self._lock:
            return dict(self._observers)
