"""Who follows the log, and how far behind he may be."""

import pytest
from bus.ports import Entry
from bus.stories.story import State, Story
from dashboard.fold.feed import Feed, Seen, Wanted, seen, seen_by
from dashboard.fold.history import History, quantile
from dashboard.web import streams
from log_in_hand import VM
from schema import records
from schema.ids import Offset, VmId
from schema.overseen import Pinged


def entry(offset: int, *, vm: bool = True) -> Entry:
    record = records.LaneHeld(vm=VM) if vm else Pinged(by="d", number=offset)
    return Entry(Offset(offset), 0.0, record)


def feed(*offsets: int, kept: int = 3) -> Feed:
    one = Feed(kept)
    for offset in offsets:
        one.add(entry(offset))
    return one


def offsets(found: tuple[tuple[Entry, ...], int] | None) -> list[int] | None:
    return None if found is None else [one.offset for one in found[0]]


def test_a_reader_goes_on_after_what_it_has_seen() -> None:
    one = feed(10, 12, 15)
    place = one.place_after(Seen(12))
    assert place is not None
    assert offsets(one.since(place, 10)) == [15]
    assert one.place_after(Seen(15)) == one.end
    begin = one.place_after(Seen(9))
    assert begin is not None
    assert offsets(one.since(begin, 2)) == [10, 12]


def test_a_reader_that_was_away_for_too_long_is_told_so() -> None:
    one = feed(0, 1, 2)
    place = one.place_after(Seen(-1))
    assert place == 0
    one.add(entry(3))
    assert one.since(place, 10) is None
    assert one.place_after(Seen(-1)) is None
    assert one.place_after(Seen(0)) == 1
    assert one.first == 1
    assert feed().place_after(Seen(5)) is None
    assert feed().first is None


def test_a_reader_that_has_seen_more_than_there_is_is_told_so() -> None:
    one = feed(10, 12, 15)
    assert one.place_after(Seen(16)) is None
    assert one.place_after(Seen(99)) is None


def test_a_reader_of_a_log_that_is_lost_is_told_so_though_the_new_one_has_come_as_far() -> None:
    one = feed(10, 12, 15)
    assert one.place_after(Seen(12, 0)) == one.place_after(seen(entry(12))) == 2
    assert one.place_after(Seen(12, 1_796_000_000_123)) is None
    assert one.place_after(Seen(11, 1_796_000_000_123)) == 1  # nothing stands there to compare it with


@pytest.mark.parametrize("text", ["-1", "0", "17", "17.1796000000123"])
def test_what_was_seen_is_an_events_id_and_back(text: str) -> None:
    assert str(seen_by(text)) == text


def test_entries_are_found_by_vm_kind_and_offset() -> None:
    one = feed(1, 2)
    one.add(entry(3, vm=False))
    assert [each.offset for each in one.newest_first(Wanted())] == [3, 2, 1]
    assert [each.offset for each in one.newest_first(Wanted(vm=VM), 2)] == [1]
    assert [each.offset for each in one.newest_first(Wanted(kind="Pinged"))] == [3]
    assert list(one.newest_first(Wanted(vm=VmId("other")))) == []


def story(wait_s: float | None, run_s: float, state: State = State.DONE) -> Story:
    leased = None if wait_s is None else wait_s
    return Story(1, VM, "VM_start", "", 0.0, state=state, leased_at=leased, ended_at=9.0, duration_s=run_s)


def test_an_event_is_made_once_and_only_the_newest_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(streams, "ENCODED_MAX", 1)
    encoded, first, second = streams.Encoded(), entry(0), entry(1)
    made = encoded.event(first)
    assert made.startswith(b"event: entry\nid: 0.0\ndata: {")
    assert encoded.event(first) is made
    encoded.event(second)
    assert encoded.event(first) is not made


def test_a_sample_tells_of_the_time_since_the_last_one() -> None:
    history = History()
    history.on_end([story(1.0, 0.1), story(3.0, 0.3, State.FAILED), story(None, 0.0)])
    history.sample(5.0, waiting=2, running=1)
    history.sample(10.0, waiting=0, running=0)
    first, second = history.samples
    assert (first.waiting, first.running, first.ended, first.failed) == (2, 1, 3, 1)
    assert (first.wait_p50_s, first.wait_p95_s, first.run_p95_s) == (3.0, 3.0, 0.3)
    assert (second.ended, second.wait_p95_s) == (0, None)


def test_a_quantile_of_nothing_is_none() -> None:
    assert quantile([], 0.5) is None
    assert quantile([1.0], 1.0) == 1.0
