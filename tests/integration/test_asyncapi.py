"""What the AsyncAPI document says of exchange, streams and queues is what services make on a real broker."""

import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from conftest import Stack

DOCUMENT = Path(__file__).parents[2] / "docs" / "asyncapi.json"
CHANNELS = json.loads(DOCUMENT.read_text())["channels"]
QUEUES = {
    name: part
    for name, part in CHANNELS.items()
    if part.get("bindings", {}).get("amqp", {}).get("is") == "queue"
}
NOT_HERE = {"storage"}
"""Served where a frontend is told of its host's storage service, which is tested with one."""


def _pattern(address: str) -> str:
    parts = re.split(r"\{(\w+)\}", address)
    words = {"instance": r"org\.xen\.xapi\.xenops\.\w+", "service": r"[\w.-]+", "id": r"\w+"}
    return "".join(words[part] if number % 2 else re.escape(part) for number, part in enumerate(parts))


def _told(stack: "Stack", *words: str) -> Any:
    return json.loads(stack.node.ctl("--quiet", *words, "--formatter", "json"))


@pytest.fixture(name="made", scope="module")
def list_queues(stack: "Stack") -> list[dict[str, Any]]:
    columns = ("name", "type", "durable", "auto_delete", "exclusive")
    found: list[dict[str, Any]] = _told(stack, "list_queues", *columns)
    return found


def channel_of(queue: str) -> str:
    """The one channel of the document that a queue is."""
    found: list[str] = [
        name for name, part in QUEUES.items() if re.fullmatch(_pattern(part["address"]), queue)
    ]
    assert len(found) == 1, (queue, found)
    return found[0]


def test_every_queue_of_the_broker_is_in_the_document_as_it_is_made(made: list[dict[str, Any]]) -> None:
    for queue in made:
        described = QUEUES[channel_of(queue["name"])]["bindings"]["amqp"]["queue"]
        assert described == {
            "durable": queue["durable"],
            "exclusive": bool(queue["exclusive"]),  # of a stream it says ""
            "autoDelete": queue["auto_delete"],
            "x-type": queue["type"],
        }, queue["name"]


def test_every_queue_of_the_document_is_made(made: list[dict[str, Any]]) -> None:
    assert {channel_of(queue["name"]) for queue in made} == QUEUES.keys() - NOT_HERE


def test_records_go_by_the_one_exchange_of_the_document(stack: "Stack", made: list[dict[str, Any]]) -> None:
    described = CHANNELS["exchange"]["bindings"]["amqp"]["exchange"]
    exchanges = _told(stack, "list_exchanges", "name", "type", "durable")
    ours = [one for one in exchanges if one["name"] and not one["name"].startswith("amq.")]
    assert ours == [described]
    bound = _told(stack, "list_bindings", "source_name", "destination_name")
    streams = {queue["name"] for queue in made if queue["type"] == "stream"}
    assert {one["destination_name"] for one in bound if one["source_name"] == described["name"]} == streams
