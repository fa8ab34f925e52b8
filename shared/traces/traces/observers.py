"""Observers: the fold of an instance's observers, and of what goes for all of them.

Kept over every restart, unlike the original's: services come and go, and an observer is for all of them.
"""

import math
from dataclasses import dataclass, field, replace

from schema.records import ObserverChanged, ObserverCreated, ObserverDestroyed, Record, TracingSet
from schema.wire.scalars import quoted

OBSERVERS_MAX = 100
"""Observers of an instance at a time; xapi has a handful."""

ENDPOINTS_MAX = 16
"""Endpoints of an observer: each has a thread and a queue of spans in every service."""

INTERVAL_S_MIN, INTERVAL_S_MAX = 0.1, 24 * 3600.0
"""How often spans may be exported, whatever a client asks for."""


@dataclass(frozen=True, slots=True)
class Observer:
    """One observer: what it adds to each span, and where the spans go."""

    name: str
    attributes: tuple[tuple[str, str], ...] = ()
    endpoints: tuple[str, ...] = ()
    enabled: bool = False


@dataclass(frozen=True, slots=True)
class Settings:
    """What goes for all observers; the values are the original's until somebody sets others.

    `max_spans` is how many spans of a trace may be under way, and how many may wait for an export;
    `max_traces` how many traces may be under way; `max_depth` how deep a span may lie.
    """

    trace_log_dir: str = "/var/log/dt/zipkinv2/json"
    export_interval: float = 30.0
    export_chunk_size: int = 10_000
    max_spans: int = 2_500
    max_traces: int = 1_000
    max_depth: int = 100
    max_file_size: int = 1 << 20
    host_id: str = "localhost"
    compress_tracing_files: bool = True


@dataclass(slots=True)
class Observers:
    """All observers of an instance after the records that were read."""

    settings: Settings = field(default_factory=Settings)
    _known: dict[str, Observer] = field(default_factory=dict)

    def enabled(self) -> dict[str, Observer]:
        """Those that want spans and say where to, by uuid."""
        return {uuid: known for uuid, known in self._known.items() if known.enabled and known.endpoints}

    def apply(self, record: Record) -> str | None:
        """Take the next record; answers why it changes nothing, if so, and does so in every service."""
        match record:
            case ObserverCreated():
                return self._create(record)
            case ObserverChanged():
                return self._change(record)
            case ObserverDestroyed(uuid=uuid):
                self._known.pop(uuid, None)
            case TracingSet():
                self._set(record)
            case _:
                pass  # nothing else stands in this log
        return None

    def _create(self, record: ObserverCreated) -> str | None:
        """One that is there is replaced; the original keeps its endpoints and takes the new attributes."""
        if record.uuid not in self._known and len(self._known) >= OBSERVERS_MAX:
            return f"there are {OBSERVERS_MAX} observers already: destroy some first"
        if len(record.endpoints) > ENDPOINTS_MAX:
            return _too_many_endpoints(len(record.endpoints))
        self._known[record.uuid] = Observer(record.name, record.attributes, record.endpoints, record.enabled)
        return None

    def _change(self, record: ObserverChanged) -> str | None:
        known = self._known.get(record.uuid)
        if known is None:
            return f"Failure({quoted(f'The TracerProvider : {record.uuid} does not exist')})"
        if record.endpoints is not None and len(record.endpoints) > ENDPOINTS_MAX:
            return _too_many_endpoints(len(record.endpoints))
        wanted = {"enabled": record.enabled, "attributes": record.attributes, "endpoints": record.endpoints}
        changes = {name: value for name, value in wanted.items() if value is not None}
        self._known[record.uuid] = replace(known, **changes)  # type: ignore[arg-type]  # each of its type
        return None

    def _set(self, record: TracingSet) -> None:
        """A setting that a newer writer knows and this reader does not is passed over."""
        value = _bounded_interval(record.value) if record.setting == "export_interval" else record.value
        if record.setting in Settings.__slots__:
            self.settings = replace(self.settings, **{record.setting: value})  # type: ignore[arg-type]


def _bounded_interval(value: float | str) -> float:
    interval = float(value)
    return INTERVAL_S_MAX if math.isnan(interval) else min(max(interval, INTERVAL_S_MIN), INTERVAL_S_MAX)


def _too_many_endpoints(count: int) -> str:
    return f"{count} endpoints are too many: an observer has at most {ENDPOINTS_MAX}"
