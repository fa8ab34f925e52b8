"""The switch's core, spoken to as its clients do: every rule of the original, and our own limits."""

from collections.abc import Callable
from typing import Any

import pytest
from frontend.switch.effects import Acknowledged, Made, Removed, Sent
from switch_room import INSTANCE, PENDING, Room, busy_room, messages


@pytest.fixture
def room() -> Room:
    return busy_room()


def test_a_request_and_its_answer_pass_as_in_the_original(room: Room) -> None:
    assert room.post(1, "/request/wish/replies", b'{"hello":1}') == (200, b'[["wish",0]]')
    assert room.transfer(0, "wish") == (
        200,
        b'{"messages":[[["wish",0],{"payload":"{\\"hello\\":1}","kind":["Request","replies"]}]],"next":"0"}',
    )
    assert room.post(0, "/response/replies/wish/0", b'{"reply":2}') == (200, b'[["replies",0]]')
    assert room.get(0, "/ack/wish/0") == (200, b"")
    assert room.transfer(1, "replies") == (
        200,
        b'{"messages":[[["replies",0],{"payload":"{\\"reply\\":2}","kind":["Response",["wish",0]]}]],"next":"0"}',
    )
    assert room.get(1, "/ack/replies/0") == (200, b"")
    assert room.transfer(1, "replies", after="0", timeout=0) == (200, b'{"messages":[],"next":"0"}')


def test_who_is_not_logged_in_is_told_to(room: Room) -> None:
    for target in ("/list/", "/transient/x", "/destroy/wish", "/ack/wish/0"):
        assert room.get(2, target) == (404, b"Please log in.")
    assert room.post(2, "/request/wish/replies", b"x") == (404, b"Please log in.")
    assert room.transfer(2, "wish") == (404, b"Please log in.")


@pytest.mark.parametrize(
    ("method", "target", "body"),
    [
        ("GET", "/nonsense/path", b""),
        ("GET", "/list/x", b"a body"),
        ("PUT", "/list/x", b""),
        ("POST", "/shutdown", b"x"),
        ("POST", "/list/x", b""),
        ("GET", "/ack/wish", b""),
        ("GET", "/admin/index.html", b""),
    ],
)
def test_other_paths_are_not_found(room: Room, method: str, target: str, body: bytes) -> None:
    assert room.ask(1, method, target, body) == (404, f"Not found: {target}".encode())


@pytest.mark.parametrize(
    "body",
    [
        b"junk",
        b"[]",
        b"{}",
        b'{"timeout":1,"queues":"x"}',
        b'{"timeout":"x","queues":[]}',
        b'{"from":null,"timeout":1,"queues":[]}',
        b'{"from":"x","timeout":1,"queues":[]}',
    ],
)
def test_a_transfer_that_cannot_be_read_is_the_originals_internal_error(room: Room, body: bytes) -> None:
    assert room.post(1, "/transfer", body) == (500, b"Error: Internal Server Error")


@pytest.mark.parametrize(
    "target", ["/ack/wish/x", "/trace/x/1", "/trace/1/x", "/ack/wish/9223372036854775808"]
)
def test_numbers_that_are_none_are_internal_errors_too(room: Room, target: str) -> None:
    assert room.get(1, target) == (500, b"Error: Internal Server Error")


def test_a_message_to_a_queue_that_is_not_there_is_dropped(room: Room) -> None:
    assert room.post(1, "/request/nosuch/replies", b"x") == (200, b"[]")
    assert room.did(Sent) == []


def test_what_is_unknown_may_be_acknowledged_and_destroyed(room: Room) -> None:
    for target in ("/ack/wish/99", "/ack/nosuch/0", "/destroy/nosuch"):
        assert room.get(1, target) == (200, b"")
    assert room.did(Acknowledged) == []


def test_queues_are_listed_by_prefix_the_last_first(room: Room) -> None:
    room.get(0, "/persistent/wisher")
    assert room.get(1, "/list/wis") == (200, b'["wisher","wish"]')
    assert room.get(1, "/list/zzz") == (200, b"[]")
    expected = f'["wisher","wish","replies","{INSTANCE}"]'.encode()
    assert room.get(1, "/list/") == (200, expected)


def test_alive_are_queues_that_somebody_has_waited_for(room: Room) -> None:
    assert room.get(1, "/list/alive/") == (200, f'["{INSTANCE}"]'.encode())
    assert room.transfer(0, "wish", "unborn") is PENDING
    assert room.get(1, "/list/alive/w") == (200, b'["wish"]')
    room.get(1, "/persistent/unborn")
    assert room.get(1, "/list/alive/u") == (200, b'["unborn"]')


def test_names_may_be_quoted(room: Room) -> None:
    assert room.get(0, "/persistent/drive.exe%3A6834?x=1#y") == (200, b"drive.exe:6834")
    assert room.get(0, "/persistent/%E6%97%A5%FF") == (200, "日".encode() + b"\xff")
    assert room.get(0, "http://switch/persistent/a%2520b") == (200, b"a b")
    assert room.get(0, "/persistent/a%25b") == (200, b"a%b")
    assert room.get(0, "/list/%E6") == (200, b'["' + "日".encode() + b'\xff"]')


def test_a_transfer_waits_for_the_next_message(room: Room) -> None:
    assert room.transfer(0, "other", "wish", "other") is PENDING
    room.post(1, "/request/wish/replies", b"x")
    assert messages(room.answers[0]) == [[["wish", 0], {"payload": "x", "kind": ["Request", "replies"]}]]
    assert room.switch.due_ns() is None


def test_a_transfer_waits_no_longer_than_it_says(room: Room) -> None:
    assert room.transfer(0, "wish", after="7", timeout=2.0) is PENDING
    assert room.switch.due_ns() == room.now.ns + 2_000_000_000
    room.later(1.9)
    assert room.answers == {}
    room.later(0.1)
    assert room.answers[0] == (200, b'{"messages":[],"next":"7"}')


@pytest.mark.parametrize("timeout", ["0", "-1", "NaN"])
def test_a_transfer_without_time_is_answered_at_once(room: Room, timeout: str) -> None:
    body = f'{{"timeout":{timeout},"queues":["wish"]}}'.encode()
    assert room.post(0, "/transfer", body) == (200, b'{"messages":[],"next":"-1"}')


def test_all_who_wait_for_a_queue_get_its_message_and_only_new_ones(room: Room) -> None:
    room.get(2, "/login/another")
    assert room.transfer(0, "wish") is room.transfer(2, "wish", after="0") is PENDING
    room.post(1, "/request/wish/replies", b"x")
    assert list(room.answers) == [0]
    room.answers.clear()
    room.post(1, "/request/wish/replies", b"y")
    assert [found[0] for found in messages(room.answers[2])] == [["wish", 1]]


def test_a_message_is_delivered_until_it_is_acknowledged(room: Room) -> None:
    for body in (b"x", b"y"):
        room.post(1, "/request/wish/replies", body)
    room.get(2, "/login/another")
    for connection in (0, 2):
        found = messages(room.transfer(connection, "wish"))
        assert [message[0] for message in found] == [["wish", 1], ["wish", 0]]
    room.get(0, "/ack/wish/1")
    assert [message[0] for message in messages(room.transfer(2, "wish"))] == [["wish", 0]]


def test_waits_that_were_answered_are_not_remembered_until_their_time(room: Room) -> None:
    for number in range(3_000):
        assert room.transfer(0, "wish", after=str(number - 1), timeout=80_000.0) is PENDING
        room.post(1, "/request/wish/replies", b"x")
        assert messages(room.answers.pop(0))
        room.get(0, f"/ack/wish/{number}")
    assert len(room.switch._due) < 2_000


def test_a_transient_queue_goes_with_the_last_connection_of_its_session(room: Room) -> None:
    room.get(3, "/login/client")
    room.leave(1)
    assert room.get(0, "/list/rep") == (200, b'["replies"]')
    room.leave(3)
    assert room.did(Removed) == [Removed("replies")]
    assert room.get(0, "/list/rep") == (200, b"[]")
    assert room.post(0, "/response/replies/wish/0", b"x") == (200, b"[]")


def test_a_queue_that_is_there_stays_as_it_is(room: Room) -> None:
    room.get(0, "/transient/replies")
    room.get(0, "/persistent/replies")
    assert room.did(Made) == []
    room.leave(0)
    assert room.get(1, "/list/replies") == (200, b'["replies"]')


def test_a_queue_that_is_destroyed_takes_its_messages_along(room: Room) -> None:
    room.post(1, "/request/wish/replies", b"x")
    assert room.get(0, "/destroy/wish") == room.get(0, "/destroy/replies") == (200, b"")
    room.get(0, "/persistent/wish")
    room.get(1, "/transient/one")
    room.get(1, "/transient/two")
    room.get(1, "/destroy/one")
    assert room.transfer(0, "wish", timeout=0) == (200, b'{"messages":[],"next":"-1"}')
    room.leave(1)
    assert room.did(Removed) == [Removed("two")]


def test_one_who_leaves_while_he_waits_is_forgotten(room: Room) -> None:
    assert room.transfer(0, "wish", "other") is PENDING
    assert room.get(3, "/trace/1000/5") is PENDING
    room.leave(0)
    room.leave(3)
    room.post(1, "/request/wish/replies", b"x")
    room.later(6.0)
    assert room.answers == {}
    assert room.switch.due_ns() is None


def test_a_connection_may_have_several_sessions_and_speaks_as_the_first_by_name(room: Room) -> None:
    room.get(1, "/login/zebra")
    room.get(1, "/login/ant")
    room.get(1, "/transient/ants")
    room.leave(1)
    assert {removed.queue for removed in room.did(Removed)} == {"replies", "ants"}


def fill_queue(room: Room) -> tuple[int, bytes] | None:
    room.post(1, "/request/wish/replies", b"x")
    return room.post(1, "/request/wish/replies", b"x")


@pytest.mark.parametrize(
    ("limit", "overdo", "words"),
    [
        ("queues.QUEUES_MAX", lambda room: room.get(0, "/persistent/more"), b"1 queues already"),
        ("queues.MESSAGES_MAX", fill_queue, b"1 messages wait in the queue wish already"),
        ("queues.BYTES_MAX", fill_queue, b"1 bytes wait on the switch"),
        ("queues.NAME_BYTES_MAX", lambda room: room.get(0, "/persistent/xx"), b"at most 1 bytes"),
        ("queues.NAME_BYTES_MAX", lambda room: room.get(0, "/login/xx"), b"at most 1 bytes"),
        ("core.SESSIONS_MAX", lambda room: room.get(0, "/login/xx"), b"at most 1 sessions"),
        ("core.NAMES_MAX", lambda room: room.transfer(0, "x", "y"), b"may ask for 1 queues"),
    ],
)
def test_every_limit_says_so(
    room: Room, monkeypatch: pytest.MonkeyPatch, limit: str, overdo: Callable[[Room], Any], words: bytes
) -> None:
    monkeypatch.setattr(f"frontend.switch.{limit}", 1)
    status, found = overdo(room)
    assert status == 503
    assert words in found


def test_a_session_may_log_in_again_at_the_limit(room: Room, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("frontend.switch.core.SESSIONS_MAX", 1)
    assert room.get(0, "/login/server") == (200, b"")
