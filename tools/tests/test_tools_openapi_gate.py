import copy
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import openapi_gate
import pytest

Change = Callable[[dict[str, Any]], object]

DOCUMENT: dict[str, Any] = {
    "info": {"version": "1.4.0"},
    "paths": {
        "/vms": {
            "get": {
                "parameters": [
                    {"in": "query", "name": "limit", "schema": {"type": "integer", "maximum": 100}},
                    {"in": "query", "name": "state", "schema": {"enum": ["on", "off"], "type": "string"}},
                ],
                "responses": {
                    "200": {"content": {"application/json": {"schema": {"$ref": "#/components/schemas/Vm"}}}},
                    "404": {"content": {"application/json": {"schema": {"type": "object"}}}},
                },
            },
            "post": {
                "parameters": [],
                "requestBody": {
                    "content": {"application/json": {"schema": {"$ref": "#/components/schemas/Wish"}}}
                },
                "responses": {"204": {}},
            },
        }
    },
    "components": {
        "schemas": {
            "Vm": {
                "type": "object",
                "required": ["name", "state", "age"],
                "properties": {
                    "name": {"type": "string"},
                    "state": {"const": "on"},
                    "age": {"anyOf": [{"type": "number"}, {"type": "null"}]},
                    "place": {"type": "array", "prefixItems": [{"type": "integer"}, {"type": "integer"}]},
                    "children": {"type": "array", "items": {"$ref": "#/components/schemas/Vm"}},
                    "sizes": {"type": "object", "additionalProperties": {"type": "integer"}},
                },
            },
            "Wish": {
                "type": "object",
                "properties": {
                    "name": {"type": "string", "maxLength": 64, "pattern": "a"},
                    "force": {"type": ["boolean", "null"]},
                },
            },
        }
    },
}


def call(document: dict[str, Any], verb: str = "get") -> Any:
    return document["paths"]["/vms"][verb]


def vm(document: dict[str, Any]) -> Any:
    return document["components"]["schemas"]["Vm"]


def wish(document: dict[str, Any]) -> Any:
    return document["components"]["schemas"]["Wish"]


BREAKING: list[tuple[Change, str]] = [
    (lambda d: d["paths"].clear(), "GET /vms: is gone"),
    (lambda d: d["paths"]["/vms"].pop("post"), "POST /vms: is gone"),
    (lambda d: call(d)["parameters"].pop(0), "GET /vms: query parameter limit is no longer read"),
    (lambda d: call(d)["parameters"][0].update(required=True), "query parameter limit must now be given"),
    (
        lambda d: call(d)["parameters"].append({"in": "query", "name": "x", "required": True, "schema": {}}),
        "query parameter x must now be given",
    ),
    (
        lambda d: call(d)["parameters"][0]["schema"].update(maximum=10),
        "limit: may no longer be beyond maximum 10",
    ),
    (
        lambda d: call(d)["parameters"][0]["schema"].update(minimum=1),
        "limit: may no longer be below minimum 1",
    ),
    (lambda d: call(d)["parameters"][0].update(schema={"type": "string"}), "limit: may no longer be integer"),
    (lambda d: call(d)["parameters"][1]["schema"].update(enum=["on"]), 'state: may no longer be "off"'),
    (lambda d: call(d).update(security=[{"bearer": []}]), "GET /vms: now wants a token"),
    (lambda d: call(d, "post")["requestBody"].update(required=True), "a body must now be given"),
    (
        lambda d: call(d, "post")["requestBody"].update(content={}),
        "a body of application/json is no longer read",
    ),
    (lambda d: wish(d).update(required=["force"]), "body.force: must now be given"),
    (lambda d: wish(d)["properties"].pop("force"), "body.force: is gone"),
    (lambda d: wish(d)["properties"]["force"].update(type="boolean"), "force: may no longer be null"),
    (lambda d: wish(d)["properties"]["name"].update(pattern="b"), "may no longer be of another pattern"),
    (lambda d: wish(d).update(additionalProperties=False), "longer than it was, by additionalProperties"),
    (lambda d: call(d)["responses"].pop("200"), "GET /vms: never answers 200 any more"),
    (lambda d: call(d)["responses"]["200"].update(content={}), "200 no longer answers application/json"),
    (lambda d: vm(d)["properties"].pop("place"), "200.place: is gone"),
    (lambda d: vm(d)["required"].remove("name"), "200.name: may now be missing"),
    (lambda d: vm(d)["properties"]["state"].update(const="off"), '200.state: may now be "off"'),
    (
        lambda d: vm(d)["properties"].update(state={"type": "string"}),
        '200.state: may now be something else than "on"',
    ),
    (lambda d: vm(d)["properties"]["age"]["anyOf"].append({"type": "string"}), "200.age: may now be string"),
    (lambda d: vm(d)["properties"].update(name={}), "200.name: may now be of any type"),
    (lambda d: vm(d)["properties"]["place"]["prefixItems"].pop(), "200.place: had 2 places and has 1"),
    (
        lambda d: vm(d)["properties"]["place"]["prefixItems"][1].update(type="null"),
        "200.place[1]: may now be null",
    ),
    (
        lambda d: vm(d)["properties"]["children"].update(items={"type": "null"}),
        "200.children[]: may now be null",
    ),
    (
        lambda d: vm(d)["properties"]["sizes"].update(additionalProperties={"type": "number"}),
        "200.sizes{}: may now be number",
    ),
]

HARMLESS: list[Change] = [
    lambda d: d["paths"].update({"/new": {}}),
    lambda d: call(d)["parameters"].append({"in": "query", "name": "x", "schema": {}}),
    lambda d: call(d)["parameters"][0]["schema"].update(maximum=1000, title="Other words"),
    lambda d: call(d)["parameters"][1]["schema"]["enum"].append("paused"),
    lambda d: call(d)["responses"].pop("404"),
    lambda d: vm(d)["properties"].update(new={"type": "string"}),
    lambda d: vm(d)["required"].append("place"),
    lambda d: vm(d)["properties"].update(age={"type": "integer"}),
    lambda d: wish(d)["properties"].update(new={"type": "string"}),
    lambda d: wish(d)["properties"]["name"].pop("pattern"),
    lambda d: (
        call(d, "post").update(requestBody={"$ref": "#/components/bodies/wish"})
        or d["components"].update(bodies={"wish": DOCUMENT["paths"]["/vms"]["post"]["requestBody"]})
    ),
]


def after(change: Change) -> dict[str, Any]:
    changed = copy.deepcopy(DOCUMENT)
    change(changed)
    return changed


@pytest.mark.parametrize(("change", "words"), BREAKING, ids=[words for _, words in BREAKING])
def test_a_change_that_may_break_a_program_is_named(change: Change, words: str) -> None:
    found = list(openapi_gate.breaking(DOCUMENT, after(change)))
    assert any(words in one for one in found), found


@pytest.mark.parametrize("change", HARMLESS)
def test_what_need_not_be_used_breaks_nobody(change: Change) -> None:
    assert list(openapi_gate.breaking(DOCUMENT, after(change))) == []


def test_what_breaks_is_let_in_by_the_first_number_of_the_version_alone(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    paths = [tmp_path / "released.json", tmp_path / "now.json"]
    for version, code in (("1.5.0", 1), ("2.0.0", 0)):
        now = {"info": {"version": version}, "paths": {}}
        for path, document in zip(paths, (DOCUMENT, now), strict=True):
            path.write_text(json.dumps(document))
        assert openapi_gate.main(list(map(str, paths))) == code
        assert capsys.readouterr().out.splitlines() == ["GET /vms: is gone", "POST /vms: is gone"]
    assert openapi_gate.main(["one"]) == 2
    assert "two documents" in capsys.readouterr().err


def test_the_operators_api_keeps_what_its_last_release_promised() -> None:
    released, now = (json.loads(path.read_text()) for path in (openapi_gate.RELEASED, openapi_gate.NOW))
    found = list(openapi_gate.breaking(released, now))
    assert not found or openapi_gate.allowed(released, now), "\n".join(
        [
            *found,
            "raise the first number of VERSION in services/dashboard/dashboard/web/app.py, or keep these",
        ]
    )
