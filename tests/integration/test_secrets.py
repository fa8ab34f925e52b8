"""Secrets that clients send, and those by which services connect: none of them is in any log."""

from __future__ import annotations

import json
import time
import uuid
from typing import TYPE_CHECKING, Any

import pika
import pytest
from bus.quarantine import SHOWN_BYTES_MAX
from bus.roles import Role
from bus.topology import EXCHANGE, control_queue, events_queue, log_stream, routing_word
from engine.conformance.samples import sample_vm
from schema.fault import XenopsError
from schema.ids import InstanceName
from schema.rpc import encode_request
from xenops.client import Client
from xenops.events import wait_for_task

if TYPE_CHECKING:
    from conftest import Foreign, Stack

INSTANCE = InstanceName("org.xen.xapi.xenops.simulator")
PATIENCE_S = 120.0
SECRET = f"hunter2-{uuid.uuid4().hex}"


def test_what_a_client_sends_is_in_no_log(stack: Stack, client: Client, foreign: Foreign) -> None:
    vm = f"vm-{uuid.uuid4()}"
    secret = sample_vm(vm).model_copy(
        update={
            "xsdata": (("vm-data/password", SECRET),),
            "platformdata": (("vnc-password", SECRET),),
        }
    )
    client.vm.add(secret)
    for task in (
        client.vm.set_xsdata(vm, (("vm-data/password", SECRET),)),
        client.vm.start(vm),
        client.vm.unpause(vm),
    ):
        ended(client, task)
    ended(client, client.vm.run_script(vm, f"echo {SECRET}"))
    ended(client, client.vm.shutdown(vm, None))
    refuse(foreign, encode_request("VM.add", debug_info=SECRET, vm=secret).replace(b'"Halted"', b'"Hal"'))
    for queue in (INSTANCE, control_queue(INSTANCE), events_queue(INSTANCE)):
        refuse(foreign, json.dumps({"method": "VM.add", "params": [{"vm": SECRET}], "id": 1}).encode(), queue)
        refuse(foreign, SECRET.encode(), queue)
    client.vm.remove(vm)
    assert SECRET not in stack.words()


def ended(client: Client, task: str) -> None:
    """Well or not: either may be logged."""
    try:
        wait_for_task(client, task, PATIENCE_S)
    except XenopsError as error:
        assert str(error)  # noqa: PT017  either is an end


def refuse(foreign: Foreign, body: bytes, queue: str = INSTANCE) -> None:
    assert foreign.ask(body, queue)


@pytest.mark.parametrize("exchange", [EXCHANGE, ""])
def test_what_is_in_quarantine_is_logged_by_its_place_and_not_by_its_words(
    stack: Stack, client: Client, foreign: Foreign, exchange: str
) -> None:
    before = client.quarantine.list().total
    key = f"{routing_word(INSTANCE)}.x.Submitted" if exchange else log_stream(INSTANCE)
    record: dict[str, Any] = {"kind": "Submitted", "vm": {"password": SECRET}, "operation": SECRET}
    body = {"producer": "p", "seq": SECRET, "at": 0.0, "instance": INSTANCE, "record": record}
    foreign.channel.basic_publish(exchange, key, json.dumps(body).encode(), pika.BasicProperties())
    end = time.monotonic() + PATIENCE_S
    while client.quarantine.list().total == before:
        assert time.monotonic() < end, "it was not read"
    assert "is in quarantine" in stack.words()
    assert SECRET in client.quarantine.list().records[0].shown[:SHOWN_BYTES_MAX]
    assert SECRET not in stack.words()


def test_no_service_logs_the_password_that_it_connects_by(stack: Stack) -> None:
    words = stack.words()
    for url in (stack.node.url, *map(stack.node.url_of, Role)):
        password = url.partition("@")[0].rpartition(":")[2]
        assert len(password) > 10
        assert password not in words
