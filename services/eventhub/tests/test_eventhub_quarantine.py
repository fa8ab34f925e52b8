import json

from bus.quarantine import Quarantined
from eventhub.quarantine import KEPT_MAX, QuarantineFold
from hub_in_hand import Hub
from schema.ids import InstanceName, Offset
from schema.objects.quarantine import Quarantine
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
