"""Hypervisor: the domains of a libvirtd that are ours; no other one is touched."""

import logging
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

from engine.hosted.noting import Noting
from schema.atomics.vm import DomainAction
from schema.fault import XenopsError
from schema.objects.dynamic import ObjectId, VmObject
from schema.objects.errors import AlreadyExists, DomainNotBuilt, FailedToStartEmulator
from schema.objects.vm import Vm
from virt.connection import Connection
from virt.mark import MARK, life_of
from virt.seal import seal
from virt.spoken import configured, spoken
from virt.values import DomainInfo, VirtError, VirtEvent
from virt.xml import Element, attribute, parsed, written

from worker_kvm.addressing import NotedOrders
from worker_kvm.libvirt.agents import GuestAgents
from worker_kvm.libvirt.asking import Asking
from worker_kvm.libvirt.document import AGENT_PORT, Surroundings, domain_document
from worker_kvm.libvirt.images import is_image
from worker_kvm.libvirt.live import Live
from worker_kvm.libvirt.lives import Lives
from worker_kvm.libvirt.machine import Domain, Machine, Nic, Stage, saved
from worker_kvm.libvirt.noticing import Noticing
from worker_kvm.libvirt.persistent_state import forgetting_document, identity, is_kept, name_of
from worker_kvm.libvirt.rules import Rules
from worker_kvm.libvirt.saved import clock_in
from worker_kvm.libvirt.settings import LibvirtSettings
from worker_kvm.libvirt.socket_directories import SocketDirectories
from worker_kvm.libvirt.strays import report_strays
from worker_kvm.numbered import NumberedRecords
from worker_kvm.poller import Poller
from worker_kvm.qemu.firmware import begins_anew, wants_secure_boot

__all__ = ["Hypervisor", "LibvirtSettings"]

_LOG = logging.getLogger(__name__)

Change = Callable[[Machine], Machine]
"""Quick and pure: it runs while all records are locked. One that answers what it was given writes nothing."""

Settle = Callable[[], None]
"""To be called once libvirt has a domain, whose guest stands still: what it may send is restricted then."""


class Hypervisor(Noting[Machine, NumberedRecords[Machine]]):
    """The host; safe for any thread. What libvirt refuses becomes an `Internal_error` with its words."""

    def __init__(self, settings: LibvirtSettings, now: Callable[[], float] = time.time) -> None:
        """Take the host's VMs, and reach libvirt. Errors: those of `Records`, `VirtGoneError`."""
        super().__init__(NumberedRecords(Machine, settings.run, "libvirt"), "libvirt-changes")
        self.settings = settings
        self.now = now
        self.rules = Rules(settings.namespace)
        self.virt = Connection(settings.uri, MARK, self)
        self._lives = Lives()
        self.socket_directories = SocketDirectories(settings.run, self.virt)
        self._noticing = Noticing(self, self.virt)
        self._poller = Poller((self._notice_growth,), settings.poll_s)
        orders = NotedOrders(self, lambda domain: domain.uuid)
        self.agents = GuestAgents(Asking(self.virt, orders), self.on_status)
        try:
            self.virt.open()
        except VirtError:
            self.agents.close()
            self._records.close()
            raise

    def start(self, on_change: Callable[[ObjectId], None]) -> None:
        """Find what runs, end what a worker was making when it died, and hear from all from now on."""
        self._on_change = on_change
        for machine in self._records.all():
            domain = machine.domain
            if domain is None:
                continue
            if domain.stage is Stage.LAUNCHING:
                with spoken():
                    self._clear_up(machine.id, domain)
            if domain.stage is Stage.LAUNCHED and not self._was_saved(machine.id, domain):
                self._lives.add(Live(domain.uuid, self._log_of(domain), self))
        self.on_connected()
        if self.settings.bridged:
            self.rules.find_again(nic for uuid_ in self._lives for nic in self._nics(uuid_))
        with spoken():
            found = self.virt.domains()
        self._poller.start()
        report_strays(found, {domain.life for _, domain in self._domains()}, self.settings.instance)

    def stop(self) -> None:
        """Hang up; VMs run on."""
        self._poller.close()
        self.agents.close()
        self.virt.close()
        self._stop_telling()
        self._records.close()

    def forget_kept(self, vm: Vm) -> None:
        """Have libvirt forget what it keeps of a VM. Errors: `Internal_error`, libvirt is not reached."""
        known = self.look(vm.id).keeps_as
        if known and is_kept(vm):
            with spoken():
                self.virt.forget(known, written(forgetting_document(known, vm)))

    def fresh(self, vm: Vm) -> Domain:
        """A new domain for a VM; libvirt knows it by the VM's identity, unless one of ours has that."""
        wanted = identity(self.settings.instance, vm.id)
        is_free = all(domain.uuid != wanted for _, domain in self._domains())
        return Domain(
            domid=self._records.next_domid(),
            uuid=wanted if is_free else str(uuid.uuid4()),
            life=uuid.uuid4().hex,
            vm=vm,
            created_at=self.now(),
            memory_target_bytes=vm.memory_dynamic_max,
            vcpus=vm.vcpus,
        )

    def console(self, domid: int) -> Path:
        """The socket of a domain's serial console."""
        return self.settings.run / str(domid) / "console"

    def live(self, vm: str) -> Live | None:
        """A VM's domain at libvirt; None when there is none."""
        domain = self.look(vm).domain
        return None if domain is None else self._live_of(domain)

    def lasting(self, vm: str) -> Live | None:
        """The same unless its guest has ended: what is left of that takes no orders."""
        live = self.live(vm)
        return live if live is not None and live.asked is None else None

    def running(self, vm: str) -> Live:
        """A VM's domain at libvirt. Errors: `Does_not_exist`, `Domain_not_built`."""
        live = self._lives.get(self.look(vm).launched().uuid)
        if live is None:
            raise XenopsError(DomainNotBuilt())
        return live

    def launch(self, vm: str) -> None:
        """Have libvirt start a VM's domain, with all that is plugged; it has it already, nothing to do.

        Errors: `Does_not_exist`, `Domain_not_built`, `Already_exists` when somebody else runs one of that
        UUID, `Failed_to_start_emulator` with libvirt's words, which are QEMU's where it came so far.
        """
        domain = self.look(vm).living()
        if domain.uuid in self._lives:
            return
        if not domain.built:
            raise XenopsError(DomainNotBuilt())
        is_secure = wants_secure_boot(domain.vm)
        with configured(f"start VM {vm}"):
            document = written(domain_document(domain, self.surroundings(vm, domain)))
        anew = begins_anew(domain.vm) or self.look(vm).is_secure != is_secure
        self.change(vm, lambda machine: machine.but(is_secure=is_secure))

        def create(settle: Settle) -> None:
            self.virt.create(document, resets_firmware=anew)
            settle()

        self.bring_up(vm, domain, create)

    def bring_up(self, vm: str, domain: Domain, make: Callable[[Settle], None]) -> None:
        """Have libvirt make a domain. Noted first: should the worker die meanwhile, the next one ends it.

        Errors: `Already_exists`, `Failed_to_start_emulator`.
        """
        if domain.uuid in self._lives:
            raise XenopsError(AlreadyExists(klass="domain", id=vm))
        self.console(domain.domid).parent.mkdir(mode=0o700, exist_ok=True)
        launching = {"stage": Stage.LAUNCHING}
        self.change(vm, lambda machine: machine.with_domain(**launching).but(keeps_as=domain.uuid))
        live = self._lives.add(Live(domain.uuid, self._log_of(domain), self))
        screen: str | None = None

        def settle() -> None:
            nonlocal screen
            self.rules.set(domain.nics)
            document = parsed(self.virt.document(domain.uuid))  # with VNC's socket, which libvirt chooses
            screen = attribute(document, "./devices/graphics/listen[@type='socket']", "socket")

        try:
            make(settle)
            live.look(self.virt.find(domain.uuid))
            launched = {"stage": Stage.LAUNCHED, "saved": None, "screen": screen}
            self.change(vm, lambda machine: machine.with_domain(**launched))
        except (VirtError, XenopsError) as error:
            live.leave()
            self._lives.forget(domain.uuid)
            with spoken():
                self._clear_up(vm, domain)
            if isinstance(error, XenopsError):
                raise
            with spoken():
                self._refuse_another(vm, domain)
            raise XenopsError(FailedToStartEmulator(vm=vm, name="libvirt", message=str(error))) from error
        if live.asked is not None:  # it has ended already, when nothing was noted of it yet
            self.on_ended(live.uuid, live.asked)

    def note_moving(self, vm: str, *, moving: bool) -> None:
        """Whether a domain is on its way to another host."""
        self.change(vm, lambda machine: machine.with_domain(moving=moving))

    def end(self, vm: str) -> None:
        """End a VM's domain at libvirt; there is none, nothing to do."""
        domain = self.look(vm).domain
        if domain is None or domain.stage is Stage.NOTED:
            return
        live = self._lives.get(domain.uuid)
        if live is not None:
            live.leave()
            if live.departure is not None:
                with suppress(VirtError):  # else it is ended like any other
                    live.departure.confirm(failed=False)
        try:
            with spoken():
                was_there = self._clear_up(vm, domain)
        except XenopsError:
            if live is not None:
                live.stay()
            raise
        if was_there:
            self._lives.end(domain.uuid)
        else:
            self._lives.forget(domain.uuid)

    def saved(self, vm: str, path: str) -> None:
        """A domain was saved to a file: libvirt has it no more."""
        self.change(vm, lambda machine: saved(machine, path))
        uuid_ = self.look(vm).living().uuid
        self._lives.end(uuid_)
        self.agents.forget(uuid_)

    def note_saving(self, vm: str, path: str | None) -> None:
        """A domain is about to be saved to a file; None: it is not after all."""
        self.change(vm, lambda machine: machine.with_domain(saving=path, filing=None))

    def clear(self, domid: int) -> None:
        """Remove the files of a domain that is gone."""
        self.socket_directories.clear(domid)
        directory = self.console(domid).parent
        if directory.exists():
            for path in directory.iterdir():
                path.unlink(missing_ok=True)
            directory.rmdir()

    def surroundings(self, vm: str, domain: Domain) -> Surroundings:
        """What its document says besides."""
        told, console = self.settings, self.console(domain.domid)
        return Surroundings(told.instance, vm, told.accelerator, told.bridged, console)

    def devices(self, uuid_: str) -> Element:
        """A domain's document as libvirt has it now, with what it has chosen. Errors: `Internal_error`."""
        with spoken():
            return parsed(self.virt.document(uuid_))

    def has_device(self, uuid_: str, alias: str) -> bool:
        """Whether libvirt has a device: a worker before us may have died before it noted that."""
        found = self.devices(uuid_).findall("./devices/*/alias")
        return any(element.get("name") == alias for element in found)

    def attach(self, uuid_: str, device: Element) -> None:
        """Give a domain a device. Errors: `Internal_error`."""
        with spoken():
            self.virt.attach(uuid_, written(device))

    def detach(self, live: Live, alias: str, timeout_s: float) -> bool:
        """Take a device from the guest, which may have to agree; answers whether it is gone in time."""
        live.expect_removal(alias)
        if not self.has_device(live.uuid, alias):
            return True
        with suppress(VirtError):  # it was asked before
            self.virt.detach(live.uuid, alias)
        return live.await_removal(alias, timeout_s)

    def on_event(self, event: VirtEvent) -> None:
        """From the connection."""
        self._lives.hear(event)

    def on_connected(self) -> None:
        """After a time without events: see how all of ours are."""
        self._lives.begin_anew()
        for _, domain in self._domains():
            live = self._live_of(domain)
            if live is not None:
                try:
                    live.look(self._ours(domain))
                    self._look_inside(domain, live)
                except VirtError as error:
                    _LOG.warning("domain %s: %s", live.uuid, error)

    def on_ended(self, uuid_: str, action: DomainAction) -> None:
        """A guest has ended: note what it wants, and let that be done."""
        self._tell(uuid_, lambda machine: machine.with_domain(action=action))

    def on_status(self, uuid_: str) -> None:
        """A guest was paused, or runs again, by something other than us."""
        self._tell(uuid_, lambda machine: machine)

    def on_device(self, uuid_: str, alias: str) -> None:
        """A guest has let go of a device, or opened a drive: note that, and let be done what follows."""
        self._notice(uuid_, lambda machine: self._noticing.changed(machine, self.live(machine.id), alias))

    def on_clock(self, uuid_: str, clock_s: int) -> None:
        """A guest has set its clock, so far from UTC."""
        self._notice(uuid_, lambda machine: self._noticing.set_clock(machine, clock_s))

    def on_agent(self, uuid_: str, *, is_open: bool) -> None:
        """A guest has opened or closed the port of its agent."""
        if is_open:
            self.agents.opened(uuid_)
        else:
            self.agents.closed(uuid_)

    def _look_inside(self, domain: Domain, live: Live) -> None:
        """What nobody may have heard: whether its agent's port is open, and what it did to its devices."""
        if live.asked is None:
            port, document = f"./devices/channel/target[@name='{AGENT_PORT}']", self.devices(domain.uuid)
            self.on_agent(domain.uuid, is_open=attribute(document, port, "state") == "connected")
            if (clock_s := clock_in(document)) is not None:
                self.on_clock(domain.uuid, clock_s)
            for alias in self._noticing.missed(domain, document):
                self.on_device(domain.uuid, alias)

    def _notice_growth(self) -> None:
        lives = ((domain, self._live_of(domain)) for _, domain in self._domains())
        self._noticing.look_for_growth((domain, live) for domain, live in lives if live is not None)

    def _was_saved(self, vm: str, domain: Domain) -> bool:
        """Whether a worker died while it had a domain saved, and it was: else it is still there."""
        if domain.moving:
            with spoken():
                self.virt.end_job(domain.uuid)
        if domain.saving is None:
            return False
        with spoken():
            self.virt.end_job(domain.uuid)
            if self._ours(domain) is None and is_image(self.virt, domain.saving):
                seal(Path(domain.saving))
                self.saved(vm, domain.saving)
                return True
        self.note_saving(vm, None)
        return False

    def _nics(self, uuid_: str) -> Iterator[Nic]:
        for _, domain in self._domains():
            if domain.uuid == uuid_ and (live := self._live_of(domain)) and live.asked is None:
                yield from domain.nics

    def _live_of(self, domain: Domain) -> Live | None:
        """While a VM migrates within its host, another domain has the UUID of the one that was saved."""
        return None if domain.stage is Stage.NOTED else self._lives.get(domain.uuid)

    def _domains(self) -> Iterator[tuple[str, Domain]]:
        return ((found.id, found.domain) for found in self._records.all() if found.domain is not None)

    def _ours(self, domain: Domain) -> DomainInfo | None:
        """A domain of ours as libvirt has it: another one of that UUID is not ours."""
        info = self.virt.find(domain.uuid)
        return info if info is not None and life_of(info.mark) == domain.life else None

    def _clear_up(self, vm: str, domain: Domain) -> bool:
        """Libvirt has nothing of the domain from now on; answers whether it had. Errors: `VirtError`."""
        is_there = self._ours(domain) is not None
        if is_there:
            self.virt.destroy(domain.uuid)
        self.agents.forget(domain.uuid)
        self.rules.clear(domain.nics)
        self.change(vm, lambda known: known.with_domain(stage=Stage.NOTED) if known.domain else known)
        return is_there

    def _refuse_another(self, vm: str, domain: Domain) -> None:
        """A domain of this UUID that is not ours is somebody else's, who runs the same VM."""
        if self.virt.find(domain.uuid) is not None:
            raise XenopsError(AlreadyExists(klass="domain", id=vm))

    def _log_of(self, domain: Domain) -> Path:
        return self.settings.logs / f"{name_of(domain.uuid)}.log"

    def _tell(self, uuid_: str, change: Change) -> None:
        def changed(machine: Machine) -> Iterator[ObjectId]:
            self.change(machine.id, change)
            yield VmObject(id=machine.id)

        self._notice(uuid_, changed)

    def _notice(self, uuid_: str, changed: Callable[[Machine], Iterator[ObjectId]]) -> None:
        def tell(machine: Machine) -> None:
            for each in changed(machine):
                self._on_change(each)

        self._tell_of(lambda domain: domain.uuid == uuid_ and domain.stage is not Stage.NOTED, tell)
