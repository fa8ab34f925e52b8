from redirector.brief import brief_of
from redirector.deadlines import STALE_MIN, Deadlines
from redirector.lane import GAPS_MIN, Waiting
from redirector.lanes import Lanes
from redirector.requests import CLOCKS_DIFFER_S, Requests
from schema.again import REPEATED_S, once_id
from schema.ids import TaskId, VmId
from schema.operations import VmStart

VM = VmId("vm")


def waiting(task: int) -> Waiting:
    return Waiting(TaskId(task), VM, brief_of(VmStart(vm=VM)), f"r{task}", 0.0, 9.0)


def test_priorities_that_change_again_and_again_leave_nothing_behind() -> None:
    lanes = Lanes()
    for task in range(3):
        lanes.push(waiting(task))
    first = lanes.find(TaskId(0))
    assert first is not None
    for number in range(1_000):
        lanes.reprioritise(first, number % 7 - 3)
        lanes.next()
    lane = lanes.get(VM)
    assert lane is not None
    assert len(lane._order) <= 2 * 3 + GAPS_MIN + 1
    lanes.reprioritise(first, -1)
    order = []
    while (head := lanes.next()) is not None:
        order.append(head.id)
        lanes.remove(head.id)
    assert order == [1, 2, 0]


def test_deadlines_that_change_again_and_again_leave_nothing_behind() -> None:
    lanes = Lanes()
    deadlines = Deadlines(lanes)
    for task in range(2):
        lanes.push(waiting(task))
    moved = lanes.find(TaskId(0))
    assert moved is not None
    for number in range(2 * STALE_MIN):
        moved.deadline = float(number)
        deadlines.note(moved)
    assert len(deadlines) < STALE_MIN + 10
    assert deadlines.passed(2.0 * STALE_MIN) == [0]


def test_a_request_is_remembered_as_long_as_it_may_be_repeated_but_not_beyond_the_most() -> None:
    requests = Requests(most=2)
    for number, request_id in enumerate("abc"):
        requests.note(request_id, TaskId(number), at=0.0, accept_by=10.0)
    assert [requests.first(request_id) for request_id in "abc"] == [None, TaskId(1), TaskId(2)]
    requests.note("d", TaskId(3), at=10.0 + CLOCKS_DIFFER_S, accept_by=float("inf"))
    assert [request_id for request_id, _, _ in requests.items()] == ["d"]
    assert len(requests) == 1
    requests.note("e", TaskId(4), at=1e9, accept_by=0.0)
    assert len(requests) == 0


def test_a_request_that_a_client_may_repeat_is_remembered_so_long_and_the_clocks_difference() -> None:
    requests, repeated, last = Requests(), once_id(1), REPEATED_S + CLOCKS_DIFFER_S
    requests.note(repeated, TaskId(0), at=0.0, accept_by=8.0)
    requests.note("b", TaskId(1), at=last - 0.1, accept_by=last)
    assert requests.first(repeated) == TaskId(0)
    requests.note("c", TaskId(2), at=last, accept_by=last)
    assert requests.first(repeated) is None
