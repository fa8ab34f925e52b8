"""The descriptions of what travels: current, whole, and true of what does travel."""

import json
from collections.abc import Iterator
from typing import Any

import asyncapi
import jsonschema_rs
import pytest
import schemas
from bus.roles import WRITERS
from schema.own_methods import ALL_METHODS
from schema.records import ENVELOPE, Envelope
from xenops import Client, XenopsError, wait_for_task
from xenops.client import Door
from xenops_testing.instance import Instance, a_vm

INTERFACE, RECORDS = (json.loads(text) for _, text in schemas.documents())


class Overhearing:
    """A door that keeps what goes through it: method, request and answer."""

    def __init__(self, door: Door) -> None:
        self._door = door
        self.heard: list[tuple[str, Any, Any]] = []

    def call(self, queue: str, body: bytes, timeout_s: float) -> bytes:
        answer = self._door.call(queue, body, timeout_s)
        request = json.loads(body)
        self.heard.append((request["method"], request, json.loads(answer)))
        return answer

    def close(self) -> None:
        self._door.close()


def described(name: str) -> Any:
    """Whatever is as the interface's schema says, by name."""
    return jsonschema_rs.validator_for({**INTERFACE, "$ref": f"#/$defs/{name}"})


def test_the_schemas_in_the_documents_are_current() -> None:
    stale = [path.name for path, text in schemas.documents() if path.read_text() != text]
    assert stale == [], "run `make asyncapi`"


def test_the_asyncapi_document_is_current() -> None:
    assert asyncapi.PATH.read_text() == schemas.text_of(asyncapi.document()), "run `make asyncapi`"


def references(part: Any) -> Iterator[str]:
    if isinstance(part, dict):
        for key, value in part.items():
            if key == "$ref":
                yield value
            else:
                yield from references(value)
    elif isinstance(part, list):
        for value in part:
            yield from references(value)


@pytest.mark.parametrize(
    "document", [INTERFACE, RECORDS, asyncapi.document()], ids=["wire", "log", "asyncapi"]
)
def test_every_reference_leads_somewhere(document: dict[str, Any]) -> None:
    for reference in set(references(document)):
        place: Any = document
        for step in reference.removeprefix("#/").split("/"):
            place = place[step]


def test_every_method_and_every_record_is_in_the_document() -> None:
    made = asyncapi.document()
    names = set(made["channels"]["door"]["messages"])
    assert names == {f"{method}.request" for method in ALL_METHODS}
    assert set(made["channels"]["exchange"]["messages"]) == {f"record.{kind}" for kind in WRITERS}
    passed_on = [set(made["channels"][name]["messages"]) for name in ("control", "events", "lanes")]
    assert sum(map(len, passed_on)) == len(set.union(*passed_on))


def test_what_clients_and_services_say_in_a_vms_life_is_as_described(
    xenops_client: Client, xenops_instance: Instance
) -> None:
    door = Overhearing(xenops_client.door)
    client = Client(door, xenops_instance.name)
    vm = client.vm.add(a_vm("web-1"))
    for operate in (client.vm.start, client.vm.unpause, client.vm.pause, client.vm.shutdown):
        wait_for_task(client, operate(vm))
    client.vm.stat(vm)
    client.vm.list()
    client.host.stat()
    client.query()
    client.lane.list()
    client.worker.list()
    client.events.stat()
    client.quarantine.list()
    client.updates.get(None, 0)
    with pytest.raises(XenopsError):
        client.vm.stat("nobody")
    assert any(answer["error"] for _, _, answer in door.heard)
    for method, request, answer in door.heard:
        described(f"{method}.request").validate(request)
        described(f"{method}.answer").validate(answer)
    in_log = jsonschema_rs.validator_for(RECORDS)
    for seq, record in enumerate(xenops_instance.records):
        made = Envelope(producer="p", seq=seq, at=0.0, instance="i", record=record)
        in_log.validate(json.loads(ENVELOPE.dump_json(made)))


@pytest.mark.parametrize(
    ("name", "wrong"),
    [
        ("VM.start.request", {"method": "VM.start", "params": [{"id": "vm", "debug_info": ""}], "id": 1}),
        ("VM.exists.answer", {"result": "yes", "error": None, "id": 0}),
        ("VM.exists.answer", {"result": None, "error": ["No_such_error", "x"], "id": 0}),
    ],
)
def test_what_is_wrong_is_not_as_described(name: str, wrong: dict[str, Any]) -> None:
    assert not described(name).is_valid(wrong)


def test_a_record_of_no_kind_is_not_as_described() -> None:
    wrong = {"producer": "p", "seq": 1, "at": 0.0, "instance": "i", "record": {"kind": "Nothing"}}
    assert not jsonschema_rs.validator_for(RECORDS).is_valid(wrong)
