import random
from concurrent.futures import Future

import pytest
from bus.dedup import Dedup
from bus.ports import BusBlockedError
from bus.stamp import Stamp
from bus.topology import control_queue, events_queue, leader_queue, log_stream, routing_key
from bus.window import Window
from hypothesis import given
from hypothesis import strategies as st
from schema.ids import InstanceName, VmId, WorkerName
from schema.records import Heartbeat, LaneHeld


def accept(window: Window, *bodies: bytes) -> Future[None]:
    future: Future[None] = Future()
    window.admit(len(bodies))
    window.accept([("key", body) for body in bodies], future)
    return future


def test_parcels_go_out_in_order_and_once_for_each_channel() -> None:
    window = Window()
    accept(window, b"a", b"b")
    assert [parcel.body for parcel in window.to_send()] == [b"a", b"b"]
    assert window.to_send() == []
    accept(window, b"c")
    assert [parcel.seq for parcel in window.to_send()] == [3]


def test_the_front_stands_still_while_a_record_is_missing_whatever_comes_behind_it() -> None:
    window = Window()
    accept(window, b"a", b"b", b"c")
    window.to_send()
    window.confirm(2, multiple=False)
    window.confirm(3, multiple=False)
    assert window.front == 1
    window.confirm(1, multiple=False)
    assert window.front == 4
    accept(window, b"d")
    assert window.front == 4


def test_whoever_waits_goes_on_when_all_of_his_is_confirmed() -> None:
    window = Window()
    first, second = accept(window, b"a", b"b"), accept(window, b"c")
    assert window.confirm(1, multiple=False) == []
    assert window.confirm(3, multiple=False) == []
    assert window.confirm(2, multiple=False) == [first, second]
    assert window.unconfirmed() == 0


def test_a_confirm_may_cover_all_before_it() -> None:
    window = Window()
    future = accept(window, b"a", b"b", b"c")
    assert window.confirm(3, multiple=True) == [future]


def test_a_new_channel_begins_with_the_first_unconfirmed_record() -> None:
    window = Window()
    accept(window, b"a", b"b", b"c")
    window.to_send()
    window.confirm(1, multiple=False)
    window.confirm(3, multiple=False)
    window.restart()
    assert [parcel.body for parcel in window.to_send()] == [b"b", b"c"]
    window.confirm(2, multiple=True)
    window.restart()
    assert window.to_send() == []


def test_a_full_window_says_so_and_takes_nothing() -> None:
    window = Window(limit=1)
    accept(window, b"a")
    with pytest.raises(BusBlockedError, match="only 1 may"):
        accept(window, b"b")
    assert window.unconfirmed() == 1


def test_a_window_that_is_given_up_names_who_waited() -> None:
    window = Window()
    future = accept(window, b"a")
    assert window.waiting() == [future]
    assert window.abandon() == [future]
    assert window.to_send() == []


@given(st.integers(0, 2**32), st.integers(1, 40))
def test_whatever_channels_lose_readers_see_each_record_once_in_order(seed: int, count: int) -> None:
    chance = random.Random(seed)
    window, written = Window(), []
    accept(window, *(str(number).encode() for number in range(count)))
    while window.unconfirmed():
        window.restart()
        for tag, parcel in enumerate(window.to_send(), 1):
            arrives = chance.random() < 0.7
            if arrives:
                written.append(parcel)
            if arrives and chance.random() < 0.7:
                window.confirm(tag, multiple=False)
    dedup = Dedup()
    seen = [parcel.body for parcel in written if dedup.accepts("p", parcel.seq)]
    assert seen == [str(number).encode() for number in range(count)]
    assert dedup.last() == {"p": count}


def test_a_reader_goes_on_from_the_numbers_that_it_is_given() -> None:
    dedup = Dedup({"p": 4})
    assert not dedup.accepts("p", 4)
    assert dedup.accepts("p", 5)


def test_where_the_beginning_is_dropped_a_producer_counts_from_where_it_is_met() -> None:
    dedup = Dedup(truncated=True)
    assert dedup.accepts("p", 7)
    assert not dedup.accepts("p", 7)
    assert dedup.accepts("p", 8)


def test_each_log_has_numbers_of_its_own_and_an_unsent_record_takes_none() -> None:
    stamp, records = Stamp("p"), [LaneHeld(vm=VmId("a")), LaneHeld(vm=VmId("b"))]

    def numbers(instance: str) -> list[int]:
        return [envelope.seq for envelope in stamp.envelopes(InstanceName(instance), records, 0.0)]

    assert numbers("one") == [1, 2]
    assert numbers("one") == [1, 2]
    stamp.take(InstanceName("one"), 2)
    assert numbers("one") == [3, 4]
    assert numbers("two") == [1, 2]


def test_names_with_dots_are_one_word_of_a_routing_key() -> None:
    instance = InstanceName("org.xen")
    assert routing_key(instance, LaneHeld(vm=VmId("a.b"))) == "org%2Exen.a%2Eb.LaneHeld"
    assert routing_key(instance, Heartbeat(worker=WorkerName("w"))) == "org%2Exen._.Heartbeat"
    queues = {control_queue(instance), events_queue(instance), leader_queue(instance), log_stream(instance)}
    assert len(queues) == 4


def test_what_the_broker_has_confirmed_and_lost_is_not_waited_for() -> None:
    dedup = Dedup({"known": 4})
    assert not dedup.accepts("known", 8)
    assert dedup.accepts("known", 8, 7)
    assert dedup.accepts("new", 3, 2)
    assert not dedup.accepts("new", 3, 2)
    assert dedup.accepts("new", 4, 2)


def test_the_producer_that_wrote_least_lately_is_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bus.dedup.PRODUCERS_MAX", 2)
    dedup = Dedup()
    for producer, seq in (("a", 1), ("b", 1), ("a", 2), ("c", 1)):
        assert dedup.accepts(producer, seq)
    assert dedup.last() == {"a": 2, "c": 1}


def test_a_window_knows_what_is_confirmed_of_each_log() -> None:
    window = Window()
    window.accept([("k", b"1"), ("k", b"2")], Future(), "one")
    window.accept([("k", b"3")], Future(), "two")
    assert (window.settled("one"), window.settled("two")) == (0, 0)
    window.confirm(2, multiple=True)
    assert (window.settled("one"), window.settled("two")) == (2, 0)
