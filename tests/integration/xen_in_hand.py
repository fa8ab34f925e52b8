"""A Xen host in this process, around a real xenstored: hypervisor, drivers, guests do as real ones."""

import itertools
import os
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from uuid import UUID

from domains_in_hand import first_number
from engine.hosted.port_rules import PortRules
from schema.fault import XenopsError, internal_error
from schema.objects.pci import PciAddress
from store_in_hand import STOPS, StoreInHand
from typing_extensions import override
from worker_xen.classic import pciback
from worker_xen.classic.dom0 import Dom0
from worker_xen.libxc.port import Xen, XenError
from worker_xen.libxc.values import (
    Cpu,
    DomainInfo,
    HostDevice,
    HostInfo,
    Loaded,
    Nature,
    Ports,
    Rings,
    ShutdownReason,
    Topology,
)
from worker_xen.xenstore.devices import BlockDevice, BusState, state_of
from worker_xen.xenstore.tree import BACKENDS, ERRORS, GUEST, Node

MIB = 1 << 20
_REASONS = {
    b"halt": ShutdownReason.POWEROFF,
    b"poweroff": ShutdownReason.POWEROFF,
    b"reboot": ShutdownReason.REBOOT,
    b"suspend": ShutdownReason.SUSPEND,
}


_RETRY_S = 0.02

_SEEN = {"pci": BusState.INITIALISED}
"""How far a backend goes without its guest, where that is not to wait for it."""


@dataclass
class HostInHand(Xen, Dom0):
    """Hypervisor, drivers and guests; bridges are `xenbr0` and `xenbr1`."""

    store: StoreInHand
    memory_free_bytes: int = 1 << 34
    guests_listen: bool = True
    guests_have_drivers: bool = True
    asleep: set[int] = field(default_factory=set)
    fall_asleep: Callable[[int], None] = lambda _: None
    """What a guest does that is asked to sleep."""

    drivers_work: bool = True
    complaint: str = ""
    """What drivers say of every device that they are to take."""

    found: dict[int, DomainInfo] = field(default_factory=dict)
    devices: set[str] = field(default_factory=set)
    ports: dict[str, str] = field(default_factory=dict)
    """Interfaces and the bridges that they are ports of."""

    up: set[str] = field(default_factory=set)
    nodes_free: tuple[int, ...] = (1 << 33, 1 << 33)
    bound: dict[tuple[int, int, bool], tuple[int, ...]] = field(default_factory=dict)
    """Of a domain's vCPU the CPUs that it must, or, True, had rather run on."""

    weights: dict[int, tuple[int, int]] = field(default_factory=dict)
    given: dict[int, int] = field(default_factory=dict)
    """PCI devices, by their numbers, and the domains that have them."""

    has_iommu: bool = True
    rules: dict[str, PortRules] = field(default_factory=dict)
    """What interfaces let pass."""

    going: set[str] = field(default_factory=set)
    """Interfaces that are gone as soon as something is done to them."""

    def __post_init__(self) -> None:
        self.found[0] = DomainInfo(0, UUID(int=0), 1 << 30, 1 << 30, 0)
        self._numbers = itertools.count(first_number())
        self._lock = threading.RLock()
        self._wake = os.eventfd(0)
        self._ending = False
        self._thread = threading.Thread(target=self._live)
        self._thread.start()

    # --- the hypervisor ---------------------------------------------------------------------------------

    @property
    @override
    def version_text(self) -> str:
        return "4.17"

    @override
    def version_details(self) -> tuple[str, str]:
        return ".3", "xen-3.0-x86_64"

    @override
    def host(self) -> HostInfo:
        return HostInfo(
            2, 1, 1, 2, 2_000_000, 1 << 34, self.memory_free_bytes, has_hvm=False, has_iommu=self.has_iommu
        )

    @override
    def topology(self) -> Topology:
        return Topology(tuple(Cpu(cpu // 2, 0, cpu) for cpu in range(4)), ((10, 20), (20, 10)))

    @override
    def nodes_free_bytes(self) -> tuple[int, ...]:
        return self.nodes_free

    @override
    def featureset(self, index: int) -> tuple[int, ...]:
        return (0x17CBFBFF, 0xF7FA3223)

    @override
    def console_ring(self) -> str:
        return "(XEN) hello\n"

    @override
    def send_debug_keys(self, keys: str) -> None:
        """Nobody looks."""

    @override
    def domain(self, domid: int) -> DomainInfo | None:
        return self.found.get(domid)

    @override
    def domains(self) -> Iterator[DomainInfo]:
        return iter(list(self.found.values()))

    @override
    def create(self, uuid: UUID, nature: Nature) -> int:
        with self._lock:
            domid = next(self._numbers)
            self.found[domid] = DomainInfo(domid, uuid, 0, 0, 0, is_paused=True)
        return domid

    @override
    def prepare(self, domid: int, nature: Nature, *, restored: bool) -> Ports:
        self._change(domid, memory_bytes_max=nature.memory_bytes_max)
        return Ports(1, 2)

    @override
    def build(self, domid: int, nature: Nature, loaded: Loaded, ports: Ports) -> Rings:
        self._change(domid, memory_bytes=loaded.memory_mib * MIB)
        return Rings(ports.store, 11, ports.console, 12)

    @override
    def set_weight(self, domid: int, weight: int, cap: int) -> None:
        self._change(domid)
        self.weights[domid] = (weight, cap)

    @override
    def set_affinity(self, domid: int, vcpu: int, cpus: Sequence[int], *, soft: bool = False) -> None:
        self._change(domid)
        self.bound[domid, vcpu, soft] = tuple(cpus)

    @override
    def give(self, domid: int, device: HostDevice) -> None:
        self._change(domid)
        self.given[device.number] = domid

    @override
    def take(self, domid: int, device: HostDevice) -> None:
        self.given.pop(device.number, None)

    @override
    def set_uuid(self, domid: int, uuid: UUID) -> None:
        self._change(domid, uuid=uuid)

    @override
    def has_drivers(self, domid: int) -> bool:
        return self.guests_have_drivers

    @override
    def press_power(self, domid: int) -> None:
        self.stop(domid, ShutdownReason.POWEROFF)

    @override
    def press_sleep(self, domid: int) -> None:
        self.fall_asleep(domid)

    @override
    def is_asleep(self, domid: int) -> bool:
        return domid in self.asleep

    @override
    def set_asleep(self, domid: int, *, asleep: bool) -> None:
        (self.asleep.add if asleep else self.asleep.discard)(domid)

    @override
    def shut_down(self, domid: int, reason: ShutdownReason) -> None:
        self.stop(domid, reason)

    @override
    def pause(self, domid: int) -> None:
        self._change(domid, is_paused=True)

    @override
    def unpause(self, domid: int) -> None:
        self._change(domid, is_paused=False)

    @override
    def resume(self, domid: int) -> None:
        self._change(domid, stopped=None)

    @override
    def destroy(self, domid: int) -> None:
        with self._lock:
            self.found.pop(domid, None)
        self._tell()

    def stop(self, domid: int, reason: ShutdownReason) -> None:
        """What a guest does by itself."""
        self._change(domid, stopped=reason)
        self._tell()

    # --- the control domain -----------------------------------------------------------------------------

    @contextmanager
    @override
    def opened(self, path: str, *, read_only: bool) -> Iterator[BlockDevice]:
        self.check(path, read_only=read_only)
        yield BlockDevice("/dev/loop0", 7, 0)

    @override
    def check(self, path: str, *, read_only: bool) -> None:
        if not (Path(path).is_file() or Path(path).is_block_device()):
            raise internal_error(f"There is no disk {path}")

    @override
    def take_pci(self, address: PciAddress) -> HostDevice:
        return HostDevice(pciback.number_of(address))

    @override
    def describe_pci(self, address: PciAddress) -> HostDevice | None:
        return HostDevice(pciback.number_of(address))

    @override
    def has_device(self, bus_name: str) -> bool:
        return bus_name in self.devices

    @override
    def has_open(self, bus_name: str) -> bool:
        return bus_name in self.devices

    @override
    def has_interface(self, interface: str) -> bool:
        return interface in self.going or interface.replace("vif", "vif-").replace(".", "-") in self.devices

    @override
    def join(self, interface: str, bridge_name: str, mtu: int, *, up: bool) -> None:
        if bridge_name not in {"xenbr0", "xenbr1"}:
            raise internal_error(f"There is no bridge {bridge_name!r} on this host")
        self._reach(interface)
        self.ports[interface] = bridge_name
        self.set_up(interface, up=up)

    @override
    def set_up(self, interface: str, *, up: bool) -> None:
        self._reach(interface)
        (self.up.add if up else self.up.discard)(interface)

    @override
    def restrict(self, rules: PortRules) -> None:
        self._reach(rules.tap)
        self.rules[rules.tap] = rules

    def _reach(self, interface: str) -> None:
        if interface in self.going:
            self.going.remove(interface)
            raise internal_error(f"There is no interface {interface}")

    @override
    def close(self) -> None:
        """It outlives a backend."""

    def end(self) -> None:
        """No more of it."""
        self._ending = True
        os.eventfd_write(self._wake, 1)
        self._thread.join()
        self.store.close()

    # --- drivers and guests -----------------------------------------------------------------------------

    def _live(self) -> None:
        """A daemon that is started anew knows of no device, and so do they."""
        while not self._ending:
            try:
                self._follow()
            except XenopsError:
                self.devices.clear()
                threading.Event().wait(_RETRY_S)

    def _follow(self) -> None:
        with self.store.watching([BACKENDS, GUEST]) as watching:
            while not self._ending:
                event = watching.wait(None, self._wake)
                path = "" if event is None else event[0]
                if path == BACKENDS:
                    self._drive_all()
                elif path.startswith(f"{BACKENDS}/"):
                    self._drive(path.removeprefix(f"{BACKENDS}/").split("/"))
                elif path.endswith("/control/shutdown"):
                    self._hear(int(path.split("/")[3]), path)

    def _drive_all(self) -> None:
        """As drivers do when they are connected: what came before is told by no watch."""
        for kind in self.store.names(BACKENDS):
            for domid in self.store.names(f"{BACKENDS}/{kind}"):
                for number in self.store.names(f"{BACKENDS}/{kind}/{domid}"):
                    self._drive([kind, domid, number])

    def _drive(self, words: list[str]) -> None:
        kind, domid, number = [*words, "", "", ""][:3]
        if not number or not self.drivers_work:
            if not self.store.names(f"{BACKENDS}/{kind}/{domid}"):
                self._forget(f"{kind}-{domid}-")
            return
        name, path = f"{kind}-{domid}-{number}", f"{BACKENDS}/{kind}/{domid}/{number}"
        if name in self.devices:
            state = state_of(self.store.read(f"{path}/state"))
            if state is BusState.UNKNOWN:
                self._forget(name)
            elif state is BusState.RECONFIGURING:
                self._let_go(path)
        elif self.complaint:
            self.store.write([Node(f"{ERRORS}/{kind}/{domid}/{number}/error", self.complaint)])
        elif self.store.answer(f"{path}/state", _SEEN.get(kind, BusState.INIT_WAIT)):
            self.devices.add(name)

    def _let_go(self, path: str) -> None:
        """A guest with PCI devices lets go of those that it is asked for."""
        for name in self.store.names(path):
            if name.startswith("state-") and state_of(self.store.read(f"{path}/{name}")) is BusState.CLOSING:
                self.store.answer(f"{path}/{name}", BusState.CLOSED)
        self.store.answer(f"{path}/state", BusState.CONNECTED)

    def _forget(self, prefix: str) -> None:
        self.devices.difference_update([name for name in self.devices if f"{name}-".startswith(prefix)])

    def _hear(self, domid: int, path: str) -> None:
        word, info = self.store.read(path), self.found.get(domid)
        if not word or info is None or info.is_paused or not self.guests_listen:
            return
        try:
            self.store.write([Node(path)])
        except XenopsError:
            return
        if word == b"s3":
            self.fall_asleep(domid)
        else:
            self.stop(domid, _REASONS[word])

    def _change(self, domid: int, **fields: object) -> None:
        with self._lock:
            info = self.found.get(domid)
            if info is None:
                raise XenError(f"Xen did not find domain {domid} (ESRCH)", 3)
            self.found[domid] = replace(info, **fields)  # type: ignore[arg-type]

    def _tell(self) -> None:
        self.store.write([Node(STOPS, "x")])
