"""The Xen test host as a machine: QEMU emulates a computer; saved with Xen up, it is back in seconds.

Nothing of the host's hardware is needed. dom0 reaches this machine's loopback, where the broker listens, at
10.0.2.2; we reach dom0 by ssh on a free port of the loopback. The project is a disk (`xen_sources`). A
machine ends with the thread that started it.
"""

import asyncio
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from qemu.qmp import QMPClient
from xen_hardware import PREFIX, SOURCES, MachineError, Place, command_line
from xen_sources import MOUNT, make_disk, make_empty_disk

FREE_MIB_MIN = 3072
"""What must be free here for it."""

BOOT_TIMEOUT_S = 600.0
"""13 s on an idle core; others may keep it busy."""

COMMAND_TIMEOUT_S = 900.0
"""Nothing is measured by it: it ends what hangs, on however slow a machine."""

UNTIL_UP = "systemctl is-system-running --wait | grep -E 'running|degraded'"

_POLL_S = 0.1
_PORT_ATTEMPTS = 5


class Machine:
    """One running machine; `port` is that of its ssh."""

    def __init__(self, place: Place, process: subprocess.Popen[bytes], port: int) -> None:
        self._place = place
        self._process = process
        self.port = port

    @property
    def pid(self) -> int:
        """QEMU's process."""
        return self._process.pid

    def run(self, command: str, *, timeout_s: float = COMMAND_TIMEOUT_S) -> subprocess.CompletedProcess[str]:
        """Run a shell command in dom0 and wait; whoever asks looks at its code.

        Raises:
            subprocess.TimeoutExpired: it takes too long.
        """
        words = [*ssh(self._place, self.port), command]
        return subprocess.run(
            words, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False, timeout=timeout_s
        )

    def spawn(self, command: str, log: Path) -> subprocess.Popen[bytes]:
        """Run a command in dom0 that ends with its ssh, a connection of its own; its words go into `log`."""
        words = [*ssh(self._place, self.port, shared=False), "-tt", f"stty -onlcr; exec {command}"]
        with log.open("ab") as file:
            return subprocess.Popen(words, stdin=subprocess.DEVNULL, stdout=file, stderr=file)

    def forward(self, port: int) -> None:
        """Let a port of dom0's loopback lead to the same one of this machine's.

        Errors: `MachineError`, dom0 has that port in use.
        """
        words = [*ssh(self._place, self.port), "-O", "forward", "-R", f"{port}:127.0.0.1:{port}"]
        self.check("true")  # so that there is a connection to share
        done = subprocess.run(words, capture_output=True, text=True, check=False, timeout=COMMAND_TIMEOUT_S)
        if done.returncode:
            raise MachineError(f"dom0 does not take port {port}: {done.stderr.strip()}")

    def check(self, command: str, *, timeout_s: float = COMMAND_TIMEOUT_S) -> str:
        """Run a shell command in dom0; answers what it prints. Errors: `MachineError` when it fails."""
        done = self.run(command, timeout_s=timeout_s)
        if done.returncode:
            raise MachineError(f"in dom0 `{command}` failed: {done.stderr.strip() or done.stdout.strip()}")
        return done.stdout

    def reboot(self) -> None:
        """Boot one with systemd anew, as its administrator does, with the project of now."""
        asked, end = "cat /proc/sys/kernel/random/boot_id", time.monotonic() + BOOT_TIMEOUT_S
        before = self.check(asked)
        self.run("systemctl reboot")
        while (done := self.run(asked)).returncode or done.stdout == before:
            if time.monotonic() > end:
                raise MachineError(f"dom0 does not come up again: {done.stderr.strip()}")
            time.sleep(_POLL_S)
        self.check(UNTIL_UP)
        self.check(MOUNT)

    def end(self) -> None:
        """End it at once, as by the plug."""
        self._process.kill()
        self._process.wait()
        shutil.rmtree(self._place.directory, ignore_errors=True)


def resumed(place: Place) -> Machine:
    """The saved machine, running, as it was saved, with the project of now; saved first if it never was."""
    refuse_without_memory()
    clear_up(place.directory.parent)
    if not (place.snapshot / "state").exists():
        save(place)
    place.directory.mkdir(parents=True, exist_ok=True)
    overlay(place.snapshot / "disk.qcow2", place.directory / "disk.qcow2")
    make_disk(place.directory / SOURCES, place.image)
    machine = start(
        place, place.directory / "disk.qcow2", ["-incoming", f"exec:cat '{place.snapshot}/state'"]
    )
    try:
        asyncio.run(_go_on(place.directory / "qmp"))
        greet(machine, COMMAND_TIMEOUT_S * 2)
        machine.check(f"date --set=@{int(time.time())} && {MOUNT}")
    except BaseException:
        machine.end()
        raise
    return machine


def booted(place: Place) -> Machine:
    """A machine from its cold start on, with the project of now."""
    refuse_without_memory()
    clear_up(place.directory.parent)
    place.directory.mkdir(parents=True, exist_ok=True)
    disk = place.directory / "disk.qcow2"
    overlay(place.image / "dom0.ext4", disk, "raw")
    make_disk(place.directory / SOURCES, place.image)
    machine = start(place, disk, [])
    try:
        if not place.has_systemd:
            await_ready(place, machine)
        greet(machine, BOOT_TIMEOUT_S)
        if place.has_systemd:
            machine.check(UNTIL_UP)
        machine.check(MOUNT)
    except BaseException:
        machine.end()
        raise
    return machine


def save(place: Place) -> None:
    """Boot a machine and save it, as a whole or not at all."""
    with tempfile.TemporaryDirectory(prefix="saving-", dir=place.image) as scratch:
        directory = Path(scratch)
        disk = directory / "disk.qcow2"
        overlay(place.image / "dom0.ext4", disk, "raw")
        booting = replace(place, directory=directory / "run")
        booting.directory.mkdir()
        make_empty_disk(booting.directory / SOURCES)
        machine = start(booting, disk, [])
        try:
            await_ready(booting, machine)
            greet(machine, BOOT_TIMEOUT_S)
            machine.check("sync; true > /root/.saved; find /opt/xenops -name '*.pyc' | xargs cat > /dev/null")
            asyncio.run(_save(booting.directory / "qmp", directory / "state"))
        finally:
            machine.end()
        shutil.rmtree(place.snapshot, ignore_errors=True)
        place.snapshot.mkdir()
        for name in ("disk.qcow2", "state"):
            (directory / name).rename(place.snapshot / name)


def start(place: Place, disk: Path, options: Sequence[str]) -> Machine:
    """Start QEMU; the port for ssh is a free one. Errors: `MachineError` with QEMU's words."""
    log, monitor = place.directory / "qemu.log", place.directory / "qmp"
    for _ in range(_PORT_ATTEMPTS):
        port = free_port()
        monitor.unlink(missing_ok=True)
        with log.open("wb") as file:
            command = ["setpriv", "--pdeathsig", "KILL", *command_line(place, disk, port), *options]
            process = subprocess.Popen(
                command, cwd=place.directory, stdin=subprocess.DEVNULL, stdout=file, stderr=file
            )
        if speaks(process, monitor):
            return Machine(place, process, port)
        if "Could not set up host forwarding" not in log.read_text():
            break
    raise MachineError(f"QEMU does not start: {log.read_text().strip()}")


def speaks(process: subprocess.Popen[bytes], monitor: Path) -> bool:
    """Wait until QEMU greets, which it does when all of the machine is there; answers False when it ends.

    It listens before: another process may have taken the port for ssh, and QEMU ends of that. Its socket is
    there before it listens.
    """
    while process.poll() is None:
        with suppress(OSError), socket.socket(socket.AF_UNIX) as client:
            client.connect(str(monitor))
            if client.recv(1):
                return True
        time.sleep(_POLL_S)
    return False


def await_ready(place: Place, machine: Machine) -> None:
    """Wait for dom0's word on its console."""
    console, end = place.directory / "console", time.monotonic() + BOOT_TIMEOUT_S
    while b"xen host: ready" not in (console.read_bytes() if console.exists() else b""):
        if machine._process.poll() is not None or time.monotonic() > end:  # noqa: SLF001  it is ours
            words = console.read_text(errors="replace") if console.exists() else ""
            raise MachineError(f"dom0 does not come up; the end of its console: {words[-2000:]}")
        time.sleep(_POLL_S)


def greet(machine: Machine, patience_s: float) -> None:
    """Wait until ssh lets us in."""
    end = time.monotonic() + patience_s
    while (done := machine.run("true")).returncode:
        if time.monotonic() > end:
            raise MachineError(f"dom0 does not let us in: {done.stderr.strip()}")
        time.sleep(_POLL_S)


def ssh(place: Place, port: int, *, shared: bool = True) -> list[str]:
    """The beginning of an ssh command line; most share one connection, whose set-up is dear."""
    sharing = ["ControlMaster=auto", f"ControlPath={place.directory}/ssh", "ControlPersist=600"]
    options = [
        *("UserKnownHostsFile=/dev/null", "StrictHostKeyChecking=no", "ConnectTimeout=60", "LogLevel=ERROR"),
        *("BatchMode=yes", *(sharing if shared else ["ControlPath=none"])),
    ]
    words = [word for option in options for word in ("-o", option)]
    return ["ssh", "-F", "none", "-i", str(place.image / "key"), "-p", str(port), *words, "root@127.0.0.1"]


def refuse_without_memory() -> None:
    """Say how much memory is missing, before the kernel ends something else for it."""
    lines = dict(line.split(":", 1) for line in Path("/proc/meminfo").read_text().splitlines())
    free_mib = int(lines["MemAvailable"].split()[0]) // 1024
    if free_mib < FREE_MIB_MIN:
        raise MachineError(
            f"the Xen host needs {FREE_MIB_MIN} MiB of memory, and {free_mib} MiB are free here: end what "
            "you can"
        )


def overlay(base: Path, path: Path, kind: str = "qcow2") -> None:
    """A disk that begins as another one, and leaves that alone."""
    command = ["qemu-img", "create", "-q", "-f", "qcow2", "-b", str(base), "-F", kind, str(path)]
    subprocess.run(command, check=True)


def free_port() -> int:
    """A port of the loopback that nobody has now."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port


async def _go_on(path: Path) -> None:
    """Wait until all of the saved machine is read, and let it run."""
    client = QMPClient("xen-host")
    await client.connect(str(path))
    while await _status(client, "query-status") == "inmigrate":  # noqa: ASYNC110  no event tells
        await asyncio.sleep(_POLL_S)
    await client.execute("cont")
    await client.disconnect()


async def _save(path: Path, state: Path) -> None:
    """Stop the machine and write all of it to a file."""
    client = QMPClient("xen-host")
    await client.connect(str(path))
    await client.execute("stop")
    await client.execute("migrate-set-parameters", {"max-bandwidth": 1 << 36})
    await client.execute("migrate", {"uri": f"exec:cat > '{state}'"})
    while (status := await _status(client, "query-migrate")) != "completed":
        if status == "failed":
            raise MachineError(f"QEMU cannot save the machine to {state}: see that the disk has room")
        await asyncio.sleep(_POLL_S)
    await client.disconnect()


async def _status(client: QMPClient, question: str) -> str | None:
    """The field `status` of an answer: QEMU's monitor is asked, for what it tells would need a listener."""
    answer = await client.execute(question)
    return str(answer["status"]) if isinstance(answer, dict) and "status" in answer else None


def clear_up(directory: Path) -> None:
    """Remove what is left of machines whose processes were killed."""
    for path in directory.glob(f"{PREFIX}*"):
        if not Path("/proc", path.name.removeprefix(PREFIX)).exists():
            shutil.rmtree(path, ignore_errors=True)
