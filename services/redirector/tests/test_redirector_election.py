import pytest
from bus.ports import Entry
from redirector.core import Redirector
from redirector.effects import Append, Notify
from schema.ids import Offset, VmId
from schema.operations import VmStart
from schema.records import Elected, Submitted


def read(redirector: Redirector, offset: int, name: str) -> list[object]:
    """The redirector reads somebody's election."""
    return list(redirector.on_entry(Entry(Offset(offset), 0.0, Elected(redirector=name)), 0.0))


def test_who_holds_the_queue_stands_again_when_an_election_comes_late_of_one_that_leads_no_more() -> None:
    redirector = Redirector("me")
    redirector.on_leadership(held=True)
    read(redirector, 0, "me")
    assert read(redirector, 1, "other") == [Append(Elected(redirector="me"))]
    assert not redirector.leads
    read(redirector, 2, "me")
    assert redirector.leads


def test_who_stands_already_waits_for_its_election_to_be_read() -> None:
    redirector = Redirector("me")
    assert redirector.on_leadership(held=True) == [Append(Elected(redirector="me"))]
    assert read(redirector, 0, "other") == []
    read(redirector, 1, "me")
    assert redirector.leads


def test_who_has_lost_the_queue_does_not_stand_again() -> None:
    redirector = Redirector("me")
    redirector.on_leadership(held=True)
    read(redirector, 0, "me")
    redirector.on_leadership(held=False)
    assert read(redirector, 1, "other") == []


def standby(waiting: int) -> Redirector:
    """One that has read so many tasks of clients, and no word of a leader on them."""
    redirector = Redirector("me")
    for offset in range(waiting):
        vm = VmId(f"v{offset}")
        submitted = Submitted(
            vm=vm, operation=VmStart(vm=vm), request_id=f"r{offset}", dbg="", accept_by=9.0, reply_to="inbox"
        )
        redirector.on_entry(Entry(Offset(offset), 0.0, submitted), 0.0)
    return redirector


def told(effects: list[object]) -> list[str]:
    """Whose requests are accepted."""
    return [effect.notice.request_id for effect in effects if isinstance(effect, Notify)]


def test_who_waits_for_a_leader_that_died_is_told_in_turn_while_the_next_decides(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("redirector.core.TOLD_AT_ONCE", 2)
    redirector = standby(5)
    assert told(read(redirector, 5, "me")) == ["r0", "r1"]
    assert told(list(redirector.tell_some(0.0))) == ["r2", "r3"]
    assert redirector.has_more_to_tell
    assert told(list(redirector.tell_some(9.5))) == []  # who asked has given up
    assert not redirector.has_more_to_tell


def test_who_leads_no_more_tells_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("redirector.core.TOLD_AT_ONCE", 1)
    redirector = standby(2)
    read(redirector, 2, "me")
    assert redirector.has_more_to_tell
    read(redirector, 3, "other")
    assert not redirector.has_more_to_tell
    read(redirector, 4, "me")
    assert redirector.has_more_to_tell
    redirector.on_leadership(held=False)
    assert redirector.tell_some(0.0) == []
