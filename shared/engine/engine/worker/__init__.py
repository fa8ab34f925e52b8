"""The worker: runs the leases addressed to it on one backend, answers reads, reports what changes."""

from engine.worker.host import host_of
from engine.worker.service import WorkerService
from engine.worker.settings import WorkerSettings

__all__ = ["WorkerService", "WorkerSettings", "host_of"]
