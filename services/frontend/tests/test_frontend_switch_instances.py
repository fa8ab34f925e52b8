"""Instances on the switch: their queues are served by us, whoever was there before."""

import pytest
from frontend.switch.core import Switch
from frontend.switch.effects import Acknowledged, Ask, Made, Removed, Sent
from frontend.switch.protocol import Entry, Message, MessageId
from frontend.switch.queues import Queue
from switch_room import INSTANCE, PENDING, Room, busy_room, messages


@pytest.fixture
def room() -> Room:
    return busy_room()


def test_a_request_to_an_instance_is_asked_of_it_and_its_answer_put_where_it_belongs(room: Room) -> None:
    assert room.post(1, f"/request/{INSTANCE}/replies", b"query") == (200, f'[["{INSTANCE}",0]]'.encode())
    id_ = MessageId(INSTANCE, 0)
    assert room.did(Ask) == [Ask(id_, b"query")]
    assert room.transfer(1, "replies") is PENDING
    room.answer(id_, b"answer")
    expected = {"payload": "answer", "kind": ["Response", [INSTANCE, 0]]}
    assert messages(room.answers[1]) == [[["replies", 0], expected]]
    assert room.did(Acknowledged) == [Acknowledged(id_)]
    room.answer(id_, b"again")
    assert room.effects == []


def test_an_answer_for_one_who_is_gone_is_dropped(room: Room) -> None:
    room.post(1, f"/request/{INSTANCE}/replies", b"query")
    room.leave(1)
    room.answer(MessageId(INSTANCE, 0), b"answer")
    assert room.did(Sent) == []
    assert room.did(Acknowledged) == [Acknowledged(MessageId(INSTANCE, 0))]


def test_an_answer_that_a_full_queue_does_not_take_is_dropped(
    room: Room, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("frontend.switch.queues.MESSAGES_MAX", 1)
    room.post(0, "/response/replies/wish/0", b"not fetched")
    room.post(1, f"/request/{INSTANCE}/replies", b"query")
    room.answer(MessageId(INSTANCE, 0), b"answer")
    assert room.did(Sent) == []
    assert room.did(Acknowledged) == [Acknowledged(MessageId(INSTANCE, 0))]


def test_an_answer_sent_to_an_instance_is_nothing_to_it(room: Room) -> None:
    assert room.post(1, f"/response/{INSTANCE}/x/0", b"what?") == (200, f'[["{INSTANCE}",0]]'.encode())
    assert room.did(Ask) == []
    assert room.did(Acknowledged) == [Acknowledged(MessageId(INSTANCE, 0))]


def test_an_instances_queue_cannot_be_destroyed(room: Room) -> None:
    assert room.get(1, f"/destroy/{INSTANCE}") == (200, b"")
    assert room.post(1, f"/request/{INSTANCE}/replies", b"x") == (200, f'[["{INSTANCE}",0]]'.encode())


def test_an_instance_of_another_frontend_is_asked_too_unless_a_client_serves_it(room: Room) -> None:
    other = "org.xen.xapi.xenops.classic"
    room.get(1, f"/persistent/{other}")
    room.post(1, f"/request/{other}/replies", b"x")
    assert room.did(Ask) == [Ask(MessageId(other, 0), b"x")]
    assert messages(room.transfer(0, other))
    room.post(1, f"/request/{other}/replies", b"y")
    assert room.did(Ask) == []


def test_a_client_whose_reply_queue_is_lost_has_it_again_when_it_asks(room: Room) -> None:
    room.post(1, "/request/wish/client", b"x")
    assert room.did(Made) == [Made("client", "client")]
    assert room.post(0, "/response/client/wish/0", b"y") == (200, b'[["client",0]]')


def test_the_switch_does_not_end_by_request(room: Room) -> None:
    answer = room.post(1, "/shutdown")
    assert answer is not None
    assert answer[0] == 403


def left_behind() -> Switch:
    """What a life before has left: requests that were not answered, and a session's queue."""
    switch = Switch((INSTANCE,), "us")
    asked = {
        number: Entry("client", 7, Message(body, "client")) for number, body in ((3, b"read"), (4, b"change"))
    }
    switch.queues.restore(Queue(INSTANCE, None, 5, asked))
    switch.queues.restore(Queue("client", "client", 9))
    switch.queues.restore(Queue("wish", None, 1, {0: Entry("client", 7, Message(b"x", "client"))}))
    return switch


def test_after_a_restart_reads_are_asked_again_and_changes_told_to_be_lost() -> None:
    room = Room(left_behind())
    assert room.did(Ask) == [Ask(MessageId(INSTANCE, 3), b"read")]
    assert room.did(Acknowledged) == [Acknowledged(MessageId(INSTANCE, 4))]
    room.get(1, "/login/client")
    found = messages(room.transfer(1, "client", after="8"))
    assert found == [[["client", 9], {"payload": "lost", "kind": ["Response", [INSTANCE, 4]]}]]
    room.answer(MessageId(INSTANCE, 3), b"late")
    assert [message[0] for message in messages(room.transfer(1, "client", after="9"))] == [["client", 10]]


def test_after_a_restart_sessions_have_a_while_to_come_back() -> None:
    back, gone = Room(left_behind()), Room(left_behind())
    assert back.switch.due_ns() == back.now.ns + 60_000_000_000
    back.get(1, "/login/client")
    for room in (back, gone):
        room.later(60.0)
        assert room.switch.due_ns() is None
    assert back.did(Removed) == []
    assert gone.did(Removed) == [Removed("client")]
    back.leave(1)
    assert back.did(Removed) == [Removed("client")]
