"""Calls that are made again: what is repeated, under which id, for how long, and what is said of it."""

import asyncio
import time
from typing import Any

import pytest
from bus.ports import (
    BusBlockedError,
    BusError,
    LostError,
    NoConnectionError,
    RequestTimeoutError,
    UndeliveredError,
)
from frontend.routes import Queued, route
from schema.again import REPEATED_S, UNDECIDED, is_id, is_look, undone
from schema.fault import XenopsError
from schema.ids import InstanceName
from schema.objects.errors import DoesNotExist, Error, InternalError
from schema.own_methods import ALL_METHODS
from schema.rpc import decode_request, encode_failure, encode_result
from xenops import Client
from xenops.aio import AsyncClient
from xenops.calling import AGAIN_S, ANSWER_S, CALL_TIMEOUT_S, UNSERVED_S, Attempts, Calling, Trouble, away_s
from xenops.repeats import UNREPEATED, may_repeat

LOST = LostError("the connection was lost")
SILENT = RequestTimeoutError("no answer")
NOBODY = UndeliveredError("nobody serves")
GONE = DoesNotExist(klass="VBD", id="vm1.xvdb")
Said = BusError | Error | bytes


class Door:
    """What is said at each attempt, in turn; what was sent, and how long each answer would be waited for."""

    def __init__(self, *answers: Said) -> None:
        self._answers = list(answers)
        self.ids: list[str | None] = []
        self.waits: list[float] = []

    def call(self, _queue: str, body: bytes, timeout_s: float) -> bytes:
        self.ids.append(decode_request(body).once)
        self.waits.append(timeout_s)
        answer = self._answers.pop(0)
        if isinstance(answer, BusError):
            raise answer
        return answer if isinstance(answer, bytes) else encode_failure(answer)

    def close(self) -> None:
        """Nothing is kept open."""


class AsyncDoor:
    """The same, awaited."""

    def __init__(self, door: Door) -> None:
        self._door = door

    async def call(self, queue: str, body: bytes, timeout_s: float) -> bytes:
        return self._door.call(queue, body, timeout_s)

    def close(self) -> None:
        """Nothing is kept open."""


SAID_TWICE = {
    *(f"{device}.{verb}" for device in ("VBD", "VIF", "PCI", "VGPU", "VUSB") for verb in ("add", "remove")),
    *(method for method in ALL_METHODS if method.startswith("Observer.")),
    *("VM.add", "VM.generate_state_string"),
    *(
        "Task.cancel",
        "Task.destroy",
        "Task.destroy_on_finish",
        "UPDATES.refresh_vm",
        "UPDATES.remove_barrier",
    ),
    *("LANE.hold", "LANE.release", "LANE.prioritise", "LANE.set_deadline", "WORKER.drain", "WORKER.undrain"),
    *(f"HOST.get_{what}" for what in ("console_data", "total_memory_mib")),
    *("HOST.set_worker_pool_size", "HOST.set_numa_affinity_policy", "HOST.update_guest_agent_features"),
    *("HOST.combine_cpu_policies", "HOST.is_compatible", "DEBUG.shutdown"),
}
"""What tells how something shall be, or is computed: once or twice makes no difference."""

STARTED = encode_result("VM.start", "7")


def started(*answers: Said) -> list[str | None]:
    """The ids under which a start was asked for until it was answered."""
    door = Door(*answers, STARTED)
    assert Client(door, "i").vm.start("vm1") == "7"
    return door.ids


def attempts(method: str = "VM.start", *, timeout_s: float = CALL_TIMEOUT_S, ago_s: float = 0.0) -> Attempts:
    """Those of a call that began so long ago."""
    params: dict[str, Any] = {"id": "vm1", "paused": False} if method == "VM.start" else {"unit": None}
    return Attempts(Calling("test", timeout_s), InstanceName("i"), method, params, time.monotonic() - ago_s)


@pytest.mark.parametrize(
    "trouble",
    [NOBODY, NoConnectionError("none"), LOST, SILENT, InternalError(message=f"silent: {UNDECIDED}")],
)
def test_an_operation_that_may_have_been_accepted_is_asked_for_again_by_the_same_id(trouble: Said) -> None:
    first, second = started(trouble)
    assert is_id(first)
    assert first == second


def test_an_operation_that_is_known_to_be_void_is_asked_for_as_another_one() -> None:
    first, second, third = started(LOST, undone("it came too late"))
    assert first == second != third


def test_each_call_has_an_id_of_its_own() -> None:
    assert started() != started()


def test_an_awaited_call_is_made_again_as_a_plain_one() -> None:
    door = Door(NOBODY, LOST, undone("nobody leads"), encode_result("VM.start", "7"))

    async def ask() -> str:
        async with AsyncClient(AsyncDoor(door), "i") as client:
            task: str = await client.vm.start("vm1")
            return task

    assert asyncio.run(ask()) == "7"
    assert door.ids[0] == door.ids[1] == door.ids[2] != door.ids[3]


def test_an_awaited_call_that_fails_is_not_made_again() -> None:
    async def ask(*answers: Said) -> None:
        async with AsyncClient(AsyncDoor(Door(*answers)), "i") as client:
            await client.task.destroy("7")

    asyncio.run(ask(LOST, DoesNotExist(klass="task", id="7")))  # the first attempt has destroyed it
    with pytest.raises(XenopsError):
        asyncio.run(ask(DoesNotExist(klass="task", id="7")))


def began(one: Attempts) -> Attempts:
    """Its first attempt is under way."""
    one.answer_s()
    return one


@pytest.mark.parametrize("last", [BusBlockedError("takes no messages"), NOBODY])
def test_that_the_last_attempt_came_to_nothing_is_not_all_after_one_that_may_have_been_accepted(
    last: BusError,
) -> None:
    one = began(attempts(timeout_s=AGAIN_S))
    one.after(LOST)
    with pytest.raises(LostError, match=f"^{last}; an earlier attempt may have been accepted: {UNDECIDED}$"):
        one.after(last)
    look = began(attempts("Task.list", timeout_s=AGAIN_S))
    look.after(LOST)
    with pytest.raises(type(last)):
        look.after(last)
    with pytest.raises(type(last)):
        attempts(timeout_s=0.0).after(last)


def test_what_would_be_done_twice_is_not_asked_for_again() -> None:
    door = Door(LOST)
    with pytest.raises(LostError):
        Client(door, "i").updates.inject_barrier("vm1", 1)
    assert len(door.ids) == 1


def test_of_every_method_it_is_known_why_it_may_be_repeated_or_not() -> None:
    queued = {method for method in ALL_METHODS if isinstance(route(method), Queued)}
    looks = {method for method in ALL_METHODS if is_look(method)}
    for kind in (looks, UNREPEATED, SAID_TWICE):
        assert kind <= set(ALL_METHODS)
        assert not kind & queued
    assert set(ALL_METHODS) == queued | looks | UNREPEATED | SAID_TWICE
    assert len(ALL_METHODS) == len(queued) + len(looks) + len(UNREPEATED) + len(SAID_TWICE)


def test_that_a_thing_is_gone_is_what_its_removal_wanted_if_it_was_asked_for_before() -> None:
    device = ("vm1", "xvdb")
    Client(Door(LOST, GONE), "i").call("VBD.remove", id=device)
    for answers in ((GONE,), (NOBODY, GONE), (LOST, undone("it was refused"), GONE)):
        with pytest.raises(XenopsError):
            Client(Door(*answers), "i").call("VBD.remove", id=device)
    with pytest.raises(XenopsError):
        Client(Door(LOST, DoesNotExist(klass="VM", id="vm1")), "i").vm.start("vm1")


def test_what_a_service_refuses_is_told_at_once() -> None:
    door = Door(InternalError(message="1000 tasks wait already"))
    with pytest.raises(XenopsError, match="1000 tasks"):
        Client(door, "i").vm.start("vm1")
    assert len(door.ids) == 1


@pytest.mark.parametrize(
    ("trouble", "limit_s"),
    [
        (NOBODY, UNSERVED_S),
        (NoConnectionError("none"), away_s(CALL_TIMEOUT_S)),
        (LOST, away_s(CALL_TIMEOUT_S)),
    ],
)
def test_who_is_away_is_waited_for_so_long_and_no_longer(trouble: Trouble, limit_s: float) -> None:
    now = time.monotonic()
    tried = attempts()
    tried.since, tried.tried = now - limit_s + 1.0, now
    assert tried.after(trouble) == AGAIN_S
    tried.since = now - limit_s
    with pytest.raises(type(trouble)):
        tried.after(trouble)


def test_no_wait_is_longer_than_the_call_may_take() -> None:
    tried = attempts(timeout_s=0.1)
    with pytest.raises(UndeliveredError):
        tried.after(NOBODY)


def test_after_a_while_a_request_is_not_surely_known_any_more_and_a_look_may_always_be_repeated() -> None:
    tried = attempts(ago_s=REPEATED_S, timeout_s=600.0)
    with pytest.raises(LostError):
        tried.after(LOST)
    tried = attempts(ago_s=REPEATED_S, timeout_s=600.0)
    tried.is_doubtful = True
    with pytest.raises(LostError, match=UNDECIDED):
        tried.after(NOBODY)
    assert attempts(ago_s=REPEATED_S, timeout_s=600.0).after(NOBODY) == AGAIN_S
    assert attempts("query", ago_s=600.0).after(LOST) == AGAIN_S


def test_trouble_that_comes_after_a_long_answer_is_another_one() -> None:
    tried = attempts("query")
    tried.since = time.monotonic() - 2 * away_s(CALL_TIMEOUT_S)
    tried.tried = time.monotonic() - UNSERVED_S - 1.0
    assert tried.after(LOST) == AGAIN_S


def test_an_answer_that_does_not_come_is_asked_for_once_more_in_time() -> None:
    door = Door(SILENT, STARTED)
    Client(door, "i").vm.start("vm1")
    assert door.waits[0] == ANSWER_S
    assert CALL_TIMEOUT_S - ANSWER_S < door.waits[1] <= CALL_TIMEOUT_S
    with pytest.raises(RequestTimeoutError):
        Client(Door(SILENT, SILENT), "i").vm.start("vm1")
    with pytest.raises(RequestTimeoutError):
        attempts(ago_s=CALL_TIMEOUT_S).after(SILENT)


def test_who_may_wait_but_briefly_asks_once() -> None:
    door = Door(STARTED)
    Client(door, "i", timeout_s=8.0).vm.start("vm1")
    assert door.waits == [8.0]


def test_news_are_waited_for_anew() -> None:
    door = Door(LOST, encode_result("UPDATES.get", ((), (), 3)))
    Client(door, "i", timeout_s=60.0).updates.get(2, 30)
    assert door.waits == [30 + ANSWER_S, 30 + ANSWER_S]


def test_what_is_waited_for_is_said_once_and_in_words(caplog: pytest.LogCaptureFixture) -> None:
    started(LOST, NOBODY, undone("no redirector leads"))
    started(SILENT)
    started(undone("no redirector leads"))
    assert caplog.messages == [
        "the connection was lost (trying for 30 s)",
        "no answer (asking again)",
        "no redirector leads; nothing was done; ask again (trying for 10 s)",
    ]


def test_what_changes_nothing_is_a_look() -> None:
    looks = [method for method in ALL_METHODS if is_look(method)]
    assert {"VM.stat", "VM.list", "Task.stat", "UPDATES.get", "LANE.list", "EVENTS.stat"} <= set(looks)
    assert not [method for method in looks if method in UNREPEATED or not may_repeat(method, 1e9)]
