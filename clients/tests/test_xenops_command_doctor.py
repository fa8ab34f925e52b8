"""The command `xenops doctor`: each thing that may be wrong is found, and its remedy said."""

import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from bus.memory import MemoryBroker, MemoryBus
from bus.ports import BusUnavailableError, Entry
from fake_instance import FakeInstance
from schema.fault import internal_error
from schema.ids import InstanceName, Offset, VmId, WorkerName
from schema.log_records import Snapshotted
from schema.objects.events import Events, Readers
from schema.objects.host import ChipsetInfo, CpuInfo, Host, Hypervisor, Query
from schema.objects.lane import Lane, Lanes, StrandedVm, Worker
from schema.objects.quarantine import Quarantine, QuarantinedRecord
from schema.operations import VmStart
from schema.records import Heartbeat, Submitted
from xenops import Client, Log
from xenops.command import checks, machine
from xenops.command import main as command
from xenops.command.checks import Check, LogSeen, Verdict
from xenops.command.survey import RECORDS_LOOKED_AT, survey

Capture = pytest.CaptureFixture[str]
INSTANCE = InstanceName("an.instance")
DRAINED = Worker(worker="v", state="drained", capacity=4, busy=0, leases=0, silent_s=0.5)
DISCARDED = QuarantinedRecord(
    log="i",
    offset=5,
    reason="damaged",
    routing_key="i.v.Started",
    user="",
    producer="",
    seq=0,
    at=0.0,
    size=4,
    shown="x",
    done="discarded",
    by="ann",
)
BEHIND = Readers(token=1, count=2, behind=2000)
UP = Worker(worker="w", state="up", capacity=4, busy=1, leases=1, silent_s=0.5)
TEXTS = {name: "" for name, field in CpuInfo.model_fields.items() if field.annotation is str}
COUNTS = {"cpu_count": 8, "socket_count": 1, "threads_per_core": 2, "nr_nodes": 1}


def host_with(capabilities: str) -> Host:
    return Host(
        cpu_info=CpuInfo(**{**TEXTS, **COUNTS}),
        hypervisor=Hypervisor(version="H 1", capabilities=capabilities),
        chipset_info=ChipsetInfo(iommu=True, hvm=True),
    )


EVENTS = Events(token=1, seen=1, objects=0, readers=(), barriers=())
SUBMITTED = Submitted(vm=VmId("v"), operation=VmStart(vm=VmId("v")), request_id="r", dbg="d", accept_by=0.0)


class Well(FakeInstance):
    """An instance that is well."""

    def __init__(self) -> None:
        super().__init__()
        self.answers |= {
            "query": lambda: Query(name="sim", vendor="us", version="1", features=(), instance_id="i"),
            "WORKER.list": lambda: (UP,),
            "LANE.list": lambda limit: Lanes(total=0, waiting=0, lanes=()[:limit]),
            "EVENTS.stat": lambda: EVENTS,
            "QUARANTINE.list": lambda: Quarantine(total=0, records=()),
            "HOST.stat": lambda: host_with("kvm"),
        }


@pytest.fixture
def instance() -> Well:
    return Well()


@pytest.fixture
def heart(broker: MemoryBroker) -> Iterator[MemoryBus]:
    """A worker's heart beats in the log."""
    bus = MemoryBus(broker, "w")
    bus.append(INSTANCE, SUBMITTED, Snapshotted(service="eventhub", next=1, bytes=1)).result()

    def beat() -> None:
        bus.append(INSTANCE, Heartbeat(worker=WorkerName("w")))

    bus.every(0.02, beat)
    yield bus
    bus.close()


Doctor = Callable[..., tuple[int, dict[str, dict[str, Any]]]]


@pytest.fixture
def doctor(instance: Well, broker: MemoryBroker, capsys: Capture, tmp_path: Path) -> Doctor:
    def run(*options: str) -> tuple[int, dict[str, dict[str, Any]]]:
        connection = ("--broker", "amqp://me:hidden@here/", "--instance", INSTANCE)
        code = command.main(
            ("--json", *connection, "doctor", "--state-dir", str(tmp_path), *options),
            lambda _: Client(instance, "i"),
            lambda _: Log(MemoryBus(broker), INSTANCE, patience_s=0.1),
        )
        out = capsys.readouterr().out
        assert "hidden" not in out
        return code, {check["check"]: check for check in json.loads(out)}

    return run


@pytest.mark.usefixtures("heart")
def test_of_what_is_well_every_check_says_so(doctor: Doctor) -> None:
    code, found = doctor("--patience", "60")
    assert code == command.DONE
    about_the_instance = [check for check in found.values() if check["instance"]]
    assert {check["verdict"] for check in about_the_instance} == {"ok"}
    assert {check["check"] for check in about_the_instance} == {
        *(
            "frontend",
            "workers",
            "stranded",
            "redirector",
            "lanes",
            "eventhub",
            "readers",
            "quarantine",
            "worker",
        ),
        *("quarantine", "worker", "hypervisor", "log", "retention", "clock", "echo"),
    }
    assert found["broker"]["found"].startswith("amqp://me:…@here/, in ")


@pytest.mark.usefixtures("heart")
def test_several_instances_are_examined_and_people_are_told(
    instance: Well, broker: MemoryBroker, capsys: Capture
) -> None:
    instance.answers["HOST.stat"] = lambda: host_with("hvm tcg")
    argv = ("--broker", "unix:///s", "--instance", "a,b", "doctor", "--patience", "60")
    log = lambda given: Log(MemoryBus(broker), INSTANCE)  # noqa: ARG005, E731
    assert command.main(argv, lambda given: Client(instance, given.instance), log) == command.DONE
    shown = capsys.readouterr()
    assert shown.out.count("→ VMs are emulated") == 2
    assert "unix:///s" in shown.out
    assert ", 0 fail" in shown.err


def test_a_broker_that_is_not_reached_fails_and_this_machine_is_looked_at_all_the_same(
    capsys: Capture,
) -> None:
    def connect(_: object) -> Client:
        raise BusUnavailableError("nobody there")

    argv = ("--json", "--broker", "amqp://u:hidden@h/", "--instance", "i", "doctor")
    assert command.main(argv, connect) == command.FAILED
    out = capsys.readouterr().out
    found = {check["check"]: check["verdict"] for check in json.loads(out)}
    assert found["broker"] == "fail"
    assert found["disk"] == "skip"
    assert "access" in found
    assert "hidden" not in out
    assert command.main(("--broker", "", "doctor"), connect) == command.USAGE


@pytest.mark.parametrize(
    ("method", "service"),
    [
        ("WORKER.list", "redirector"),
        ("LANE.list", "lanes"),
        ("EVENTS.stat", "eventhub"),
        ("QUARANTINE.list", "quarantine"),
        ("HOST.stat", "worker"),
    ],
)
@pytest.mark.usefixtures("heart")
def test_a_service_that_does_not_answer_is_named(
    doctor: Doctor, instance: Well, method: str, service: str
) -> None:
    def fail(**_: Any) -> None:
        raise internal_error("nobody has answered")

    instance.answers[method] = fail
    code, found = doctor("--patience", "60")
    assert code == command.FAILED
    assert (found[service]["verdict"], found[service]["found"]) == ("fail", "nobody has answered")
    assert "start the" in found[service]["remedy"]


@pytest.mark.usefixtures("heart")
def test_a_frontend_that_answers_for_nobody_is_there_all_the_same(doctor: Doctor, instance: Well) -> None:
    def fail(**_: Any) -> None:
        raise internal_error("no worker is running")

    instance.answers["query"] = fail
    _, found = doctor("--patience", "60")
    assert (found["frontend"]["verdict"], found["worker"]["verdict"]) == ("ok", "ok")


STRANDED = [
    StrandedVm(id="a-0", own="a", state="kept", where="far:80"),
    StrandedVm(id="b-0", own="b", state="left over", where="near:80"),
    StrandedVm(id="c-1", own="c", state="overdue", where=""),
]


@pytest.mark.usefixtures("heart")
def test_what_migrations_have_left_is_named_once_with_what_to_do(doctor: Doctor, instance: Well) -> None:
    one, other = (UP.model_copy(update={"worker": name, "stranded": tuple(STRANDED)}) for name in "wv")
    instance.answers["WORKER.list"] = lambda: (one, other)
    code, found = doctor("--patience", "60")
    assert (code, found["stranded"]["verdict"]) == (command.DONE, "warn")
    words = (
        "a as a-0 until far:80 says whether it runs there; b as b-0 of one that runs elsewhere, until it can "
        "be taken away; c as c-1 until it can take its name"
    )
    assert found["stranded"]["found"] == words
    assert "bring the worker of far:80 back" in found["stranded"]["remedy"]
    assert "the worker's log says why" in found["stranded"]["remedy"]
    assert "bring" not in checks.of_stranded((UP.model_copy(update={"stranded": (STRANDED[2],)}),)).remedy


@pytest.mark.usefixtures("heart")
def test_without_a_frontend_nobody_else_is_asked(doctor: Doctor, instance: Well) -> None:
    instance.silent = 1
    code, found = doctor("--patience", "60")
    assert (code, found["frontend"]["verdict"], "worker" in found) == (command.FAILED, "fail", False)


def test_a_log_in_which_nothing_is_written_tells_no_time(doctor: Doctor, broker: MemoryBroker) -> None:
    bus = MemoryBus(broker, "w")
    bus.append(INSTANCE, SUBMITTED).result()
    bus.close()
    code, found = doctor("--patience", "0.5")
    assert code == command.DONE
    assert found["clock"]["verdict"] == "warn"
    assert "no worker writes" in found["clock"]["remedy"]


def test_a_log_to_which_nothing_was_written_lately_has_an_end_that_is_not_known(
    doctor: Doctor, broker: MemoryBroker, monkeypatch: pytest.MonkeyPatch
) -> None:
    bus = MemoryBus(broker, "w")
    bus.append(INSTANCE, SUBMITTED).result()
    bus.close()
    monkeypatch.setattr("xenops.command.survey.END_S", -60.0)
    _, found = doctor("--patience", "0.5")
    assert (found["log"]["verdict"], "echo" in found, "clock" in found) == ("warn", False, False)
    assert "nothing was written to it in the last minute" in found["log"]["found"]


def first_at(offset: int) -> Entry:
    return Entry(Offset(offset), time.time(), SUBMITTED)


@pytest.mark.usefixtures("heart")
def test_of_a_log_that_was_dropped_in_part_the_end_is_searched_for_snapshots(
    broker: MemoryBroker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("xenops.command.survey._first", lambda *_: first_at(1))
    assert survey(lambda: Log(MemoryBus(broker), INSTANCE), 60.0).warnings == ()
    monkeypatch.setattr("xenops.command.survey.MARKS_MAX", 0)
    seen = survey(lambda: Log(MemoryBus(broker), INSTANCE), 60.0)
    missing = f"redirector has put nothing away in the newest {RECORDS_LOOKED_AT} records"
    assert seen.warnings[-1] == missing
    monkeypatch.setattr("xenops.command.survey._first", lambda *_: first_at(5))
    late, missing = survey(lambda: Log(MemoryBus(broker), INSTANCE), 60.0).warnings
    assert "eventhub has put away the log up to 1, and the broker has dropped all before 5" in late
    assert "redirector" in missing


def test_a_log_that_is_empty_or_closed_is_a_warning(doctor: Doctor, instance: Well, capsys: Capture) -> None:
    _, found = doctor("--patience", "0.1")
    assert (found["log"]["verdict"], "echo" in found) == ("warn", False)
    assert "xenops-operator" in found["log"]["remedy"]
    argv = ("--broker", "unix:///s", "--instance", "i", "doctor")
    assert command.main(argv, lambda _: Client(instance, "i")) == command.DONE
    assert "keep their log in memory" in capsys.readouterr().out


@pytest.mark.usefixtures("heart")
def test_an_event_hub_that_falls_silent_has_no_echo(doctor: Doctor, instance: Well) -> None:
    def fall_silent(**_: Any) -> None:
        raise BusUnavailableError("gone")

    instance._about_task = fall_silent  # type: ignore[assignment, method-assign]
    instance.answers["Task.stat"] = fall_silent
    _, found = doctor("--patience", "60")
    assert found["echo"]["verdict"] == "fail"


SEEN = LogSeen(first=0, last=8, began_at=0.0, is_whole=True, late_s=0.0)


@pytest.mark.parametrize(
    ("check", "verdict", "words"),
    [
        (checks.of_answer("x", 2.0), "warn", "busy"),
        (checks.of_workers(()), "fail", "none has ever come"),
        (checks.of_workers((UP.model_copy(update={"silent_s": 20.0}),)), "fail", "silent for 20 s"),
        (
            checks.of_workers((UP, DRAINED)),
            "warn",
            "undrain",
        ),
        (
            checks.of_lanes(
                Lanes(total=1, waiting=1, lanes=(Lane(vm="v", held=True, blocked="", waiting=1),))
            ),
            "warn",
            "held: v",
        ),
        (
            checks.of_readers(EVENTS.model_copy(update={"readers": (BEHIND,)})),
            "warn",
            "2 clients",
        ),
        (checks.of_quarantine(Quarantine(total=3, records=())), "warn", "3 of the log's messages"),
        (checks.of_quarantine(Quarantine(total=2, records=(DISCARDED,))), "warn", "1 of the log's messages"),
        (checks.of_quarantine(Quarantine(total=1, records=(DISCARDED,))), "ok", "seen to what is in it"),
        (checks.of_echo(2.0, 7), "fail", "up to 7"),
        (checks.of_disk("/d", 1, 100), "fail", "make room"),
        (checks.of_disk("/d", 5, 100), "warn", "make room"),
        (checks.of_disk("/d", 50, 100), "ok", "50%"),
    ],
)
def test_what_is_not_well_is_judged(check: Check, verdict: str, words: str) -> None:
    assert check.verdict == verdict
    assert words in f"{check.found} {check.remedy}"


@pytest.mark.parametrize(
    ("seen", "verdicts"),
    [
        ({"is_whole": False}, {"log": "warn"}),
        ({"late_s": None}, {"log": "ok", "retention": "ok", "clock": "warn"}),
        ({"late_s": -3.0}, {"log": "ok", "retention": "ok", "clock": "warn"}),
        ({"late_s": 30.0, "warnings": ("late",)}, {"log": "ok", "retention": "warn", "clock": "fail"}),
    ],
)
def test_a_log_is_judged(seen: dict[str, Any], verdicts: dict[str, str]) -> None:
    changed = LogSeen(**{**{name: getattr(SEEN, name) for name in SEEN.__slots__}, **seen})
    assert {check.name: check.verdict for check in checks.of_log(changed, time.time())} == verdicts


@pytest.mark.parametrize(("seconds", "words"), [(300.0, "5 minutes"), (9_000.0, "2.5 hours")])
def test_it_is_said_how_far_a_log_goes_back(seconds: float, words: str) -> None:
    found = [
        check.found for check in checks.of_log(SEEN, SEEN.began_at + seconds) if check.name == "retention"
    ]
    assert found == [f"it goes back {words}, and no service needs more"]


def test_urls_are_shown_without_their_secrets() -> None:
    urls = "amqp://a:b@h:1/,amqps://c:d%40@g:2/v?x=y"
    assert checks.masked(urls) == "amqp://a:…@h:1/,amqps://c:…@g:2/v?x=y"
    assert checks.masked("unix:///s") == "unix:///s"


def test_a_state_directory_that_is_not_there_fails(tmp_path: Path) -> None:
    [check] = machine.of_state([tmp_path / "none"])
    assert check.verdict is Verdict.FAIL
    [check] = machine.of_state([])
    assert check.verdict is Verdict.SKIP


def test_access_to_qemu_is_judged(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shutil.which", lambda _: None)
    assert machine.of_access(tmp_path).verdict is Verdict.SKIP
    monkeypatch.setattr("shutil.which", lambda name: f"/bin/{name}")
    assert "emulated" in machine.of_access(tmp_path).found
    (tmp_path / "dev").mkdir()
    (tmp_path / "dev/kvm").touch()
    assert machine.of_access(tmp_path).verdict is Verdict.OK
    monkeypatch.setattr("os.access", lambda *_: False)
    assert "group of /dev/kvm" in machine.of_access(tmp_path).remedy


def test_access_to_xen_is_judged(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "proc/xen").mkdir(parents=True)
    (tmp_path / "proc/xen/capabilities").write_text("control_d\n")
    assert "privcmd may not be opened" in machine.of_access(tmp_path).found
    (tmp_path / "dev/xen").mkdir(parents=True)
    (tmp_path / "dev/xen/privcmd").touch()
    monkeypatch.setattr("xenops.command.machine.find_library", lambda _: None)
    assert "libxenctrl is not installed" in machine.of_access(tmp_path).found
    monkeypatch.setattr("xenops.command.machine.find_library", lambda name: f"lib{name}.so")
    assert "xenstored does not run" in machine.of_access(tmp_path).found
    (tmp_path / "var/run/xenstored").mkdir(parents=True)
    (tmp_path / "var/run/xenstored/socket").touch()
    assert machine.of_access(tmp_path).verdict is Verdict.OK
