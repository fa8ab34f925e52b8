from eventhub.calls import READERS_SHOWN_MAX
from eventhub.effects import Address
from hub_in_hand import VM, WORKER, XVDA, Hub, changed
from schema import records
from schema.objects.events import Events, Readers
from schema.rpc import decode_response


def stat(hub: Hub) -> Events:
    body = hub.ask("operator", "EVENTS.stat")
    assert body is not None
    found: Events = decode_response("EVENTS.stat", body)
    return found


def test_an_operator_sees_how_far_a_hub_has_read_and_who_waits_where() -> None:
    hub = Hub()
    hub.read(changed())
    _, _, token = hub.get("a", None)
    assert hub.get("b", token) is None
    assert hub.get("c", token) is None
    found = stat(hub)
    assert (found.token, found.seen, found.objects) == (token, 1, 1)
    assert found.readers == (Readers(token=token, count=2, behind=0),)
    hub.read(records.Heartbeat(worker=WORKER))
    assert (stat(hub).token, stat(hub).seen) == (token, 2)


def test_whoever_is_left_alone_for_a_while_is_shown_to_be_behind() -> None:
    hub = Hub()
    hub.read(changed())
    _, _, token = hub.get("a", None)
    for who in "bcd":
        assert hub.get(who, token) is None
    hub.read(changed(XVDA))
    for who in "efg":
        assert hub.get(who, token) is None
    [readers] = stat(hub).readers
    assert (readers.token, readers.count, readers.behind) == (token, 3, 1)


def test_barriers_that_stand_are_shown() -> None:
    hub = Hub()
    hub.read(changed(XVDA), records.Barrier(vm=VM, barrier=7))
    [barrier] = stat(hub).barriers
    assert (barrier.id, barrier.objects) == (7, 1)
    assert barrier.token == stat(hub).token
    hub.read(records.BarrierRemoved(barrier=7))
    assert stat(hub).barriers == ()


def test_no_more_places_are_shown_than_the_limit() -> None:
    hub = Hub()
    for number in range(READERS_SHOWN_MAX + 5):
        hub.core._waiting.add(Address(str(number), None), number, 1e9)
    assert len(stat(hub).readers) == READERS_SHOWN_MAX
