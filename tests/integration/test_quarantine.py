"""A message that this version could not read: operators have it judged again, on a real broker."""

from __future__ import annotations

import http.client
import json
import time
from dataclasses import replace
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import bus.rabbit.reader
import dashboard.service
import eventhub.service
import pika
import pytest
from bus.ports import Entry
from bus.process import Settings as BusSettings
from bus.quarantine import Arrival, Quarantined, judge
from bus.rabbit import RabbitBus
from bus.retention import retention_from
from bus.roles import Role
from bus.topology import EXCHANGE, events_queue, log_stream, routing_key
from bus.users import user_of
from dashboard.operators import Operator, OperatorRole, tokens_text
from dashboard.settings import Settings
from schema.ids import InstanceName, Offset, TaskId, VmId
from schema.overseen import Acted, QuarantineDiscarded, QuarantineRetried
from schema.records import ENVELOPE, CancelRequested, Envelope, LaneHeld
from schema.rpc import encode_request
from stack.broker.node import PrivateNode
from xenops.log import open_log

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

INSTANCE = InstanceName("org.xen.quarantine")
OPERATOR, READER = "o" * 40, "r" * 40
PATIENCE_S = 120.0
NEWER = VmId("newer")
"""Records about this VM are of a newer version, for a service that has not been upgraded."""


class Page:
    """An event hub and a dashboard on a broker, as users with their own rights only."""

    def __init__(self, folder: Path) -> None:
        self.node = PrivateNode(folder / "broker", (INSTANCE,))
        self.node.start()
        self.buses = {role: self._bus(role) for role in (Role.REDIRECTOR, Role.EVENTHUB, Role.FRONTEND)}
        self.buses[Role.DASHBOARD] = self._bus(Role.DASHBOARD)
        settings = BusSettings((INSTANCE,))
        eventhub.service.build(self.buses[Role.EVENTHUB], settings).start()
        tokens = folder / "tokens"
        tokens.touch(mode=0o600)
        people = [
            (Operator("alice", OperatorRole.OPERATOR), OPERATOR),
            (Operator("bob", OperatorRole.READER), READER),
        ]
        tokens.write_text(tokens_text(people))
        self.page = dashboard.service.build(self.buses[Role.DASHBOARD], Settings(settings, tokens))
        self.page.start()

    def _bus(self, role: Role) -> RabbitBus:
        makes_logs = retention_from({}) if role is Role.REDIRECTOR else None
        return RabbitBus(self.node.url_of(role), role, (INSTANCE,), makes_logs=makes_logs)

    def close(self) -> None:
        self.page.stop()
        for one in self.buses.values():
            one.close()
        self.node.stop()

    def ask(self, method: str, path: str, token: str = OPERATOR) -> tuple[int, Any]:
        connection = http.client.HTTPConnection(urlsplit(self.page.url).netloc, timeout=PATIENCE_S)
        headers = {"authorization": f"Bearer {token}"}
        connection.request(method, f"/api/v1/instances/{INSTANCE}/quarantine{path}", headers=headers)
        answer = connection.getresponse()
        told = json.loads(answer.read())
        connection.close()
        return answer.status, told

    def await_messages(self, count: int) -> list[dict[str, Any]]:
        """What is in quarantine, the newest first, once there is so much and the page hears its own words."""
        deadline = time.monotonic() + PATIENCE_S
        while True:
            status, told = self.ask("GET", "")
            if status == http.client.OK and told["total"] >= count and not self._trouble():
                return list(told["records"])
            assert time.monotonic() < deadline, told

    def _trouble(self) -> str:
        return str(self.page._watches[INSTANCE].trouble)

    def log(self) -> list[Entry]:
        with open_log(self.node.url_of(Role.OPERATOR), INSTANCE) as log:
            return [one for one in log.read() if isinstance(one, Entry)]


@pytest.fixture(name="page", scope="module")
def serve(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Page]:
    page = Page(tmp_path_factory.mktemp("q"))
    yield page
    page.close()


def older(log: InstanceName, offset: Offset, arrival: Arrival) -> Envelope | Quarantined:
    """As a version judges that does not know what a newer one writes."""
    if NEWER.encode() not in arrival.body:
        return judge(log, offset, arrival)
    passed_over = judge(log, offset, Arrival(arrival.exchange, "", arrival.user, arrival.body))
    assert isinstance(passed_over, Quarantined)
    return replace(passed_over, reason="it does not parse", routing_key=arrival.routing_key)


def test_what_a_newer_version_wrote_counts_once_it_is_retried_after_the_upgrade(
    page: Page, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bus.rabbit.reader, "judge", older)
    page.buses[Role.FRONTEND].append(INSTANCE, LaneHeld(vm=NEWER)).result(PATIENCE_S)
    [one] = page.await_messages(1)
    monkeypatch.undo()  # the upgrade
    assert (one["no_retry"], one["done"], one["user"]) == ("", "", user_of(Role.FRONTEND))
    path = f"/{INSTANCE}/{one['offset']}/retry"
    assert page.ask("POST", path, READER)[0] == http.client.FORBIDDEN
    assert page.ask("POST", path) == (http.client.OK, {"done": f"retry-message {INSTANCE}@{one['offset']}"})
    [one] = page.await_messages(1)
    assert (one["done"], one["by"]) == ("retried", "alice")
    again, why = page.ask("POST", path)
    assert (again, "already" in why["detail"]) == (http.client.CONFLICT, True)
    acted, held, retried = [entry.record for entry in page.log() if not_ours(entry)][-3:]
    assert isinstance(acted, Acted)
    assert (acted.who, acted.action) == ("alice", "retry-message")
    assert held == LaneHeld(vm=NEWER)
    assert retried == QuarantineRetried(log=INSTANCE, offset=one["offset"], who="alice", record="LaneHeld")


def not_ours(entry: Entry) -> bool:
    return entry.record.kind not in ("Pinged", "Snapshotted")


def test_what_is_forged_is_never_retried_and_may_be_noted_as_seen(page: Page) -> None:
    before = len(page.await_messages(0))
    record = CancelRequested(vm=VmId("vm"), task=TaskId(0))
    body = ENVELOPE.dump_json(Envelope(producer="m", seq=1, at=0.0, instance=INSTANCE, record=record))
    user = user_of(Role.EVENTHUB)
    connection = pika.BlockingConnection(pika.URLParameters(page.node.url_of(Role.EVENTHUB)))
    channel = connection.channel()
    wrong_key = routing_key(INSTANCE, LaneHeld(vm=VmId("vm")))
    channel.basic_publish(EXCHANGE, wrong_key, body, pika.BasicProperties(user_id=user))
    channel.basic_publish("", log_stream(INSTANCE), body, pika.BasicProperties(user_id=user))
    connection.close()
    for one in page.await_messages(before + 2)[:2]:
        path = f"/{INSTANCE}/{one['offset']}"
        status, why = page.ask("POST", f"{path}/retry")
        assert (status, "forged" in why["detail"]) == (http.client.CONFLICT, True)
        assert page.ask("POST", f"{path}/discard")[0] == http.client.OK
        assert page.ask("POST", f"{path}/discard")[0] == http.client.CONFLICT
    assert [one["done"] for one in page.await_messages(before + 2)[:2]] == ["discarded"] * 2
    kinds = [entry.record.kind for entry in page.log()]
    assert "CancelRequested" not in kinds
    assert kinds.count("QuarantineDiscarded") == 2
    [last] = [entry.record for entry in page.log() if isinstance(entry.record, QuarantineDiscarded)][-1:]
    assert last.who == "alice"


def test_who_may_ask_and_is_no_operator_has_nothing_done(page: Page) -> None:
    one = page.await_messages(1)[-1]
    before = [entry.record for entry in page.log() if not_ours(entry)]
    body = encode_request("QUARANTINE.discard", debug_info="d", log=INSTANCE, offset=one["offset"])
    answer = page.buses[Role.FRONTEND].call(events_queue(INSTANCE), body, PATIENCE_S)
    assert b"no operator has asked for it" in answer
    assert [entry.record for entry in page.log() if not_ours(entry)] == before
