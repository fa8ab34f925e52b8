"""Settings: what of the simulator may be chosen, besides what every worker is told."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TypeVar

from bus.process import SettingsError
from engine.simulator import SimulatorSettings, parse_faults
from engine.worker.settings import WorkerProcessSettings, worker_settings

MEMORY_KIB_MAX = 64 * 1024 * 1024
"""64 GiB: nobody waits for more."""

Value = TypeVar("Value")


@dataclass(frozen=True, slots=True)
class Settings(WorkerProcessSettings):
    """A worker, and the host that it simulates."""

    simulator: SimulatorSettings


def from_environment(environment: Mapping[str, str]) -> Settings:
    """The settings of a process: those of every worker (see `engine.worker.settings`), and four of its own.

    `XENOPS_SIM_FAULTS` is JSON (see `engine.simulator.faults`), `XENOPS_SIM_TRANSFER_S` how long a save or a
    restore takes, `XENOPS_SIM_MEMORY_KIB` how much it moves; `XENOPS_SIM_STARTS` is `running`, as in the
    original's simulator, or `paused`, as on Xen: what a VM is after its start. The simulated host lives in a
    file beside the worker's state: it outlives the worker.

    Raises:
        SettingsError: a variable is missing or makes no sense.
    """
    worker = worker_settings(environment)
    faults = _read(environment, "XENOPS_SIM_FAULTS", "", parse_faults)
    transfer_s = _read(environment, "XENOPS_SIM_TRANSFER_S", "0", float)
    memory_kib = _read(environment, "XENOPS_SIM_MEMORY_KIB", "64", int)
    if not 1 <= memory_kib <= MEMORY_KIB_MAX:
        raise SettingsError(f"XENOPS_SIM_MEMORY_KIB is {memory_kib}: give 1 to {MEMORY_KIB_MAX}")
    simulator = SimulatorSettings(
        state=worker.state / "host",
        transfer_s=transfer_s,
        memory_bytes=memory_kib * 1024,
        starts_paused=_read(environment, "XENOPS_SIM_STARTS", "running", _is_paused),
        faults=faults,
    )
    return Settings(worker, simulator)


def _is_paused(text: str) -> bool:
    if text not in {"running", "paused"}:
        raise ValueError(f"{text!r} is neither running nor paused")
    return text == "paused"


def _read(environment: Mapping[str, str], name: str, default: str, parse: Callable[[str], Value]) -> Value:
    try:
        return parse(environment.get(name, default))
    except ValueError as error:
        raise SettingsError(f"{name}: {error}") from error
