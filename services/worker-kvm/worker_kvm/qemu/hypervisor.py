"""Hypervisor: all QEMUs of this host that are ours: starts them, finds them again, hears when they end."""

import logging
import os
import shutil
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path

from schema.atomics.vm import DomainAction
from schema.fault import XenopsError, internal_error
from schema.objects.dynamic import ObjectId, VmObject
from schema.objects.errors import DomainNotBuilt, FailedToStartEmulator

from worker_kvm.accelerator import Accelerator
from worker_kvm.monitor import MonitorError, MonitorLoop
from worker_kvm.network import Network, NetworkError, TapSettings
from worker_kvm.port_rules import PortRules, port_rules
from worker_kvm.qemu.command import Inherited, Sockets, command_line
from worker_kvm.qemu.ending import complaint
from worker_kvm.qemu.firmware import Firmware
from worker_kvm.qemu.live import Live, Status
from worker_kvm.qemu.logs import LogKeeper
from worker_kvm.qemu.machine import Domain, Machine, Nic, Process, Saving
from worker_kvm.qemu.outgoing import call_back
from worker_kvm.qemu.process import is_alive, kill, spawn
from worker_kvm.qemu.records import Change, Records
from worker_kvm.qemu.starting import listen, make_directories, with_files
from worker_kvm.qemu.sweep import find_strays
from worker_kvm.qemu.user import User, launcher
from worker_kvm.storage import Storage

_LOG = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class QemuSettings:
    """How QEMU is run: where its sockets are, the program, the accelerator, bridged or in its own network."""

    run: Path
    qemu: str
    accelerator: Accelerator
    bridged: bool = True
    namespace: str | None = None
    storage: Storage | None = None
    """Of the disks that are named `SR/VDI`; None: there are none."""
    user: User | None = None
    """As whom; None: as the worker."""


def _nobody(_: ObjectId) -> None:
    """Before `start` there is nobody to tell."""


class Hypervisor:
    """The host; safe for any thread."""

    def __init__(self, settings: QemuSettings, now: Callable[[], float] = time.time) -> None:
        """Take the host's VMs. Errors: those of `Records`."""
        self.settings = settings
        self.now = now
        self.network = Network(settings.namespace)
        self.firmware = Firmware(settings.run / "firmware")
        self._records = Records(settings.run)
        self._loop = MonitorLoop()
        self._lives: dict[int, Live] = {}
        self._on_change: Callable[[ObjectId], None] = _nobody
        self._keeper = LogKeeper(self._logs)
        self._telling = ThreadPoolExecutor(1, thread_name_prefix="qemu-events")

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
        self._keeper.start()

    def stop(self) -> None:
        """Hang up; VMs run on."""
        self._keeper.close()
        lives, self._lives = list(self._lives.values()), {}
        for live in lives:
            live.close()
        self._telling.shutdown()
        self._loop.close()
        self._records.close()

    def look(self, vm: str) -> Machine:
        """What is known of a VM."""
        return self._records.read(vm)

    def change(self, vm: str, change: Change) -> Machine:
        """Change what is known; see `Records.change`."""
        return self._records.change(vm, change)

    def rename(self, vm: str, name: str) -> None:
        """Give a VM another id; its domain goes on."""
        self.firmware.rename(vm, name)
        self._records.rename(vm, name)

    def remove(self, vm: str) -> None:
        """Forget a VM."""
        self._records.remove(vm)
        self.firmware.forget(vm)

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
        sockets = self.sockets(domain.domid)
        with ExitStack() as opened:
            process = self._spawn(vm, domain, opened, awaits_state=awaits_state)
        return self._connect(vm, domain.domid, process, sockets)

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
        self.clear_rules(*domain.nics)
        self.change(vm, lambda machine: machine.with_domain(process=None) if machine.domain else machine)

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
        taps = [rules.tap for rules in _restricted(nics)]
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

    def _tell(self, domid: int, change: Change) -> None:
        """In another thread: the monitors' must not wait for disks or the bus."""

        def tell() -> None:
            for machine in self._records.all():
                if machine.domain is not None and machine.domain.domid == domid:
                    self.change(machine.id, change)
                    self._on_change(VmObject(id=machine.id))

        with suppress(RuntimeError):  # we are stopping: whoever starts next finds out
            self._telling.submit(tell)

    def _spawn(self, vm: str, domain: Domain, opened: ExitStack, *, awaits_state: bool) -> Process:
        sockets, user = self.sockets(domain.domid), self.settings.user
        try:
            make_directories(sockets, user, domain.domid)
            inherited = Inherited(
                monitor=opened.enter_context(listen(sockets.monitor)).fileno(),
                console=opened.enter_context(listen(sockets.console)).fileno(),
                taps=self._open_taps(domain, opened),
                awaits_state=awaits_state,
            )
            inherited = with_files(inherited, domain, self.firmware.files(vm, domain.vm), opened)
            line = command_line(domain, self.settings.accelerator, inherited)
            command = [*launcher(user, domain.domid, sockets.own), self.settings.qemu, *line]
            process = spawn(command, sockets.log, inherited.descriptors)
        except OSError as error:
            raise XenopsError(FailedToStartEmulator(vm=vm, name="qemu", message=str(error))) from error
        self.change(vm, lambda machine: machine.with_domain(process=process))
        return process

    def _open_taps(self, domain: Domain, opened: ExitStack) -> dict[str, int]:
        taps: dict[str, int] = {}
        for nic in domain.nics:
            if nic.tap is not None:
                taps[nic.device] = self.open_tap(nic)
                opened.callback(os.close, taps[nic.device])
        return taps

    def _logs(self) -> list[Path]:
        return [self.sockets(domid).log for domid in list(self._lives)]

    def _connect(self, vm: str, domid: int, process: Process, sockets: Sockets) -> Live:
        live = Live(self._loop, domid, process, sockets, listener=self)
        try:
            live.connect()
        except MonitorError as error:
            kill(process)
            self.change(vm, lambda machine: machine.with_domain(process=None))
            words = complaint(sockets.log) or str(error)
            raise XenopsError(FailedToStartEmulator(vm=vm, name="qemu", message=words)) from error
        self._lives[domid] = live
        return live

    def _find_rules_again(self, domains: Sequence[Domain]) -> None:
        """They are the kernel's and outlive a worker; something that flushes all rules may have been here."""
        if not self.settings.bridged:
            return
        alive = [domain for domain in domains if domain.process is not None and is_alive(domain.process)]
        try:
            for domain in alive:
                for rules in _restricted(domain.nics):
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
            live.connect()
            if domain.saving is not None and not domain.suspended:
                self._undo_save(domain, live, domain.saving)
        except (MonitorError, XenopsError) as error:
            _LOG.warning("VM %s: its QEMU, process %d: %s", domain.vm.id, process.pid, error)

    def _undo_save(self, domain: Domain, live: Live, saving: Saving) -> None:
        """A worker before us died while it saved the guest: that goes on, and there is no image."""
        _LOG.warning("VM %s: a worker died while it saved it; it goes on", domain.vm.id)
        call_back(live)
        if saving.was_running and live.status is not Status.RUNNING:
            live.unpause()
        if saving.draft is not None:
            Path(saving.draft).unlink(missing_ok=True)
        for machine in self._records.all():
            if machine.domain is not None and machine.domain.domid == domain.domid:
                self.change(machine.id, lambda found: found.with_domain(saving=None))


def _restricted(nics: Iterable[Nic]) -> Iterator[PortRules]:
    for nic in nics:
        if nic.tap is not None:
            rules = port_rules(nic.tap, nic.vif)
            if not rules.is_open:
                yield rules
