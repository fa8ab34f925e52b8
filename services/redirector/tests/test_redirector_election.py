from bus.ports import Entry
from redirector.core import Redirector
from redirector.effects import Append
from schema.ids import Offset
from schema.records import Elected


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
