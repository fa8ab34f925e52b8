import re
from typing import get_args

import pytest
from bus.roles import NOTHING, SERVICES, WRITERS, Role, permissions
from bus.topology import (
    EXCHANGE,
    control_queue,
    door_queue,
    events_queue,
    lanes_queue,
    leader_queue,
    log_stream,
    observers_log,
    routing_word,
    snapshot_key,
    snapshot_stream,
    storage_queue,
)
from schema.ids import InstanceName
from schema.records import Record

MINE, OTHER = InstanceName("org.a"), InstanceName("org-a")
KINDS = {kind.model_fields["kind"].default for kind in get_args(get_args(Record)[0])}
DECIDES = {"Leased", "Elected", "Refused", "Merged"}


def may(pattern: str, name: str) -> bool:
    return re.search(pattern, name) is not None


def key(kind: str, instance: InstanceName = MINE) -> str:
    return f"{routing_word(instance)}.vm%2E1.{kind}"


def test_every_kind_of_record_has_its_writers_and_all_of_them_are_services() -> None:
    assert set(WRITERS) == KINDS
    assert all(roles and roles <= SERVICES for roles in WRITERS.values())


@pytest.mark.parametrize("role", Role)
@pytest.mark.parametrize("kind", sorted(KINDS))
def test_a_role_may_append_the_kinds_that_are_its_own_to_write_and_no_others(role: Role, kind: str) -> None:
    append = permissions(role, (MINE,)).append
    assert may(append, key(kind)) is (role in WRITERS[kind])
    assert may(append, key(kind, observers_log(MINE))) is (role in WRITERS[kind])
    assert not may(append, key(kind, OTHER))
    assert not may(append, f"{key(kind)}.Leased")
    assert not may(append, f"{key(kind)}s")


def test_only_the_redirector_decides() -> None:
    assert {kind for kind, roles in WRITERS.items() if roles == {Role.REDIRECTOR}} == DECIDES


def test_who_is_no_service_appends_nothing_and_may_not_write_to_the_exchange() -> None:
    for role in set(Role) - SERVICES:
        found = permissions(role, (MINE,))
        assert found.append == NOTHING
        assert not may(found.write, EXCHANGE)


QUEUES = {
    "door": door_queue(MINE),
    "storage": storage_queue(MINE),
    "control": control_queue(MINE),
    "events": events_queue(MINE),
    "lanes": lanes_queue(MINE),
    "leader": leader_queue(MINE),
    "log": log_stream(MINE),
    "observers": log_stream(observers_log(MINE)),
    "inbox": "xenops.inbox.5f",
    "reply": "amq.gen-x",
    "redirector's snapshots": snapshot_stream(MINE, "redirector"),
    "hub's snapshots": snapshot_stream(MINE, "eventhub"),
    "dashboard's snapshots": snapshot_stream(MINE, "dashboard"),
    "worker's snapshots": snapshot_stream(MINE, "worker.w.1"),
}
MADE = {
    Role.FRONTEND: {"door", "storage", "inbox"},
    Role.REDIRECTOR: {"redirector's snapshots", "inbox", "lanes", "leader", "log", "observers"},
    Role.EVENTHUB: {"hub's snapshots", "events"},
    Role.WORKER: {"worker's snapshots", "control"},
    Role.DASHBOARD: {"dashboard's snapshots", "reply"},
    Role.OPERATOR: {"reply"},
    Role.CLIENT: {"reply"},
}
READ = {
    Role.FRONTEND: {"door", "storage", "inbox", "log", "observers"},
    Role.REDIRECTOR: {"redirector's snapshots", "inbox", "lanes", "log", "observers"},
    Role.EVENTHUB: {"hub's snapshots", "events", "log", "observers"},
    Role.WORKER: {"worker's snapshots", "control", "log", "observers"},
    Role.DASHBOARD: {"dashboard's snapshots", "reply", "log", "observers"},
    Role.OPERATOR: {"reply", "log", "observers"},
    Role.CLIENT: {"reply"},
}


@pytest.mark.parametrize("role", Role)
def test_a_role_makes_and_reads_its_own_queues_and_no_others(role: Role) -> None:
    found = permissions(role, (MINE,))
    assert {queue for queue, name in QUEUES.items() if may(found.configure, name)} == MADE[role]
    assert {queue for queue, name in QUEUES.items() if may(found.read, name)} == READ[role]
    assert not may(found.configure, door_queue(OTHER))
    assert not may(found.read, log_stream(OTHER))
    assert not may(found.configure, f"x{QUEUES['control']}")
    assert not may(found.read, f"{QUEUES['log']}x")


def test_patterns_for_thousands_of_instances_are_as_short_as_a_broker_wants_them() -> None:
    names = [InstanceName(f"org.xen.host{number:05}") for number in range(5_000)]
    for role in SERVICES:
        found = permissions(role, names)
        assert max(map(len, (found.configure, found.write, found.read, found.append))) < 60_000
    worker = permissions(Role.WORKER, names)
    assert may(worker.read, log_stream(names[4_321]))
    assert not may(worker.read, log_stream(InstanceName("org.xen.host05000")))
    assert not may(worker.read, log_stream(InstanceName("org.xen.host0432")))


def test_a_name_that_another_begins_with_is_a_name_of_its_own() -> None:
    both = permissions(Role.EVENTHUB, (InstanceName("a"), InstanceName("ab")))
    names = {
        name for name in ("a", "ab", "abc", "b", "") if may(both.configure, events_queue(InstanceName(name)))
    }
    assert names == {"a", "ab"}


@pytest.mark.parametrize("role", [Role.REDIRECTOR, Role.EVENTHUB, Role.WORKER, Role.DASHBOARD])
def test_a_role_puts_away_its_own_snapshots_and_no_others(role: Role) -> None:
    append = permissions(role, (MINE,)).append
    keys = {
        other: snapshot_key(MINE, other) for other in ("redirector", "eventhub", "worker.w.1", "dashboard")
    }
    assert [other for other, key in keys.items() if may(append, key)] == [
        other for other in keys if other.startswith(role)
    ]
    assert not may(append, snapshot_key(OTHER, role))
