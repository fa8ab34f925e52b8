"""Hypervisor: the domains of dom0's libvirtd that are ours; no other one is touched."""

import logging
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path

from engine.hosted.noting import Noting
from engine.hosted.records import Records
from engine.hosted.storage.content import LastingContent
from engine.hosted.storage.ports import Storage
from schema.fault import XenopsError
from schema.objects.dynamic import ObjectId, VmObject
from schema.objects.errors import AlreadyExists, DomainNotBuilt, FailedToStartEmulator, NotEnoughMemory
from schema.objects.vif import Vif
from typing_extensions import override
from virt.connection import Connection
from virt.link import Listener
from virt.mark import MARK, instance_of, life_of
from virt.seal import seal
from virt.spoken import configured, spoken
from virt.values import DomainInfo as Found
from virt.values import DomainStatus, Ended, How, Panicked, Paused, Resumed, VirtError, VirtEvent
from virt.xml import Element, attribute, parsed, written

from worker_xen.libvirt.document import Surroundings, domain_document
from worker_xen.libvirt.on_the_way import OnTheWay
from worker_xen.libvirt.stream import is_whole
from worker_xen.xenlight.bridging import end_of
from worker_xen.xenlight.machine import Domain, Machine
from worker_xen.xenlight.values import DomainInfo
from worker_xen.xenlight.xenstore import Nodes

_LOG = logging.getLogger(__name__)

_OVERHEAD_BYTES = 4 << 20
"""What Xen wants for a domain beside the guest's memory, at least."""

_LIBXL_LOG = "/var/log/libvirt/libxl/libxl-driver.log"

Connect = Callable[[str, str, Listener], Connection]
"""Makes a connection, not yet open, to a libvirtd."""

Make = Callable[[str], None]
"""Has libvirt make a domain of a document."""


@dataclass(frozen=True, slots=True)
class LibvirtSettings:
    """Which libvirtd; whose domains are ours, where is noted which, and where disks named `SR/VDI` are."""

    run: Path
    uri: str
    instance: str
    storage: Storage | None = None


class Hypervisor(Noting[Machine, Records[Machine]], Listener):
    """The host; safe for any thread. What libvirt refuses becomes an `Internal_error` with its words."""

    def __init__(
        self, settings: LibvirtSettings, connect: Connect = Connection, nodes: Nodes | None = None
    ) -> None:
        """Take the host's VMs, and reach libvirt. Errors: those of `Records`, `VirtGoneError`."""
        super().__init__(Records(Machine, settings.run, "libvirt"), "libvirt-changes")
        self.settings = settings
        self.content = LastingContent(settings.storage)
        self.on_the_way = OnTheWay(settings.run / "images")
        self.nodes = Nodes() if nodes is None else nodes
        self.virt = connect(settings.uri, MARK, self)
        self._runs: dict[str, bool] = {}
        self._leaving: set[str] = set()
        try:
            self.virt.open()
        except VirtError:
            self._records.close()
            raise

    def start(self, on_change: Callable[[ObjectId], None]) -> None:
        """Find what runs, end what a worker was making when it died, and hear from all from now on."""
        self._on_change = on_change
        for machine in self._records.all():
            if machine.domain is not None and machine.domain.is_launching:
                with spoken():
                    self._clear_up(machine.id, machine.domain)
            self._settle_save(machine.id)
        noted = (machine.domain for machine in self._records.all())
        self.on_the_way.tidy(domain for domain in noted if domain is not None)
        self._report_strays()

    def stop(self) -> None:
        """Hang up; VMs run on."""
        self.virt.close()
        self._stop_telling()
        self.nodes.close()
        self._records.close()

    @override
    def look(self, vm: str) -> Machine:
        """What is known of a VM; a domain that libvirt has no more, it has not."""
        return self.seen(vm)[0]

    def seen(self, vm: str) -> tuple[Machine, DomainInfo | None]:
        """What is known of a VM, and its domain as libvirt has it."""
        machine = self._records.read(vm)
        if machine.domain is None or machine.domain.domid is None:
            return machine, None
        with spoken():
            info = self.info(machine.domain)
        if info is None:
            return machine.but(domain=None), None
        return machine, info

    def info(self, domain: Domain) -> DomainInfo | None:
        """A domain of ours as libvirt has it. Errors: `VirtError`.

        One whose guest has just powered itself off is still there until libvirt has destroyed it.
        """
        found = self._ours(domain)
        if found is not None and found.status is DomainStatus.ENDED:
            if self.virt.is_busy(domain.uuid):
                return replace(_info(found), reason=None)
            found = self._ours(domain)
        return None if found is None else _info(found)

    def running(self, vm: str) -> tuple[Domain, int]:
        """A VM's domain that Xen has, and its number. Errors: `Does_not_exist`, `Domain_not_built`."""
        return self.look(vm).launched()

    def fresh_life(self, vm: str) -> Domain:
        """A VM's domain as one that libvirt never had."""
        return self.change(vm, lambda machine: machine.with_domain(life=uuid.uuid4().hex)).living()

    def launch(self, vm: str, make: Make) -> None:
        """Have libvirt make a VM's domain, with all that is plugged; it has it already, nothing to do.

        Noted first: should the worker die meanwhile, the next one ends what is there of it.

        Errors: `Does_not_exist`, `Domain_not_built`, `Already_exists` when somebody else runs one of that
        UUID, `Not_enough_memory`, `Failed_to_start_emulator` with libvirt's words.
        """
        if (domain := self.look(vm).living()).domid is not None:
            return
        if not domain.built:
            raise XenopsError(DomainNotBuilt())
        domain = self.fresh_life(vm)
        document = self._document(vm, domain)
        self.change(vm, lambda machine: machine.with_domain(is_launching=True))
        self._leaving.add(domain.uuid)
        domid = None
        try:
            make(written(document))
            found = self.virt.find(domain.uuid)
            domid = None if found is None else found.number
        except VirtError as error:
            self._explain(vm, domain, error)
        finally:
            self.change(vm, lambda machine: machine.with_domain(is_launching=False, domid=domid))
            self._leaving.discard(domain.uuid)
        self._runs[domain.uuid] = False

    def document(self, domain: Domain) -> Element:
        """A domain's document as libvirt has it now, with what it has chosen. Errors: `Internal_error`."""
        with spoken():
            return parsed(self.virt.document(domain.uuid))

    def attach(self, domain: Domain, device: Element) -> None:
        """Give a domain a device; it has it already, nothing to do. Errors: `VirtError`."""
        if not self._has(domain, device):
            self.virt.attach(domain.uuid, written(device))

    def detach(self, domain: Domain, device: Element) -> None:
        """Take a device from a domain; it has it not, nothing to do. Errors: `VirtError`."""
        if self._has(domain, device):
            self.virt.remove(domain.uuid, written(device))

    def end_of(self, domid: int, vif: Vif) -> str | None:
        """What an interface's end in dom0 is called; None: there is none. Errors: those of `Nodes`.

        Xen names it by a number that libvirt chooses: it is found by its address, as libvirt itself does.
        """
        number = self.nodes.nic_number(domid, vif.mac)
        return None if number is None else end_of(domid, number)

    def set_running(self, domain: Domain, *, runs: bool) -> None:
        """Let its vCPUs run, or stop them; that is no news. Errors: `Internal_error`."""
        self._runs[domain.uuid] = runs
        with spoken():
            (self.virt.resume if runs else self.virt.suspend)(domain.uuid)

    def end(self, vm: str) -> None:
        """End a VM's domain at libvirt; there is none, nothing to do."""
        domain = self._records.read(vm).domain
        if domain is None or domain.domid is None:
            return
        self._leaving.add(domain.uuid)
        try:
            with spoken():
                if self._ours(domain) is not None:
                    self.virt.destroy(domain.uuid)
        finally:
            self._leaving.discard(domain.uuid)
        self.change(vm, lambda machine: machine.with_domain(domid=None) if machine.domain else machine)

    def destroy(self, vm: str) -> None:
        """End a VM's domain and forget it; there is none, nothing to do."""
        self.end(vm)
        saved_to = self._records.read(vm).domain
        self.change(vm, lambda machine: machine.but(domain=None))
        self.on_the_way.forget(saved_to)

    @contextmanager
    def saving(self, vm: str, path: str) -> Iterator[None]:
        """While inside, libvirt saves a domain to a file, and that is noted; its end is no news.

        Who heard of its end before it was noted as saved would look for what a worker left that died.
        """
        domain = self.change(vm, lambda machine: machine.with_domain(saving=path)).living()
        self._leaving.add(domain.uuid)
        try:
            yield
        except XenopsError:
            self.change(vm, lambda machine: machine.with_domain(saving=None))
            raise
        finally:
            self._leaving.discard(domain.uuid)

    def saved(self, vm: str) -> None:
        """A domain was saved to the file that it is noted to be saved to: libvirt has it no more."""
        self.change(
            vm, lambda machine: machine.with_domain(saved=True, domid=None, built=False).but(suspended=True)
        )

    def unsaved(self, vm: str) -> None:
        """A domain that was saved goes on: its image is of the past."""
        domain = self._records.read(vm).domain
        self.change(vm, lambda machine: machine.with_domain(saved=False, saving=None).but(suspended=False))
        self.on_the_way.forget(domain)

    @override
    def on_event(self, event: VirtEvent) -> None:
        """From the connection."""
        match event:
            case Ended(uuid=uuid_) | Panicked(uuid=uuid_):
                if uuid_ not in self._leaving:
                    self._tell(uuid_)
            case Paused(uuid=uuid_) | Resumed(uuid=uuid_):
                runs = isinstance(event, Resumed)
                if self._runs.get(uuid_, runs) is not runs:
                    self._tell(uuid_)
                self._runs[uuid_] = runs
            case _:
                pass  # each verb asks by itself

    @override
    def on_connected(self) -> None:
        """After a time without events: let all of ours be looked at."""
        for machine in self._records.all():
            if machine.domain is not None and machine.domain.domid is not None:
                self._tell(machine.domain.uuid)

    def _has(self, domain: Domain, device: Element) -> bool:
        """A worker before us may have died before it noted what it did."""
        found = parsed(self.virt.document(domain.uuid)).findall(f"./devices/{device.tag}")
        return any(_name(other) == _name(device) for other in found)

    def _document(self, vm: str, domain: Domain) -> Element:
        with spoken():
            cpus = self.virt.node().cpus
        with configured(f"start VM {vm}"):
            return domain_document(domain, Surroundings(self.settings.instance, vm, cpus))

    def _ours(self, domain: Domain) -> Found | None:
        """A domain of ours as libvirt has it: another one of that UUID is not ours. Errors: `VirtError`."""
        found = self.virt.find(domain.uuid)
        return found if found is not None and life_of(found.mark) == domain.life else None

    def _explain(self, vm: str, domain: Domain, error: VirtError) -> None:
        """A domain was not made: have nothing of it left, and say why. Errors: see `launch`."""
        with spoken():
            self._clear_up(vm, domain)
            if self.virt.find(domain.uuid) is not None:
                raise XenopsError(AlreadyExists(klass="domain", id=vm)) from error
            needed_bytes = domain.vm.memory_static_max + _OVERHEAD_BYTES
            if needed_bytes > self.virt.free_memory_bytes():
                raise XenopsError(NotEnoughMemory(needed_bytes=needed_bytes)) from error
        words = f"{error}; what libxl says is in libvirt's log, usually {_LIBXL_LOG}"
        raise XenopsError(FailedToStartEmulator(vm=vm, name="libvirt", message=words)) from error

    def _clear_up(self, vm: str, domain: Domain) -> None:
        """Libvirt has nothing of the domain from now on. Errors: `VirtError`."""
        if self._ours(domain) is not None:
            _LOG.warning("the domain of VM %s was never finished: ended", vm)
            self.virt.destroy(domain.uuid)
        self.change(vm, lambda known: known.with_domain(is_launching=False) if known.domain else known)

    def _settle_save(self, vm: str) -> None:
        """A worker died while libvirt saved a domain: libvirt does that to its end, whatever it is."""
        domain = self._records.read(vm).domain
        if domain is None or domain.saving is None or domain.saved or domain.uuid in self._leaving:
            return
        with spoken():
            if self.virt.is_busy(domain.uuid):
                return  # its end will be told
            still_there = self._ours(domain) is not None
        path = Path(domain.saving)
        if not still_there and _has_all(path):
            seal(path)
            self.saved(vm)
            return
        path.unlink(missing_ok=True)
        self.change(vm, lambda machine: machine.with_domain(saving=None))

    def _report_strays(self) -> None:
        """A domain that says it is this instance's and that is noted nowhere: it is left alone, and told."""
        known = {machine.domain.life for machine in self._records.all() if machine.domain is not None}
        with spoken():
            found = self.virt.domains()
        for info in found:
            if instance_of(info.mark) == self.settings.instance and life_of(info.mark) not in known:
                _LOG.warning(
                    "libvirt's domain %s is marked as of %s, and is not known here: it is left alone; "
                    "`virsh destroy %s` ends it",
                    *(info.name, self.settings.instance, info.name),
                )

    def _tell(self, uuid_: str) -> None:
        def tell(machine: Machine) -> None:
            with suppress(XenopsError):  # libvirt is lost: when it is back, all are looked at
                self._settle_save(machine.id)
            self._on_change(VmObject(id=machine.id))

        self._tell_of(lambda domain: domain.uuid == uuid_, tell)


def _name(device: Element) -> str | None:
    """What a domain's device is known by: a disk by its name, an interface by its address."""
    return attribute(device, "mac", "address") or attribute(device, "target", "dev")


def _info(found: Found) -> DomainInfo:
    """A guest that has ended and of which something is kept has crashed, or wants to reboot."""
    reason = None
    if found.status is DomainStatus.CRASHED:
        reason = "crash"
    elif found.status is DomainStatus.ENDED:
        reason = "crash" if found.how is How.CRASHED else "reboot"
    return DomainInfo(
        domid=found.number,
        uuid=found.uuid,
        paused=found.status is DomainStatus.PAUSED,
        reason=reason,
        memory_bytes=found.memory_bytes,
        vcpus_online=0,
    )


def _has_all(path: Path) -> bool:
    try:
        with path.open("rb") as file:
            return is_whole(file)
    except OSError:
        return False
