"""Pauses of the event hub's core: who is told when many are."""

import pytest
from bus.ports import Entry, Request
from eventhub.core import PAUSE_MAX_S, PAUSE_PER_CLIENT_S
from hub_in_hand import DONE, VM, XVDA, Hub, changed
from schema.ids import Offset
from schema.objects.dynamic import VmObject
from schema.rpc import encode_request


@pytest.fixture
def hub() -> Hub:
    return Hub()


def wait_for_news(hub: Hub, *who: str) -> int:
    """All wait for what comes next; answers the token that they have."""
    token = hub.get("asks first", None)[2]
    for each in who:
        hub.answers.pop(each, None)
        assert hub.get(each, token) is None
    return int(token)


def test_nobody_is_to_be_told_before_the_log_is_read() -> None:
    hub = Hub(live=False)
    hub.core.on_entry(Entry(Offset(0), 0.0, changed()))
    assert not hub.core.is_live
    assert hub.core.due_s(hub.now) is None
    hub.perform(hub.core.on_live(hub.now))
    assert hub.get("a", 0) == ((), (VmObject(id=VM),), 1)


def test_many_who_were_told_are_left_alone_for_a_while(hub: Hub) -> None:
    hub.read(changed())
    wait_for_news(hub, "a", "b", "c")
    hub.read(changed(XVDA))
    assert hub.told("a") == hub.told("b") == hub.told("c") == ((), (XVDA,), 2)
    wait_for_news(hub, "a", "b", "c")
    hub.read(changed())
    assert hub.told("a") is None
    hub.now += hub.core.due_s(hub.now) or 0.0
    hub.read(changed(XVDA))
    assert hub.told("a") == hub.told("b") == hub.told("c") == ((), (VmObject(id=VM), XVDA), 4)


def test_one_client_alone_is_told_at_once_again_and_again(hub: Hub) -> None:
    hub.read(changed())
    for place in range(2, 5):
        wait_for_news(hub, "a")
        hub.read(changed())
        assert hub.told("a")[2] == place


def test_while_many_are_left_alone_only_who_cannot_wait_is_told(hub: Hub) -> None:
    hub.read(changed())
    before = wait_for_news(hub, "a", "b", "c")
    hub.read(changed(XVDA))
    told = hub.told("a")[2]
    hub.read(changed())
    assert hub.get("late", before) is None
    assert hub.get("new", None) == ((), (XVDA, VmObject(id=VM)), 3)
    assert hub.get("prompt", told) is None
    assert hub.get("impatient", told, timeout=0) == ((), (VmObject(id=VM),), 3)
    assert hub.core.due_s(hub.now) == pytest.approx(2 * PAUSE_PER_CLIENT_S)
    hub.now += hub.core.due_s(hub.now) or 0.0
    hub.perform(hub.core.on_batch(hub.now))
    assert hub.told("late") == ((), (XVDA, VmObject(id=VM)), 3)
    assert hub.told("prompt") == ((), (VmObject(id=VM),), 3)


def test_who_missed_the_last_news_is_told_after_the_pause_though_nothing_new_has_come(hub: Hub) -> None:
    hub.read(changed())
    before = wait_for_news(hub, "a", "b", "c")
    hub.read(changed(XVDA))
    told = hub.told("a")[2]
    assert hub.core.due_s(hub.now) is None
    assert hub.get("late", before) is None
    assert hub.get("prompt", told) is None
    hub.now += hub.core.due_s(hub.now) or 0.0
    hub.perform(hub.core.on_batch(hub.now))
    assert hub.told("late") == ((), (XVDA,), 2)
    assert hub.told("prompt") is None
    assert hub.core.due_s(hub.now) is None
    hub.now += 1_000
    hub.perform(hub.core.on_time(hub.now))
    assert hub.told("prompt") == ((), (), 2)


def test_many_who_ask_at_once_for_what_has_come_long_ago_share_one_answer(hub: Hub) -> None:
    hub.read(changed(), changed(XVDA))
    for who in ("a", "b", "c"):
        body = encode_request("UPDATES.get", debug_info="lab", last_id=1, timeout=30)
        hub.perform(hub.core.on_request(Request(body, who, who), hub.now))
    assert hub.sent == 0
    hub.tell_if_due()
    assert hub.told("a") == hub.told("b") == hub.told("c") == ((), (XVDA,), 2)
    assert hub.sent == 1


def test_however_many_are_told_the_next_news_is_told_in_time(hub: Hub) -> None:
    hub.read(changed())
    wait_for_news(hub, *map(str, range(1_000)))
    hub.read(changed(XVDA))
    hub.read(changed())
    assert hub.core.due_s(hub.now) == pytest.approx(PAUSE_MAX_S)


def test_a_wish_that_is_read_back_is_answered_while_many_are_left_alone(hub: Hub) -> None:
    hub.read(changed())
    wait_for_news(hub, "a", "b", "c")
    hub.read(changed(XVDA))
    assert hub.ask("x", "UPDATES.inject_barrier", vm_id=VM, id=7) is None
    hub.read_own()
    assert hub.answers["x"] == DONE
