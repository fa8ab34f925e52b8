"""Which messages in quarantine may be appended anew, and why others may not."""

import pytest
from bus.quarantine import SHOWN_BYTES_MAX, Arrival, Quarantined, escaped, judge, unescaped
from bus.retrial import AGAIN, DISCARDED, RETRIED, retrial
from bus.roles import WRITERS, Role
from bus.topology import EXCHANGE, routing_key
from bus.users import user_of
from schema.ids import InstanceName, Offset, TaskId, Term, VmId, WorkerName
from schema.objects.quarantine import QuarantinedRecord
from schema.records import ENVELOPE, Envelope, LaneHeld, Leased, Record

INSTANCE = InstanceName("an.instance")
HELD = LaneHeld(vm=VmId("vm.1"))
LEASED = Leased(vm=VmId("vm.1"), task=TaskId(1), worker=WorkerName("w"), term=Term(0))
FRONTEND = user_of(Role.FRONTEND)


def kept(record: Record, user: str = FRONTEND, key: str = "", done: str = "") -> QuarantinedRecord:
    """What an event hub that did not know this kind has kept of a record."""
    body = ENVELOPE.dump_json(Envelope(producer="p", seq=7, at=3.5, instance=INSTANCE, record=record))
    return QuarantinedRecord(
        log=INSTANCE,
        offset=9,
        reason="it does not parse",
        routing_key=key or routing_key(INSTANCE, record),
        user=user,
        producer="p",
        seq=7,
        at=3.5,
        size=len(body),
        shown=escaped(body[:SHOWN_BYTES_MAX]),
        exchange=EXCHANGE,
        done=done,
        by="alice" if done else "",
    )


@pytest.mark.parametrize("user", [FRONTEND, "a user of one's own"])
@pytest.mark.parametrize("done", ["", DISCARDED])
def test_what_this_version_reads_and_its_writer_might_write_counts(user: str, done: str) -> None:
    assert retrial(kept(HELD, user, done=done)) == HELD


def test_what_was_appended_anew_is_not_once_more() -> None:
    assert retrial(kept(HELD, done=RETRIED)) == "alice has had it appended anew already"


@pytest.mark.parametrize(
    ("one", "words"),
    [
        (kept(HELD, key=routing_key(INSTANCE, LEASED)), "still does not count: forged"),
        (kept(HELD).model_copy(update={"exchange": ""}), "still does not count: forged"),
        (kept(HELD).model_copy(update={"shown": "{"}), "still does not count: it does not parse"),
        (kept(HELD).model_copy(update={"size": SHOWN_BYTES_MAX + 1}), "of which 1024 are kept"),
        (kept(HELD, user=""), "nobody has signed it"),
        (kept(HELD, user_of(Role.WORKER)), "xenops-worker had no right to write a LaneHeld"),
        (kept(LEASED, user_of(Role.REDIRECTOR)), "a Leased is written by redirector alone"),
    ],
)
def test_what_is_not_appended_anew_is_said_why(one: QuarantinedRecord, words: str) -> None:
    found = retrial(one)
    assert isinstance(found, str)
    assert words in found


def test_nothing_is_appended_anew_that_the_event_hub_may_not_write() -> None:
    assert all(Role.EVENTHUB in WRITERS[kind] for kind in AGAIN)
    assert AGAIN.isdisjoint({"Leased", "Elected", "Submitted", "Finished", "LifeBegan"})


@pytest.mark.parametrize("body", [b"", b"\\", b"\x00\xff\n\x1b", bytes(range(256)), "日本\\x41".encode()])
def test_what_is_escaped_is_what_it_was(body: bytes) -> None:
    assert unescaped(escaped(body)) == body


def test_the_way_by_which_a_message_came_is_kept() -> None:
    found = judge(INSTANCE, Offset(1), Arrival("x", "k", None, b"{"))
    assert isinstance(found, Quarantined)
    assert found.exchange == "x"
