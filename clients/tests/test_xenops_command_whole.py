"""The command's further words: each operation, names for ids, files, raw calls, the console."""

import io
import json
import os
import socket
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from fake_states import STATE
from schema.fault import XenopsError
from schema.objects.disk import LocalDisk, Vdi
from schema.objects.dynamic import TaskObject
from schema.objects.errors import DoesNotExist, InternalError
from schema.objects.host import ChipsetInfo, CpuInfo, Host, Hypervisor, Query
from schema.objects.metadata import Metadata
from schema.objects.task import Completed, Completion, Task, TaskState
from schema.objects.vm import Console, ConsoleProtocol
from schema.own_methods import ALL_METHODS
from schema.wire.codec import encode_text
from schema.wire.types import DeviceId
from xenops.command import main as command
from xenops.command.arguments import parser
from xenops.command.console import ESCAPE, ConsoleError, attach, text_console
from xenops.vmfile import parse_vm_file

Capture = pytest.CaptureFixture[str]
TaskIn = Callable[[TaskState], Task]
DONE = Completed(completion=Completion(duration=0.5))
METADATA = parse_vm_file('{"vm": {"id": "web1"}}', Path("/x"))
DISK = DeviceId("web1", "xvdd")
MIGRATE = {
    "vdi_map": (),
    "vif_map": (),
    "pci_map": (),
    "xenops_url": "http://there/",
    "compress": True,
    "verify_dest": False,
    "localhost_migration": False,
}


@pytest.fixture
def ending(door: Any, task_in: TaskIn) -> None:
    """Every task has ended, and its VM is paused."""
    door.answer("UPDATES.last_id", 4)
    door.answer("Task.stat", task_in(DONE))
    door.answer("UPDATES.get", ((), (TaskObject(id="7"),), 5))
    door.answer("Task.destroy", None)
    door.answer("VM.stat", (parse_vm_file('{"vm": {"id": "web1"}}', Path("/x")).vm, STATE))


@pytest.mark.parametrize(
    ("line", "method", "params"),
    [
        ("start web1", "VM.start", {"id": "web1", "paused": False}),
        ("suspend web1 --disk /d", "VM.suspend", {"id": "web1", "suspend_vdi": LocalDisk(path="/d")}),
        ("suspend web1 --block-device /d", "VM.suspend", {"id": "web1", "suspend_vdi": LocalDisk(path="/d")}),
        ("resume web1 --vdi sr/v", "VM.resume", {"id": "web1", "suspend_vdi": Vdi(name="sr/v")}),
        ("fast-resume web1", "VM.fast_resume", {"id": "web1"}),
        ("migrate web1 http://there/ --compress --no-verify", "VM.migrate", {"id": "web1", **MIGRATE}),
        ("delay web1 1.5", "VM.delay", {"id": "web1", "delay": 1.5}),
        ("set-vcpus web1 2", "VM.set_vcpus", {"id": "web1", "vcpus": 2}),
        (
            "set-memory web1 1 2",
            "VM.set_memory_dynamic_range",
            {"id": "web1", "minimum": 1 << 20, "maximum": 2 << 20},
        ),
        ("vbd-plug web1 xvdd", "VBD.plug", {"id": DISK}),
        ("vbd-unplug web1 xvdd --force", "VBD.unplug", {"id": DISK, "force": True}),
        ("vbd-eject web1 xvdd", "VBD.eject", {"id": DISK}),
        ("cd-eject web1 xvdd", "VBD.eject", {"id": DISK}),
        ("vbd-insert web1 xvdd --disk /cd", "VBD.insert", {"id": DISK, "disk": LocalDisk(path="/cd")}),
        ("vif-plug web1 xvdd", "VIF.plug", {"id": DISK}),
        ("vif-unplug web1 xvdd", "VIF.unplug", {"id": DISK, "force": False}),
    ],
)
@pytest.mark.usefixtures("ending")
def test_an_operation_asks_for_what_it_says_and_waits(
    xenops: Callable[..., int], door: Any, line: str, method: str, params: dict[str, Any]
) -> None:
    door.answer(method, "7")
    assert xenops(*line.split()) == command.DONE
    assert door.asked[0] == (method, {"debug_info": "test", **params})
    assert "Task.destroy" in door.methods()


@pytest.mark.parametrize("line", ["start web1 --run", "resume web1 --disk /d --run"])
@pytest.mark.usefixtures("ending")
def test_with_run_a_vm_runs_afterwards(
    xenops: Callable[..., int], door: Any, capsys: Capture, line: str
) -> None:
    for method in ("VM.start", "VM.resume", "VM.unpause"):
        door.answer(method, "7")
    assert xenops(*line.split()) == command.DONE
    assert door.methods()[1] == "VM.unpause"
    assert "paused" not in capsys.readouterr().err
    assert xenops(*line.split(), "--no-wait") == command.DONE
    assert capsys.readouterr().out == "7\n7\n"


def test_a_range_of_memory_begins_with_the_smaller_amount(
    xenops: Callable[..., int], door: Any, capsys: Capture
) -> None:
    assert xenops("set-memory", "web1", "64", "32") == command.USAGE
    assert "a range from 64 to 32 MiB has no amount" in capsys.readouterr().err
    assert door.methods() == []


def test_a_disk_must_be_given(xenops: Callable[..., int], capsys: Capture) -> None:
    with pytest.raises(SystemExit) as ended:
        xenops("suspend", "web1")
    assert ended.value.code == command.USAGE
    assert "--vdi" in capsys.readouterr().err


def of_the_name(door: Any, *names: str) -> None:
    """VMs `id1`, `id2`, ... of these names; VM.pause knows ids only."""

    def pause(id: str, **_: Any) -> str:  # noqa: A002  the wire's name
        if not id.startswith("id"):
            raise XenopsError(DoesNotExist(klass="VM", id=id))
        return "7"

    vms = [
        METADATA.vm.model_copy(update={"id": f"id{place}", "name": name}) for place, name in enumerate(names)
    ]
    door.answer("VM.pause", pause)
    door.answer("VM.exists", lambda id, **_: id.startswith("id"))  # noqa: A006  the wire's name
    door.answer("VM.list", tuple((vm, STATE) for vm in vms))


@pytest.mark.usefixtures("ending")
def test_a_vm_may_be_called_by_its_name(xenops: Callable[..., int], door: Any, capsys: Capture) -> None:
    of_the_name(door, "web server", "db")
    assert xenops("pause", "web server") == command.DONE
    assert "pause of id0 is done" in capsys.readouterr().err


@pytest.mark.parametrize("names", [("other",), ("web server", "web server")])
def test_a_name_that_is_not_one_vms_is_no_id(
    xenops: Callable[..., int], door: Any, capsys: Capture, names: tuple[str, ...]
) -> None:
    of_the_name(door, *names)
    assert xenops("pause", "web server") == command.FAILED
    assert "there is no VM web server" in capsys.readouterr().err


def test_a_task_that_is_not_there_is_no_vm(xenops: Callable[..., int], door: Any) -> None:
    door.answer("Task.cancel", XenopsError(DoesNotExist(klass="task", id="7")))
    assert xenops("task-cancel", "7") == command.FAILED
    assert door.methods() == ["Task.cancel"]


@pytest.mark.usefixtures("ending")
def test_a_vm_is_created_in_one_go(xenops: Callable[..., int], door: Any, tmp_path: Path) -> None:
    file = tmp_path / "web1.json"
    file.write_text('{"vm": {"id": "web1"}}')
    door.answer("VM.add", "web1")
    for method in ("VM.start", "VM.unpause"):
        door.answer(method, "7")
    assert xenops("create", str(file)) == command.DONE
    assert door.methods()[:3] == ["VM.add", "VM.start", "VM.unpause"]


def test_what_is_exported_can_be_imported(
    xenops: Callable[..., int],
    door: Any,
    tmp_path: Path,
    capsys: Capture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    text = encode_text(Metadata, METADATA)
    file = tmp_path / "web1.export"
    door.answer("VM.export_metadata", text)
    door.answer("VM.import_metadata", lambda metadata, **_: json.loads(metadata)["vm"]["id"])
    assert xenops("export", "web1") == command.DONE
    assert capsys.readouterr().out == text + "\n"
    assert xenops("export", "web1", "--file", str(file)) == command.DONE
    assert file.read_text() == text
    assert xenops("export", "web1", "--file", str(file), "--json") == command.DONE
    assert json.loads(capsys.readouterr().out) == {"vm": "web1", "file": str(file)}
    assert xenops("import", str(file)) == command.DONE
    monkeypatch.setattr("sys.stdin", io.StringIO(text))
    assert xenops("import", "-") == command.DONE
    assert capsys.readouterr().out == "web1\nweb1\n"
    assert xenops("export", "web1", "--file", str(tmp_path / "none" / "x")) == command.USAGE
    assert "cannot write" in capsys.readouterr().err


def test_a_vm_file_is_not_for_import_and_that_is_said(
    xenops: Callable[..., int], door: Any, tmp_path: Path, capsys: Capture
) -> None:
    refusal = XenopsError(InternalError(message="Unable to unmarshal metadata"))
    door.answer("VM.import_metadata", refusal)
    file = tmp_path / "web1.json"
    file.write_text('{"vm": {"id": "web1"}}')
    assert xenops("import", str(file)) == command.USAGE
    assert f"{file} is not what `xenops export` writes" in capsys.readouterr().err
    file.write_text(encode_text(Metadata, METADATA))
    assert xenops("import", str(file)) == command.FAILED, "what failed otherwise is told as it is"


def test_the_service_says_who_it_is(xenops: Callable[..., int], door: Any, capsys: Capture) -> None:
    texts = {name: "" for name, field in CpuInfo.model_fields.items() if field.annotation is str}
    counts = {"cpu_count": 8, "socket_count": 1, "threads_per_core": 2, "nr_nodes": 1}
    host = Host(
        cpu_info=CpuInfo(**{**texts, **counts, "modelname": "Acme 1"}),
        hypervisor=Hypervisor(version="4.17", capabilities="hvm"),
        chipset_info=ChipsetInfo(iommu=True, hvm=True),
    )
    door.answer("query", Query(name="sim", vendor="us", version="1", features=(), instance_id="i"))
    door.answer("HOST.stat", host)
    door.answer("HOST.get_total_memory_mib", 4096)
    assert xenops("query") == command.DONE
    out = capsys.readouterr().out
    for words in ("sim 1 of us", "4.17 (hvm)", "8 in 1 socket, Acme 1", "4096 MiB"):
        assert words in out
    assert xenops("query", "--json") == command.DONE
    assert json.loads(capsys.readouterr().out)["query"]["name"] == "sim"


def test_the_pool_of_workers_has_a_size(xenops: Callable[..., int], door: Any) -> None:
    door.answer("HOST.set_worker_pool_size", None)
    assert xenops("set-worker-pool-size", "9") == command.DONE
    assert door.asked[0][1]["pool_size"] == 9


def test_any_method_can_be_called_by_its_name(xenops: Callable[..., int], door: Any, capsys: Capture) -> None:
    door.answer("VM.s3suspend", "7")
    assert xenops("call", "VM.s3suspend", "id=web1") == command.DONE
    assert capsys.readouterr().out == '"7"\n'
    door.answer("VM.set_xsdata", "8")
    assert xenops("call", "VM.set_xsdata", "id=web1", 'xsdata={"a": "1"}') == command.DONE
    assert door.asked[-1][1]["xsdata"] == (("a", "1"),)
    door.answer("HOST.set_numa_affinity_policy", None)
    assert xenops("call", "HOST.set_numa_affinity_policy") == command.DONE
    assert xenops("call", "HOST.set_numa_affinity_policy", "numa_affinity_policy=Any") == command.DONE
    assert [asked[1]["numa_affinity_policy"] for asked in door.asked[-2:]] == [None, "Any"]
    door.answer("VM.shutdown", "9")
    assert xenops("call", "VM.shutdown", "id=web1", "delay=5") == command.DONE
    assert door.asked[-1][1]["delay"] == 5.0


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ((), "--list"),
        (("VM.nonsense",), "--list"),
        (("vm.START",), "did you mean VM.start"),
        (("VM.pause",), "needs id as well"),
        (("VM.pause", "web1"), "takes id, each as name=value"),
        (("HOST.stat", "x=1"), "no parameters"),
        (("VM.delay", "id=a", "delay=soon"), "delay cannot be 'soon'"),
        (("VM.delay", "id=a", "delay=[]"), "delay cannot be '[]'"),
    ],
)
def test_a_call_that_makes_no_sense_is_a_usage_error(
    xenops: Callable[..., int], capsys: Capture, given: tuple[str, ...], words: str
) -> None:
    assert xenops("call", *given) == command.USAGE
    assert words in capsys.readouterr().err


def test_all_methods_are_listed_with_their_parameters(xenops: Callable[..., int], capsys: Capture) -> None:
    assert xenops("call", "--list") == command.DONE
    lines = capsys.readouterr().out.splitlines()[1:]
    assert [line.split()[0] for line in lines] == list(ALL_METHODS)
    assert "VM.delay id=... delay=..." in lines


def test_every_command_has_help(capsys: Capture) -> None:
    top = parser()
    [commands] = [action for action in top._actions if hasattr(action, "choices") and action.choices]
    for name in tuple(commands.choices or ()):
        with pytest.raises(SystemExit) as ended:
            top.parse_args([name, "--help"])
        assert ended.value.code == 0
        assert "usage: xenops" in capsys.readouterr().out


RFB = Console(protocol=ConsoleProtocol.RFB, port=5900, path="")
TEXT = Console(protocol=ConsoleProtocol.VT100, port=0, path="/dev/pts/9")


def test_a_text_console_comes_before_a_graphical_one() -> None:
    assert text_console("web1", (RFB, TEXT)) == "/dev/pts/9"
    with pytest.raises(ConsoleError, match="localhost:5900"):
        text_console("web1", (RFB,))
    with pytest.raises(ConsoleError, match="/run/vnc"):
        text_console("web1", (RFB.model_copy(update={"path": "/run/vnc"}),))
    with pytest.raises(ConsoleError, match="start it first"):
        text_console("web1", ())


def test_a_vm_without_a_text_console_fails_in_words(
    xenops: Callable[..., int], door: Any, capsys: Capture
) -> None:
    door.answer("VM.stat", (METADATA.vm, STATE))
    assert xenops("console", "web1") == command.FAILED
    assert "VNC viewer" in capsys.readouterr().err


class Terminal:
    """A keyboard and a screen, as pipes."""

    def __init__(self) -> None:
        self.keyboard, self.typing = os.pipe()
        self.shown, self.screen = os.pipe()

    def close(self) -> None:
        for fd in (self.keyboard, self.typing, self.shown, self.screen):
            os.close(fd)


def test_a_console_on_a_socket_is_talked_to_until_it_ends(tmp_path: Path) -> None:
    path = tmp_path / "console"
    terminal = Terminal()

    def guest(listener: socket.socket) -> None:
        connection, _ = listener.accept()
        with connection:
            connection.sendall(b"login: " + connection.recv(100))

    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listener:
        listener.bind(str(path))
        listener.listen()
        thread = threading.Thread(target=guest, args=(listener,))
        thread.start()
        os.write(terminal.typing, b"root\n")
        attach(str(path), terminal.keyboard, terminal.screen)
        thread.join()
    assert os.read(terminal.shown, 100) == b"login: root\n"
    terminal.close()


def test_a_console_on_a_terminal_is_left_by_the_escape_key() -> None:
    guest, path = os.openpty()
    terminal = Terminal()
    os.write(terminal.typing, b"hello" + ESCAPE + b"not sent")
    attach(os.ttyname(path), terminal.keyboard, terminal.screen)
    assert os.read(guest, 100) == b"hello"
    os.close(guest)
    os.close(path)
    terminal.close()


def test_a_keyboard_that_is_a_terminal_is_as_it_was_afterwards() -> None:
    guest, path = os.openpty()
    typing, keyboard = os.openpty()
    shown, screen = os.pipe()
    os.write(typing, b"x" + ESCAPE + b"\n")
    attach(os.ttyname(path), keyboard, screen)
    assert os.read(guest, 100) == b"x"
    for fd in (guest, path, typing, keyboard, shown, screen):
        os.close(fd)


def test_a_console_that_is_not_on_this_host_is_said_so(tmp_path: Path) -> None:
    with pytest.raises(ConsoleError, match="is this the VM's host"):
        attach(str(tmp_path / "none"), 0, 1)
