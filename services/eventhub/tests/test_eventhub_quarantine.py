import json
from dataclasses import replace

from bus.quarantine import Quarantined, escaped
from bus.roles import Role
from bus.topology import EXCHANGE, routing_key
from bus.users import user_of
from eventhub.quarantine import KEPT_MAX, QuarantineFold
from hub_in_hand import DONE, Hub
from schema import records
from schema.ids import InstanceName, Offset, VmId
from schema.objects.quarantine import Quarantine
from schema.overseen import (
    DISCARD_MESSAGE,
    RETRY_MESSAGE,
    Acted,
    QuarantineDiscarded,
    QuarantineRetried,
    message_name,
)
from schema.records import ENVELOPE, Envelope
from schema.rpc import decode_response


def passed_over(offset: int, user: str | None = "u") -> Quarantined:
    return Quarantined(
        log=InstanceName("i"),
        offset=Offset(offset),
        reason="forged",
        routing_key="i.vm.Leased",
        user=user,
        producer=None,
        seq=None,
        at=None,
        size=3,
        shown="abc",
    )


def told(hub: Hub) -> Quarantine:
    answer = hub.ask("operator", "QUARANTINE.list")
    assert answer is not None
    found: Quarantine = decode_response("QUARANTINE.list", answer)
    return found


def test_an_operator_is_told_of_what_no_service_takes_the_newest_first() -> None:
    hub = Hub()
    assert told(hub) == Quarantine(total=0, records=())
    hub.core.on_quarantined(passed_over(4))
    hub.core.on_quarantined(passed_over(9, user=None))
    first, second = told(hub).records
    assert (first.offset, first.user, first.reason) == (9, "", "forged")
    assert (second.offset, second.user, second.routing_key) == (4, "u", "i.vm.Leased")


def test_only_the_newest_are_kept_and_all_are_counted() -> None:
    fold = QuarantineFold()
    for offset in range(KEPT_MAX + 5):
        fold.on_quarantined(passed_over(offset))
    assert fold.told().total == KEPT_MAX + 5
    assert [one.offset for one in fold.told().records] == list(range(KEPT_MAX + 4, 4, -1))


def test_a_snapshot_holds_it_and_what_is_read_once_more_counts_once() -> None:
    hub, restored = Hub(), Hub()
    for offset in (4, 9):
        hub.core.on_quarantined(passed_over(offset))
    restored.core.restore(list(hub.core.snapshot()))
    restored.core.on_quarantined(passed_over(4))
    assert told(restored) == told(hub)


def test_a_snapshot_of_before_there_was_a_quarantine_has_nothing_in_it() -> None:
    hub, restored = Hub(), Hub()
    first, *others = hub.core.snapshot()
    line = json.loads(first)
    del line["quarantine"]
    restored.core.restore([json.dumps(line).encode(), *others])
    assert told(restored).total == 0


HELD = records.LaneHeld(vm=VmId("vm1"))
BODY = ENVELOPE.dump_json(Envelope(producer="p", seq=7, at=3.5, instance=InstanceName("i"), record=HELD))


def newer(offset: int = 4) -> Quarantined:
    """What this version reads, and the one that read it did not."""
    key, user = routing_key(InstanceName("i"), HELD), user_of(Role.FRONTEND)
    return replace(
        passed_over(offset, user), routing_key=key, size=len(BODY), shown=escaped(BODY), exchange=EXCHANGE
    )


def wish(action: str, offset: int = 4, who: str = "alice") -> Acted:
    return Acted(who=who, action=action, subject=message_name("i", offset))


def asked(hub: Hub, method: str, offset: int = 4) -> bytes | None:
    hub.answers.pop("operator", None)
    return hub.ask("operator", method, log="i", offset=offset)


def test_a_message_that_counts_by_now_is_appended_anew_with_who_asked() -> None:
    hub = Hub()
    hub.core.on_quarantined(newer())
    hub.read(wish(RETRY_MESSAGE, who="bob"), wish(RETRY_MESSAGE))
    assert asked(hub, "QUARANTINE.retry") is None
    retried = QuarantineRetried(log=InstanceName("i"), offset=4, who="alice", record="LaneHeld")
    assert hub.appended == [HELD, retried]
    hub.read_own()
    assert hub.answers["operator"] == DONE
    [one] = told(hub).records
    assert (one.done, one.by) == ("retried", "alice")
    hub.read(wish(RETRY_MESSAGE))
    assert b"appended anew already" in (asked(hub, "QUARANTINE.retry") or b"")


def test_a_message_that_was_seen_is_noted_once_and_may_still_be_retried() -> None:
    hub = Hub()
    hub.core.on_quarantined(passed_over(9))
    hub.core.on_quarantined(newer())
    hub.read(wish(DISCARD_MESSAGE))
    assert asked(hub, "QUARANTINE.discard") is None
    assert hub.appended == [QuarantineDiscarded(log=InstanceName("i"), offset=4, who="alice")]
    hub.read_own()
    assert [one.done for one in told(hub).records] == ["discarded", ""]
    hub.read(wish(DISCARD_MESSAGE), wish(RETRY_MESSAGE))
    assert b"was discarded by alice already" in (asked(hub, "QUARANTINE.discard") or b"")
    assert asked(hub, "QUARANTINE.retry") is None
    assert hub.appended[0] == HELD


def test_without_an_operator_s_wish_in_the_log_nothing_is_done() -> None:
    hub = Hub()
    hub.core.on_quarantined(newer())
    hub.read(wish(RETRY_MESSAGE, offset=5), wish(DISCARD_MESSAGE))
    assert asked(hub, "QUARANTINE.retry") is None
    for _ in range(3):  # what else comes wakes it, and does not let it wait for ever
        hub.read(records.LaneReleased(vm=VmId("vm1")))
        hub.now += 1.0
    hub.read(records.LaneReleased(vm=VmId("vm1")))
    assert b"no operator has asked for it" in hub.answers["operator"]
    assert hub.appended == []


def test_a_wish_that_is_read_a_moment_later_is_done() -> None:
    hub = Hub()
    hub.core.on_quarantined(newer())
    assert asked(hub, "QUARANTINE.retry") is None
    hub.read(wish(RETRY_MESSAGE))
    assert hub.appended[0] == HELD


def test_what_is_not_kept_or_does_not_count_is_refused() -> None:
    hub = Hub()
    hub.core.on_quarantined(passed_over(4))
    hub.read(wish(RETRY_MESSAGE))
    assert b"still does not count" in (asked(hub, "QUARANTINE.retry") or b"")
    assert b"Does_not_exist" in (asked(hub, "QUARANTINE.retry", offset=7) or b"")
    assert hub.appended == []


def test_a_snapshot_holds_what_was_done() -> None:
    hub, restored = Hub(), Hub()
    hub.core.on_quarantined(newer())
    hub.read(QuarantineDiscarded(log=InstanceName("i"), offset=4, who="alice"))
    restored.core.restore(list(hub.core.snapshot()))
    assert told(restored) == told(hub)
    assert told(restored).records[0].exchange == EXCHANGE
