"""Settings: what of the simulator may be chosen, besides what every worker is told."""

from collections.abc import Mapping
from dataclasses import dataclass

from bus.process import SettingsError
from engine.simulator import SimulatorSettings, parse_faults
from engine.worker import WorkerSettings
from engine.worker.settings import worker_settings
from schema.ids import InstanceName


@dataclass(frozen=True, slots=True)
class Settings:
    """A worker, and the host that it simulates."""

    worker: WorkerSettings
    simulator: SimulatorSettings

    @property
    def broker(self) -> str:
        """The broker's URL."""
        return self.worker.broker

    @property
    def instances(self) -> tuple[InstanceName, ...]:
        """The worker's one instance."""
        return self.worker.instances


def from_environment(environment: Mapping[str, str]) -> Settings:
    """The settings of a process: those of every worker (see `engine.worker.settings`), and two of its own.

    `XENOPS_SIM_FAULTS` is JSON (see `engine.simulator.faults`), `XENOPS_SIM_TRANSFER_S` how long a save or a
    restore takes. The simulated host lives in a file beside the worker's state: it outlives the worker.

    Raises:
        SettingsError: a variable is missing or makes no sense.
    """
    worker = worker_settings(environment)
    try:
        faults = parse_faults(environment.get("XENOPS_SIM_FAULTS", ""))
        transfer_s = float(environment.get("XENOPS_SIM_TRANSFER_S", "0"))
    except ValueError as error:
        raise SettingsError(f"XENOPS_SIM_FAULTS or XENOPS_SIM_TRANSFER_S: {error}") from error
    simulator = SimulatorSettings(state=worker.state / "host", transfer_s=transfer_s, faults=faults)
    return Settings(worker, simulator)
