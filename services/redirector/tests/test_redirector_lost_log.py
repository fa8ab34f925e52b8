"""A log that has lost its end: what has waited since before may have been done, and is not done again."""

from bus.ports import Entry
from redirector.core import Redirector
from redirector.effects import Append, Effect
from redirector.fold import ONE_LOSS_S
from schema.ids import Offset, TaskId, VmId
from schema.log_records import LifeBegan
from schema.operations import VmStart
from schema.records import Elected, Failed, Finished, Record, Submitted

NOW = 1_000.0


class Log:
    """A log without workers, so that all waits, and a redirector that reads it."""

    def __init__(self) -> None:
        self.redirector = Redirector("me")
        self.length = 0

    def read(self, record: Record, at: float = NOW) -> list[Effect]:
        entry = Entry(Offset(self.length), at, record)
        self.length += 1
        return list(self.redirector.on_entry(entry, at))

    def submit(self) -> TaskId:
        vm = VmId(f"vm{self.length}")
        operation = VmStart(vm=vm)
        self.read(Submitted(vm=vm, operation=operation, request_id=str(vm), dbg="", accept_by=9e9))
        return TaskId(self.length - 1)


LOST = LifeBegan(reason="a test")
ELECTED = Elected(redirector="me")


def ended(effects: list[Effect]) -> list[TaskId]:
    """The tasks that are told to have failed, as nobody knows better."""
    failed = [effect.record for effect in effects if isinstance(effect, Append)]
    assert all(isinstance(record, Finished) and isinstance(record.outcome, Failed) for record in failed)
    assert all("look at the VM's state" in str(record) for record in failed)
    return [record.task for record in failed if isinstance(record, Finished)]


def test_a_leader_ends_what_has_waited_since_before_the_loss() -> None:
    log = Log()
    log.read(ELECTED)
    before = [log.submit(), log.submit()]
    assert ended(log.read(LOST)) == before
    assert ended(log.read(ELECTED)) == before  # what the last leader has not written


def test_who_leads_later_ends_it_then() -> None:
    log = Log()
    before = log.submit()
    assert log.read(LOST) == []
    after = log.submit()
    assert ended(log.read(ELECTED)) == [before]
    assert log.redirector.lanes.find(after) is not None


def test_services_that_say_so_later_end_nothing_that_was_asked_for_since() -> None:
    log = Log()
    log.read(ELECTED)
    log.read(LOST)
    log.submit()
    assert log.read(LOST, NOW + ONE_LOSS_S) == []
    after = log.submit()
    assert after in ended(log.read(LOST, NOW + 3 * ONE_LOSS_S))


def test_a_snapshot_knows_of_the_loss() -> None:
    log, later = Log(), Log()
    before = log.submit()
    log.read(LOST)
    later.redirector.restore(log.redirector.snapshot())
    later.length = log.length
    assert ended(later.read(ELECTED)) == [before]
