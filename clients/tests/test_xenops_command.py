"""The command: what it asks, what it prints, which code it ends with."""

import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from fake_states import STATE
from schema.objects.disk import LocalDisk, Vdi
from schema.objects.dynamic import TaskObject, VbdObject, VmObject
from schema.objects.errors import BadPowerState, DoesNotExist
from schema.objects.lane import Lanes
from schema.objects.pci import Pci, PciAddress, PciState
from schema.objects.quarantine import Quarantine, QuarantinedRecord
from schema.objects.task import Completed, Completion, Failed, Pending, Task, TaskState
from schema.objects.vbd import Vbd, VbdState
from schema.objects.vif import Vif, VifState
from schema.objects.vm import PowerState
from schema.wire.types import DeviceId
from xenops import Client, XenopsError
from xenops.command import main as command
from xenops.command.screen import PlainScreen, RichScreen, Shown, Table
from xenops.vmfile import parse_vm_file

TaskIn = Callable[[TaskState], Task]
Capture = pytest.CaptureFixture[str]
DONE = Completed(completion=Completion(duration=0.5))
VM = parse_vm_file('{"vm": {"id": "web1"}}', Path("/x")).vm


def ends(door: Any, task_in: TaskIn, *states: TaskState) -> None:
    """Task 7 goes through states, told one by one; the VM is paused in the end."""
    door.answer("UPDATES.last_id", 4)
    door.answer("Task.stat", *map(task_in, states))
    door.answer("UPDATES.get", ((), (TaskObject(id="7"),), 5))
    door.answer("Task.destroy", None)
    door.answer("VM.stat", (VM, STATE))


@pytest.mark.parametrize(
    "asked",
    [
        (("start", "web1"), "VM.start", {"paused": False}),
        (("shutdown", "web1"), "VM.shutdown", {"delay": None}),
        (("shutdown", "--timeout", "60", "web1"), "VM.shutdown", {"delay": 60.0}),
        (("reboot", "web1", "--timeout=5"), "VM.reboot", {"delay": 5.0}),
        (("pause", "web1"), "VM.pause", {}),
        (("unpause", "web1"), "VM.unpause", {}),
    ],
)
def test_an_operation_is_asked_for_waited_for_and_forgotten(
    xenops: Callable[..., int],
    door: Any,
    task_in: TaskIn,
    asked: tuple[tuple[str, ...], str, dict[str, Any]],
) -> None:
    argv, method, params = asked
    door.answer(method, "7")
    ends(door, task_in, DONE)
    assert xenops(*argv) == command.DONE
    assert door.asked[0] == (method, {"debug_info": "test", "id": "web1", **params})
    assert "Task.destroy" in door.methods()


def test_progress_is_told_line_by_line_without_a_terminal(
    xenops: Callable[..., int], door: Any, task_in: TaskIn, capsys: Capture
) -> None:
    door.answer("VM.start", "7")
    ends(door, task_in, Pending(progress=0.0), Pending(progress=0.5), Pending(progress=0.501), DONE)
    assert xenops("start", "web1") == command.DONE
    assert capsys.readouterr().err.splitlines() == [
        "start web1 (task 7): 0%",
        "start web1 (task 7): 50%",
        "start of web1 is done, in 0.500 s; it is paused: `xenops unpause web1` lets it run",
    ]


def test_only_of_a_paused_vm_it_is_said_that_it_is_paused(
    xenops: Callable[..., int], door: Any, task_in: TaskIn, capsys: Capture
) -> None:
    door.answer("VM.start", "7")
    ends(door, task_in, DONE)
    for answer in (
        (VM, STATE.model_copy(update={"power_state": PowerState.RUNNING})),
        XenopsError(DoesNotExist(klass="VM", id="web1/config")),
    ):
        door.answer("VM.stat", answer)
        assert xenops("start", "web1") == command.DONE
        assert capsys.readouterr().err.splitlines()[-1] == "start of web1 is done, in 0.500 s"
    assert door.methods().count("VM.start") == 2


def test_json_is_all_that_programs_get(
    xenops: Callable[..., int], door: Any, task_in: TaskIn, capsys: Capture
) -> None:
    door.answer("VM.start", "7")
    ends(door, task_in, DONE)
    assert xenops("--json", "start", "web1") == command.DONE
    assert capsys.readouterr() == ('{"task":"7","duration":0.5}\n', "")


def test_no_wait_prints_the_task(xenops: Callable[..., int], door: Any, capsys: Capture) -> None:
    door.answer("VM.start", "7")
    assert xenops("start", "web1", "--no-wait") == command.DONE
    assert capsys.readouterr().out == "7\n"
    assert door.methods() == ["VM.start"]


def test_a_failed_task_ends_the_command_with_its_sentence(
    xenops: Callable[..., int], door: Any, task_in: TaskIn, capsys: Capture
) -> None:
    door.answer("VM.start", "7")
    ends(door, task_in, Failed(error=["Bad_power_state", ["Running", "Halted"]]))
    assert xenops("start", "web1") == command.FAILED
    assert capsys.readouterr().err == "xenops: the VM is Running, but must be Halted for this\n"


def test_a_failure_is_json_for_programs(xenops: Callable[..., int], door: Any, capsys: Capture) -> None:
    error = BadPowerState(found=PowerState.RUNNING, expected=PowerState.HALTED)
    door.answer("VM.remove", XenopsError(error))
    assert xenops("remove", "web1", "--json") == command.FAILED
    told = json.loads(capsys.readouterr().out)
    assert told["error"] == ["Bad_power_state", ["Running", "Halted"]]
    assert "must be Halted" in told["message"]


def test_a_wait_that_is_too_long_ends_with_its_own_code(
    xenops: Callable[..., int], door: Any, task_in: TaskIn, capsys: Capture
) -> None:
    door.answer("VM.start", "7")
    ends(door, task_in, Pending(progress=0.0))
    assert xenops("start", "web1", "--wait", "0") == command.TIMEOUT
    assert "it goes on" in capsys.readouterr().err


def test_an_interrupted_wait_says_that_the_task_goes_on(
    xenops: Callable[..., int], door: Any, monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    door.answer("VM.start", "7")
    monkeypatch.setattr("xenops.command.operate.wait_for_task", interrupt)
    assert xenops("start", "web1") == command.INTERRUPTED
    assert "`xenops cancel 7` stops it" in capsys.readouterr().err


def test_an_interrupt_anywhere_else_is_quiet(capsys: Capture) -> None:
    def interrupt(_: object) -> Client:
        raise KeyboardInterrupt

    assert command.main(["list"], interrupt) == command.INTERRUPTED
    assert capsys.readouterr() == ("", "")


def test_a_bug_is_no_sentence() -> None:
    def bug(_: object) -> Client:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        command.main(["list"], bug)


def test_a_vm_is_added_with_its_devices(
    xenops: Callable[..., int], door: Any, tmp_path: Path, capsys: Capture
) -> None:
    file = tmp_path / "web1.json"
    parts = {
        "vm": {"id": "web1"},
        "vbds": [{"device": "xvda", "disk": "a"}],
        "vifs": [{"device": "0", "mac": "52:54:00:12:34:56"}],
        "pcis": [{"device": "0", "address": "0000:03:00.0"}],
    }
    file.write_text(json.dumps(parts))
    door.answer("VM.add", lambda vm, **_: vm.id)
    for method, name in (("VBD.add", "vbd"), ("VIF.add", "vif"), ("PCI.add", "pci")):
        door.answer(method, lambda name=name, **params: params[name].id)
    assert xenops("add", str(file)) == command.DONE
    assert door.methods() == ["VM.add", "VBD.add", "VIF.add", "PCI.add"]
    assert capsys.readouterr().out == "ADDED  ID\nVM     web1\nVBD    xvda\nVIF    0\nPCI    0\n"


def test_a_file_that_makes_no_sense_is_a_usage_error(
    xenops: Callable[..., int], tmp_path: Path, capsys: Capture
) -> None:
    assert xenops("add", str(tmp_path / "nothing.json")) == command.USAGE
    assert "nothing.json" in capsys.readouterr().err


def test_vms_are_listed(xenops: Callable[..., int], door: Any, capsys: Capture) -> None:
    door.answer("VM.list", ((VM, STATE),))
    assert xenops("list") == command.DONE
    assert capsys.readouterr().out.splitlines() == [
        "VM    NAME  STATE   DOMAIN  CPUS  MEMORY",
        "web1  web1  Paused  3       1     256 MiB",
    ]
    assert xenops("list", "--json") == command.DONE
    assert json.loads(capsys.readouterr().out)[0]["state"]["power_state"] == "Paused"


def test_one_vm_is_shown_with_its_devices(xenops: Callable[..., int], door: Any, capsys: Capture) -> None:
    disks = (LocalDisk(path="/disk"), Vdi(name="sr/vdi"), None)
    vbds = [
        Vbd(id=DeviceId("web1", f"xvd{letter}"), backend=disk)
        for letter, disk in zip("abc", disks, strict=True)
    ]
    vif = VifState(active=True, plugged=True, kthread_pid=0, media_present=True, pvs_rules_active=False)
    pci = Pci(id=DeviceId("web1", "0"), position=0, address=PciAddress(domain=0, bus=3, dev=31, fn=2))
    door.answer("VM.stat", (VM, STATE))
    door.answer("VBD.list", tuple((vbd, VbdState(active=True, plugged=True)) for vbd in vbds))
    door.answer("VIF.list", ((Vif(id=DeviceId("web1", "0")), vif),))
    door.answer("PCI.list", ((pci, PciState(plugged=False)),))
    assert xenops("stat", "web1") == command.DONE
    out = capsys.readouterr().out
    for words in ("Paused", "rfb 5900", "/disk (ReadWrite)", "sr/vdi", "empty", "0000:03:1f.2", "unplugged"):
        assert words in out
    assert xenops("stat", "web1", "--json") == command.DONE
    assert set(json.loads(capsys.readouterr().out)) == {"vm", "state", "vbds", "vifs", "pcis"}


def test_a_halted_vm_without_devices_is_shown(xenops: Callable[..., int], door: Any, capsys: Capture) -> None:
    halted = STATE.model_copy(update={"domids": (), "consoles": (), "last_start_time": 0.0})
    door.answer("VM.stat", (VM, halted))
    for method in ("VBD.list", "VIF.list", "PCI.list"):
        door.answer(method, ())
    assert xenops("stat", "web1") == command.DONE
    assert "DEVICE" not in capsys.readouterr().out


def test_tasks_are_shown_as_far_as_they_are(
    xenops: Callable[..., int], door: Any, task_in: TaskIn, capsys: Capture
) -> None:
    fixed = task_in(Pending(progress=0.25)).model_copy(update={"cancellable": False})
    failed = task_in(Failed(error="Media_not_present"))
    senseless = task_in(Failed(error=7))
    door.answer("Task.list", (task_in(DONE), fixed, task_in(Pending(progress=0.5)), failed, senseless))
    door.answer("LANE.list", Lanes(total=0, waiting=0, lanes=()))
    assert xenops("tasks") == command.DONE
    out = capsys.readouterr().out
    for words in ("done, in 0.500 s", "25%, no longer", "50%\n", "2026-"):
        assert words in out
    assert "failed: there is no medium in the drive: insert one first\n" in out
    assert "failed: 7\n" in out


def test_a_task_is_cancelled(xenops: Callable[..., int], door: Any, capsys: Capture) -> None:
    door.answer("Task.cancel", None)
    assert xenops("cancel", "7") == command.DONE
    assert "asked to stop" in capsys.readouterr().err


def test_a_vm_is_removed(xenops: Callable[..., int], door: Any) -> None:
    door.answer("VM.remove", None)
    assert xenops("remove", "web1") == command.DONE


def test_events_are_shown_with_the_token_to_go_on_from(
    xenops: Callable[..., int], door: Any, capsys: Capture
) -> None:
    xvda = VbdObject(id=DeviceId("web1", "xvda"))
    door.answer("UPDATES.get", (((77, (xvda,)),), (VmObject(id="web1"), xvda), 9))
    assert xenops("events", "--token", "5") == command.DONE
    captured = capsys.readouterr()
    assert captured.out == "Barrier  77\nVm       web1\nVbd      web1/xvda\n"
    assert "--token 9" in captured.err
    assert door.asked[0][1]["last_id"] == 5


def test_events_are_followed_until_interrupted(
    xenops: Callable[..., int], door: Any, client: Client, monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    door.answer("UPDATES.get", ((), (VmObject(id="a"),), 5), ((), (), 5), ((), (VmObject(id="b"),), 6))
    answered = client.call

    def call(method: str, /, **params: Any) -> Any:
        if len(door.asked) == 3:
            raise KeyboardInterrupt
        return answered(method, **params)

    monkeypatch.setattr(client, "updates", type(client.updates)(call))
    assert xenops("events", "--follow", "--json") == command.INTERRUPTED
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [line["objects"] for line in lines] == [[["Vm", "a"]], [["Vm", "b"]]]


def test_diagnostics_are_summed_up(xenops: Callable[..., int], door: Any, capsys: Capture) -> None:
    task = {"id": "7", "ctime": "20261122T22:14:59Z", "dbg": "lab", "subtasks": {}}
    report = {
        "tasks": [task],
        "workers": [{"state": "Processing x", "task": task}, {"state": "Idle"}],
        "queues": [{"tag": "web1", "works": ["VM_start"]}],
    }
    door.answer("get_diagnostics", json.dumps(report))
    assert xenops("diagnostics") == command.DONE
    out = capsys.readouterr().out
    assert "web1  VM_start" in out
    assert "1 idle" in out


@pytest.mark.parametrize(
    "argv", [["list"], ["--broker", "amqp://x", "list"], ["list", "--broker", "x", "--instance", "a,b"]]
)
def test_without_broker_or_instance_nothing_is_done(
    monkeypatch: pytest.MonkeyPatch, capsys: Capture, argv: list[str]
) -> None:
    monkeypatch.delenv("XENOPS_BROKER", raising=False)
    monkeypatch.delenv("XENOPS_INSTANCE", raising=False)
    assert command.main(argv) == command.USAGE
    assert "which" in capsys.readouterr().err


def test_a_service_that_is_not_there_has_its_own_code(client: Client, capsys: Capture) -> None:
    nobody = Client(client.door, "nobody", timeout_s=0.3)
    assert command.main(["list"], lambda _: nobody) == command.UNREACHABLE
    assert "nobody" in capsys.readouterr().err


def test_a_terminal_gets_tables_bars_and_text_as_it_is(capsys: Capture, task_in: TaskIn) -> None:
    screen = RichScreen()
    screen.show(Shown(None, (Table(("A", "B"), (("[red]x", "y"),)), Table(("",), (("z",),)))))
    screen.say("done [7]")
    with screen.progress("start [web1]") as on_progress:
        on_progress(task_in(Pending(progress=0.5)))
        on_progress(task_in(DONE))
    captured = capsys.readouterr()
    assert "[red]x" in captured.out
    assert "done [7]" in captured.err
    assert "start [web1]" in captured.err


def test_an_empty_table_is_its_headings() -> None:
    out = io.StringIO()
    PlainScreen(out, io.StringIO()).show(Shown([], (Table(("VM", "NAME"), ()),)))
    assert out.getvalue() == "VM  NAME\n"


def quarantined(offset: int) -> QuarantinedRecord:
    return QuarantinedRecord(
        log="i",
        offset=offset,
        reason="forged: a Leased",
        routing_key="i.vm.Started",
        user="mallory",
        producer="p" if offset else "",
        seq=offset,
        at=1_795_385_700.0 * bool(offset),
        size=4,
        shown=r"\x1b[2J",
    )


def test_what_is_in_quarantine_is_listed_and_one_of_it_is_shown_whole(
    xenops: Callable[..., int], door: Any, capsys: Capture
) -> None:
    seen_to = quarantined(0).model_copy(update={"done": "discarded", "by": "ann"})
    door.answer("QUARANTINE.list", Quarantine(total=7, records=(quarantined(5), seen_to)))
    assert xenops("quarantine") == command.DONE
    listed = capsys.readouterr()
    assert "mallory" in listed.out
    assert listed.out.count("discarded by ann") == 1
    assert "messages in quarantine: 7, shown: 2" in listed.err
    assert xenops("quarantine", "0") == command.DONE
    assert r"\x1b[2J" in capsys.readouterr().out
    assert xenops("quarantine", "5", "--json") == command.DONE
    assert json.loads(capsys.readouterr().out)["producer"] == "p"


def test_what_is_not_kept_in_quarantine_is_missed_in_words(
    xenops: Callable[..., int], door: Any, capsys: Capture
) -> None:
    door.answer("QUARANTINE.list", Quarantine(total=0, records=()))
    assert xenops("quarantine", "9") == command.FAILED
    assert "offset 9" in capsys.readouterr().err
