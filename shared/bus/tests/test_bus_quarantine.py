import pytest
from bus.quarantine import SHOWN_BYTES_MAX, Arrival, Quarantined, judge, writer
from bus.topology import EXCHANGE, observers_log, routing_key
from schema.ids import InstanceName, Offset, TaskId, Term, VmId, WorkerName
from schema.records import ENVELOPE, Elected, Envelope, LaneHeld, Leased, Record

INSTANCE = InstanceName("an.instance")
HELD = LaneHeld(vm=VmId("vm.1"))
LEASED = Leased(vm=VmId("vm.1"), task=TaskId(1), worker=WorkerName("w"), term=Term(0))


def written(record: Record) -> bytes:
    return ENVELOPE.dump_json(Envelope(producer="p", seq=7, at=3.5, instance=INSTANCE, record=record))


def judged(body: bytes, key: str, exchange: str = EXCHANGE, user: str | None = "u") -> Envelope | Quarantined:
    return judge(INSTANCE, Offset(9), Arrival(exchange, key, user, body))


def quarantined(body: bytes, key: str = "k", exchange: str = EXCHANGE) -> Quarantined:
    found = judged(body, key, exchange)
    assert isinstance(found, Quarantined)
    return found


@pytest.mark.parametrize("record", [HELD, LEASED, Elected(redirector="r")])
def test_a_record_that_came_by_its_own_key_counts(record: Record) -> None:
    found = judged(written(record), routing_key(INSTANCE, record))
    assert isinstance(found, Envelope)
    assert found.record == record


@pytest.mark.parametrize(
    "key",
    [
        routing_key(INSTANCE, HELD),
        routing_key(INSTANCE, LEASED.model_copy(update={"vm": VmId("vm.2")})),
        routing_key(observers_log(INSTANCE), LEASED),
        "xenops.log.an.instance",
        "",
    ],
)
def test_a_record_under_the_key_of_another_is_forged(key: str) -> None:
    found = quarantined(written(LEASED), key)
    assert found.reason.startswith("forged: a Leased comes by 'xenops' with 'an%2Einstance.vm%2E1.Leased', ")
    assert (found.producer, found.seq, found.at, found.user) == ("p", 7, 3.5, "u")


def test_a_record_that_went_round_the_exchange_is_forged() -> None:
    key = routing_key(INSTANCE, LEASED)
    assert "by the exchange ''" in quarantined(written(LEASED), key, exchange="").reason


def test_a_newer_versions_record_keeps_its_writer_and_its_number() -> None:
    newer = written(HELD).replace(b'"LaneHeld"', b'"LanePainted"')
    found = quarantined(newer)
    assert found.reason.startswith("it does not parse: record: ")
    assert "LaneHeld" in found.reason, "it says which kinds there are"
    assert (found.producer, found.seq, found.at) == ("p", 7, 3.5)
    assert found.shown == newer.decode()


@pytest.mark.parametrize(
    "body", [b"", b"\xff\xfe\0\x1b[2J", b"{}", b"[" * 100_000, b'{"producer":1,"seq":{}}']
)
def test_what_is_no_record_at_all_is_shown_as_it_is_but_obeyed_by_no_terminal(body: bytes) -> None:
    found = quarantined(body)
    assert (found.producer, found.seq, found.at) == (None, None, None)
    assert found.size == len(body)
    assert len(found.shown) <= 4 * SHOWN_BYTES_MAX
    assert found.shown.isascii()
    assert found.shown.isprintable() or not body


def test_a_reason_names_the_place_and_not_what_stands_there() -> None:
    body = written(HELD).replace(b'"vm.1"', b'{"password":"hunter2"}')
    assert "record.LaneHeld.vm" in quarantined(body).reason
    assert "hunter2" not in quarantined(body).reason


def test_a_reason_stays_short_however_much_is_wrong_and_however_long_a_key_is() -> None:
    assert len(quarantined(written(LEASED), "k" * 255).reason) < 600
    assert len(quarantined(b'{"instance":1,"record":{"kind":"' + b"x" * 10_000 + b'"}}').reason) < 600


def test_nobody_can_use_up_the_numbers_of_another_users_producer() -> None:
    writers = {writer(user, producer) for user in (None, "a", "b") for producer in ("p", "a", "q")}
    assert len(writers) == 9
