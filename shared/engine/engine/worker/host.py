"""Host: what a worker has on the machine that it works on."""

from dataclasses import dataclass

from engine.backend import Backend
from engine.journal import Journal
from engine.lock import VmLocks
from engine.migrate.sockets import SOCKETS, Sockets
from engine.migrate.wire import Network
from engine.store import Store
from engine.threads import SystemThreads, Threads
from engine.worker.settings import WorkerSettings


@dataclass(frozen=True, slots=True)
class Host:
    """The hypervisor, the metadata, what is noted of executions, threads, and the way to other hosts."""

    backend: Backend
    store: Store
    journal: Journal
    locks: VmLocks
    threads: Threads
    network: Network = SOCKETS


def host_of(settings: WorkerSettings, backend: Backend, store: Store, *, steps_wait: bool = True) -> Host:
    """This machine, with the worker's own files as settings say; `steps_wait` as of `SystemThreads`."""
    journal, locks = Journal(settings.state / "journal"), VmLocks(settings.state / "locks")
    return Host(backend, store, journal, locks, SystemThreads(steps_wait=steps_wait), Sockets(settings.tls))
