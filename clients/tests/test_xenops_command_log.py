"""The command `xenops log`, on a log in memory."""

import json
import stat
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest
from bus.exported import imported
from bus.memory import MemoryBroker, MemoryBus
from bus.ports import BEGINNING, BusAddressError, BusUnavailableError, Entry
from bus.quarantine import Quarantined
from schema.ids import InstanceName, Offset, TaskId, Term, VmId, WorkerName
from schema.objects.errors import InternalError
from schema.operations import VmStart
from schema.overseen import Pinged
from schema.records import (
    Elected,
    Failed,
    Finished,
    Heartbeat,
    LaneHeld,
    Leased,
    Merged,
    Record,
    Submitted,
)
from typing_extensions import override
from xenops import Log, open_log
from xenops.command import main as command

Capture = pytest.CaptureFixture[str]
Xenops = Callable[..., int]

INSTANCE = InstanceName("an.instance")
VM = VmId("vm1")
TASK = TaskId(1)
SUBMITTED = Submitted(vm=VM, operation=VmStart(vm=VM), request_id="r", dbg="d", accept_by=0.0)
ENDED = Finished(vm=VM, task=TASK, outcome=Failed(error=InternalError(message="bad\x1b[2J news")))
RECORDS: tuple[Record, ...] = (
    Elected(redirector="me"),
    SUBMITTED,
    Leased(vm=VM, task=TASK, worker=WorkerName("w"), term=Term(0)),
    LaneHeld(vm=VmId("vm2")),
    Merged(vm=VmId("vm2"), task=TaskId(3), into=TASK),
    ENDED,
)
FORGED = Quarantined(
    log=INSTANCE,
    offset=Offset(6),
    reason="forged: as an example",
    routing_key="k",
    user=None,
    producer=None,
    seq=None,
    at=None,
    size=3,
    shown="x",
)


class BusWithForgery(MemoryBus):
    """A bus whose logs end with what no reader takes, in two logs."""

    @override
    def quarantined(self, on_quarantined: Callable[[Quarantined], None]) -> None:
        for log in (INSTANCE, InstanceName("another")):
            self.call_soon(partial(on_quarantined, replace(FORGED, log=log)))


@pytest.fixture
def filled(broker: MemoryBroker) -> MemoryBroker:
    bus = MemoryBus(broker, "writer")
    bus.append(INSTANCE, *RECORDS).result()
    bus.close()
    return broker


@pytest.fixture
def xenops(filled: MemoryBroker) -> Xenops:
    return lambda *argv: command.main(argv, log_of=lambda _: Log(MemoryBus(filled), INSTANCE))


@pytest.fixture
def lines(xenops: Xenops, capsys: Capture) -> Callable[..., list[str]]:
    def run(*options: str) -> list[str]:
        assert xenops("log", *options) == 0
        return capsys.readouterr().out.splitlines()

    return run


Lines = Callable[..., list[str]]


def test_each_record_is_a_line_with_offset_time_kind_vm_and_task(lines: Lines) -> None:
    shown = lines()
    assert [line.split()[0] for line in shown] == ["0", "1", "2", "3", "4", "5"]
    submitted, ended = shown[1].split(), shown[5]
    assert submitted[2:5] == ["Submitted", "vm1", "1"]
    assert submitted[5:7] == ["operation=VM_start(vm=vm1", "force=False)"]
    assert "outcome=Failed(" in ended
    assert "Internal_error" in ended


def test_what_is_written_though_nothing_happens_is_shown_to_who_asks_for_it(
    filled: MemoryBroker, lines: Lines, xenops: Xenops, capsys: Capture
) -> None:
    bus = MemoryBus(filled, "writer")
    bus.append(INSTANCE, Heartbeat(worker=WorkerName("w")), Pinged(by="page", number=1)).result()
    bus.close()
    assert xenops("log") == 0
    told = capsys.readouterr()
    assert [line.split()[0] for line in told.out.splitlines()] == ["0", "1", "2", "3", "4", "5"]
    assert "2 more are heartbeats, pings and snapshots: --all shows them" in told.err
    assert [line.split()[2] for line in lines("--all")[6:]] == ["Heartbeat", "Pinged"]
    assert [line.split()[0] for line in lines("--kind", "Pinged")] == ["7"]
    assert len(lines("--json")) == 8


def test_a_terminal_obeys_nothing_that_stands_in_a_log(lines: Lines) -> None:
    [ended] = lines("--kind", "Finished")
    assert r"bad\u001b[2J news" in ended


@pytest.mark.parametrize(
    ("options", "offsets"),
    [
        (("--vm", "vm1"), [1, 2, 5]),
        (("--vm", "vm1", "--vm", "vm2"), [1, 2, 3, 4, 5]),
        (("--task", "1"), [1, 2, 4, 5]),
        (("--task", "3"), [4]),
        (("--kind", "Leased", "--kind", "LaneHeld"), [2, 3]),
        (("--from", "2", "--to", "4"), [2, 3, 4]),
        (("--to", "100"), [0, 1, 2, 3, 4, 5]),
        (("--since", "2100-01-01"), []),
        (("--until", "2100-01-01T00:00:00+01:00"), [0, 1, 2, 3, 4, 5]),
        (("--since", "-3600", "--until", "4102444800"), [0, 1, 2, 3, 4, 5]),
        (("--since", "1.5h"), [0, 1, 2, 3, 4, 5]),
        (("--until", "7d"), []),
        (("--until", "0"), []),
    ],
)
def test_what_is_shown_may_be_chosen(lines: Lines, options: tuple[str, ...], offsets: list[int]) -> None:
    assert [json.loads(line)["offset"] for line in lines("--json", *options)] == offsets


def test_what_is_no_time_is_refused_with_examples(xenops: Xenops, capsys: Capture) -> None:
    with pytest.raises(SystemExit):
        xenops("log", "--since", "yesterday")
    assert "'yesterday' is no time: give one as 5m, 2h, 7d, or 2026-" in capsys.readouterr().err


def test_an_end_that_counts_for_nothing_ends_the_reading_all_the_same(lines: Lines) -> None:
    assert lines("--to", "3", "--kind", "Elected") == lines("--kind", "Elected")


def test_an_exported_file_is_its_owners_alone_and_has_all_that_was_read(
    xenops: Xenops, tmp_path: Path, capsys: Capture
) -> None:
    path = tmp_path / "log.jsonl"
    assert xenops("log", "--export", str(path)) == 0
    shown = capsys.readouterr()
    assert shown.out == ""
    assert "6 lines are in" in shown.err
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    found = [imported(line) for line in path.read_bytes().splitlines()]
    assert [one.record for one in found if isinstance(one, Entry)] == list(RECORDS)


def test_a_file_that_cannot_be_written_is_named(xenops: Xenops, tmp_path: Path, capsys: Capture) -> None:
    assert xenops("log", "--export", str(tmp_path / "no" / "log")) == 2
    assert "cannot write the log to" in capsys.readouterr().err


def test_what_no_service_takes_is_shown_with_why(filled: MemoryBroker, capsys: Capture) -> None:
    log = Log(BusWithForgery(filled), INSTANCE)
    assert command.main(["log", "--kind", "QUARANTINED"], log_of=lambda _: log) == 0
    [line] = capsys.readouterr().out.splitlines()
    assert line.split()[:5] == ["6", "-", "QUARANTINED", "-", "-"]
    assert line.endswith("by nobody says whom: forged: as an example")


def test_what_no_service_takes_is_not_chosen_by_what_it_does_not_say(
    filled: MemoryBroker, capsys: Capture
) -> None:
    for options in (("--task", "1"), ("--vm", "vm1"), ("--since", "0"), ("--from", "7")):
        log = Log(BusWithForgery(filled), INSTANCE)
        assert command.main(["log", "--json", *options], log_of=lambda _, log=log: log) == 0  # type: ignore[misc]
        assert "quarantined" not in capsys.readouterr().out


@pytest.fixture
def writer(broker: MemoryBroker) -> Iterator[MemoryBus]:
    bus = MemoryBus(broker, "writer")
    yield bus
    bus.close()


def test_whoever_follows_sees_what_comes(filled: MemoryBroker, writer: MemoryBus) -> None:
    with Log(MemoryBus(filled), INSTANCE) as log:
        found = log.read(Offset(5), follow=True)
        assert next(found).offset == 5
        writer.append(INSTANCE, LaneHeld(vm=VM))
        came = next(found)
        assert isinstance(came, Entry)
        assert (came.offset, came.record) == (6, LaneHeld(vm=VM))
        writer.append(INSTANCE, *RECORDS)
        assert [next(found).offset for _ in RECORDS] == [7, 8, 9, 10, 11, 12]


def test_a_log_of_which_little_is_looked_at_is_closed_at_once(
    filled: MemoryBroker, writer: MemoryBus, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("xenops.log.AHEAD_MAX", 2)
    writer.append(INSTANCE, *[LaneHeld(vm=VM)] * 100)
    with Log(MemoryBus(filled, "looker"), INSTANCE) as log:
        found = log.read()
        assert [next(found).offset for _ in range(3)] == [0, 1, 2]
        assert "bus-looker" in {thread.name for thread in threading.enumerate()}
        while not log._read.full():  # its thread goes on, and then waits for room
            threading.Event().wait(0.01)
    assert "bus-looker" not in {thread.name for thread in threading.enumerate()}


class SilentBus(MemoryBus):
    """A bus on which nothing can be read."""

    @override
    def tail(self, *_: object) -> None:
        """The broker refuses it."""

    @override
    def ready(self, timeout_s: float) -> None:
        raise BusUnavailableError("refused.")


def test_a_log_that_may_not_be_read_leads_to_words_that_name_who_may(
    broker: MemoryBroker, monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    monkeypatch.setattr("xenops.log.SILENCE_S", 0.01)
    assert command.main(["log"], log_of=lambda _: Log(SilentBus(broker), INSTANCE)) == 3
    assert "refused. Logs are read by the broker's user xenops-operator" in capsys.readouterr().err


class LateBus(MemoryBus):
    """A bus whose log comes when it has been asked for whether it is there."""

    @override
    def tail(self, *wanted: object) -> None:
        self._wanted = wanted

    @override
    def ready(self, timeout_s: float) -> None:
        super().tail(*self._wanted)  # type: ignore[arg-type]
        super().ready(timeout_s)


def test_a_log_that_comes_late_is_read(filled: MemoryBroker, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("xenops.log.SILENCE_S", 0.01)
    with Log(LateBus(filled), INSTANCE) as log:
        assert next(log.read(BEGINNING)).offset == 0


def test_services_without_a_broker_have_no_log_to_read(capsys: Capture) -> None:
    assert command.main(["--broker", "unix:///s", "--instance", "i", "log"]) == 3
    assert "keep their log in memory" in capsys.readouterr().err


def test_a_broker_that_is_no_broker_s_address_is_a_mistake_of_the_command(capsys: Capture) -> None:
    for line in (["log"], ["list"]):
        assert command.main(["--broker", "http://there/", "--instance", "i", *line]) == command.USAGE
        assert "it must look like amqp://" in capsys.readouterr().err
    with pytest.raises(BusAddressError, match="makes no sense"):
        open_log("gopher://127.0.0.1/", "i")


def test_the_log_command_needs_to_know_which(capsys: Capture) -> None:
    assert command.main(["--broker", "", "--instance", "i", "log"]) == 2
    assert "which broker?" in capsys.readouterr().err


def test_a_lease_is_shown_with_its_worker(lines: Lines) -> None:
    assert "worker=w" in lines("--kind", "Leased")[0]


def test_what_no_service_takes_is_shown_if_it_came_since_or_nobody_knows_when(broker: MemoryBroker) -> None:
    for at, shown in ((None, [FORGED.offset]), (5.0, [FORGED.offset]), (4.0, [])):
        with Log(BusWithDated(broker, at), INSTANCE) as log:
            assert [one.offset for one in log.read_since(5.0)] == shown


class BusWithDated(MemoryBus):
    """A bus whose log has nothing but what no reader takes, with a time or without."""

    def __init__(self, broker: MemoryBroker, at: float | None) -> None:
        super().__init__(broker)
        self._at = at

    @override
    def quarantined(self, on_quarantined: Callable[[Quarantined], None]) -> None:
        self.call_soon(partial(on_quarantined, replace(FORGED, at=self._at)))
