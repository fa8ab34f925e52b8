"""The Xen test host's machines: what one that was killed has left goes, what another one has stays."""

import importlib.util
import socket
import subprocess
import sys
import threading
from pathlib import Path
from types import ModuleType

import pytest
import xen_hardware
from xen_hardware import MachineError, machine_place

TOOLS = Path(__file__).resolve().parents[1]


@pytest.fixture(name="xen_machine")
def load_xen_machine(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(str(TOOLS))
    spec = importlib.util.spec_from_file_location("xen_machine", TOOLS / "xen_machine.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, "xen_machine", module)
    spec.loader.exec_module(module)
    return module


def test_what_a_machine_that_was_killed_has_left_is_removed(xen_machine: ModuleType, tmp_path: Path) -> None:
    with subprocess.Popen(["true"]) as ended:
        pass
    (tmp_path / f"machine-{ended.pid}").mkdir()
    ours = machine_place(tmp_path / "image").directory
    ours.mkdir()
    (tmp_path / "bindings").mkdir()
    xen_machine.clear_up(tmp_path)
    assert sorted(tmp_path.iterdir()) == [tmp_path / "bindings", ours]


def test_a_saved_machine_is_of_one_qemu_and_one_hardware(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = machine_place(tmp_path)
    monkeypatch.setattr(xen_hardware, "qemu_version", lambda: "7.2.22")
    usual = place.snapshot
    assert place.snapshot == usual
    assert machine_place(tmp_path, has_own_clock=True).snapshot != usual
    assert machine_place(tmp_path / ".." / tmp_path.name).snapshot == usual
    monkeypatch.setattr(xen_hardware, "MEMORY_MIB", 4096)
    more = place.snapshot
    monkeypatch.setattr(xen_hardware, "qemu_version", lambda: "9.0.0")
    assert len({usual, more, place.snapshot}) == 3


def test_a_port_that_somebody_takes_meanwhile_costs_an_attempt(
    xen_machine: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With a real QEMU, which listens at its monitor before it looks at ports."""

    def no_computer(_place: object, _disk: object, port: int) -> list[str]:
        forwarding = f"user,id=net,hostfwd=tcp:127.0.0.1:{port}-:22"
        words = ["-machine", "none", "-nodefaults", "-display", "none", "-netdev", forwarding]
        return ["qemu-system-x86_64", *words, "-qmp", "unix:qmp,server=on,wait=off"]

    monkeypatch.setattr(xen_machine, "command_line", no_computer)
    place = machine_place(tmp_path / "image")
    place.directory.mkdir()
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        taken, free = other.getsockname()[1], xen_machine.free_port()
        ports = iter([taken, free])
        monkeypatch.setattr(xen_machine, "free_port", lambda: next(ports))
        machine = xen_machine.start(place, tmp_path / "disk", [])
        assert machine.port == free
        machine.end()
        monkeypatch.setattr(xen_machine, "free_port", lambda: taken)
        place.directory.mkdir()
        with pytest.raises(MachineError, match="host forwarding"):
            xen_machine.start(place, tmp_path / "disk", [])


def test_a_monitor_whose_socket_is_there_and_does_not_listen_yet_is_asked_again(
    xen_machine: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """QEMU makes it in two steps; a machine that was met between them was waited for until its end."""

    class Living:
        def poll(self) -> None:
            """It has not ended."""

        def wait(self) -> None:
            raise AssertionError("its end is waited for")

    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(tmp_path / "qmp"))

        def greet() -> None:
            client, _ = listener.accept()
            with client:
                client.sendall(b"{")

        thread = threading.Thread(target=greet)

        def listen(_seconds: float) -> None:
            listener.listen()
            thread.start()

        monkeypatch.setattr(xen_machine.time, "sleep", listen)
        assert xen_machine.speaks(Living(), tmp_path / "qmp")
        thread.join()
