"""Layout: which processes the stack is made of, and where each keeps its things."""

import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

KVM_INSTANCE = "org.xen.xapi.xenops.qemu"
SIMULATOR_INSTANCE = "org.xen.xapi.xenops.simulator"
INSTANCES = (KVM_INSTANCE, SIMULATOR_INSTANCE)
"""One instance for each worker: real VMs, and simulated ones."""


@dataclass(frozen=True, slots=True)
class Layout:
    """Every path of one stack; nothing is written outside `root`."""

    root: Path

    @property
    def broker(self) -> Path:
        """The private broker's data, logs and cookie."""
        return self.root / "broker"

    @property
    def broker_url(self) -> Path:
        """A file that holds the broker's URL while it runs."""
        return self.root / "broker.url"

    @property
    def door(self) -> Path:
        """The Unix socket of the one-process stack."""
        return self.root / "xenops.sock"

    def state(self, service: str) -> Path:
        """A service's own state."""
        return self.root / "state" / service

    def log(self, process: str) -> Path:
        """A process's log."""
        return self.root / "log" / f"{process}.log"

    def pid(self, process: str) -> Path:
        """The file that says which process it is."""
        return self.root / "run" / f"{process}.pid"


@dataclass(frozen=True, slots=True)
class Process:
    """One process of the stack, before it runs."""

    name: str
    command: tuple[str, ...]
    environment: Mapping[str, str]


def services(layout: Layout, broker: str) -> tuple[Process, ...]:
    """The services on a broker, in the order in which they are started."""
    everywhere = {"XENOPS_BROKER": broker, "XENOPS_INSTANCE": ",".join(INSTANCES)}
    kvm = {"XENOPS_BROKER": broker, "XENOPS_INSTANCE": KVM_INSTANCE}
    simulator = {"XENOPS_BROKER": broker, "XENOPS_INSTANCE": SIMULATOR_INSTANCE}
    return (
        _service("redirector", layout, everywhere),
        _service("eventhub", layout, everywhere),
        _service("worker-kvm", layout, kvm),
        _service("worker-sim", layout, simulator),
        _service("frontend", layout, everywhere),
    )


def _service(name: str, layout: Layout, environment: Mapping[str, str]) -> Process:
    state = {"XENOPS_STATE_DIR": str(layout.state(name))}
    return Process(name, (sys.executable, "-m", name.replace("-", "_")), {**environment, **state})


def broker(layout: Layout) -> Process:
    """The private RabbitMQ node."""
    return Process("broker", (sys.executable, "-m", "bus.node", str(layout.broker)), {})


def single(layout: Layout) -> Process:
    """Everything in one process, on the bus in memory."""
    state = {"XENOPS_STATE_DIR": str(layout.root / "state"), "XENOPS_DOOR": str(layout.door)}
    return Process("single", (sys.executable, "-m", "stack", "single"), state)
