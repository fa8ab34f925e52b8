"""What the switch shows of itself: the trace of what happens, and all that it holds."""

import json
from typing import Any

import pytest
from switch_room import PENDING, Room, busy_room


@pytest.fixture
def room() -> Room:
    return busy_room()


def trace(answer: tuple[int, bytes] | None) -> list[Any]:
    assert answer is not None
    events: list[Any] = json.loads(answer[1])["events"]
    return events


def test_a_trace_shows_what_has_happened_and_how_long_a_request_took(room: Room) -> None:
    room.post(1, "/request/wish/replies", b'{ "a": 1 }')
    room.transfer(0, "wish")
    room.later(2.0)
    room.post(0, "/response/replies/wish/0", b"z")
    room.transfer(1, "replies")
    room.get(0, "/ack/wish/0")
    request = ["Message", ["wish", 0], {"payload": '{"a":1}', "kind": ["Request", "replies"]}]
    reply = ["Message", ["replies", 0], {"payload": "z", "kind": ["Response", ["wish", 0]]}]
    answer = room.get(2, "/trace")
    at, later = {"time": 1000.5}, {"time": 1002.5}
    took = {"processing_time": 2_000_000_000}
    assert trace(answer) == [
        [0, {**at, "input": "client", "queue": "wish", "message": request}],
        [1, {**at, "queue": "wish", "output": "server", "message": request}],
        [2, {**later, "input": "server", "queue": "replies", "message": reply}],
        [3, {**later, "queue": "replies", "output": "client", "message": reply, **took}],
        [4, {**later, "input": "server", "queue": "wish", "message": ["Ack", ["wish", 0]]}],
    ]
    assert [number for number, _ in trace(room.get(2, "/trace/3/0"))] == [3, 4]
    assert answer is not None
    assert answer[1].startswith(
        b'{"events":[[0,{"time":1000.5,"input":"client","queue":"wish","message":["Message",["wish",0],'
    )


def test_a_trace_waits_for_what_happens_next_and_keeps_only_the_last(room: Room) -> None:
    assert room.get(2, "/trace/0/1") is PENDING
    room.later(1.0)
    assert room.answers.pop(2) == (200, b'{"events":[]}')
    assert room.get(2, "/trace/0/1") is PENDING
    assert room.get(3, "/trace/5/9") is PENDING
    for _ in range(20):
        room.get(0, "/ack/wish/0")
    assert [number for number, _ in trace(room.answers.pop(2))] == [0]
    assert [number for number, _ in trace(room.answers.pop(3))] == [5]
    assert [number for number, _ in trace(room.get(2, "/trace/-1/5"))] == list(range(4, 20))


def test_a_trace_cuts_long_strings(room: Room) -> None:
    payloads = [
        json.dumps({"k" * 300: ["v" * 300, 1.5, "short"]}).encode(),
        b"x" * 300,
        b'"' + b"y" * 100_000 + b'"',
    ]
    for payload in payloads:
        room.post(1, "/request/wish/replies", payload)
    shown = [event["message"][2]["payload"] for _, event in trace(room.get(2, "/trace"))]
    cut = {letter: letter * 256 + "…" for letter in "kvx"}
    assert shown == [
        json.dumps({cut["k"]: [cut["v"], 1.5, "short"]}, ensure_ascii=False, separators=(",", ":")),
        cut["x"],
        '"' + "y" * 255 + "…",
    ]


def test_diagnostics_show_all_that_there_is(room: Room) -> None:
    room.post(1, "/request/wish/replies", b"x")
    room.transfer(0, "wish", timeout=3.0)
    room.post(0, "/response/replies/wish/0", b"y")
    expected = (
        b'{"start_time":5000000000,"current_time":5000000000,"permanent_queues":{'
        b'"org.xen.xapi.xenops.simulator":{"next_transfer_expected":5000000000,"queue_contents":[]},'
        b'"wish":{"next_transfer_expected":8000000000,"queue_contents":[[["wish",0],'
        b'{"origin":["Name","client"],"time":5000000000,'
        b'"message":{"payload":"x","kind":["Request","replies"]}}]]}},'
        b'"transient_queues":{"replies":{"queue_contents":[[["replies",0],'
        b'{"origin":["Name","server"],"time":5000000000,'
        b'"message":{"payload":"y","kind":["Response",["wish",0]]}}]]}}}'
    )
    assert room.get(2, "/") == (200, expected)
