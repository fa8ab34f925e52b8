import re
import subprocess
import sys
import threading

import pytest
from bus.crash import CrashKind, CrashPoint, CrashPoints, crash_point
from bus.crashing import CrashingBus
from bus.memory import MemoryBroker, MemoryBus
from bus.ports import BEGINNING, Entry, Request
from schema.ids import InstanceName, TaskId, Term, VmId, WorkerName
from schema.operations import VmStart
from schema.records import Leased, Submitted

INSTANCE = InstanceName("i")
SUBMITTED = Submitted(
    vm=VmId("v"), operation=VmStart(vm=VmId("v"), force=False), request_id="r", dbg="doomed", accept_by=0.0
)


class Deaths:
    """What would have killed the process, in order."""

    def __init__(self) -> None:
        self.words: list[str] = []

    def points(self, kind: CrashKind, number: int) -> CrashPoints:
        return CrashPoints(CrashPoint("doomed", kind, number), self.words.append)


def test_without_the_variable_there_is_no_point() -> None:
    assert crash_point({}) is None
    points = CrashPoints()
    points.reach("doomed", CrashKind.STEP, "before all")
    assert points.name is None


def test_the_variable_names_a_task_a_kind_and_a_number() -> None:
    read = crash_point({"XENOPS_CRASH_POINT": "a:b:step:7"})
    assert read == CrashPoint("a:b", CrashKind.STEP, 7)


@pytest.mark.parametrize(
    "text", ["x", "x:step", "x:step:0", "x:step:one", ":step:1", "x:leap:1", "x:step:1:"]
)
def test_a_variable_that_makes_no_sense_is_refused_in_words(text: str) -> None:
    with pytest.raises(ValueError, match=re.escape(f"XENOPS_CRASH_POINT is {text!r}: give NAME:KIND:NUMBER")):
        crash_point({"XENOPS_CRASH_POINT": text})


def test_only_the_named_point_kills_and_only_once() -> None:
    deaths = Deaths()
    points = deaths.points(CrashKind.STEP, 2)
    points.reach("another", CrashKind.STEP, "no")
    points.reach("doomed", CrashKind.JOURNAL, "no")
    with points.around("doomed", CrashKind.STEP, "VM_create"):
        assert deaths.words == []
    points.reach("doomed", CrashKind.STEP, "too late")
    assert deaths.words == ["crash point 2 of doomed: step: after VM_create"]


def test_a_process_that_reaches_its_point_is_killed() -> None:
    script = (
        "from bus.crash import *; p = CrashPoints(CrashPoint('n', CrashKind.STEP, 1));"
        "p.reach('n', CrashKind.STEP, 'x'); print('alive')"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (-9, "")
    assert done.stderr == "crash point 1 of n: step: x\n"


def told(kind: CrashKind, number: int) -> list[str]:
    """What kills a process that reads and writes what befalls a task's VM, and another's."""
    deaths, read = Deaths(), threading.Event()
    broker = MemoryBroker()
    inner = MemoryBus(broker, "crashing")
    bus = CrashingBus(inner, deaths.points(kind, number), "doomed")
    inbox = bus.inbox(lambda _: None)

    def on_entry(entry: Entry) -> None:
        if entry.offset == 3:
            read.set()

    bus.tail(INSTANCE, BEGINNING, on_entry, lambda: None)
    other = SUBMITTED.model_copy(update={"vm": VmId("w"), "dbg": "spared", "request_id": "s"})
    for submitted in (other, SUBMITTED):
        lease = Leased(vm=submitted.vm, task=TaskId(0), worker=WorkerName("w"), term=Term(0))
        bus.append(INSTANCE, submitted).result(10.0)
        bus.append(INSTANCE, lease).result(10.0)
    assert read.wait(10.0)
    heard = threading.Event()
    last = bus.inbox(lambda _: heard.set())
    for name in ("s", "r"):
        bus.send(inbox, Request(b"", correlation_id=name))
    bus.send(last, Request(b""))
    assert heard.wait(10.0)
    bus.close()
    return deaths.words


@pytest.mark.parametrize(
    ("kind", "number", "what"),
    [
        (CrashKind.READ, 1, "before Submitted"),
        (CrashKind.READ, 2, "after Submitted"),
        (CrashKind.READ, 4, "after Leased"),
        (CrashKind.APPEND, 1, "before Submitted"),
        (CrashKind.APPEND, 4, "after Leased"),
        (CrashKind.TELL, 1, "before a word"),
        (CrashKind.TELL, 4, "after a word"),
    ],
)
def test_a_bus_counts_what_befalls_the_vm_of_the_named_task(kind: CrashKind, number: int, what: str) -> None:
    assert told(kind, number) == [f"crash point {number} of doomed: {kind}: {what}"]


@pytest.mark.parametrize("kind", [CrashKind.READ, CrashKind.APPEND, CrashKind.TELL])
def test_there_are_two_points_for_each_effect(kind: CrashKind) -> None:
    assert told(kind, 5) == []
