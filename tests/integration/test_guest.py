import json
import platform
import re
import shutil
import subprocess
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from stack.guest import CMDLINE

GUEST = Path(__file__).resolve().parents[2] / "var" / "guest"
PATIENCE_S = 120.0
POLL_S = 0.05
QEMU = "qemu-system-x86_64"
MAC = "52:54:00:00:00:01"
UP = "xenops guest: userland is up; "


class Machine:
    """A plain QEMU with the tiny guest: its console in a file, its monitor on its standard streams."""

    def __init__(self, directory: Path, words: str, *options: str) -> None:
        self._console = directory / "console"
        command = [
            *("setpriv", "--pdeathsig", "KILL", QEMU),
            *(
                "-machine",
                "q35",
                "-accel",
                "tcg",
                "-m",
                "96",
                "-nodefaults",
                "-display",
                "none",
                "-no-reboot",
            ),
            *("-serial", f"file:{self._console}", "-qmp", "stdio"),
            *("-kernel", str(GUEST / "vmlinuz"), "-initrd", str(GUEST / "initrd.gz")),
            *("-append", f"{CMDLINE} {words}", *options),
        ]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def begin(self) -> None:
        self._read()
        self.execute("qmp_capabilities")

    def execute(self, command: str, **arguments: object) -> None:
        assert self.process.stdin is not None
        print(json.dumps({"execute": command, "arguments": arguments}), file=self.process.stdin, flush=True)
        while "event" in (answer := self._read()):
            pass
        assert "return" in answer, answer

    def _read(self) -> dict[str, Any]:
        assert self.process.stdout is not None
        answer: dict[str, Any] = json.loads(self.process.stdout.readline())
        return answer

    def said(self) -> list[str]:
        """All whole lines so far."""
        text = self._console.read_text(errors="replace") if self._console.exists() else ""
        return text.rpartition("\n")[0].splitlines()

    def wait_for(self, beginning: str) -> str:
        """The first line of the console that begins so."""
        attempts = threading.Event()
        for _ in range(int(PATIENCE_S / POLL_S)):
            for line in self.said():
                if line.startswith(beginning):
                    return line
            attempts.wait(POLL_S)
        pytest.fail(f"the guest did not say {beginning!r} but:\n" + "\n".join(self.said()))

    def stop(self) -> None:
        self.process.kill()
        self.process.communicate()


Boot = Callable[..., Machine]


@pytest.fixture(name="boot")
def boot_machines(tmp_path: Path) -> Iterator[Boot]:
    if platform.machine() != "x86_64":
        pytest.skip(f"capability missing: the tiny guest is built for x86_64, this is {platform.machine()}")
    assert shutil.which(QEMU), f"capability missing: {QEMU}; run: make setup"
    assert (GUEST / "initrd.gz").exists(), "capability missing: the tiny guest in var/guest; run: make setup"
    machines: list[Machine] = []

    def boot(words: str = "", *options: str) -> Machine:
        machine = Machine(tmp_path, words, *options)
        machines.append(machine)
        machine.begin()
        return machine

    yield boot
    for machine in machines:
        machine.stop()


def disk(directory: Path, name: str, size_bytes: int) -> tuple[str, ...]:
    path = directory / name
    path.touch()
    with path.open("r+b") as file:
        file.truncate(size_bytes)
    blockdev = {"driver": "raw", "node-name": name, "file": {"driver": "file", "filename": str(path)}}
    return ("-blockdev", json.dumps(blockdev), "-device", f"scsi-hd,drive={name},id=disk-{name}")


def test_the_guest_tells_in_one_line_what_it_has_and_then_what_comes_and_goes(
    boot: Boot, tmp_path: Path
) -> None:
    network = ("-netdev", "user,id=n0", "-device", f"virtio-net-pci,netdev=n0,mac={MAC}")
    port = ("-device", "pcie-root-port,id=port0,chassis=1", "-netdev", "user,id=n1")
    disks = (*disk(tmp_path, "a", 64 << 20), *disk(tmp_path, "b", 3 << 30))
    machine = boot("", "-smp", "2", "-device", "virtio-scsi-pci", *disks, *network, *port)
    line = machine.wait_for(UP)
    found = re.fullmatch(r"cpus 2; memory (\d+) KiB; disks (.*); interfaces (.*)", line.removeprefix(UP))
    assert found is not None, line
    assert 32 << 10 < int(found[1]) < 96 << 10
    sizes = dict(word.split(":") for word in found[2].split())  # which is named first, Linux does not promise
    assert sorted(sizes) == ["sda", "sdb"]
    assert sorted(map(int, sizes.values())) == [64 << 20, 3 << 30]
    assert found[3] == f"eth0:{MAC}"
    assert [line for line in machine.said() if line.startswith(("xenops guest: userland", UP))] == [line]
    machine.execute("blockdev-add", driver="null-co", size=1 << 20, **{"node-name": "late"})
    machine.execute("device_add", driver="scsi-hd", drive="late", id="disk-late")
    machine.wait_for("xenops guest: disk sdc came")
    machine.execute("device_add", driver="virtio-net-pci", netdev="n1", bus="port0", id="nic1")
    machine.wait_for("xenops guest: interface eth1 came")
    machine.execute("device_del", id="disk-late")
    machine.wait_for("xenops guest: disk sdc went")
    machine.execute("device_del", id="nic1")
    machine.wait_for("xenops guest: interface eth1 went")


def test_a_guest_without_devices_says_so_and_ends_by_the_power_button(boot: Boot) -> None:
    machine = boot()
    assert machine.wait_for(UP).endswith("; disks none; interfaces none")
    machine.execute("system_powerdown")
    assert machine.process.wait(PATIENCE_S) == 0
    assert "xenops guest: power button" in machine.said()


def test_a_guest_that_halts_stays(boot: Boot) -> None:
    machine = boot("xenops.then=halt")
    machine.wait_for(UP)
    attempts = threading.Event()
    while not any("reboot: System halted" in line for line in machine.said()):
        assert machine.process.poll() is None
        attempts.wait(POLL_S)
    machine.execute("query-status")
