"""Requests that nobody serves: kept for a while, within bounds, and sent on again."""

import pytest
from bus.ports import Request
from bus.topology import DIRECT_REPLIES
from frontend.returned import AWAY_S, Returned

ONE = Request(b"one", "client", "1")
NOW = 1_000.0


def test_what_came_back_goes_on_again_until_its_time_is_over() -> None:
    returned = Returned()
    for now in (NOW, NOW + 1, NOW + AWAY_S - 0.1):
        assert returned.keeps("q", ONE, now)
        assert returned.due(now + 0.1) == [("q", ONE)]
        assert returned.due(now + 0.1) == []
    assert not returned.keeps("q", ONE, NOW + AWAY_S)
    assert returned.keeps("q", ONE, NOW + AWAY_S)  # another one of that name


def test_an_answer_for_which_there_was_no_connection_is_kept() -> None:
    returned, queue, answer = Returned(), f"{DIRECT_REPLIES}.a", Request(b"one", None, "1")
    assert returned.keeps(queue, answer, NOW)
    assert returned.due(NOW) == [(queue, answer)]


def test_what_does_not_come_back_any_more_is_forgotten() -> None:
    returned = Returned()
    assert returned.keeps("q", ONE, NOW)
    assert returned.due(NOW) == [("q", ONE)]
    assert returned.due(NOW + 2 * AWAY_S) == []
    assert returned.keeps("q", ONE, NOW + 2 * AWAY_S)


def test_what_nobody_awaits_and_what_cannot_be_told_from_another_is_not_kept() -> None:
    returned = Returned()
    assert not returned.keeps("q", Request(b"one", None, "1"), NOW)
    assert returned.keeps("q", ONE, NOW)
    assert not returned.keeps("q", Request(b"another", "client", "1"), NOW)
    assert returned.due(NOW) == [("q", ONE)]


def test_no_more_is_kept_than_there_is_room_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("frontend.returned.KEPT_MAX", 3)
    monkeypatch.setattr("frontend.returned.KEPT_BYTES_MAX", 10)
    returned = Returned()
    sizes = (4, 7, 6)  # the second is too much, the third is not
    kept = [returned.keeps("q", Request(bytes(size), "c", str(size)), NOW) for size in sizes]
    assert kept == [True, False, True]
    assert not returned.keeps("q", Request(b"x", "c", "x"), NOW)
    assert len(returned.due(NOW)) == 2
    assert returned.keeps("q", Request(bytes(10), "c", "y"), NOW)
    assert not returned.keeps("q", Request(b"", "c", "z"), NOW)  # there are three names
