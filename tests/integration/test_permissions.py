"""What each user of the broker can do beyond its work: nothing, on a real broker, under a running stack."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pika
import pytest
from bus.exported import exported, imported
from bus.ports import BusUnavailableError, Entry
from bus.quarantine import Quarantined
from bus.rabbit.snapshot_store import RabbitSnapshotStore
from bus.roles import SERVICES, WRITERS, Role
from bus.snapshots import Header, cut, opened
from bus.topology import (
    EXCHANGE,
    control_queue,
    door_queue,
    events_queue,
    leader_queue,
    log_stream,
    observers_log,
    routing_word,
    snapshot_stream,
)
from bus.users import user_of
from engine.conformance.samples import sample_vm
from pika.adapters.blocking_connection import BlockingChannel
from pika.exceptions import ChannelClosedByBroker
from schema.ids import InstanceName
from schema.records import Leased
from stack.replay import ServiceName, Wanted, replay
from xenops.client import connect_bus
from xenops.command import main as command
from xenops.events import wait_for_task
from xenops.log import Log, open_log

if TYPE_CHECKING:
    from xenops.client import Client

    from conftest import Stack

INSTANCE = InstanceName("org.xen.xapi.xenops.simulator")
PATIENCE_S = 120.0
LEASE = ("vm", "task", "worker", "term")
REFUSED, LOCKED, FORGED = 403, 405, 406
FORBIDDEN = [(role, kind) for role in Role for kind, roles in WRITERS.items() if role not in roles]
QUEUES = {
    "door": door_queue(INSTANCE),
    "control": control_queue(INSTANCE),
    "events": events_queue(INSTANCE),
    "log": log_stream(INSTANCE),
    "observers": log_stream(observers_log(INSTANCE)),
    "leader": leader_queue(INSTANCE),
}
OWN = {
    Role.FRONTEND: {"door", "log", "observers"},
    Role.REDIRECTOR: {"leader", "log", "observers"},
    Role.EVENTHUB: {"events", "log", "observers"},
    Role.WORKER: {"control", "log", "observers"},
    Role.DASHBOARD: {"log", "observers"},
    Role.OPERATOR: {"log", "observers"},
    Role.CLIENT: set[str](),
}

Attempt = Callable[[BlockingChannel], Any]
Outcome = Callable[[Role, Attempt], int]


@pytest.fixture(name="outcome", scope="module")
def connect(stack: Stack) -> Iterator[Outcome]:
    """What an attempt by a role comes to: the code that the broker refuses it with, or 0."""
    connections = {
        role: pika.BlockingConnection(pika.URLParameters(stack.node.url_of(role))) for role in Role
    }

    def outcome(role: Role, attempt: Attempt) -> int:
        channel = connections[role].channel()
        channel.confirm_delivery()
        try:
            attempt(channel)
        except ChannelClosedByBroker as closed:
            return int(closed.reply_code)
        channel.close()
        return 0

    yield outcome
    for connection in connections.values():
        connection.close()


def key(kind: str) -> str:
    return f"{routing_word(INSTANCE)}.vm.{kind}"


def append(kind: str, user: str | None = None) -> Attempt:
    properties = pika.BasicProperties(user_id=user)
    return lambda channel: channel.basic_publish(EXCHANGE, key(kind), b"{}", properties)


@pytest.mark.parametrize("role", Role)
def test_the_broker_refuses_the_records_that_are_not_a_roles_to_write(outcome: Outcome, role: Role) -> None:
    for kind in (kind for other, kind in FORBIDDEN if other is role):
        assert outcome(role, append(kind)) == REFUSED, kind


def test_no_worker_forges_a_lease_or_an_election(outcome: Outcome) -> None:
    assert outcome(Role.WORKER, append("Heartbeat")) == 0
    for kind in ("Leased", "Elected", "Merged", "Refused"):
        assert outcome(Role.WORKER, append(kind)) == REFUSED


@pytest.mark.parametrize("role", sorted(SERVICES))
def test_nobody_signs_as_somebody_else(outcome: Outcome, role: Role) -> None:
    [kind, *_] = [kind for kind, roles in WRITERS.items() if role in roles]
    others = [other for other in SERVICES if other is not role]
    assert outcome(role, append(kind, user_of(role))) == 0
    assert {outcome(role, append(kind, user_of(other))) for other in others} == {FORGED}


@pytest.mark.parametrize("role", Role)
def test_a_role_reads_no_queue_but_its_own(stack: Stack, outcome: Outcome, role: Role) -> None:
    lines = stack.node.ctl("-q", "list_queues", "name").splitlines()
    inbox = next(line for line in lines if line.startswith("xenops.inbox."))
    has_inboxes = role in (Role.FRONTEND, Role.REDIRECTOR)  # each locked for all connections but its own
    assert outcome(role, read(inbox)) == (LOCKED if has_inboxes else REFUSED)
    for name in set(QUEUES) - OWN[role] - {"leader"}:
        assert outcome(role, read(QUEUES[name])) == REFUSED, name


def read(queue: str) -> Attempt:
    def consume(channel: BlockingChannel) -> None:
        channel.basic_qos(prefetch_count=1)
        channel.basic_consume(queue, lambda *_: None)

    return consume


@pytest.mark.parametrize("role", sorted(set(Role) - {Role.REDIRECTOR}))
def test_only_the_redirector_may_touch_a_log_itself(outcome: Outcome, role: Role) -> None:
    stream = log_stream(INSTANCE)
    assert outcome(role, lambda channel: channel.queue_delete(stream)) == REFUSED
    assert outcome(role, lambda channel: channel.queue_unbind(stream, EXCHANGE, "#")) == REFUSED
    assert outcome(role, lambda channel: channel.exchange_delete(EXCHANGE)) == REFUSED
    assert outcome(role, lambda channel: channel.queue_declare(leader_queue(INSTANCE), exclusive=True)) in (
        REFUSED,
        LOCKED,
    )


@pytest.mark.parametrize("role", [Role.REDIRECTOR, Role.EVENTHUB, Role.WORKER, Role.DASHBOARD])
def test_who_folds_the_log_keeps_snapshots_of_its_own_and_no_others(
    stack: Stack, outcome: Outcome, role: Role
) -> None:
    service = f"{role}.{uuid.uuid4()}"
    nodes = (pika.URLParameters(stack.node.url_of(role)),)
    store = RabbitSnapshotStore(lambda: nodes, INSTANCE, service)
    header = Header(service=service, at=0.0, next=0, anchor="", producers={})
    store.put(cut("s", header, [b"line"]))
    found = [opened(whole) for whole in store.newest_first()]
    assert [(at.service, list(lines)) for at, lines in found] == [(service, [b"line"])]
    stream = snapshot_stream(INSTANCE, service)
    for other in (*WRITERS, "OtherSnapshot"):
        own = outcome(role, lambda channel, kind=other: channel.queue_bind(stream, EXCHANGE, key(kind)))  # type: ignore[misc]
        assert own == (0 if role is Role.REDIRECTOR else REFUSED)


@pytest.mark.parametrize("role", [Role.CLIENT, Role.OPERATOR])
def test_who_asks_makes_no_queues_but_for_answers(outcome: Outcome, role: Role) -> None:
    name = f"x.{uuid.uuid4()}"
    assert outcome(role, lambda channel: channel.queue_declare(name, exclusive=True)) == REFUSED
    assert outcome(role, lambda channel: channel.queue_declare("", exclusive=True)) == 0
    reply_to = "amq.rabbitmq.reply-to"
    assert outcome(role, lambda channel: channel.basic_consume(reply_to, print, auto_ack=True)) == 0


def test_an_operator_reads_the_log_with_what_is_in_quarantine(
    stack: Stack, outcome: Outcome, client: Client
) -> None:
    assert outcome(Role.WORKER, append("Heartbeat")) == 0  # which is none
    vm = client.vm.add(sample_vm(f"vm-{uuid.uuid4()}"))
    wait_for_task(client, client.vm.start(vm), PATIENCE_S)
    wait_for_task(client, client.vm.shutdown(vm, None), PATIENCE_S)
    client.vm.remove(vm)
    with open_log(stack.node.url_of(Role.OPERATOR), INSTANCE) as log:
        found = list(log.read())
        offsets = [one.offset for one in found]
        assert offsets == sorted(set(offsets))
    kinds = {one.record.kind for one in found if isinstance(one, Entry)}
    assert {"Elected", "WorkerUp", "Submitted", "Leased", "Finished"} <= kinds
    users = {one.user for one in found if isinstance(one, Quarantined)}
    assert user_of(Role.WORKER) in users
    assert [imported(exported(INSTANCE, one).encode()) for one in found] == found


def test_what_services_did_is_what_a_replay_of_their_log_does(
    stack: Stack, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "log.jsonl"
    options = ["--broker", stack.node.url_of(Role.OPERATOR), "--instance", INSTANCE]
    assert command.main([*options, "log", "--export", str(path)]) == 0
    leases = {
        f"    appends Leased {' '.join(f'{name}={getattr(one.record, name)}' for name in LEASE)}"
        for one in map(imported, path.read_bytes().splitlines())
        if isinstance(one, Entry) and isinstance(one.record, Leased)
    }
    capsys.readouterr()
    replay(path, Wanted(ServiceName.REDIRECTOR, steps=True), print)
    shown = capsys.readouterr().out
    assert leases
    assert leases <= set(shown.splitlines())
    assert "the core fails" not in shown
    for service in (ServiceName.EVENTHUB, ServiceName.WORKER):
        replay(path, Wanted(service, steps=True), print)
    assert "the core fails" not in capsys.readouterr().out


def test_an_operator_follows_the_log(stack: Stack, client: Client) -> None:
    with open_log(stack.node.url_of(Role.OPERATOR), INSTANCE) as log:
        found = log.read(follow=True)
        vm = f"vm-{uuid.uuid4()}"
        client.lane.hold(vm)
        client.lane.release(vm)
        records = (one.record for one in found if isinstance(one, Entry))
        kinds = (record.kind for record in records if getattr(record, "vm", None) == vm)
        assert [next(kinds), next(kinds)] == ["LaneHeld", "LaneReleased"]


def test_a_client_is_told_who_may_read_the_log(stack: Stack) -> None:
    bus = connect_bus(stack.node.url_of(Role.CLIENT), "log")
    with Log(bus, INSTANCE, patience_s=1.0) as log, pytest.raises(BusUnavailableError, match="-operator"):
        next(log.read())


@pytest.mark.parametrize("role", Role)
def test_whoever_asks_is_told_whether_there_is_an_instance(stack: Stack, role: Role) -> None:
    bus = connect_bus(stack.node.url_of(role), "asks")
    try:
        assert (bus.knows(INSTANCE), bus.knows(InstanceName("misspelt"))) == (True, False)
    finally:
        bus.close()


def test_all_that_was_tried_has_harmed_nobody(stack: Stack, client: Client) -> None:
    client.vm.list()
    assert stack.dead() == []
