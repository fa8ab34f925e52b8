"""Metrics: what Prometheus scrapes; the only importer of its client."""

from collections.abc import Callable, Iterable, Iterator
from functools import cache

from bus.ports import Entry
from bus.stories.story import Story
from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    disable_created_metrics,
    generate_latest,
)
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector
from typing_extensions import override

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"

TASK_BUCKETS = (0.005, 0.02, 0.1, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 1200)
ATOM_BUCKETS = (0.001, 0.005, 0.02, 0.1, 0.5, 2.5, 10, 60, 300)
LAG_BUCKETS = (0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1, 5, 30)

Figures = dict[str, float | dict[str, float]]
"""Gauges by name; those of several things by the thing's name."""

_GAUGES = {
    "log_offset": ("Offset of the last entry that was read.", ""),
    "log_age_seconds": ("Seconds since the last entry was made.", ""),
    "ready": ("1 while our own words come by in the log.", ""),
    "ping_seconds": ("How long our last word took through the log.", ""),
    "lanes": ("Lanes in which anything is or that are held.", ""),
    "lanes_held": ("Lanes that are held.", ""),
    "tasks": ("Tasks that have not ended, by state.", "state"),
    "oldest_waiting_seconds": ("For how long the oldest waiting task waits.", ""),
    "oldest_running_seconds": ("For how long the task runs that has run longest.", ""),
    "leases": ("Tasks leased, by worker.", "worker"),
    "worker_capacity": ("VMs that a worker runs at a time.", "worker"),
    "worker_up": ("1 while a worker is up.", "worker"),
    "worker_draining": ("1 while a worker is given nothing new.", "worker"),
    "worker_silent_seconds": ("Seconds since a worker was heard of.", "worker"),
    "worker_stranded": ("VMs under temporary ids that a worker names, 20 at the most.", "worker"),
    "service_up": ("1: it answers and reads the log; 0.5: it lags; 0: it does not answer.", "service"),
    "service_answer_seconds": ("How long a service took to answer.", "service"),
    "barriers": ("Barriers that stand.", ""),
    "quarantined": ("Messages that were passed over since this process started.", ""),
    "long_polls": ("Clients that wait in UPDATES.get at the event hub that answered.", ""),
    "long_polls_behind": ("How many changes the one furthest behind has not seen.", ""),
}
"""What each gauge means, and what it is divided by besides the instance."""


class Metrics:
    """All metrics of one process; `gather` tells the present figures of each instance."""

    def __init__(self) -> None:
        disable_created_metrics()  # type: ignore[no-untyped-call]  # a process-wide switch of the library; nobody else uses it here
        self._registry = CollectorRegistry()
        self._records = self._counter("xenops_records", "Records read.", "kind")
        self._ended = self._counter("xenops_tasks_ended", "Tasks that have ended.", "operation", "state")
        self._waits = self._histogram(
            "xenops_task_wait_seconds", "From request to lease.", TASK_BUCKETS, "operation"
        )
        self._runs = self._histogram(
            "xenops_task_run_seconds", "From begin to end.", TASK_BUCKETS, "operation"
        )
        self._atoms = self._histogram(
            "xenops_atom_seconds", "How long an atomic took.", ATOM_BUCKETS, "atom", "worker", "outcome"
        )
        self._lag = self._histogram(
            "xenops_log_lag_seconds", "From an entry's making to its reading.", LAG_BUCKETS
        )
        self.streams = Gauge("xenops_sse_streams", "Event streams that are open.", registry=self._registry)
        self.cut = Counter(
            "xenops_sse_cut", "Event streams ended: their readers took nothing.", registry=self._registry
        )
        self.requests = Counter(
            "xenops_http_requests", "Requests answered.", ("method", "status"), registry=self._registry
        )

    def _counter(self, name: str, said: str, *labels: str) -> Callable[..., Counter]:
        """The one of given labels; found once, for the library takes longer for that than for counting."""
        return cache(Counter(name, said, ("instance", *labels), registry=self._registry).labels)

    def _histogram(
        self, name: str, said: str, buckets: tuple[float, ...], *labels: str
    ) -> Callable[..., Histogram]:
        """See `_counter`."""
        names = ("instance", *labels)
        return cache(Histogram(name, said, names, buckets=buckets, registry=self._registry).labels)

    def on_entry(self, instance: str, entry: Entry, ended: Iterable[Story], lag_s: float) -> None:
        """An entry was read, and ended these tasks."""
        self._records(instance, entry.record.kind).inc()
        self._lag(instance).observe(lag_s)
        for story in ended:
            self._ended(instance, story.operation, story.state).inc()
            if story.leased_at is None or story.waited_s is None:
                continue
            self._waits(instance, story.operation).observe(story.waited_s)
            self._runs(instance, story.operation).observe(story.duration_s)
            for atom in story.atoms:
                outcome = "failed" if atom.failed else "done"
                self._atoms(instance, atom.kind, story.worker, outcome).observe(atom.took_s)

    def gauges(self, gather: Callable[[], dict[str, Figures]]) -> None:
        """Show these figures, by instance, as they are at each scrape."""
        self._registry.register(_Gauges(gather))

    def text(self) -> bytes:
        """What a scrape is answered."""
        return generate_latest(self._registry)


class _Gauges(Collector):
    def __init__(self, gather: Callable[[], dict[str, Figures]]) -> None:
        self._gather = gather

    def describe(self) -> Iterable[Metric]:
        """Nothing is asked at the start."""
        return ()

    @override
    def collect(self) -> Iterator[Metric]:
        figures = self._gather()
        for name, (said, by) in _GAUGES.items():
            labels = ("instance", by) if by else ("instance",)
            family = GaugeMetricFamily(f"xenops_{name}", said, labels=labels)
            for instance, known in figures.items():
                value = known.get(name)
                if isinstance(value, dict):
                    for one, number in value.items():
                        family.add_metric((instance, one), number)
                elif value is not None:
                    family.add_metric((instance,), value)
            yield family
