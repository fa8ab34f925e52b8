"""Live: a QEMU that runs: whether its guest runs, and what it is told to do."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

from engine.hosted.machine import Source
from schema.atomics.vm import DomainAction
from schema.fault import XenopsError, internal_error
from virt.monitor import (
    Arguments,
    Monitor,
    MonitorError,
    MonitorLoop,
    MonitorRefusedError,
    QemuEvent,
)

from worker_kvm.clock import ahead_s
from worker_kvm.qemu.command import AGENT, Sockets
from worker_kvm.qemu.devices import block_node
from worker_kvm.qemu.ending import action_of, complaint, logged_action
from worker_kvm.qemu.listener import Listener
from worker_kvm.qemu.machine import Process, Slot
from worker_kvm.qemu.open_files import Given, Served, connected, give_content
from worker_kvm.qemu.process import ends, kill
from worker_kvm.watched import Status, Watched

QUIT_TIMEOUT_S = 15.0
"""How long QEMU may take to put its disks away; then it is killed."""

KILL_TIMEOUT_S = 15.0
"""A killed process that is still there waits for the kernel: for storage, mostly."""

_POLL_S = 0.01

_SETTLE_TIMEOUT_S = 5.0
"""An event that QEMU sent before its reply has been heard by then."""


class Live(Watched):
    """One domain's QEMU; safe for any thread but the monitors'."""

    def __init__(
        self, loop: MonitorLoop, domid: int, process: Process, sockets: Sockets, *, listener: Listener
    ) -> None:
        super().__init__()
        self._arriving = False
        self.process = process
        self.trays = threading.Lock()
        """Whoever changes what is in a drive holds it: the guest may open the tray at the same time."""
        self._domid = domid
        self._sockets = sockets
        self._listener = listener
        self._monitor = Monitor(loop, sockets.monitor, self._on_event, self._on_gone)
        self._deleted: set[str] = set()
        self._removing: set[str] = set()
        self._held: set[str] = set()
        self._changing = False
        self._quitting = False
        self._heard = False
        self._migration = ""
        self._on_migration: Callable[[], None] = _nobody

    @property
    def migration(self) -> str:
        """How far a state is on its way out or in, as QEMU tells it by events; empty: it was not told yet."""
        return self._migration

    @contextmanager
    def moving(self, on_migration: Callable[[], None]) -> Iterator[None]:
        """While inside, what QEMU tells of a state on its way is heard; that the guest stops, told nobody.

        `on_migration` is called from the monitors' thread, at the end of QEMU, too.
        """
        self._migration, self._on_migration, self._changing = "", on_migration, True
        try:
            yield
        finally:
            self._on_migration, self._changing = _nobody, False

    def connect(self, memory_bytes: int) -> None:
        """Reach one that was just started: its guest waits, with all its memory. Errors: `MonitorError`."""
        self._monitor.connect()
        self._memory_bytes = memory_bytes

    def find_again(self) -> None:
        """Reach one that has run for a while, and see how its guest is. Errors: `MonitorError`."""
        self._monitor.connect()
        self._memory_bytes = int(self._monitor.execute("query-balloon")["actual"])
        status = str(self._monitor.execute("query-status")["status"])
        if status == "shutdown":  # a reset, which we made a shutdown, is not traced as one
            self._end(logged_action(self._sockets.log, untraced=DomainAction.REBOOT))
        elif status in {"guest-panicked", "internal-error"}:
            self._end(DomainAction.CRASHDUMP)
        elif status in {"running", "suspended"}:
            self._asleep = status == "suspended"
            self._become(Status.RUNNING, unless_heard=True)

    def measure(self) -> None:
        """See how much memory the guest has: what a state has brought, no event tells. Errors as of `do`."""
        self._memory_bytes = int(self.do("query-balloon")["actual"])

    def clock_s(self, now: Callable[[], float]) -> int:
        """How far from UTC the guest's clock is now. Errors as of `do`."""
        told = self.do("qom-get", {"path": "/machine", "property": "rtc-time"})
        return ahead_s(told, now())

    def has_open_port(self) -> bool:
        """Whether the guest has opened the port of its agent, as nobody may have heard."""
        return any(found["label"] == AGENT and found["frontend-open"] for found in self.do("query-chardev"))

    def complaint(self) -> str:
        """What QEMU has said."""
        return complaint(self._sockets.log)

    def arrives(self, *, arriving: bool) -> None:
        """Whether its guest is on its way in: should QEMU end then, only who brings it in is told."""
        self._arriving = arriving

    def give_up(self) -> None:
        """It ended while nobody listened: so has the guest."""
        self._on_gone()

    def pause(self) -> None:
        """Stop the vCPUs; a guest that has ended stays where it is, and counts as paused from now on."""
        if self._status is Status.ENDED:
            self._become(Status.PAUSED)
        else:
            self._change("stop", Status.PAUSED)

    def unpause(self) -> None:
        """Let the vCPUs run."""
        self._change("cont", Status.RUNNING)
        while self._held:
            self._forget_files(self._held.pop())

    def do(self, command: str, arguments: Arguments | None = None) -> Any:
        """Have QEMU do something; answers its reply. Errors: `Internal_error` with QEMU's words."""
        try:
            return self._monitor.execute(command, arguments)
        except (MonitorError, MonitorRefusedError) as error:
            raise self._refusal(command, error) from error

    def try_to(self, command: str, arguments: Arguments | None = None) -> bool:
        """The same where QEMU may say no; answers whether it said yes."""
        try:
            self._monitor.execute(command, arguments)
        except MonitorRefusedError:
            return False
        except MonitorError as error:
            raise self._refusal(command, error) from error
        return True

    def begin(self, command: str, arguments: Arguments, timeout_s: float) -> Callable[[], bool]:
        """The same as `do` without waiting: answers how to see whether it is done. Errors: those of `do`."""
        reply = self._monitor.begin(command, arguments, timeout_s)

        def is_done() -> bool:
            try:
                return reply.done() and reply.result() is not None
            except (MonitorError, MonitorRefusedError) as error:
                raise self._refusal(command, error) from error

        return is_done

    async def ask(self, command: str, arguments: Arguments) -> Any:
        """The same as `do` for coroutines on the monitors' loop. Errors: those of `Monitor.ask`."""
        return await self._monitor.ask(command, arguments)

    def give(self, descriptor: int, name: str) -> None:
        """Give QEMU an open file, known to it by `name` from then on. Errors as of `do`."""
        self._give(descriptor, "getfd", {"fdname": name})

    def lend(self, descriptor: int, name: str) -> str:
        """Give QEMU an open file; answers the path by which it opens it. Errors as of `do`."""
        number = int(self._give(descriptor, "add-fd", {"opaque": name})["fdset-id"])
        return f"/dev/fdset/{number}"

    def forget(self, name: str) -> None:
        """Have QEMU close what was lent to it by that name, once nothing uses it. Errors as of `do`."""
        self._forget_files(name)

    def open_node(self, slot: Slot, source: Source, *, read_only: bool) -> None:
        """Give QEMU the content of a disk. Errors as of `do`; `Internal_error` that names a file."""
        try:
            given = self._give_content(slot.node, source, read_only=read_only)
            self.do("blockdev-add", block_node(slot, given, read_only=read_only))
        except XenopsError:
            with suppress(XenopsError):
                self._forget_files(slot.node)
            raise

    def _give_content(self, node: str, source: Source, *, read_only: bool) -> Given:
        def give(descriptor: int) -> int:
            return int(self._give(descriptor, "add-fd", {"opaque": node})["fdset-id"])

        if source.export is None:
            return give_content(source, give, read_only=read_only)
        with connected(source) as connection:
            self.give(connection.fileno(), node)
        return Served(source.export, node)

    def devices(self) -> set[str]:
        """All devices that the machine has and that were given a name."""
        return {str(found["name"]) for found in self.do("qom-list", {"path": DEVICES})}

    def has_device(self, device: str) -> bool:
        """Whether the machine has a device: a worker before us may have died before it noted that."""
        return device in self.devices()

    def lacks(self, device: str) -> bool:
        """Whether the guest has let go of a device; a QEMU that does not answer has what it had."""
        with suppress(XenopsError):
            return not self.has_device(device)
        return False

    def remove_device(self, device: str, timeout_s: float) -> bool:
        """Take a device from the guest, which may have to agree; answers whether it is gone in time."""
        with self._told:
            self._deleted.discard(device)  # another one of that name went before
            self._removing.add(device)
        try:
            if not self.has_device(device):
                return True
            self.try_to("device_del", {"id": device})  # no: it was asked before
            return self.wait(lambda: device in self._deleted, timeout_s)
        finally:
            self._removing.discard(device)

    def remove_node(self, node: str, timeout_s: float) -> bool:
        """Close the content of a disk, which the device may let go of late; answers whether it is closed."""
        gone = self._closes(node, timeout_s)
        if gone:
            self._forget_files(node)
        return gone

    def quit(self) -> None:
        """End QEMU, by force when it takes too long. Errors: `Internal_error` when not even that helps."""
        self._quitting = True
        try:
            self._monitor.execute("quit", timeout_s=QUIT_TIMEOUT_S)
        except (MonitorError, MonitorRefusedError):
            kill(self.process)
        self._monitor.close()
        if not ends(self.process, QUIT_TIMEOUT_S):
            kill(self.process)
            if not ends(self.process, KILL_TIMEOUT_S):
                raise internal_error(
                    f"QEMU of domain {self._domid}, process {self.process.pid}, does not end even though it "
                    "was killed: its storage does not answer; see to the storage, then try again"
                )

    def close(self) -> None:
        """Hang up; the guest runs on."""
        self._monitor.close()

    def _change(self, command: str, status: Status) -> None:
        """Its event comes before its reply, but is heard in another thread."""
        self._changing = True
        try:
            self.do(command)
            self.wait(lambda: self._status is not _OPPOSITE[status], _SETTLE_TIMEOUT_S)
        finally:
            self._changing = False

    def _closes(self, node: str, timeout_s: float) -> bool:
        deadline = time.monotonic() + timeout_s
        while not self.try_to("blockdev-del", {"node-name": node}):
            if all(found["node-name"] != node for found in self.do("query-named-block-nodes")):
                return True
            if time.monotonic() > deadline:
                return False
            time.sleep(_POLL_S)
        return True

    def _forget_files(self, node: str) -> None:
        """QEMU shall not hold files that no node uses; it lets them go only while its guest runs."""
        if self._status is not Status.RUNNING:
            self._held.add(node)
        for files in self.do("query-fdsets"):
            if any(file.get("opaque") == node for file in files["fds"]):
                self.try_to("remove-fd", {"fdset-id": files["fdset-id"]})

    def _give(self, descriptor: int, command: str, arguments: Arguments) -> Any:
        try:
            return self._monitor.give(descriptor, command, arguments)
        except (MonitorError, MonitorRefusedError) as error:
            raise self._refusal(command, error) from error

    def _on_event(self, event: QemuEvent) -> None:
        self._heard = self._heard or event.name in _STATUS_EVENTS
        match event.name:
            case "SHUTDOWN":
                self._end(action_of(str(event.data.get("reason"))))
            case "GUEST_PANICKED":
                self._end(DomainAction.CRASHDUMP)
            case "STOP" if self._status is Status.RUNNING:
                self._tell(Status.PAUSED)
            case "RESUME":
                self._tell(Status.RUNNING)
            case "BALLOON_CHANGE":
                self._memory_bytes = int(event.data["actual"])
            case "SUSPEND" | "WAKEUP":
                self._asleep = event.name == "SUSPEND"
                self.notify()
            case "VSERPORT_CHANGE" if event.data.get("id") == AGENT:
                self._listener.on_port(self._domid, is_open=event.data.get("open") is True)
            case "NIC_RX_FILTER_CHANGED":
                self._listener.on_filter(self._domid)
            case "RTC_CHANGE":
                self._listener.on_clock(self._domid, int(event.data["offset"]))
            case "MIGRATION":
                with self._told:
                    self._migration = str(event.data.get("status"))
                    self._told.notify_all()
                self._on_migration()
            case "DEVICE_DELETED":
                self._on_deleted(str(event.data.get("device")))
            case "DEVICE_TRAY_MOVED" if event.data.get("tray-open"):
                self._listener.on_device(self._domid, str(event.data.get("id")))
            case _:
                pass  # what else QEMU tells changes nothing here

    def _on_deleted(self, device: str) -> None:
        with self._told:
            self._deleted.add(device)
            is_ours = device in self._removing
            self._told.notify_all()
        if not is_ours:
            self._listener.on_device(self._domid, device)

    def _on_gone(self) -> None:
        self._end(logged_action(self._sockets.log, untraced=DomainAction.CRASHDUMP))

    def _end(self, action: DomainAction) -> None:
        if self._quitting or self._asked is not None:
            return
        self._asked = action
        self._become(Status.ENDED)
        self._on_migration()
        if not self._arriving:
            self._listener.on_ended(self._domid, action)

    def _tell(self, status: Status) -> None:
        self._become(status)
        if not self._changing:
            self._listener.on_status(self._domid)

    def _become(self, status: Status, *, unless_heard: bool = False) -> None:
        """What was asked for does not replace what an event has told meanwhile."""
        with self._told:
            if not (unless_heard and self._heard):
                self._status = status
            self._told.notify_all()

    def _refusal(self, command: str, error: Exception) -> XenopsError:
        remedy = _LOCKED if '" lock' in str(error) else ""
        return internal_error(f"QEMU of domain {self._domid} did not do {command}: {error}{remedy}")


def _nobody() -> None:
    """Nothing moves."""


_LOCKED = ": another VM has that disk, or this one under another name"
"""What QEMU adds only where it is asked by hand."""

DEVICES = "/machine/peripheral"
"""Where QEMU has the devices that were given a name."""

_STATUS_EVENTS = {"SHUTDOWN", "GUEST_PANICKED", "STOP", "RESUME"}

_OPPOSITE = {Status.RUNNING: Status.PAUSED, Status.PAUSED: Status.RUNNING}
