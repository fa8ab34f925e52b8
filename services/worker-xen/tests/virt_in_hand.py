"""Libvirt in the test's own process: its domains are values, and a guest does at once what it is asked."""

import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from typing_extensions import override
from virt.connection import Connection
from virt.link import Listener
from virt.mark import MARK
from virt.values import (
    DomainInfo,
    DomainStatus,
    Ended,
    How,
    Node,
    NoDomainError,
    Paused,
    Resumed,
    VirtError,
    VirtEvent,
    VirtGoneError,
)
from virt.xml import Element, attribute, node, parsed, written
from worker_xen.libvirt.stream import head, is_whole
from worker_xen.xenlight.xenstore import Nodes

RECORD = bytes(8)
STREAM = b"LibxlFmt" + bytes(8) + RECORD
"""A guest without any memory."""

MIB = 1 << 20


@dataclass
class Domain:
    document: Element
    number: int
    status: DomainStatus = DomainStatus.PAUSED
    how: How | None = None

    @property
    def uuid(self) -> str:
        return self.document.findtext("uuid") or ""

    @property
    def devices(self) -> Element:
        found = self.document.find("devices")
        assert found is not None
        return found


class Room:
    """All that there is of one host; connections to it come and go."""

    def __init__(self) -> None:
        self.domains: dict[str, Domain] = {}
        self.numbers: Iterator[int] = itertools.count(1)
        self.free_bytes = 1024 * MIB
        self.is_away = False
        self.listener: Listener | None = None
        self.scheduled: list[tuple[int, int]] = []

    def connect(self, uri: str, mark: str, listener: Listener) -> Connection:
        assert mark == MARK
        return VirtInHand(uri, mark, listener, self)

    def make(self, document: str) -> Domain:
        domain = Domain(parsed(document), next(self.numbers))
        if domain.uuid in self.domains:
            raise VirtError("it is there already")
        if int(domain.document.findtext("memory") or 0) * 1024 > self.free_bytes:
            raise VirtError("libxenlight failed to create new domain")
        for console in domain.devices.findall("console"):
            console.set("tty", f"/dev/pts/{domain.number}")
        self.domains[domain.uuid] = domain
        return domain

    def end(self, uuid: str, how: How, asked: str) -> None:
        """Its guest ends: what the document says of that is done."""
        domain = self.domains[uuid]
        if domain.document.findtext(asked) == "preserve":
            domain.status, domain.how = DomainStatus.ENDED, how
        else:
            del self.domains[uuid]
        self.tell(Ended(uuid, how))

    def tell(self, event: VirtEvent) -> None:
        if self.listener is not None:
            self.listener.on_event(event)

    def only(self) -> Domain:
        [domain] = self.domains.values()
        return domain

    def stranger(self, uuid: str) -> None:
        """Somebody else's domain."""
        self.make(written(node("domain", node("uuid", text=uuid), node("devices"))))


class NodesInHand(Nodes):
    """Of guests that acknowledge all; libvirt numbers their interfaces in order."""

    def __init__(self, room: Room) -> None:
        super().__init__(Path("/nowhere"))
        self._room = room
        self.written: dict[int, dict[str, str]] = {}

    @override
    def read(self, domid: int, name: str) -> str | None:
        return None

    @override
    def nic_number(self, domid: int, mac: str) -> int | None:
        for domain in self._room.domains.values():
            if domain.number == domid:
                macs = [found.get("address") for found in domain.devices.findall("interface/mac")]
                return macs.index(mac) if mac in macs else None
        return None

    @override
    def replace_xsdata(self, domid: int, xsdata: dict[str, str]) -> None:
        self.written[domid] = xsdata


class VirtInHand(Connection):
    def __init__(self, uri: str, mark: str, listener: Listener, room: Room) -> None:
        super().__init__(uri, mark, listener)
        self.room = room
        self.on_save = STREAM
        self._told = listener

    @override
    def open(self) -> None:
        self._refuse_away()
        self.room.listener = self._told

    @override
    def close(self) -> None:
        self.room.listener = None

    @override
    def node(self) -> Node:
        self._refuse_away()
        return Node(memory_mib=4096, cpus=4, mhz=2000, nodes=1, sockets=1, cores=2, threads=2)

    @override
    def free_memory_bytes(self) -> int:
        return self.room.free_bytes

    @override
    def capabilities(self) -> str:
        return "<capabilities><host><iommu support='yes'/></host></capabilities>"

    @override
    def domains(self) -> list[DomainInfo]:
        return [found for uuid in self.room.domains if (found := self.find(uuid)) is not None]

    @override
    def find(self, uuid: str) -> DomainInfo | None:
        self._refuse_away()
        domain = self.room.domains.get(uuid)
        if domain is None:
            return None
        marks = domain.document.findall("metadata/*")
        mark = written(marks[0]) if marks else None
        size = int(domain.document.findtext("currentMemory") or 0) * 1024
        return DomainInfo(uuid, "n", domain.status, size, mark, domain.number, domain.how)

    @override
    def create(self, document: str, *, resets_firmware: bool = False) -> None:
        self._refuse_away()
        self.room.make(document)

    @override
    def document(self, uuid: str) -> str:
        return written(self._domain(uuid).document)

    @override
    def suspend(self, uuid: str) -> None:
        self._domain(uuid).status = DomainStatus.PAUSED
        self.room.tell(Paused(uuid))

    @override
    def resume(self, uuid: str) -> None:
        self._domain(uuid).status = DomainStatus.RUNNING
        self.room.tell(Resumed(uuid))

    @override
    def ask_shutdown(self, uuid: str, *, reboot: bool) -> None:
        self._domain(uuid)
        self.room.end(uuid, How.SHUT_DOWN, "on_reboot" if reboot else "on_poweroff")

    @override
    def set_scheduling(self, uuid: str, weight: int, cap: int) -> None:
        self._domain(uuid)
        self.room.scheduled.append((weight, cap))

    @override
    def destroy(self, uuid: str) -> None:
        if uuid in self.room.domains:
            del self.room.domains[uuid]
            self.room.tell(Ended(uuid, How.DESTROYED))

    @override
    def set_memory(self, uuid: str, size_bytes: int) -> None:
        found = self._domain(uuid).document.find("currentMemory")
        assert found is not None
        found.text = str(size_bytes // 1024)

    @override
    def set_vcpus(self, uuid: str, count: int) -> None:
        self._domain(uuid)

    @override
    def attach(self, uuid: str, device: str) -> None:
        self._domain(uuid).devices.append(parsed(device))

    @override
    def remove(self, uuid: str, device: str) -> None:
        devices, wanted = self._domain(uuid).devices, _target(parsed(device))
        for found in list(devices):
            if _target(found) == wanted:
                devices.remove(found)
                return
        raise VirtError("there is no such device")

    @override
    def change_medium(self, uuid: str, drive: str) -> None:
        self.remove(uuid, drive)
        self.attach(uuid, drive)

    @override
    def save(self, uuid: str, path: str) -> None:
        domain = self._domain(uuid)
        Path(path).write_bytes(head(written(domain.document)) + self.on_save)
        if self.on_save != STREAM:
            raise VirtError("the guest does not answer")
        del self.room.domains[uuid]
        self.room.tell(Ended(uuid, How.SAVED))

    @override
    def is_busy(self, uuid: str) -> bool:
        return False

    @override
    def restore(self, path: str, document: str | None, *, paused: bool) -> None:
        assert (document, paused) == (None, True)
        read = Path(path).read_bytes()
        draft = Path(f"{path}.read")
        draft.write_bytes(read)
        with draft.open("rb") as file:
            if not is_whole(file):
                raise VirtError("it cannot be restored")
        draft.unlink()
        self.room.make(read[64:].split(b"\0", 1)[0].decode())

    def _domain(self, uuid: str) -> Domain:
        self._refuse_away()
        if uuid not in self.room.domains:
            raise NoDomainError("there is no such domain")
        return self.room.domains[uuid]

    def _refuse_away(self) -> None:
        if self.room.is_away:
            raise VirtGoneError("libvirt is not reached")


def _target(device: Element) -> tuple[str, str | None]:
    if device.tag == "interface":
        return device.tag, attribute(device, "mac", "address")
    return device.tag, attribute(device, "target", "dev")
