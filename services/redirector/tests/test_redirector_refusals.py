from dataclasses import dataclass, field

from bus.ports import Entry
from redirector.core import TOLD_S, Redirector
from redirector.effects import Append, Notify
from redirector.requests import CLOCKS_DIFFER_S
from schema.again import is_undone
from schema.ids import Offset, TaskId, VmId
from schema.notices import Accepted, Notice, Rejected
from schema.objects.errors import InternalError
from schema.operations import VmStart
from schema.records import Elected, Record, Refused, Submitted

VM = VmId("vm")
NOW = 1000.0


@dataclass
class World:
    """A log that a leader and a standby read; what the leader has decided is written when told to."""

    log: list[Record] = field(default_factory=list)
    owed: list[Record] = field(default_factory=list)
    told: list[Notice] = field(default_factory=list)
    told_by_standby: list[Notice] = field(default_factory=list)
    leader: Redirector = field(default_factory=lambda: Redirector("me"))
    standby: Redirector = field(default_factory=lambda: Redirector("standby"))

    def __post_init__(self) -> None:
        self.append(Elected(redirector="me"))

    def append(self, record: Record, now: float = NOW) -> TaskId:
        entry = Entry(Offset(len(self.log)), NOW, record)
        self.log.append(record)
        for effect in self.leader.on_entry(entry, now):
            match effect:
                case Append(decided):
                    self.owed.append(decided)
                case Notify(_, notice):
                    self.told.append(notice)
        by_standby = self.standby.on_entry(entry, now)
        self.told_by_standby += [effect.notice for effect in by_standby if isinstance(effect, Notify)]
        return TaskId(entry.offset)

    def write(self, now: float = NOW) -> None:
        owed, self.owed = self.owed, []
        for record in owed:
            self.append(record, now)

    def submit_late(self, request_id: str = "r", reply_to: str | None = "in") -> TaskId:
        late = Submitted(
            vm=VM,
            operation=VmStart(vm=VM),
            request_id=request_id,
            dbg="",
            accept_by=NOW - 1.0,
            reply_to=reply_to,
        )
        return self.append(late)

    def refused(self) -> list[TaskId]:
        return [record.task for record in self.owed if isinstance(record, Refused)]


def test_a_refusal_is_told_once_it_is_written_and_by_every_replica() -> None:
    world = World()
    world.submit_late()
    assert world.told == []
    world.write()
    [told] = world.told
    assert isinstance(told, Rejected)
    assert isinstance(told.error, InternalError)
    assert "too late" in told.error.message
    assert world.told_by_standby == [told]


def test_a_refusal_of_what_nobody_waits_for_or_of_long_ago_is_not_told() -> None:
    world = World()
    world.submit_late(reply_to=None)
    world.submit_late("long ago")
    world.write(now=NOW + TOLD_S + 1.0)
    assert world.told == []


def test_a_refusal_of_a_term_that_was_over_refuses_nothing_and_is_not_told() -> None:
    world = World()
    task = world.submit_late()
    world.append(Elected(redirector="another"))
    world.write()
    assert world.told == []
    assert world.leader.lanes.find(task) is not None


def test_a_repeat_of_what_is_being_refused_is_refused_and_told_nothing_yet() -> None:
    world = World()
    first, second = world.submit_late(), world.submit_late()
    assert world.refused() == [first, second]
    assert world.told == []
    world.write()
    assert [type(told) for told in world.told] == [Rejected]
    assert len(world.leader.lanes) == 0
    assert world.leader.fold.repeats == {}


def test_a_repeat_of_what_was_refused_is_refused_too_also_after_a_snapshot() -> None:
    world = World()
    first = world.submit_late()
    world.write()
    world.leader.restore(world.leader.snapshot())
    world.append(Elected(redirector="me"))
    world.told.clear()
    again = world.submit_late()
    assert world.refused() == [again]
    [told] = world.told
    assert isinstance(told, Rejected)
    assert isinstance(told.error, InternalError)
    assert f"refused as task {first}" in told.error.message
    assert is_undone(told.error)


def test_a_repeat_after_the_election_of_another_is_what_the_first_is_by_then() -> None:
    world = World()
    first = world.submit_late()
    world.append(Elected(redirector="another"))
    world.append(Elected(redirector="me"))
    world.submit_late()
    assert world.told == [Accepted(request_id="r", task=first)]


def test_a_refused_request_is_forgotten_with_all_others() -> None:
    world = World()
    world.submit_late()
    world.write()
    requests = world.leader.fold.requests
    assert list(requests.refused()) == ["r"]
    requests.note("s", TaskId(99), at=NOW + CLOCKS_DIFFER_S, accept_by=float("inf"))
    assert list(requests.refused()) == []
    requests.refuse("unknown")
    assert not requests.is_refused("unknown")
