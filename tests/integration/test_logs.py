"""All services write JSON, a line each, that names task, VM and trace; on a real broker."""

from __future__ import annotations

import json
import time
import uuid
from typing import TYPE_CHECKING, Any

import pytest
from bus.roles import Role
from schema.fault import XenopsError
from xenops.events import wait_for_task

if TYPE_CHECKING:
    from collections.abc import Iterator

    from xenops.client import Client

    from conftest import Stack

PATIENCE_S = 120.0


@pytest.fixture(autouse=True, scope="module")
def want_json() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XENOPS_LOG_FORMAT", "json")
        yield


@pytest.fixture(name="lines")
def read(stack: Stack) -> list[dict[str, Any]]:
    return [json.loads(line) for line in stack.words().splitlines()]


def test_a_task_that_fails_is_found_by_its_id_its_vm_and_its_instance(stack: Stack, client: Client) -> None:
    vm = f"vm-{uuid.uuid4()}"
    task = client.vm.start(vm)
    with pytest.raises(XenopsError):
        wait_for_task(client, task, PATIENCE_S)
    deadline = time.monotonic() + PATIENCE_S
    while not (found := [one for one in map(json.loads, stack.words().splitlines()) if one.get("vm") == vm]):
        assert time.monotonic() < deadline, stack.words()
    assert {(one["task"], one["service"], one["instance"]) for one in found} == {
        (int(task), "worker", stack.instance)
    }
    assert "VM_start" in found[0]["message"]


def test_every_line_of_every_service_has_what_a_collector_wants(lines: list[dict[str, Any]]) -> None:
    assert {one["service"] for one in lines} == {"frontend", "redirector", "eventhub", "worker"}
    for one in lines:
        assert {"time", "level", "service", "logger", "message"} <= one.keys()


def test_no_line_holds_what_a_service_connects_by(stack: Stack) -> None:
    for url in map(stack.node.url_of, Role):
        assert url.partition("@")[0].rpartition(":")[2] not in stack.words()
