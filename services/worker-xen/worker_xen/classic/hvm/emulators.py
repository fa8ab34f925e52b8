"""Emulators: the device models of this host's HVM guests: QEMUs, one process for each, that outlive a worker.

Each has a directory by its domain's number; its command line names it, so that it is found again whoever
started it. It is restricted by the kernel to its own domain, and sees an empty directory.
"""

import os
import select
import shutil
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from engine.backend import Execution
from schema.fault import XenopsError, internal_error
from schema.objects.errors import FailedToStartEmulator
from virt.monitor import Monitor, MonitorError, MonitorLoop, MonitorRefusedError

from worker_xen.classic.hvm.command import SERIAL, Drive, Given, Hardware, command_line, content, marker
from worker_xen.classic.hvm.deaths import Deaths
from worker_xen.classic.hvm.places import device_model
from worker_xen.classic.users import Users, user_of
from worker_xen.usb import DEVICES

READY_TIMEOUT_S = 60.0
"""How long a device model may take until its guest could run: tenths of a second, and what it has to read."""

STATE_BYTES_MAX = 256 << 20
"""Of a device model: usually below 1 MiB, for a guest's memory is the hypervisor's."""

_POLL_S = 0.02
_LOG_LINES = 4
_READY, _STATE = "ready", "state"
_LENT = "/dev/fdset"


class Emulators:
    """Device models below one directory; safe for any thread. Errors: `Internal_error` in QEMU's words."""

    def __init__(self, place: Path, users: Users | None = None) -> None:
        self._place = place
        self._users = users
        self._lock = threading.Lock()
        self._loop: MonitorLoop | None = None
        self._deaths = Deaths()

    def listen(self, on_death: Callable[[int], None]) -> None:
        """Tell from now on which domain's device model has ended by itself, also since before."""
        self._deaths.start(on_death)
        for domid in self._domids():
            if self._is_ready(domid):
                self._deaths.follow(domid, next(iter(self._pids(domid)), _DEAD))

    def close(self) -> None:
        """Look after none any more; they run on."""
        self._deaths.stop()
        if self._loop is not None:
            self._loop.close()

    def start(self, hardware: Hardware, taps: Mapping[int, int], execution: Execution) -> None:
        """Start a domain's, unless it runs; with a state that is kept for it, it goes on from that.

        Errors: `Failed_to_start_emulator` with QEMU's words.
        """
        domid = hardware.domid
        if self.is_there(domid):
            return
        self._end(domid)
        directory = self._of(domid)
        (directory / "root").mkdir(parents=True, exist_ok=True)
        try:
            pid = self._spawn(hardware, taps)
            self._await_ready(domid, execution)
        except (OSError, MonitorError) as error:
            words = self._words(domid) or str(error)
            self._end(domid)
            raise XenopsError(FailedToStartEmulator(vm=hardware.vm.id, name="qemu", message=words)) from error
        except BaseException:
            self._end(domid)
            raise
        (directory / _READY).touch()
        (directory / _STATE).unlink(missing_ok=True)
        self._deaths.follow(domid, pid)

    def is_there(self, domid: int) -> bool:
        """Whether a domain's device model has come up and not ended."""
        return self._is_ready(domid) and bool(self._pids(domid))

    def end(self, domid: int) -> None:
        """End a domain's, and forget all of it; there is none, nothing to do."""
        if self._of(domid).exists():
            self._end(domid)
            shutil.rmtree(self._of(domid), ignore_errors=True)

    def screen(self, domid: int) -> str:
        """The socket where it shows its picture, by VNC."""
        return str(self._of(domid) / "vnc")

    def terminal(self, domid: int) -> str | None:
        """The terminal that is its serial port; None: it has none."""
        found = (
            str(port.get("filename", ""))
            for port in self.do(domid, "query-chardev")
            if port["label"] == SERIAL
        )
        return next((name.removeprefix("pty:") for name in found), None)

    def do(self, domid: int, command: str, arguments: Mapping[str, object] | None = None) -> Any:
        """Have a device model do something; answers its reply."""
        with self._talking(domid) as monitor, _explained(command):
            return monitor.execute(command, arguments)

    def has_device(self, domid: int, name: str) -> bool:
        """Whether a domain's device model shows what was added by that name; there is none, it does not."""
        if not self.is_there(domid):
            return False
        return any(entry["name"] == name for entry in self.do(domid, "qom-list", {"path": DEVICES}))

    def lend_usb(self, domid: int, number: int, descriptor: int, device: Mapping[str, object]) -> None:
        """Have a device model show a USB device of the host, whose open file it is lent by a number.

        By one conversation: what nothing has opened when that ends, QEMU has no more.
        """
        with self._talking(domid) as monitor, _explained("show a USB device"):
            monitor.give(descriptor, "add-fd", {"fdset-id": number})
            monitor.execute("device_add", {**device, "hostdevice": f"{_LENT}/{number}"})

    def take_back(self, domid: int, number: int) -> None:
        """It has that file no more; it has none, nothing to do."""
        with suppress(XenopsError):
            self.do(domid, "remove-fd", {"fdset-id": number})

    def change_medium(self, domid: int, drive: Drive, path: str | None) -> None:
        """Put a medium into a CD drive, or none; what was in comes out, whatever the guest thinks of it."""
        with self._talking(domid) as monitor, _explained("change the medium"):
            monitor.execute("blockdev-open-tray", {"id": drive.id, "force": True})
            monitor.execute("blockdev-remove-medium", {"id": drive.id})
            with suppress(MonitorRefusedError):  # it had none
                monitor.execute("blockdev-del", {"node-name": drive.node})
                monitor.execute("remove-fd", {"fdset-id": drive.number})
            if path is None:
                return
            descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
            try:
                monitor.give(descriptor, "add-fd", {"fdset-id": drive.number})
            finally:
                os.close(descriptor)
            monitor.execute("blockdev-add", content(drive, f"{_LENT}/{drive.number}"))
            monitor.execute("blockdev-insert-medium", {"id": drive.id, "node-name": drive.node})
            monitor.execute("blockdev-close-tray", {"id": drive.id})

    def freeze(self, domid: int) -> bytes:
        """Stop a device model and answer its state; `go_on` lets it run again."""
        descriptor = os.memfd_create("device-model", os.MFD_CLOEXEC)
        try:
            with self._talking(domid) as monitor, _explained("save its state"):
                monitor.execute("stop")
                given = _give_to_write(monitor, descriptor)
                name = f"{_LENT}/{given['fdset-id']}"
                monitor.execute("xen-save-devices-state", {"filename": name})
                monitor.execute("remove-fd", {"fdset-id": given["fdset-id"]})
            with os.fdopen(os.dup(descriptor), "rb") as file:
                file.seek(0)
                return file.read()
        finally:
            os.close(descriptor)

    def go_on(self, domid: int) -> None:
        """Let a device model run that was frozen; one that runs, or is gone, nothing to do."""
        if self.is_there(domid):
            self.do(domid, "cont")

    def keep_state(self, domid: int, state: bytes) -> None:
        """From which a device model goes on that is started for the domain."""
        directory = self._of(domid)
        directory.mkdir(parents=True, exist_ok=True)
        (directory / _STATE).write_bytes(state)

    def _spawn(self, hardware: Hardware, taps: Mapping[int, int]) -> int:
        """It has a session of its own, and of our environment `PATH` alone."""
        directory = self._of(hardware.domid)
        with _listener(directory / "qmp") as listener, _opened(directory / _STATE) as state:
            given = Given(directory, listener.fileno(), taps, state, self._user(hardware.domid))
            inherited = [listener.fileno(), *taps.values(), *([] if state is None else [state])]
            with (directory / "log").open("ab") as log:
                process = subprocess.Popen(
                    [device_model(), *command_line(hardware, given)],
                    cwd=directory,
                    env={"PATH": os.environ.get("PATH", os.defpath)},
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                    pass_fds=inherited,
                    start_new_session=True,
                )
        threading.Thread(target=process.wait, name="qemu", daemon=True).start()  # no zombie stays
        return process.pid

    def _await_ready(self, domid: int, execution: Execution) -> None:
        """With a kept state it must have read all of it."""
        end = time.monotonic() + READY_TIMEOUT_S
        with self._talking(domid) as monitor:
            while monitor.execute("query-status")["status"] == "inmigrate":
                if time.monotonic() > end:
                    raise MonitorError(f"it has not read its state within {READY_TIMEOUT_S:g} s")
                execution.wait(_POLL_S)

    @contextmanager
    def _talking(self, domid: int) -> Iterator[Monitor]:
        """A QEMU's monitor takes one at a time; the next one waits at its door."""
        with self._lock:
            self._loop = loop = self._loop or MonitorLoop()
        with _short(self._of(domid)) as directory:
            monitor = Monitor(loop, directory / "qmp", lambda _: None, lambda: None)
            monitor.connect()
        try:
            yield monitor
        finally:
            monitor.close()

    def _end(self, domid: int) -> None:
        self._deaths.forget(domid)
        word, pids = marker(self._of(domid)), self._pids(domid)
        (self._of(domid) / _READY).unlink(missing_ok=True)
        for pid in pids:
            _kill(pid, word)

    def _pids(self, domid: int) -> list[int]:
        """Processes that were started for a domain, by whichever worker.

        One that has come up has told its number. Of a start that broke off nothing is told for sure: then
        all processes are looked through.
        """
        word = marker(self._of(domid))
        if self._is_ready(domid):
            candidates = _told(Path(word))
        else:
            candidates = [int(path.name) for path in Path("/proc").glob("[0-9]*")]
        return [pid for pid in candidates if _was_started_with(pid, word)]

    def _user(self, domid: int) -> tuple[int, int] | None:
        if self._users is None:
            return None
        number = user_of(self._users, domid)
        return number, number

    def _words(self, domid: int) -> str:
        try:
            lines = (self._of(domid) / "log").read_text(errors="replace").splitlines()
        except FileNotFoundError:
            return ""
        return "; ".join(lines[-_LOG_LINES:])

    def _domids(self) -> list[int]:
        return [int(path.name) for path in self._place.glob("[0-9]*")]

    def _is_ready(self, domid: int) -> bool:
        return (self._of(domid) / _READY).exists()

    def _of(self, domid: int) -> Path:
        return self._place / str(domid)


_DEAD = 1 << 30
"""No process has that number."""


def _give_to_write(monitor: Monitor, descriptor: int) -> Any:
    """Give QEMU an open file as it wants to open one by name: only to be written."""
    writing = os.open(f"/proc/self/fd/{descriptor}", os.O_WRONLY | os.O_CLOEXEC)
    try:
        return monitor.give(writing, "add-fd", {})
    finally:
        os.close(writing)


def _told(path: Path) -> list[int]:
    """The number that a QEMU has written down as its process's; none: it has taken it back, as at its end."""
    try:
        return [int(path.read_text())]
    except (FileNotFoundError, ValueError):
        return []


def _was_started_with(pid: int, word: str) -> bool:
    """Whether a process is there and has a word on its command line: a number may be another's by now."""
    try:
        return word.encode() in Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
    except OSError:
        return False


def _kill(pid: int, word: str) -> None:
    """End a process that was started with a word, and wait until it has let go of all that it had open.

    What it was started with is forgotten first of all, its taps and disks are let go of later.
    """
    try:
        descriptor = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    try:
        if _was_started_with(pid, word):
            signal.pidfd_send_signal(descriptor, signal.SIGKILL)
            ended = select.poll()
            ended.register(descriptor, select.POLLIN)
            ended.poll()
    except ProcessLookupError:  # it has just ended
        pass
    finally:
        os.close(descriptor)


@contextmanager
def _listener(path: Path) -> Iterator[socket.socket]:
    """A socket that QEMU inherits: who connects waits for it, or hears that it has ended."""
    path.unlink(missing_ok=True)
    with socket.socket(socket.AF_UNIX) as listener, _short(path.parent) as directory:
        listener.bind(str(directory / path.name))
        listener.listen()
        yield listener


@contextmanager
def _short(directory: Path) -> Iterator[Path]:
    """A directory by a name that no socket's address is too short for."""
    descriptor = os.open(directory, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield Path(f"/proc/self/fd/{descriptor}")
    finally:
        os.close(descriptor)


@contextmanager
def _opened(path: Path) -> Iterator[int | None]:
    """A file, if it is there."""
    if not path.exists():
        yield None
        return
    with path.open("rb") as file:
        yield file.fileno()


@contextmanager
def _explained(what: str) -> Iterator[None]:
    try:
        yield
    except (MonitorError, MonitorRefusedError, OSError) as error:
        raise internal_error(f"The device model did not {what}: {error}") from error
