"""Hypervisor: the domains of this host that are ours, as noted and as Xen and xenstore tell of them.

A domain is ours if it was noted before it was made; any other one, whatever its id, is a stranger's.
"""

import logging
import time
from collections.abc import Callable, Collection
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from uuid import UUID

from engine.hosted.noting import Noting
from engine.hosted.records import Records
from engine.hosted.storage.content import Content
from engine.hosted.usbfs import Usbfs
from schema.fault import XenopsError, internal_error
from schema.objects.dynamic import ObjectId
from schema.objects.errors import AlreadyExists, DoesNotExist, NotEnoughMemory
from typing_extensions import override

from worker_xen.classic.boot.bootloader import Bootloaders
from worker_xen.classic.changes import Changes, How
from worker_xen.classic.dom0 import Dom0
from worker_xen.classic.hvm.emulators import Emulators
from worker_xen.classic.machine import Domain, Machine
from worker_xen.classic.scheduling import Scheduling
from worker_xen.classic.suspend import Courier
from worker_xen.libxc.port import Xen, XenError
from worker_xen.libxc.values import DomainInfo, ShutdownReason
from worker_xen.policy import PolicyFile
from worker_xen.xenstore.daemon import Daemon
from worker_xen.xenstore.tree import BACKENDS, ERRORS, domain_path, model_path, vm_path

_LOG = logging.getLogger(__name__)

Change = Callable[[Machine], Machine]


@dataclass(frozen=True, slots=True)
class Parts:
    """What the backend stands on: where domains are noted, Xen, xenstore, dom0, programs, devices."""

    run: Path
    xen: Xen
    store: Daemon
    dom0: Dom0
    courier: Courier
    emulators: Emulators
    bootloaders: Bootloaders
    content: Content
    usb: Usbfs


@dataclass(frozen=True, slots=True)
class Found:
    """A VM as it is noted, and its domain as the hypervisor has it; `info` is None when it has none."""

    machine: Machine
    info: DomainInfo | None

    def living(self) -> tuple[Domain, DomainInfo]:
        """Its domain. Errors: `Does_not_exist("domain", id)`."""
        domain = self.machine.living()
        if self.info is None:
            raise XenopsError(DoesNotExist(klass="domain", id=self.machine.id))
        return domain, self.info

    def built(self) -> tuple[Domain, DomainInfo]:
        """Its domain once it can run. Errors: `Does_not_exist`, `Domain_not_built`."""
        domain, info = self.living()
        self.machine.built()
        return domain, info


class Hypervisor(Noting[Machine, Records[Machine]]):
    """The host; safe for any thread."""

    def __init__(self, parts: Parts, now: Callable[[], float] = time.time) -> None:
        """Take the host's VMs. Errors: those of `Records`."""
        super().__init__(Records(Machine, parts.run, "classic"), "classic-changes")
        self.now = now
        self.xen, self.store, self.dom0 = parts.xen, parts.store, parts.dom0
        self.courier, self.emulators = parts.courier, parts.emulators
        self.policy = PolicyFile(parts.run)
        self.scheduling = Scheduling(parts.xen, self.policy)
        self.bootloaders, self.content = parts.bootloaders, parts.content
        self._changes = Changes(self.store, self._seen)

    def start(self, on_change: Callable[[ObjectId], None]) -> None:
        """Watch all that happens by itself. A guest that was to be saved when a worker died goes on."""
        for machine in self._records.all():
            self._drop_draft(machine)
            if machine.domain is not None and machine.domain.built and not machine.domain.suspended:
                self.let_go_on(machine.id)
        self._changes.start(on_change)
        self.emulators.listen(self._crash)

    def stop(self) -> None:
        """Watch no more; VMs run on."""
        self.emulators.close()
        self._changes.stop()
        self._records.close()
        self.store.close()
        self.xen.close()

    @override
    def look(self, vm: str) -> Machine:
        """What is noted of a VM, without a domain that the hypervisor does not have."""
        found = self.find(vm)
        return found.machine if found.info is not None else found.machine.but(domain=None)

    def find(self, vm: str) -> Found:
        """What is noted of a VM, and its domain."""
        machine = self._records.read(vm)
        return Found(machine, None if machine.domain is None else self._info(machine.domain))

    def make(self, vm: str, make: Callable[[UUID], int]) -> int:
        """Have a noted domain made, unless it is there; answers its number.

        One that a worker before us had made and not noted, as it died, is made anew. Errors: `Already_exists`
        for a stranger's domain of the same id.
        """
        domain = self._records.read(vm).living()
        if domain.domid is not None and self._info(domain) is not None:
            return domain.domid
        self.unmake(vm)
        with self.told(vm):
            domid = make(UUID(domain.uuid))
        self._records.change(vm, lambda machine: machine.with_domain(domid=domid))
        self._changes.look_again()
        return domid

    def let_go_on(self, vm: str) -> None:
        """Let a guest run on that has suspended itself; any other one is left alone."""
        info = self.find(vm).info
        if info is not None and info.stopped == ShutdownReason.SUSPEND:
            self.emulators.go_on(info.domid)
            with self.told(vm):
                self.xen.resume(info.domid)
            self.store.resume(info.domid)

    def refuse_strangers(self, vm: str, uuid: UUID) -> None:
        """Before a domain is noted: see that nobody else has one of that id. Errors: `Already_exists`."""
        if self._records.read(vm).domain is None and any(self._unnoted(uuid)):
            raise XenopsError(AlreadyExists(klass="domain", id=vm))

    def unmake(self, vm: str) -> None:
        """Destroy a VM's domain and what it has in xenstore; what is gone already, nothing to do."""
        domain = self._records.read(vm).domain
        if domain is None:
            return
        if domain.domid is None:
            self._end_unnoted(UUID(domain.uuid))
        elif self._is_ours_or_nobodys(domain.domid, domain):
            self._unmake(vm, domain.domid, domain.uuids)
        self._changes.look_again()

    def told(self, vm: str) -> "_Told":
        """While inside, the hypervisor's errors become the interface's."""
        domain = self._records.read(vm).domain
        return _Told(vm, 0 if domain is None else domain.memory_target_bytes)

    def _crash(self, domid: int) -> None:
        """A guest whose hardware is gone cannot go on."""
        _LOG.warning("the device model of domain %d has ended by itself: its guest has crashed", domid)
        with suppress(XenError):
            self.xen.shut_down(domid, ShutdownReason.CRASH)

    def _unmake(self, vm: str, domid: int, uuids: Collection[str]) -> None:
        self.emulators.end(domid)
        with self.told(vm):
            self.xen.destroy(domid)
        backends = [
            f"{folder}/{kind}/{domid}" for folder in (BACKENDS, ERRORS) for kind in self.store.names(folder)
        ]
        places = [f"{vm_path(uuid)}/domains" for uuid in uuids]
        own = [domain_path(domid), model_path(domid)]
        self.store.remove([*backends, *(f"{place}/{domid}" for place in places), *own])
        self.store.remove(
            [vm_path(uuid) for uuid in uuids if not self.store.names(f"{vm_path(uuid)}/domains")]
        )

    def _is_ours_or_nobodys(self, domid: int, domain: Domain) -> bool:
        """A number is used again after 32,752 domains: another's domain is not ours."""
        with self.told(domain.vm.id):
            info = self.xen.domain(domid)
            return info is None or str(info.uuid) in domain.uuids

    def _end_unnoted(self, uuid: UUID) -> None:
        for info in self._unnoted(uuid):
            _LOG.warning("domain %d of %s was made by a worker that died then: ended", info.domid, uuid)
            self._unmake(str(uuid), info.domid, (str(uuid),))

    def _unnoted(self, uuid: UUID) -> list[DomainInfo]:
        """Domains of that id that no VM is noted with; one that is dying runs no more, and is nobody's."""
        noted = {machine.domain.domid for machine in self._records.all() if machine.domain is not None}
        with self.told(str(uuid)):
            living = [info for info in self.xen.domains() if info.uuid == uuid and not info.is_dying]
        return [info for info in living if info.domid not in noted]

    def _drop_draft(self, machine: Machine) -> None:
        """What a worker that died had written of an image."""
        if machine.domain is not None and machine.domain.drafting is not None:
            with suppress(OSError, ValueError):
                Path(machine.domain.drafting).unlink()
            self.change(machine.id, lambda known: known.with_domain(drafting=None))

    def _info(self, domain: Domain) -> DomainInfo | None:
        """One question to the hypervisor, however many domains it has."""
        if domain.domid is None:
            return None
        with self.told(domain.vm.id):
            info = self.xen.domain(domain.domid)
            is_its = info is not None and str(info.uuid) in domain.uuids and not info.is_dying
            return info if is_its else None

    def _seen(self) -> dict[str, How]:
        """Of each VM with a domain its number, and all by which one notices that something happened to it."""
        return {
            machine.id: (
                machine.domain.domid,
                None if (info := self._info(machine.domain)) is None else (info.stopped, info.is_paused),
            )
            for machine in self._records.all()
            if machine.domain is not None and machine.domain.domid is not None
        }


class _Told:
    """Turns `XenError` into the interface's errors."""

    def __init__(self, vm: str, memory_bytes: int) -> None:
        self._vm = vm
        self._memory_bytes = memory_bytes

    def __enter__(self) -> None:
        """Nothing to do before."""

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        """Errors: `Not_enough_memory` with what the VM wants; `Internal_error` with Xen's words."""
        if not isinstance(error, XenError):
            return
        if error.is_out_of_memory:
            raise XenopsError(NotEnoughMemory(needed_bytes=self._memory_bytes)) from error
        raise internal_error(f"VM {self._vm}: {error}") from error
