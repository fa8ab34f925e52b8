"""Settings of the simulator: where its host lives, how its guests behave, what goes wrong."""

from dataclasses import dataclass, field
from pathlib import Path

from engine.simulator.faults import Fault


@dataclass(frozen=True, slots=True)
class Guest:
    """How every simulated guest behaves."""

    acknowledges: bool = True
    """Whether it answers a request to shut down at all."""

    shutdown_s: float = 0.0
    """How long it then takes to end."""


@dataclass(frozen=True, slots=True)
class SimulatorSettings:
    """Everything that one may choose."""

    state: Path | None = None
    """The file that the host lives in, shared by all workers of the instance; None: in memory only."""

    transfer_s: float = 0.0
    """How long a save or a restore takes."""

    memory_bytes: int = 64 * 1024
    """How much memory every domain has to be saved; little, for images are kept."""

    starts_paused: bool = True
    """Whether a VM is Paused once it is started, as on Xen, or Running, as in the original's simulator."""

    guest: Guest = field(default_factory=Guest)
    faults: tuple[Fault, ...] = ()
