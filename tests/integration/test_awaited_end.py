"""A frontend and an event hub on a real broker; whoever decides says nothing of how a task has ended."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from bus.ports import BEGINNING, Entry, Request
from bus.process import Settings
from bus.rabbit import RabbitBus
from bus.retention import USUAL
from bus.roles import Role
from bus.topology import observers_log
from eventhub.service import build as build_eventhub
from frontend.service import build as build_frontend
from frontend.settings import Settings as FrontendSettings
from schema.fault import XenopsError
from schema.ids import InstanceName, TaskId
from schema.notices import Accepted
from schema.objects.errors import DoesNotExist
from schema.records import Failed, Finished, Outcome, Submitted, Succeeded
from stack.broker.node import PrivateNode
from xenops.client import Client

INSTANCE = InstanceName("org.xen.xapi.xenops.awaited")
GONE = DoesNotExist(klass="VM", id="gone/config")
PATIENCE_S = 120.0


class Mute:
    """A redirector that accepts, and ends all at once, but whose notices of an end are lost."""

    def __init__(self, bus: RabbitBus) -> None:
        self._bus = bus
        bus.tail(INSTANCE, BEGINNING, self._on_entry, lambda: None)
        bus.tail(observers_log(INSTANCE), BEGINNING, lambda _: None, lambda: None)  # so that it is there

    def _on_entry(self, entry: Entry) -> None:
        record = entry.record
        if not isinstance(record, Submitted) or record.reply_to is None:
            return
        task = TaskId(entry.offset)
        accepted = Accepted(request_id=record.request_id, task=task).model_dump_json().encode()
        self._bus.send(record.reply_to, Request(accepted, correlation_id=record.request_id))
        outcome: Outcome = Failed(error=GONE) if record.vm == "gone" else Succeeded()
        self._bus.append(INSTANCE, Finished(vm=record.vm, task=task, outcome=outcome))


@pytest.fixture(name="client")
def make_client(tmp_path: Path) -> Iterator[Client]:
    node = PrivateNode(tmp_path, (INSTANCE,))
    node.start()
    roles = (Role.REDIRECTOR, Role.EVENTHUB, Role.FRONTEND, Role.CLIENT)
    buses = [
        RabbitBus(
            node.url_of(role),
            role.value,
            () if role is Role.CLIENT else (INSTANCE,),
            makes_logs=USUAL if role is Role.REDIRECTOR else None,
        )
        for role in roles
    ]
    redirector, eventhub, frontend, client = buses
    Mute(redirector)
    settings = Settings((INSTANCE,))
    build_eventhub(eventhub, settings).start()
    build_frontend(frontend, FrontendSettings(settings)).start()
    try:
        for bus in buses:
            bus.ready(PATIENCE_S)
        yield Client(client, INSTANCE)
    finally:
        for bus in buses:
            bus.close()
        node.stop()


def test_the_end_of_what_is_awaited_is_found_out_when_nobody_tells_it(client: Client) -> None:
    client.vm.remove("there")
    with pytest.raises(XenopsError) as failed:
        client.vm.remove("gone")
    assert failed.value.error == GONE
    assert client.task.list() == ()
