"""The commands `xenops timeline` and `xenops top`: what a log and services tell, as pictures."""

import io
import json
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from bus.memory import MemoryBroker, MemoryBus
from bus.ports import BusUnavailableError, Entry
from bus.stories.story import State, Story
from fake_instance import FakeInstance
from rich.console import Console
from schema.ids import InstanceName, LeaseToken, Offset, TaskId, Term, VmId, WorkerName
from schema.objects.errors import InternalError
from schema.objects.lane import Lane, Lanes, LeasedTask, Worker
from schema.objects.task import Pending
from schema.operations import VmStart
from schema.overseen import Atom
from schema.records import (
    Elected,
    Failed,
    Finished,
    Leased,
    Progress,
    Record,
    Refused,
    Started,
    Submitted,
    Succeeded,
)
from typing_extensions import override
from xenops import Client, Log
from xenops.command import main as command
from xenops.command.arguments import parser
from xenops.command.screen import RichScreen
from xenops.command.timeline import LETTERS, of_stories
from xenops.command.top import Seen, Watched, beginning, show_top, watched

Capture = pytest.CaptureFixture[str]
INSTANCE = InstanceName("an.instance")
VM, OTHER = VmId("web1"), VmId("web2")
W = WorkerName("w")


def submitted(vm: VmId) -> Submitted:
    return Submitted(vm=vm, operation=VmStart(vm=vm), request_id=f"r{vm}", dbg="d", accept_by=0.0)


def of_first_task(kind: Callable[..., Any], **fields: Any) -> Any:
    return kind(vm=VM, task=TaskId(1), token=LeaseToken(2), **fields)


RECORDS: tuple[Record, ...] = (
    Elected(redirector="me"),
    submitted(VM),
    Leased(vm=VM, task=TaskId(1), worker=W, term=Term(0)),
    of_first_task(Started, worker=W),
    of_first_task(
        Finished,
        outcome=Failed(error=InternalError(message="no \x1b luck")),
        duration_s=0.2,
        atoms=(Atom("VM_build", 0.1, 0.1, failed=True), Atom("VM_create", 0.0, 0.1)),
    ),
    submitted(OTHER),
    Leased(vm=OTHER, task=TaskId(5), worker=W, term=Term(0)),
    Started(vm=OTHER, task=TaskId(5), token=LeaseToken(6), worker=W),
    Progress(vm=OTHER, task=TaskId(5), token=LeaseToken(6), fraction=0.5, atom="VBD_plug"),
)


@pytest.fixture
def filled(broker: MemoryBroker) -> MemoryBroker:
    bus = MemoryBus(broker, "writer")
    bus.append(INSTANCE, *RECORDS).result()
    bus.close()
    return broker


@pytest.fixture
def timeline(filled: MemoryBroker) -> Callable[..., int]:
    return lambda *argv: command.main(("timeline", *argv), log_of=lambda _: Log(MemoryBus(filled), INSTANCE))


def test_a_vms_tasks_are_drawn_with_their_steps_in_order(
    timeline: Callable[..., int], capsys: Capture
) -> None:
    assert timeline("web1") == command.DONE
    out = capsys.readouterr().out
    assert "VM_start" in out
    assert out.index("VM_create") < out.index("VM_build")
    assert "failed, at w" in out
    assert r"no \u001b luck" in out
    assert timeline("web2", "--task", "5") == command.DONE
    assert "VBD_plug" in (out := capsys.readouterr().out)
    assert "50% of the task is done" in out


def test_programs_get_tasks_as_values(timeline: Callable[..., int], capsys: Capture) -> None:
    assert timeline("web1", "--json") == command.DONE
    [task] = json.loads(capsys.readouterr().out)
    assert (task["task"], task["state"], task["worker"]) == ("1", "failed", "w")
    assert [atom["atom"] for atom in task["atoms"]] == ["VM_build", "VM_create"]
    assert task["atoms"][0]["failed"] is True


@pytest.mark.parametrize("argv", [("web3",), ("web1", "--task", "5")])
def test_a_vm_without_such_tasks_is_said_so(
    timeline: Callable[..., int], capsys: Capture, argv: tuple[str, ...]
) -> None:
    assert timeline(*argv) == command.FAILED
    assert f"of a VM {argv[0]}" in capsys.readouterr().err


def story(**fields: Any) -> Story:
    return Story(id=1, vm="v", operation="VM_start", dbg="d", submitted_at=0.0, **fields)


def bars(*stories: Story) -> list[str]:
    [table] = of_stories(stories, 10.0, 10, LETTERS).tables
    return [row[2] for row in table.rows]


def test_bars_are_as_long_as_what_they_stand_for() -> None:
    done = {"state": State.DONE, "leased_at": 2.0, "ended_at": 10.0, "duration_s": 8.0}
    atoms = (Atom("A", 0.0, 4.0), Atom("B", 4.0, 4.0, failed=True), Atom("C", 8.0, 0.0))
    assert bars(story(**done, atoms=atoms)) == [
        "..########",
        "  ####    ",
        "      xxxx",
        "         #",
    ]
    assert bars(story()) == [".........."]
    failed = {**done, "state": State.FAILED, "error": "why"}
    assert bars(story(**failed)) == ["..xxxxxxxx", ""]


LEASED = LeasedTask(task="5", operation="VM_start", worker="w", since=0.0, token=6, parked=False)
LANES = (
    Lane(vm="web9", held=True, blocked="the lane is held", waiting=3),
    Lane(vm="web2", held=False, blocked="task 5 runs", waiting=1, leased=LEASED),
)
WORKER = Worker(worker="w", state="up", capacity=4, busy=1, leases=1, silent_s=0.5)


class Busy(FakeInstance):
    """An instance in which something runs."""

    def __init__(self) -> None:
        super().__init__()
        self.task("5", Pending(progress=0.5))
        self.answers["LANE.list"] = lambda limit: Lanes(total=2, waiting=4, lanes=LANES[:limit])
        self.answers["WORKER.list"] = lambda: (WORKER,)


@pytest.fixture
def instance() -> Busy:
    return Busy()


def top(instance: Busy, broker: MemoryBroker, *argv: str) -> int:
    return command.main(
        ("top", *argv), lambda _: Client(instance, "i"), lambda _: Log(MemoryBus(broker), INSTANCE)
    )


def test_without_a_terminal_top_is_one_frame(instance: Busy, filled: MemoryBroker, capsys: Capture) -> None:
    assert top(instance, filled) == command.DONE
    out = capsys.readouterr().out
    for words in (
        "tasks: 1 running, 4 waiting, 0.0 end a second",
        "9 records",
        "VBD_plug",
        "=====",
        "50%",
        "1 of 4",
    ):
        assert words in out
    assert out.index("web2") < out.index("web9")
    assert "held" in out


def test_top_shows_so_many_lanes_as_wanted_and_says_that_there_are_more(
    instance: Busy, filled: MemoryBroker, capsys: Capture
) -> None:
    assert top(instance, filled, "--limit", "1", "--once") == command.DONE
    out = capsys.readouterr().out
    assert "web9" not in out
    assert "1 lanes more" in out
    assert top(instance, filled, "--json") == command.DONE
    shown = json.loads(capsys.readouterr().out)
    assert (shown["running"], shown["waiting"], shown["ended_per_s"]) == (1, 4, pytest.approx(1 / 60))
    assert [(lane["progress"], lane["step"]) for lane in shown["lanes"]] == [(0.5, "VBD_plug"), (None, None)]


def test_without_a_log_top_says_what_it_does_not_know(instance: Busy, capsys: Capture) -> None:
    argv = ("--broker", "unix:///s", "--instance", "i", "top")
    assert command.main(argv, lambda _: Client(instance, "i")) == command.DONE
    out = capsys.readouterr().out
    assert "? end a second" in out
    assert "keep their log in memory" in out


class Interrupted(Busy):
    """An instance that is out of reach once, and whose user then has seen enough."""

    def __init__(self, draws: int) -> None:
        super().__init__()
        self.silent = 1
        self._left = draws
        self.answers["WORKER.list"] = self._workers

    def _workers(self) -> tuple[Worker, ...]:
        self._left -= 1
        if not self._left:
            raise KeyboardInterrupt
        return (WORKER,)


def test_at_a_terminal_frames_are_drawn_until_interrupted(
    monkeypatch: pytest.MonkeyPatch, filled: MemoryBroker
) -> None:
    monkeypatch.setattr("xenops.command.top.EVERY_MIN_S", 0.0)
    screen, drawn = RichScreen(), io.StringIO()
    screen._out = Console(file=drawn, force_terminal=True, width=120, height=40)
    arguments = parser().parse_args(["top", "--every", "0"])
    with watched(lambda: Log(MemoryBus(filled), INSTANCE), 0.0) as seen:
        show_top(Client(Interrupted(3), "i"), seen, arguments, screen)
    assert drawn.getvalue().count("tasks: 1 running") == 2
    assert "nobody answers" in drawn.getvalue()


@pytest.fixture
def silent(broker: MemoryBroker) -> Iterator[Watched]:
    with watched(lambda: Log(Unreadable(broker), INSTANCE, patience_s=0.0), 0.0) as seen:
        yield seen


class Unreadable(MemoryBus):
    """A bus on which nothing can be read."""

    @override
    def tail_since(self, *_: object) -> None:
        """The broker refuses it."""

    @override
    def ready(self, timeout_s: float) -> None:
        raise BusUnavailableError(f"refused within {timeout_s:g} s.")


def test_a_log_that_may_not_be_read_is_said_so_in_each_frame(
    instance: Busy, silent: Watched, capsys: Capture
) -> None:
    assert silent.following is not None
    assert silent.following.await_that(lambda: bool(silent.following and silent.following.trouble), 60.0)
    assert command.main(("top",), lambda _: Client(instance, "i"), lambda _: silent_log()) == command.DONE
    assert "refused" in capsys.readouterr().out


def silent_log() -> Log:
    return Log(Unreadable(MemoryBroker()), INSTANCE, patience_s=0.0)


def test_tasks_that_ended_long_ago_count_for_no_rate(filled: MemoryBroker) -> None:
    with watched(lambda: Log(MemoryBus(filled), INSTANCE), 0.0) as seen:
        following = seen.following
        assert following is not None
        assert following.await_that(lambda: seen.seen.records == len(RECORDS), 60.0)
        assert seen.seen.rate(time.time()) == pytest.approx(1 / 60)
        assert seen.seen.rate(time.time() + 61.0) == 0.0


def leased_by(token: int, **fields: Any) -> LeasedTask:
    return LEASED.model_copy(update={"token": token, **fields})


class Unreachable(Busy):
    """An instance that never answers."""

    def __init__(self) -> None:
        super().__init__()
        self.silent = 1


def test_the_log_is_read_from_a_minute_ago_or_from_where_the_oldest_running_task_began() -> None:
    lane = LANES[1].model_copy(update={"leased": leased_by(6, since=1_000.0)})
    busy, idle = Busy(), Busy()
    busy.answers["LANE.list"] = lambda limit: Lanes(total=1, waiting=limit, lanes=(lane,))
    idle.answers["LANE.list"] = lambda limit: Lanes(total=0, waiting=limit, lanes=())
    assert beginning(Client(busy, "i")) == 995.0
    for instance in (idle, Unreachable()):
        assert beginning(Client(instance, "i")) == pytest.approx(time.time() - 65.0, abs=30.0)


def test_a_step_of_an_earlier_lease_is_none_of_the_one_that_runs() -> None:
    seen = Seen()
    seen.on_one(Entry(Offset(8), 0.0, RECORDS[-1]))
    other = leased_by(6, task="6")
    assert [seen.step(lease) for lease in (leased_by(6), leased_by(7), other)] == ["VBD_plug", "", ""]
    seen.on_one(Entry(Offset(9), 0.0, Finished(vm=OTHER, task=TaskId(5), outcome=Succeeded())))
    assert seen.step(leased_by(6)) == ""
    seen.on_one(Entry(Offset(10), 0.0, Refused(vm=VM, task=TaskId(9), error=InternalError(message="full"))))
    assert seen.rate(0.0) == pytest.approx(2 / 60)


def test_a_vms_tasks_before_the_time_that_is_looked_at_are_not_there(
    timeline: Callable[..., int], capsys: Capture
) -> None:
    assert timeline("web1", "--since", str(time.time() + 3600)) == command.FAILED
    assert "--since looks further back" in capsys.readouterr().err
    assert timeline("web1", "--since", "-600") == command.DONE


@pytest.mark.parametrize(("height", "lanes"), [(40, 2), (9, 1), (3, 1)])
def test_a_frame_fits_into_its_window_and_no_row_of_it_is_broken(
    monkeypatch: pytest.MonkeyPatch, filled: MemoryBroker, height: int, lanes: int
) -> None:
    monkeypatch.setattr("xenops.command.top.EVERY_MIN_S", 0.0)
    screen, drawn = RichScreen(), io.StringIO()
    screen._out = Console(file=drawn, force_terminal=True, width=60, height=height)
    arguments = parser().parse_args(["top", "--every", "0"])
    busy = Interrupted(2)
    busy.silent = 0
    with watched(lambda: Log(MemoryBus(filled), INSTANCE), 0.0) as seen:
        show_top(Client(busy, "i"), seen, arguments, screen)
    assert screen.height == height
    shown = drawn.getvalue()
    assert shown.count("web") <= lanes
    assert ("lanes more" in shown) == (lanes < 2 and height > 3)
