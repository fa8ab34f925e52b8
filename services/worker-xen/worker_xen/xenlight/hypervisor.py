"""Hypervisor: the domains of this host that are ours; no other one is looked at but to be left alone."""

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from engine.backend import Execution
from engine.hosted.noting import Noting
from engine.hosted.records import Records
from engine.hosted.storage.content import LastingContent
from engine.hosted.storage.ports import Storage
from engine.hosted.usb import name_of
from engine.hosted.usbfs import Usbfs
from schema.fault import XenopsError, internal_error
from schema.objects.dynamic import ObjectId, VmObject
from schema.objects.errors import AlreadyExists, DomainNotBuilt, NotEnoughMemory
from typing_extensions import override

from worker_xen.policy import PolicyFile
from worker_xen.xenlight.config import domain_config, placing
from worker_xen.xenlight.events import Watch
from worker_xen.xenlight.image import wipe_draft
from worker_xen.xenlight.libxl import Libxl, OnAbort
from worker_xen.xenlight.machine import Domain, Machine
from worker_xen.xenlight.values import AbortedError, DomainInfo, Json, LibxlError
from worker_xen.xenlight.xenstore import Nodes

_LOG = logging.getLogger(__name__)

Make = Callable[[Json, OnAbort], int]
"""Makes a domain of a configuration; answers its number."""


@dataclass(frozen=True, slots=True)
class XenlightSettings:
    """Where it is noted which domains are ours, where bindings are, and disks named `SR/VDI`."""

    run: Path
    bindings: Path
    storage: Storage | None = None


class Hypervisor(Noting[Machine, Records[Machine]]):
    """The host; safe for any thread. What libxl refuses becomes an `Internal_error` with its words."""

    def __init__(self, settings: XenlightSettings) -> None:
        """Take the host's VMs. Errors: those of `Records` and `Libxl`."""
        super().__init__(Records(Machine, settings.run, "xenlight"), "xenlight-changes")
        self.libxl = Libxl(settings.bindings)
        self.policy = PolicyFile(settings.run)
        self.nodes = Nodes()
        self.content = LastingContent(settings.storage)
        self.usb = Usbfs()
        self._watch: Watch | None = None

    def start(self, on_change: Callable[[ObjectId], None]) -> None:
        """Find what runs, end what a worker was making when it died, and hear from all from now on.

        A guest that was to be saved then goes on.
        """
        self._on_change = on_change
        self._watch = Watch(self.libxl, self._ended)
        for machine in self._records.all():
            domain = machine.domain
            if domain is None:
                continue
            if domain.is_launching:
                self._clear_up(machine, domain)
            if not domain.saved:
                self._undo_save(machine.id, domain)
            if domain.domid is not None:
                self._follow(domain.domid)

    def stop(self) -> None:
        """Hear no more; VMs run on."""
        if self._watch is not None:
            self._watch.stop()
        self._stop_telling()
        self.nodes.close()
        self.libxl.close()
        self._records.close()

    @override
    def look(self, vm: str) -> Machine:
        """What is known of a VM; a domain that Xen has no more, it has not."""
        return self.seen(vm)[0]

    def seen(self, vm: str) -> tuple[Machine, DomainInfo | None]:
        """What is known of a VM, and its domain as the hypervisor has it."""
        machine = self._records.read(vm)
        if machine.domain is None or machine.domain.domid is None:
            return machine, None
        info = self.info(machine.domain)
        if info is None:
            return machine.but(domain=None), None
        return machine, info

    def info(self, domain: Domain) -> DomainInfo | None:
        """A domain of ours as the hypervisor has it: another one of that number is not ours."""
        if domain.domid is None:
            return None
        with spoken():
            info = self.libxl.info(domain.domid)
        is_its = info is not None and info.uuid == domain.uuid and not info.dying
        return info if is_its else None

    @override
    def rename(self, vm: str, name: str) -> None:
        """Give a VM another id; its domain, another name."""
        machine = self.look(vm)
        super().rename(vm, name)
        if machine.domain is not None and machine.domain.domid is not None and vm != name:
            with spoken():
                self.libxl.rename(machine.domain.domid, name)

    def running(self, vm: str) -> tuple[Domain, int]:
        """A VM's domain that Xen has, and its number. Errors: `Does_not_exist`, `Domain_not_built`."""
        return self.look(vm).launched()

    def launch(self, execution: Execution, vm: str, make: Make) -> None:
        """Have Xen make a VM's domain, with all that is plugged; it has it already, nothing to do.

        Noted first: should the worker die meanwhile, the next one ends what is there of it.

        Errors: `Does_not_exist`, `Domain_not_built`, `Not_enough_memory`, `Cancelled`, `Internal_error`.
        """
        domain = self.look(vm).living()
        if domain.domid is not None:
            return
        if not domain.built:
            raise XenopsError(DomainNotBuilt())
        config = self._config(vm, domain)
        self._refuse_another(vm, domain)
        self._refuse_without_memory(config)
        self.change(vm, lambda machine: machine.with_domain(is_launching=True))
        domid = None
        try:
            with spoken(execution):
                domid = make(config, execution.cancellable)
        finally:
            self.change(vm, lambda machine: machine.with_domain(is_launching=False, domid=domid))
        self._follow(domid)

    def destroy(self, vm: str) -> None:
        """End a VM's domain; there is none, nothing to do."""
        noted = self._records.read(vm).domain
        if noted is None:
            return
        if noted.domid is not None:
            if self._watch is not None:
                self._watch.forget(noted.domid)
            if self.info(noted) is not None:
                with spoken():
                    self.libxl.destroy(noted.domid)
        for held in noted.usbs:
            self.usb.give_back(name_of(held.vusb))
        self.change(vm, lambda machine: machine.but(domain=None))

    def call_back(self, vm: str) -> None:
        """Let a guest go on that has suspended itself; any other one is left alone."""
        _, info = self.seen(vm)
        if info is not None and info.reason == "suspend":
            with spoken():
                self.libxl.resume(info.domid)

    def _config(self, vm: str, domain: Domain) -> Json:
        config = domain_config(vm, domain)
        with spoken():
            cpus = int(self.libxl.physinfo().get("max_cpu_id", 0)) + 1
        config["b_info"] |= placing(domain.vm, self.policy.read(), cpus)
        return config

    def _refuse_another(self, vm: str, domain: Domain) -> None:
        """A domain of this identity that we know nothing of is somebody else's, who runs the same VM."""
        with spoken():
            if any(self._unnoted(domain.uuid)):
                raise XenopsError(AlreadyExists(klass="domain", id=vm))

    def _refuse_without_memory(self, config: Json) -> None:
        with spoken():
            needed_kib, free_kib = self.libxl.needed_memory_kib(config), self.libxl.free_memory_kib()
        if needed_kib > free_kib:
            raise XenopsError(NotEnoughMemory(needed_bytes=needed_kib * 1024))

    def _clear_up(self, machine: Machine, domain: Domain) -> None:
        """What Xen has of a domain that was being made, it was told to make by a worker that died."""
        for info in self._unnoted(domain.uuid):
            _LOG.warning("domain %d of VM %s was never finished: ended", info.domid, machine.id)
            self.libxl.destroy(info.domid)
        self.change(machine.id, lambda known: known.with_domain(is_launching=False))

    def _undo_save(self, vm: str, domain: Domain) -> None:
        """What a worker that died had written of an image is none, and the guest goes on."""
        if domain.saving is not None:
            wipe_draft(Path(domain.saving), vm)
            self.change(vm, lambda known: known.with_domain(saving=None))
        try:
            self.call_back(vm)
        except XenopsError as error:
            _LOG.warning("VM %s, whose suspend has come to no end, does not go on: %s", vm, error)

    def _unnoted(self, uuid: str) -> list[DomainInfo]:
        """Domains of that id that no VM is noted with; one that is dying runs no more, and is nobody's."""
        noted = {machine.domain.domid for machine in self._records.all() if machine.domain is not None}
        living = [info for info in self.libxl.domains() if info.uuid == uuid and not info.dying]
        return [info for info in living if info.domid not in noted]

    def _follow(self, domid: int) -> None:
        if self._watch is not None:
            try:
                self._watch.follow(domid)
            except LibxlError as error:
                _LOG.warning("domain %d cannot be watched: %s", domid, error)

    def _ended(self, domid: int) -> None:
        """A domain has ended, or is gone."""

        def tell(machine: Machine) -> None:
            self._on_change(VmObject(id=machine.id))

        self._tell_of(lambda domain: domain.domid == domid, tell)


@contextmanager
def spoken(execution: Execution | None = None) -> Iterator[None]:
    """While inside, what libxl refuses becomes an error of the interface; an abort, the task's cancel."""
    try:
        yield
    except LibxlError as error:
        if isinstance(error, AbortedError) and execution is not None:
            execution.check_cancelled()
        raise internal_error(f"Xen refused to {error}") from error
