"""The simulator as a worker."""

from bus.ports import Bus
from engine.simulator import Simulator
from engine.store import open_store
from engine.worker import WorkerService, host_of

from worker_sim.settings import Settings


def build(bus: Bus, settings: Settings) -> WorkerService:
    """The worker on a bus, not yet started."""
    settings.worker.state.mkdir(parents=True, exist_ok=True)
    store = open_store(settings.worker.metadata)
    backend, may_wait = Simulator(settings.simulator), bool(settings.simulator.faults)
    return WorkerService(bus, settings.worker, host_of(settings.worker, backend, store, steps_wait=may_wait))
