"""Hypervisor: all QEMUs of this host that are ours: starts them, finds them again, hears when they end."""

import logging
import os
import shutil
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path

from engine.hosted.noting import Noting
from engine.hosted.port_rules import PortRules, port_rules
from schema.atomics.vm import DomainAction
from schema.fault import XenopsError, internal_error
from schema.objects.dynamic import ObjectId, VmObject
from schema.objects.errors import DomainNotBuilt, FailedToStartEmulator
from typing_extensions import override
from virt.monitor import MonitorError, MonitorLoop

from worker_kvm.addressing import NotedOrders
from worker_kvm.clock import base, with_clock
from worker_kvm.network import Network, NetworkError, TapSettings
from worker_kvm.poller import Poller
from worker_kvm.qemu.agents import Agents, Channel
from worker_kvm.qemu.command import ENVIRONMENT, MIB, Inherited, Sockets, command_line, memory_mib
from worker_kvm.qemu.disk_growth import Growth
from worker_kvm.qemu.ending import complaint
from worker_kvm.qemu.firmware import Firmware
from worker_kvm.qemu.live import Live
from worker_kvm.qemu.logs import shorten
from worker_kvm.qemu.machine import (
    Domain,
    Machine,
    Nic,
    Process,
    Saving,
    restricted,
)
from worker_kvm.qemu.mirroring import give_up_mirrors
from worker_kvm.qemu.noticing import Noticing, missed
from worker_kvm.qemu.outgoing import call_back
from worker_kvm.qemu.process import Program, is_alive, kill, spawn
from worker_kvm.qemu.records import Change, Records
from worker_kvm.qemu.settings import QemuSettings
from worker_kvm.qemu.starting import listen, make_directories, with_files
from worker_kvm.qemu.sweep import find_strays
from worker_kvm.qemu.throttling import throttle
from worker_kvm.qemu.tpm import Tpms, end_tpm, has_tpm
from worker_kvm.qemu.user import launcher
from worker_kvm.watched import Status

__all__ = ["Hypervisor", "QemuSettings"]

_LOG = logging.getLogger(__name__)


class Hypervisor(Noting[Machine, Records]):
    """The host; safe for any thread."""

    def __init__(self, settings: QemuSettings, now: Callable[[], float] = time.time) -> None:
        """Take the host's VMs. Errors: those of `Records`."""
        super().__init__(Records(settings.run), "qemu-events")
        self.settings = settings
        self.now = now
        self.network = Network(settings.namespace)
        kept = settings.kept or settings.run
        self.firmware = Firmware(kept / "firmware")
        self.tpms = Tpms(kept / "tpm", settings.user)
        self._loop = MonitorLoop()
        self.agents = Agents(self._loop, NotedOrders(self, lambda domain: domain.domid), self.on_status)
        self._noticing = Noticing(self)
        self._lives: dict[int, Live] = {}
        self._unreached: set[int] = set()
        """Domains whose QEMU ran and did not answer when it was looked for: nobody tells of its end."""
        self._growth = Growth()
        acts = (self._shorten_logs, self._notice_growth, self._notice_deaths)
        self._poller = Poller(acts, settings.poll_s)

    def start(self, on_change: Callable[[ObjectId], None]) -> None:
        """Find what runs. A QEMU that nobody noted was started by a worker that died then: it is ended."""
        self._on_change = on_change
        domains = [machine.domain for machine in self._records.all() if machine.domain is not None]
        known = {domain.process for domain in domains}
        for stray in find_strays(self.settings.run):
            if stray.process not in known:
                _LOG.warning(
                    "QEMU of domain %d, process %d, is nobody's: ended", stray.domid, stray.process.pid
                )
                kill(stray.process)
        for domain in domains:
            if domain.process is not None:
                self._find_again(domain, domain.process)
        self._find_rules_again(domains)
        self._poller.start()

    def stop(self) -> None:
        """Hang up; VMs run on."""
        self._poller.close()
        lives, self._lives = list(self._lives.values()), {}
        for live in lives:
            live.close()
        self.agents.close()
        self._stop_telling()
        self._loop.close()
        self._records.close()

    @override
    def rename(self, vm: str, name: str) -> None:
        """Give a VM another id; its domain goes on."""
        self.firmware.rename(vm, name)
        self.tpms.rename(vm, name)
        super().rename(vm, name)

    @override
    def remove(self, vm: str) -> None:
        """Forget a VM."""
        super().remove(vm)
        self.firmware.forget(vm)
        self.tpms.forget(vm)

    def change_domain(self, domid: int, change: Change) -> None:
        """Change what is known of the VM that a domain is of, whatever it is called by now."""
        for machine in self._records.all():
            if machine.domain is not None and machine.domain.domid == domid:
                self.change(machine.id, change)

    def next_domid(self) -> int:
        """A number for a new domain."""
        return self._records.next_domid()

    def sockets(self, domid: int) -> Sockets:
        """How a domain's QEMU is reached."""
        return Sockets(self._records.sockets(domid))

    def live(self, vm: str) -> Live | None:
        """A VM's QEMU; None when there is none, or it was never reached."""
        domain = self.look(vm).domain
        return None if domain is None else self._lives.get(domain.domid)

    def running(self, vm: str) -> Live:
        """A VM's QEMU. Errors: `Does_not_exist`, `Domain_not_built`."""
        domain = self.look(vm).launched()
        live = self._lives.get(domain.domid)
        if live is None:
            raise XenopsError(DomainNotBuilt())
        return live

    def launch(self, vm: str, *, awaits_state: bool = False) -> Live:
        """Start a VM's QEMU, with all that is plugged; it runs already, nothing to do.

        One that `awaits_state` has nothing to run yet. Errors: `Does_not_exist`, `Domain_not_built`,
        `Failed_to_start_emulator` with QEMU's words.
        """
        domain = self.look(vm).living()
        if not (domain.built or awaits_state):
            raise XenopsError(DomainNotBuilt())
        if domain.domid in self._lives:
            return self._lives[domain.domid]
        with ExitStack() as opened:
            process = self._spawn(vm, domain, opened, awaits_state=awaits_state)
        live = self._connect(vm, domain, process)
        for disk in domain.disks:
            if disk.activated:
                throttle(live, disk)
        return live

    def end(self, vm: str) -> None:
        """End a VM's QEMU; there is none, nothing to do."""
        domain = self.look(vm).domain
        if domain is None:
            return
        live = self._lives.get(domain.domid)
        if live is not None:
            live.quit()
            self._lives.pop(domain.domid, None)
        elif domain.process is not None:
            kill(domain.process)
        end_tpm(domain.tpm)
        self.agents.forget(domain.domid)
        self.clear_rules(*domain.nics)
        self._forget_processes(vm)

    def clear(self, domid: int) -> None:
        """Remove the files of a domain that is gone."""
        directory = self.sockets(domid).directory
        if directory.exists():
            shutil.rmtree(directory)

    def open_tap(self, nic: Nic) -> int:
        """Make an interface's tap; answers its open file.

        Errors: `Does_not_exist("bridge", name)`, `Internal_error`.
        """
        backend = nic.vif.backend
        if nic.tap is None or backend.kind != "Local":
            raise internal_error(f"VIF {nic.vif.id.device} of VM {nic.vif.id.vm} has no tap")
        try:
            rules = port_rules(nic.tap, nic.vif)
            return self.network.open_tap(TapSettings(nic.tap, backend.bridge, nic.vif.mtu, rules))
        except NetworkError as error:
            raise internal_error(
                f"Cannot plug VIF {nic.vif.id.device} of VM {nic.vif.id.vm}: {error}"
            ) from error

    def set_rules(self, rules: PortRules) -> None:
        """Have a tap let pass what these rules say. Errors: `Internal_error`."""
        try:
            self.network.set_rules(rules)
        except NetworkError as error:
            raise internal_error(f"Cannot restrict what a VIF may send: {error}") from error

    def clear_rules(self, *nics: Nic) -> None:
        """Remove the rules of interfaces; what cannot be removed now is when the next worker starts."""
        taps = [rules.tap for rules in restricted(nics)]
        if taps:
            try:
                self.network.clear_rules(*taps)
            except NetworkError as error:
                _LOG.warning("%s", error)

    def on_ended(self, domid: int, action: DomainAction) -> None:
        """A guest has ended: note what it wants, and let that be done."""
        self._tell(domid, lambda machine: machine.with_domain(action=action))

    def on_status(self, domid: int) -> None:
        """A guest was paused, or runs again, by something other than us."""
        self._tell(domid, lambda machine: machine)

    def on_device(self, domid: int, device: str) -> None:
        """A guest has let go of a device, or opened a drive: note that, and let be done what follows."""

        def tell(machine: Machine) -> None:
            for changed in self._noticing.changed(machine, self._lives.get(domid), device):
                self._on_change(changed)

        self._tell_of(lambda domain: domain.domid == domid, tell)

    def on_clock(self, domid: int, offset_s: int) -> None:
        """A guest has set its clock, by so much from where that of its QEMU began."""

        def tell(machine: Machine) -> None:
            now_s = machine.living().clock_base_s + offset_s
            if self.change(machine.id, lambda known: with_clock(known, now_s)) != machine:
                self._on_change(VmObject(id=machine.id))

        self._tell_of(lambda domain: domain.domid == domid, tell)

    def on_filter(self, domid: int) -> None:
        """A guest may have got an address."""
        self.agents.stir(domid)

    def on_port(self, domid: int, *, is_open: bool) -> None:
        """A guest has opened or closed the port of its agent."""
        live = self._lives.get(domid)
        if is_open and live is not None:
            self.agents.opened(domid, Channel(self.sockets(domid).agent, live.ask))
        else:
            self.agents.closed(domid)

    def _tell(self, domid: int, change: Change) -> None:
        def tell(machine: Machine) -> None:
            self.change(machine.id, change)
            self._on_change(VmObject(id=machine.id))

        self._tell_of(lambda domain: domain.domid == domid, tell)

    def _spawn(self, vm: str, domain: Domain, opened: ExitStack, *, awaits_state: bool) -> Process:
        sockets, user, tpm = self.sockets(domain.domid), self.settings.user, None
        try:
            make_directories(sockets, user, domain.domid)
            if has_tpm(domain.vm):
                tpm = self.tpms.start(vm, domain.domid, sockets.tpm_log, opened, is_new=not awaits_state)
            inherited = Inherited(
                monitor=listen(sockets.monitor, opened),
                console=listen(sockets.console, opened),
                agent=listen(sockets.agent, opened) if domain.has_agent_port else None,
                tpm=None if tpm is None else tpm.socket,
                taps=self._open_taps(domain, opened),
                awaits_state=awaits_state,
            )
            inherited = with_files(inherited, domain, self.firmware.files(vm, domain.vm), opened)
            clock = base(domain.clock_base_s, self.now())
            line = command_line(domain, self.settings.accelerator, inherited, clock)
            command = [*launcher(user, domain.domid), self.settings.qemu, *line]
            program = Program(command, sockets.own, sockets.log, ENVIRONMENT)
            process = spawn(program, inherited.descriptors)
        except OSError as error:
            raise XenopsError(FailedToStartEmulator(vm=vm, name="qemu", message=str(error))) from error
        noted = {"process": process, "tpm": None if tpm is None else tpm.process}
        self.change(vm, lambda machine: machine.with_domain(**noted))
        return process

    def _open_taps(self, domain: Domain, opened: ExitStack) -> dict[str, int]:
        taps: dict[str, int] = {}
        for nic in domain.nics:
            if nic.tap is not None:
                taps[nic.device] = self.open_tap(nic)
                opened.callback(os.close, taps[nic.device])
        return taps

    def _shorten_logs(self) -> None:
        for domid in list(self._lives):
            shorten(self.sockets(domid).log)
            shorten(self.sockets(domid).tpm_log)

    def _notice_growth(self) -> None:
        domains = [machine.domain for machine in self._records.all() if machine.domain is not None]
        lives = ((domain, self._lives.get(domain.domid)) for domain in domains)
        self._growth.look((domain.domid, live, domain.disks) for domain, live in lives if live is not None)

    def _notice_deaths(self) -> None:
        """One that was killed just before its worker started may still have been on its way out."""
        for domid in list(self._unreached):
            live = self._lives.get(domid)
            if live is not None and is_alive(live.process):
                continue
            self._unreached.discard(domid)
            if live is not None:
                live.give_up()

    def _connect(self, vm: str, domain: Domain, process: Process) -> Live:
        sockets = self.sockets(domain.domid)
        live = Live(self._loop, domain.domid, process, sockets, listener=self)
        try:
            live.connect(memory_mib(domain.vm) * MIB)
        except MonitorError as error:
            kill(process)
            end_tpm(self.look(vm).living().tpm)
            self._forget_processes(vm)
            said = complaint(sockets.log, domain.disks), complaint(sockets.tpm_log)
            words = "; ".join(filter(None, said)) or str(error)
            raise XenopsError(FailedToStartEmulator(vm=vm, name="qemu", message=words)) from error
        self._lives[domain.domid] = live
        return live

    def _forget_processes(self, vm: str) -> None:
        gone = {"process": None, "tpm": None}
        self.change(vm, lambda machine: machine.with_domain(**gone) if machine.domain else machine)

    def _find_rules_again(self, domains: Sequence[Domain]) -> None:
        """They are the kernel's and outlive a worker; something that flushes all rules may have been here."""
        if not self.settings.bridged:
            return
        alive = [domain for domain in domains if domain.process is not None and is_alive(domain.process)]
        try:
            for domain in alive:
                for rules in restricted(domain.nics):
                    self.network.set_rules(rules)
            self.network.clear_stale_rules()
        except NetworkError as error:
            _LOG.warning("VIFs may be without their restrictions: %s", error)

    def _find_again(self, domain: Domain, process: Process) -> None:
        """A worker before us started it; while nobody listened it may have ended."""
        live = Live(self._loop, domain.domid, process, self.sockets(domain.domid), listener=self)
        self._lives[domain.domid] = live
        if not is_alive(process):
            live.give_up()
            return
        try:
            live.find_again()
            if domain.saving is not None and not domain.suspended:
                self._undo_save(domain, live, domain.saving)
            self.on_clock(domain.domid, live.clock_s(self.now) - domain.clock_base_s)
            for device in missed(domain, live):
                self.on_device(domain.domid, device)
            if domain.has_agent_port and live.has_open_port():
                self.on_port(domain.domid, is_open=True)
        except (MonitorError, XenopsError) as error:
            _LOG.warning("VM %s: its QEMU, process %d: %s", domain.vm.id, process.pid, error)
            self._unreached.add(domain.domid)

    def _undo_save(self, domain: Domain, live: Live, saving: Saving) -> None:
        """A worker before us died while it saved the guest: that goes on, and there is no image."""
        _LOG.warning("VM %s: a worker died while it saved it; it goes on", domain.vm.id)
        call_back(live)
        give_up_mirrors(live, domain.disks)
        if saving.was_running and live.status is not Status.RUNNING:
            live.unpause()
        if saving.draft is not None:
            Path(saving.draft).unlink(missing_ok=True)
        self.change_domain(domain.domid, lambda machine: machine.with_domain(saving=None))
