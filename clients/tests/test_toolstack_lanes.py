"""Lanes: in order within a VM, in turn between VMs, each thing once, and nothing is lost."""

from collections.abc import Iterable

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from xenops.toolstack.watch.lanes import Lanes


def lanes_with(items: Iterable[tuple[str, str]]) -> Lanes[str]:
    lanes: Lanes[str] = Lanes()
    for lane, item in items:
        lanes.offer(lane, item)
    return lanes


def test_lanes_take_turns_and_keep_their_order() -> None:
    lanes = lanes_with([("a", "a1"), ("a", "a2"), ("b", "b1")])
    assert (len(lanes), lanes.ready) == (3, 2)
    taken = [lanes.take(), lanes.take(), lanes.take()]
    assert taken == [("a", "a1"), ("b", "b1"), None]
    lanes.done("a")
    assert lanes.take() == ("a", "a2")
    assert not lanes.idle
    for lane in ("a", "b"):
        lanes.done(lane)
    assert lanes.idle


def test_what_waits_is_not_added_again() -> None:
    lanes = lanes_with([("a", "a1"), ("a", "barrier"), ("a", "a1")])
    assert len(lanes) == 2


def test_what_is_being_looked_at_is_added() -> None:
    lanes = lanes_with([("a", "a1")])
    assert lanes.take() == ("a", "a1")
    lanes.offer("a", "a1")
    assert lanes.take() is None
    lanes.done("a")
    assert lanes.take() == ("a", "a1")


def test_what_failed_comes_again_before_the_rest_of_its_lane_and_others_go_on() -> None:
    lanes = lanes_with([("a", "a1"), ("a", "a2"), ("b", "b1")])
    assert lanes.take() == ("a", "a1")
    lanes.offer("a", "a1")
    lanes.again("a", at=5.0)
    lanes.offer("a", "a3")
    assert lanes.release(4.0) == 1.0
    assert lanes.take() == ("b", "b1")
    assert lanes.take() is None
    assert lanes.release(5.0) is None
    order = []
    while (taken := lanes.take()) is not None:
        order.append(taken[1])
        lanes.done("a")
    assert order == ["a1", "a2", "a3"]


def test_what_failed_alone_comes_again() -> None:
    lanes = lanes_with([("a", "a1")])
    lanes.take()
    lanes.again("a", at=1.0)
    assert lanes.release(1.0) is None
    assert lanes.take() == ("a", "a1")


def test_what_failed_otherwise_comes_again_and_holds_nobody_up() -> None:
    lanes = lanes_with([("a", "a1"), ("a", "a2")])
    assert lanes.take() == ("a", "a1")
    lanes.later("a", at=5.0)
    assert lanes.release(1.0) == 4.0
    assert lanes.take() == ("a", "a2")
    lanes.done("a")
    assert lanes.idle
    assert lanes.release(5.0) is None
    assert lanes.take() == ("a", "a1")


def test_what_failed_and_has_changed_meanwhile_comes_at_once_and_only_once() -> None:
    lanes = lanes_with([("a", "a1")])
    assert lanes.take() == ("a", "a1")
    lanes.offer("a", "a1")
    lanes.later("a", at=5.0)
    assert lanes.take() == ("a", "a1")
    lanes.done("a")
    assert lanes.release(5.0) is None
    assert lanes.take() is None


MOVES = st.lists(
    st.tuples(
        st.sampled_from(["offer", "take", "done", "again", "later"]), st.sampled_from("ab"), st.integers(0, 3)
    ),
    max_size=60,
)


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(MOVES)
def test_whatever_happens_everything_that_was_offered_is_taken_after_its_last_offer(
    moves: list[tuple[str, str, int]],
) -> None:
    lanes: Lanes[int] = Lanes()
    owed: set[tuple[str, int]] = set()
    taken: dict[str, int] = {}
    for move, lane, item in moves:
        if move == "offer":
            lanes.offer(lane, item)
            owed.add((lane, item))
        elif move == "take" and (next_one := lanes.take()) is not None:
            name, found = str(next_one[0]), next_one[1]
            assert name not in taken
            taken[name] = found
            owed.discard((name, found))
        elif move == "done" and lane in taken:
            lanes.done(lane)
            del taken[lane]
        elif move == "again" and lane in taken:
            lanes.again(lane, at=0.0)
            owed.add((lane, taken.pop(lane)))
        elif move == "later" and lane in taken:
            lanes.later(lane, at=0.0)
            owed.add((lane, taken.pop(lane)))
        assert len(lanes) == len(owed)
    for lane in taken:
        lanes.done(lane)
    lanes.release(1.0)
    while (last := lanes.take()) is not None:
        owed.discard((str(last[0]), last[1]))
        lanes.done(last[0])
    assert owed == set()
    assert lanes.idle
