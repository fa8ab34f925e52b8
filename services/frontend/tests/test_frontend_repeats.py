"""Requests that come again under the id of an earlier attempt: done once, answered where one asked last."""

import pytest
from bus.ports import Request
from bus.topology import DIRECT_REPLIES
from frontend.core import ACCEPT_TIMEOUT_S, Append, Effect, Forward, Frontend
from schema import rpc
from schema.again import is_undecided, is_undone, once_id
from schema.fault import XenopsError
from schema.ids import InstanceName, TaskId
from schema.notices import Accepted, Ended

NOW = 1_000.0
ID = once_id(7)


@pytest.fixture(name="frontend")
def make_frontend() -> Frontend:
    return Frontend(InstanceName("i"), "inbox")


def request(client: str, request_id: str | int = ID, method: str = "VM.pause") -> Request:
    return Request(rpc.encode_request(method, request_id=request_id, debug_info="d", id="vm"), client, "c")


def told(effects: list[Effect], client: str) -> object:
    """What a client is told."""
    (effect,) = effects
    assert isinstance(effect, Forward)
    assert effect.queue == client
    return rpc.decode_response("VM.pause", effect.request.body)


def submitted(effects: list[Effect]) -> str:
    """The id of a request that is submitted."""
    (effect,) = effects
    assert isinstance(effect, Append)
    return effect.record.request_id


def test_an_id_of_its_own_goes_into_the_record_and_any_other_does_not(frontend: Frontend) -> None:
    assert submitted(frontend.on_request(request("client"), "fresh", NOW)) == ID
    others: tuple[str | int, ...] = (1, "1", "once", f"{ID}x", ID.upper())
    for number, other in enumerate(others):
        fresh = f"fresh-{number}"
        assert submitted(frontend.on_request(request("client", other), fresh, NOW)) == fresh


def test_who_asks_again_is_answered_where_he_is_now_and_nothing_is_submitted_again(
    frontend: Frontend,
) -> None:
    frontend.on_request(request("before"), "r1", NOW)
    assert frontend.on_request(request("now"), "r2", NOW + 1) == []
    assert told(frontend.on_notice(Accepted(request_id=ID, task=TaskId(7))), "now") == "7"
    assert frontend.on_notice(Accepted(request_id=ID, task=TaskId(7))) == []


def test_who_asks_again_after_the_answer_submits_it_again_for_the_redirector_knows_it(
    frontend: Frontend,
) -> None:
    frontend.on_request(request("before"), "r1", NOW)
    frontend.on_notice(Accepted(request_id=ID, task=TaskId(7)))
    assert submitted(frontend.on_request(request("now"), "r2", NOW + 1)) == ID


def test_an_awaited_request_that_comes_again_is_answered_at_its_end(frontend: Frontend) -> None:
    frontend.on_request(request("before", method="VM.remove"), "r1", NOW)
    frontend.on_notice(Accepted(request_id=ID, task=TaskId(7)))
    assert frontend.on_request(request("now", method="VM.remove"), "r2", NOW + 1) == []
    (effect,) = frontend.on_notice(Ended(request_id=ID, error=None))
    assert isinstance(effect, Forward)
    assert effect.queue == "now"


def test_an_answer_waits_for_the_connection(frontend: Frontend) -> None:
    queue, answer = f"{DIRECT_REPLIES}.a", Request(b"7", None, "c")
    assert frontend.on_undeliverable(queue, answer, NOW) == []
    assert frontend.on_time(NOW + 1) == [Forward(queue, answer)]


def test_a_client_can_tell_what_had_no_effect_from_what_nobody_knows(frontend: Frontend) -> None:
    frontend.on_request(request("client"), "r1", NOW)
    with pytest.raises(XenopsError) as unknown:
        told(frontend.on_time(NOW + ACCEPT_TIMEOUT_S + 0.1), "client")
    assert is_undecided(unknown.value.error)
    assert not is_undone(unknown.value.error)
    look = Request(b"{}", "client", "c")
    frontend.on_undeliverable("xenops.control.i", look, NOW)
    frontend.on_time(NOW + 1)
    effects = frontend.on_undeliverable("xenops.control.i", look, NOW + 60.0)
    with pytest.raises(XenopsError) as void:
        told(effects, "client")
    assert is_undone(void.value.error)
    assert not is_undecided(void.value.error)
