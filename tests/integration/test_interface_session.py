"""The original's live session, played against us: the same answers, up to ids, times and what is named."""

import json
import shutil
import tempfile
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from golden_session import GOLDEN, Exchange, Names, comparable, differences, exchanges
from interface_doors import PATIENCE_S, client_through
from stack.layout import Layout
from stack.local import LocalStack
from stack.shape import SIMULATOR_INSTANCE, Shape
from xenops.client import Client, Door

NAMED = {
    18: "VM.list: the original lists in the order of its directory",
    245: "disks are plugged in any order; after a reboot the original's domain is still paused",
    277: "Task.list: other ids, and tasks that the corpus does not show destroyed",
    282: "a VM.delay is cancelled at once; the original's cannot be",
    291: "the corpus does not show that the client cancelled this task while it was queued",
    297: "a task that is asked for before it has ended is still there; the original was asked later",
    298: "get_diagnostics: other ids and queues",
    316: "VM.migrate: ours migrates, and there is nobody; the original's simulator cannot",
    335: "a halted VM is shut down; the original's simulator fails for devices that are not plugged",
    369: "Task.list",
}
"""Answers that differ, by the number of the request, and why."""

pytestmark = pytest.mark.skipif(not GOLDEN.exists(), reason="the corpus is not here: set XENOPS_GOLDEN")


@pytest.fixture(name="client")
def open_client() -> Iterator[Client]:
    layout = Layout(Path(tempfile.mkdtemp(prefix="xs-")) / "stack")
    with (
        LocalStack(layout, Shape()) as stack,
        client_through("json", stack, layout, SIMULATOR_INSTANCE) as client,
    ):
        yield client
    shutil.rmtree(layout.root.parent)


def ask(door: Door, method: str, params: Mapping[str, Any]) -> Any:
    body = json.dumps({"method": method, "params": [params], "id": 1}).encode()
    return json.loads(door.call(SIMULATOR_INSTANCE, body, PATIENCE_S))


def answered(door: Door, exchange: Exchange, params: Mapping[str, Any]) -> Any:
    """Our answer; a task that had ended there is waited for."""
    moment = threading.Event()
    while True:
        answer = ask(door, exchange.method, params)
        pending = (
            exchange.method == "Task.stat" and (answer["result"] or {}).get("state", [""])[0] == "Pending"
        )
        if not pending or exchange.answer["result"] is None:
            return answer
        moment.wait(0.01)


def is_about_timing(exchange: Exchange) -> bool:
    """How far a task was just then, and which updates came together."""
    return is_pending(exchange.method, exchange.answer) or exchange.method in (
        "UPDATES.get",
        "UPDATES.last_id",
    )


def is_pending(method: str, answer: Mapping[str, Any]) -> bool:
    """Whether a task has not ended."""
    return method == "Task.stat" and bool(answer["result"]) and answer["result"]["state"][0] == "Pending"


def test_the_originals_session_is_answered_as_by_the_original(client: Client) -> None:
    door, names, found = client.door, Names(), dict[int, list[str]]()
    for exchange in exchanges():
        if is_about_timing(exchange):
            continue
        params = names.ours(exchange.params)
        ours, theirs = answered(door, exchange, params), dict(exchange.answer)
        if isinstance(theirs["result"], str) and theirs["result"].isdecimal():
            names.tasks[theirs["result"]] = theirs["result"] = ours["result"]
        if exchange.method == "Task.stat" and theirs["result"]:
            theirs["result"] = theirs["result"] | {"id": params["id"]}
        if different := list(differences(comparable(ours), comparable(theirs))):
            found[exchange.number] = different
    assert {number: how for number, how in found.items() if number not in NAMED} == {}
