"""Shape: of which services a stack is made, and what each is told."""

import json
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path

from bus.roles import Role
from worker_kvm.settings import BackendName

from stack.layout import Layout
from stack.libvirt_places import libvirt_logs, libvirt_uri

SIMULATOR_INSTANCE = "org.xen.xapi.xenops.simulator"
"""The instance that worker-sim serves."""

QEMU_INSTANCE = "org.xen.xapi.xenops.qemu"
"""The instance that worker-kvm serves."""

FRONTEND = "frontend"
DASHBOARD = "dashboard"
WORKER_SIM = "worker-sim"
WORKER_KVM = "worker-kvm"
BROKER = "broker"
SINGLE = "single"
XENSTORED = "xenstored"
LIBVIRTD = "libvirtd"
"""The processes that are no service: the private RabbitMQ, everything in one, xenstore, and libvirt."""

BRIDGE = "xenbr0"
"""The one bridge that there is for VMs, in a network namespace of the stack's own."""

VERSION = 1
"""Of what a stack leaves on the disk; another one is not taken up."""


class Network(StrEnum):
    """How VMs of worker-kvm reach a network."""

    BRIDGE = "bridge"
    USER = "user"


class BusKind(StrEnum):
    """What carries the services' words."""

    RABBITMQ = "rabbitmq"
    MEMORY = "memory"


class StoreKind(StrEnum):
    """Where workers keep metadata: in files, or in one of the two xenstoreds."""

    FILES = "files"
    XENSTORED = "xenstored"
    OXENSTORED = "oxenstored"


BrokerOf = Callable[[Role], str]
"""The broker's URL for each role."""


class ShapeError(Exception):
    """What is on the disk cannot be taken up; the sentence says why, and what to do."""


@dataclass(frozen=True, slots=True)
class Process:
    """One process of the stack, before it runs."""

    name: str
    command: tuple[str, ...]
    environment: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Shape:
    """Which instance each worker serves; the other services serve all of them."""

    workers: Mapping[str, str] = field(default_factory=lambda: {WORKER_SIM: SIMULATOR_INSTANCE})
    network: Network = Network.USER
    accelerator: str = "auto"
    qemu_user: str = field(default="", kw_only=True)
    """Whom QEMU runs as, as the worker is told; empty: as the worker."""
    bus: BusKind = BusKind.RABBITMQ
    store: StoreKind = StoreKind.FILES
    backend: BackendName = field(default=BackendName.QEMU, kw_only=True)
    """What runs QEMU for worker-kvm."""

    @property
    def instances(self) -> tuple[str, ...]:
        """Every instance, once."""
        return tuple(dict.fromkeys(self.workers.values()))

    @property
    def services(self) -> tuple[str, ...]:
        """The services by name, in the order in which they are started."""
        return ("redirector", "eventhub", *self.workers, FRONTEND, DASHBOARD)

    def environment(self, service: str, layout: Layout, broker: BrokerOf) -> dict[str, str]:
        """What a service is told."""
        told = {
            "XENOPS_BROKER": broker(_role(service)),
            "XENOPS_INSTANCE": self.workers.get(service, ",".join(self.instances)),
            "XENOPS_STATE_DIR": str(layout.state(service)),
            "XENOPS_HOOKS_DIR": str(layout.hooks),
        }
        if self.store is not StoreKind.FILES and service in self.workers:
            told["XENOPS_STORE"] = "xenstore"
            told["XENOPS_XENSTORE_SOCKET"] = str(layout.xenstored / "socket")
        if service == FRONTEND:
            told["XENOPS_DOOR"] = str(layout.door)
            told["XENOPS_SWITCH"] = str(layout.switch)
            told["XENOPS_SOCKETS"] = ",".join(f"{name}={layout.sockets(name)}" for name in self.instances)
        if service == DASHBOARD:
            told["XENOPS_PAGE"] = "127.0.0.1:0"
            told["XENOPS_PAGE_TOKENS"] = str(layout.tokens)
            told["XENOPS_PAGE_URL"] = str(layout.page_url)
        if service == WORKER_KVM:
            told["XENOPS_RUN_DIR"] = str(layout.vms)
            told["XENOPS_KVM_ACCELERATOR"] = self.accelerator
            told["XENOPS_KVM_NETWORK"] = self.network
            told["XENOPS_KVM_USER"] = self.qemu_user
            told["XENOPS_KVM_NETNS"] = layout.namespace if self.network is Network.BRIDGE else ""
            if self.backend is BackendName.LIBVIRT:
                told["XENOPS_BACKEND"] = self.backend
                told["XENOPS_RUN_DIR"] = str(layout.libvirt_vms)
                told["XENOPS_LIBVIRT_URI"] = libvirt_uri(layout.libvirt)
                told["XENOPS_LIBVIRT_LOGS"] = str(libvirt_logs(layout.libvirt))
        return told

    def processes(self, layout: Layout, broker: BrokerOf) -> tuple[Process, ...]:
        """The services on a broker, as processes."""
        return tuple(
            Process(
                name,
                (sys.executable, "-m", name.replace("-", "_")),
                self.environment(name, layout, broker),
            )
            for name in self.services
        )


def _role(service: str) -> Role:
    return Role(service) if service in set(Role) else Role.WORKER


def broker(layout: Layout, shape: Shape) -> Process:
    """The private RabbitMQ node, with users for the shape's instances."""
    command = (sys.executable, "-m", "stack.broker.node", str(layout.broker), *shape.instances)
    return Process(BROKER, command, {})


def xenstored(layout: Layout, kind: StoreKind) -> Process:
    """The private xenstored."""
    return Process(XENSTORED, (sys.executable, "-m", "stack.xenstored", str(layout.xenstored), str(kind)), {})


def libvirtd(layout: Layout, shape: Shape) -> Process:
    """The private libvirtd, in the network of the VMs' bridge."""
    where = (layout.namespace,) if shape.network is Network.BRIDGE else ()
    command = (sys.executable, "-m", "stack.libvirtd", "serve", str(layout.libvirt), *where)
    return Process(LIBVIRTD, command, {})


def single(layout: Layout) -> Process:
    """Everything in one process, on the bus in memory."""
    return Process(SINGLE, (sys.executable, "-m", "stack", "--root", str(layout.root), "single"), {})


def save(shape: Shape, path: Path) -> None:
    """Write down of what the stack is made, for whoever takes it up."""
    content = {
        "version": VERSION,
        "workers": dict(shape.workers),
        "network": shape.network,
        "accelerator": shape.accelerator,
        "bus": shape.bus,
        "store": shape.store,
        "backend": shape.backend,
    }
    path.write_text(json.dumps(content, indent=2) + "\n")


def load(path: Path) -> Shape | None:
    """Of what the stack is made; None when there is none.

    Raises:
        ShapeError: another version wrote it.
    """
    try:
        content = json.loads(path.read_text())
        version = content["version"]
        shape = Shape(
            workers=dict(content["workers"]),
            network=Network(content["network"]),
            accelerator=str(content["accelerator"]),
            bus=BusKind(content["bus"]),
            store=StoreKind(content.get("store", StoreKind.FILES)),
            backend=BackendName(content.get("backend", BackendName.QEMU)),
        )
    except FileNotFoundError:
        return None
    except (ValueError, KeyError, TypeError) as error:
        raise ShapeError(_another_version(path)) from error
    if version != VERSION:
        raise ShapeError(_another_version(path))
    return shape


def _another_version(path: Path) -> str:
    return f"another version of the stack made {path.parent}: `make down` ends it and removes what it left"
