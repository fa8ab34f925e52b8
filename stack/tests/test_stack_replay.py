"""An exported log is given to each service's core, offline."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from bus.exported import exported
from bus.ports import Entry
from bus.quarantine import Quarantined
from schema.ids import InstanceName, LeaseToken, Offset, TaskId, Term, VmId, WorkerName
from schema.log_records import LifeBegan
from schema.objects.dynamic import VmObject
from schema.objects.errors import InternalError
from schema.operations import Operation, VmCheckState, VmReboot, VmStart
from schema.records import (
    Barrier,
    CancelRequested,
    DeadlineSet,
    Elected,
    Failed,
    Finished,
    LaneHeld,
    Leased,
    Merged,
    Parked,
    Record,
    Removed,
    Reprioritised,
    Started,
    Submitted,
    Succeeded,
    WorkerDown,
    WorkerDraining,
    WorkerUp,
)
from stack.__main__ import main

Capture = pytest.CaptureFixture[str]
Lines = Callable[..., list[str]]

INSTANCE = InstanceName("an.instance")
W, VM, OTHER = WorkerName("w"), VmId("vm1"), VmId("vm2")


def submitted(operation: Operation, vm: VmId, request_id: str) -> Submitted:
    return Submitted(
        vm=vm, operation=operation, request_id=request_id, dbg="d", accept_by=1e12, reply_to="frontend"
    )


def leased(vm: VmId, task: int, worker: WorkerName = W) -> Leased:
    return Leased(vm=vm, task=TaskId(task), worker=worker, term=Term(0))


RECORDS: tuple[Record, ...] = (
    Elected(redirector="inbox"),
    WorkerUp(worker=W, epoch="e", capacity=4),
    submitted(VmStart(vm=VM), VM, "r2"),
    leased(VM, 2),
    Started(vm=VM, task=TaskId(2), token=LeaseToken(3), worker=W, changed=(VmObject(id=VM),)),
    submitted(VmReboot(vm=VM), VM, "r5"),
    submitted(VmReboot(vm=VM), VM, "r6"),
    LaneHeld(vm=OTHER),
    Reprioritised(vm=VM, task=TaskId(6), priority=3),
    DeadlineSet(vm=VM, task=TaskId(5), deadline=4102444800.0),
    Barrier(vm=VM, barrier=9),
    Finished(vm=VM, task=TaskId(2), outcome=Succeeded(), token=LeaseToken(3), duration_s=1.5),
    leased(VM, 6),
    Parked(vm=VM, task=TaskId(6), token=LeaseToken(12), until=4102444800.0),
    CancelRequested(vm=VM, task=TaskId(6)),
    submitted(VmCheckState(vm=OTHER), OTHER, "r15"),
    submitted(VmCheckState(vm=OTHER), OTHER, "r16"),
    Merged(vm=OTHER, task=TaskId(16), into=TaskId(15), term=Term(0)),
)
FORGED = Quarantined(
    log=INSTANCE,
    offset=Offset(len(RECORDS)),
    reason="forged",
    routing_key="k",
    user="xenops-client",
    producer=None,
    seq=None,
    at=None,
    size=1,
    shown="x",
)


def write(path: Path, *records: Record, first: int = 0) -> Path:
    entries = [Entry(Offset(first + number), 100.0 + number, one) for number, one in enumerate(records)]
    path.write_text("".join(exported(INSTANCE, entry) + "\n" for entry in entries))
    return path


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = write(tmp_path / "log.jsonl", *RECORDS)
    with path.open("a") as more:
        more.write(exported(INSTANCE, FORGED) + "\n" + '{"offset": 19, "envel')
    return path


@pytest.fixture
def lines(file: Path, capsys: Capture) -> Lines:
    def run(service: str, *options: str, path: Path = file) -> list[str]:
        assert main(["replay", str(path), "--service", service, *options]) == 0
        return capsys.readouterr().out.splitlines()

    return run


def test_a_redirectors_lanes_are_shown_with_tasks_leases_and_workers(lines: Lines) -> None:
    shown = lines("redirector")
    assert shown[0].startswith("line 20 is passed over: it does not parse")
    assert shown[1:] == [
        "redirector after 18 records, offsets 0 to 18, 1 in quarantine",
        "term 0, leader inbox",
        "worker w: up, 0 of 4 places taken, task 6",
        "2 tasks wait in 2 lanes",
        "lane vm1: 1 wait; task 6 VM_reboot runs on w, lease 12, parked",
        "  task 5 VM_reboot, since 1970-01-01T00:01:45, deadline 2100-01-01T00:00:00",
        "lane vm2: 1 wait, held",
        "  task 15 VM_check_state, since 1970-01-01T00:01:55",
        "task 16 ends with task 15",
    ]


def test_the_end_may_be_any_offset(lines: Lines) -> None:
    assert "lane vm1: 2 wait" in lines("redirector", "--to", "11")
    assert "lane vm1: 2 wait; task 2 VM_start runs on w, lease 3" in lines("redirector", "--to", "10")
    assert lines("redirector", "--to", "0")[1:] == ["term 0, leader inbox", "0 tasks wait in 0 lanes"]


def test_each_step_shows_what_the_leader_did(lines: Lines) -> None:
    shown = lines("redirector", "--steps")
    at = next(number for number, line in enumerate(shown) if " Submitted " in line)
    assert shown[at + 1] == "    appends Leased vm=vm1 task=2 worker=w term=0"
    assert shown[at + 2] == '    tells frontend: {"kind":"Accepted","request_id":"r2","task":2}'
    assert "    appends Merged vm=vm2 task=16 into=15 term=0" in shown
    assert any(" QUARANTINED " in line for line in shown)
    assert shown[-9:] == lines("redirector")[-9:]


def test_what_a_redirector_still_owes_is_shown(tmp_path: Path, lines: Lines) -> None:
    start = submitted(VmStart(vm=VM), VM, "same")
    path = write(
        tmp_path / "owed",
        WorkerUp(worker=W, epoch="e", capacity=1),
        start,
        start,
        CancelRequested(vm=VM, task=TaskId(1)),
        Reprioritised(vm=VM, task=TaskId(1), priority=3),
        WorkerDraining(worker=W, draining=True),
        WorkerDown(worker=W, epoch="e"),
    )
    assert lines("redirector", path=path)[1:] == [
        "term -1, leader nobody yet",
        "worker w: down, draining, 0 of 1 places taken, no task",
        "1 tasks wait in 1 lanes",
        "lane vm1: 1 wait",
        "  task 1 VM_start, since 1970-01-01T00:01:41, priority 3",
        "task 2 of vm1 repeats the request of task 1, and is to be refused",
        "task 1 of vm1 is to be cancelled",
    ]


def test_an_event_hubs_tasks_barriers_and_quarantine_are_shown(lines: Lines) -> None:
    shown = lines("eventhub")
    assert shown[2].endswith("objects, 1 VMs are known")
    assert shown[3:] == [
        "barrier 9 with 1 objects",
        "worker w: up, 4 places",
        "5 tasks",
        "  task 2 VM_start of vm1: done, in 1.500 s",
        "  task 5 VM_reboot of vm1: waits, 0%",
        "  task 6 VM_reboot of vm1: runs on w, lease 12, 0%",
        "  task 15 VM_check_state of vm2: waits, 0%",
        "  task 16 VM_check_state of vm2: ends with another, 0%",
        "1 messages in quarantine",
        "  18 by xenops-client: forged",
    ]


def test_each_step_shows_what_clients_are_told(lines: Lines) -> None:
    shown = lines("eventhub", "--steps")
    assert "    tells Vm vm1" in shown
    assert "    tells Task 2" in shown
    assert "    tells barrier 9: nothing" in shown  # that was not told before


def test_a_failed_task_is_shown_with_its_error(tmp_path: Path, lines: Lines) -> None:
    failed = Finished(vm=VM, task=TaskId(0), outcome=Failed(error=InternalError(message="no")))
    path = write(
        tmp_path / "failed", submitted(VmStart(vm=VM), VM, "r"), failed, Barrier(vm=OTHER, barrier=1)
    )
    [task] = [line for line in lines("eventhub", path=path) if line.startswith("  task 0")]
    assert "failed: " in task
    assert "Internal_error" in task
    assert "    tells barrier 1: nothing" in lines("eventhub", "--steps", path=path)


def test_a_workers_leases_are_shown_and_what_waits(lines: Lines) -> None:
    assert lines("worker")[2:] == [
        "worker w: epoch e, 4 places, term 0",
        "1 leases",
        "  task 6 VM_reboot of vm1, lease 12, parked until 2100-01-01T00:00:00, to be cancelled",
        "2 tasks wait, or are others'",
        "  task 5 VM_reboot of vm1",
        "  task 15 VM_check_state of vm2",
    ]


def test_each_step_shows_what_the_worker_did(lines: Lines, tmp_path: Path) -> None:
    shown = lines("worker", "--steps")
    assert "    runs task 2, lease 3" in shown
    assert "    stops whatever still runs of task 2" in shown
    assert "    cancels task 6" in shown
    path = write(
        tmp_path / "end", *RECORDS, leased(VM, 6), Removed(vm=OTHER), WorkerDown(worker=W, epoch="e")
    )
    shown = lines("worker", "--steps", path=path)
    assert "    runs task 6, lease 18, not before 2100-01-01T00:00:00, to be cancelled" in shown
    assert "    forgets what was noted of vm2" in shown
    assert any(line.startswith("    appends WorkerUp") for line in shown)
    anew = lines("worker", "--steps", path=write(tmp_path / "anew", *RECORDS, LifeBegan(reason="a test")))
    assert "    tells clients of every VM that its host has" in anew


def test_of_several_workers_one_is_to_be_named(tmp_path: Path, lines: Lines, capsys: Capture) -> None:
    other = WorkerUp(worker=WorkerName("x"), epoch="e", capacity=1)
    path = write(tmp_path / "two", *RECORDS, other)
    assert main(["replay", str(path), "--service", "worker"]) == 1
    assert "which worker? Name one by --worker; in" in capsys.readouterr().err
    assert lines("worker", "--worker", "x", path=path)[1] == "worker x: epoch e, 1 places, term 0"


def test_a_log_without_its_beginning_is_said_to_be_one(tmp_path: Path, lines: Lines) -> None:
    path = write(tmp_path / "late", *RECORDS, first=100)
    assert "what came before offset 100 is not in the file, so what it led to is not known" in lines(
        "redirector", path=path
    )


def test_a_record_of_a_newer_version_is_shown_and_passed_over(tmp_path: Path, lines: Lines) -> None:
    path = write(tmp_path / "newer", *RECORDS[:1])
    line = json.loads(path.read_text())
    line["offset"], line["envelope"]["record"]["kind"] = 1, "Newer"
    path.write_text(path.read_text() + json.dumps(line))
    shown = lines("redirector", "--steps", path=path)
    assert "QUARANTINED" in shown[1]
    assert shown[2] == "redirector after 1 records, offsets 0 to 1, 1 in quarantine"


def test_a_bug_of_the_core_is_shown_and_the_next_record_taken(
    lines: Lines, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr("redirector.fold.Fold._on_merged", fail)
    shown = lines("redirector")
    assert "    the core fails at offset 17:" in shown
    assert "    ZeroDivisionError" in shown
    assert "4 tasks wait in 2 lanes" not in shown
    assert "3 tasks wait in 2 lanes" in shown


@pytest.mark.parametrize("content", ["", "no log\n", "{}\n[]\n"])
def test_what_is_no_exported_log_is_refused(tmp_path: Path, content: str, capsys: Capture) -> None:
    path = tmp_path / "x"
    path.write_text(content)
    assert main(["replay", str(path), "--service", "redirector"]) == 1
    assert "`xenops log --export FILE` writes one" in capsys.readouterr().err
    assert main(["replay", str(tmp_path / "none"), "--service", "eventhub"]) == 1
    assert "cannot read the exported log" in capsys.readouterr().err
