"""OpenAPI gate: what the operators' API no longer keeps of what its last release promised.

    python tools/openapi_gate.py [RELEASED NOW]

names each change by which a program that was written by the released document may break. They are let in
where the first number of the API's version is higher than the released one's. Words of the description mean
nothing here; what is new and need not be used breaks nobody.
"""

import json
import sys
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

DOCUMENTS = Path(__file__).resolve().parent.parent / "docs" / "operators"
RELEASED, NOW = DOCUMENTS / "openapi-released.json", DOCUMENTS / "openapi.json"

Part = Mapping[str, Any]
"""A part of an OpenAPI document."""

VERBS = ("get", "put", "post", "delete", "options", "head", "patch", "trace")
UPPER = ("maximum", "exclusiveMaximum", "maxLength", "maxItems", "maxProperties")
LOWER = ("minimum", "exclusiveMinimum", "minLength", "minItems", "minProperties")
STRUCTURE = {
    *("$ref", "type", "anyOf", "oneOf", "enum", "const", "items", "prefixItems"),
    *("properties", "required", "additionalProperties", *UPPER, *LOWER),
}
WORDS = {"title", "description", "default", "examples", "example", "deprecated"}
"""What says nothing about which values there may be."""


def main(arguments: list[str]) -> int:
    """Compare two documents, by default the released one and the present one; answers the exit code."""
    paths = list(map(Path, arguments)) or [RELEASED, NOW]
    if len(paths) != 2:
        print("openapi: name two documents, the released one first, or none", file=sys.stderr)
        return 2
    released, now = (json.loads(path.read_text()) for path in paths)
    found = list(breaking(released, now))
    print("\n".join(found) if found else "openapi: nothing breaks")
    return 1 if found and not allowed(released, now) else 0


def allowed(released: Part, now: Part) -> bool:
    """Whether the version says that programs must change."""
    first, present = (int(one["info"]["version"].partition(".")[0]) for one in (released, now))
    return present > first


def breaking(released: Part, now: Part) -> Iterator[str]:
    """A sentence for each change that may break a program."""
    for path, calls in released["paths"].items():
        for verb in filter(calls.__contains__, VERBS):
            where = f"{verb.upper()} {path}"
            call = now["paths"].get(path, {}).get(verb)
            if call is None:
                yield f"{where}: is gone"
            else:
                yield from _call(where, _Side(calls[verb], released), _Side(call, now))


@dataclass(frozen=True, slots=True)
class _Side:
    """A part of one of the two documents."""

    part: Part
    document: Part

    def at(self, *names: str) -> "_Side":
        """What is below it; nothing, where there is none."""
        part = self.part
        for name in names:
            part = part.get(name, {})
        return _Side(part, self.document)

    def resolved(self) -> "_Side":
        """The part that it refers to, or itself."""
        side = self
        while reference := side.part.get("$ref"):
            side = _Side(side.document, side.document).at(*reference.removeprefix("#/").split("/"))
        return side

    def alternatives(self) -> "list[_Side]":
        """The schemas of which a value matches any."""
        part = self.resolved().part
        if several := part.get("anyOf", part.get("oneOf")):
            return [deeper for one in several for deeper in _Side(one, self.document).alternatives()]
        if isinstance(part.get("type"), list):
            return [_Side({**part, "type": one}, self.document) for one in part["type"]]
        return [_Side(part, self.document)]


@dataclass(frozen=True, slots=True)
class _Values:
    """Where values stand, and which of the documents must take what the other one gives."""

    where: str
    answered: bool
    within: frozenset[tuple[int, int]] = frozenset()

    def below(self, name: str) -> "_Values":
        """A part of the value."""
        return replace(self, where=f"{self.where}{name}")

    def sides(self, released: _Side, now: _Side) -> tuple[_Side, _Side]:
        """Who gives values and who takes them: programs that were released, and the service of now."""
        return (now, released) if self.answered else (released, now)

    def told(self, words: str) -> str:
        """That a value is one which its taker does not know."""
        return f"{self.where}: {'may now be' if self.answered else 'may no longer be'} {words}"


def _call(where: str, released: _Side, now: _Side) -> Iterator[str]:
    yield from _parameters(where, released, now)
    yield from _body(where, released, now)
    yield from _answers(where, released, now)
    if now.part.get("security") and not released.part.get("security"):
        yield f"{where}: now wants a token"


def _parameters(where: str, released: _Side, now: _Side) -> Iterator[str]:
    before, after = _named(released), _named(now)
    for name, found in after.items():
        if found.part.get("required") and not (name in before and before[name].part.get("required")):
            yield f"{where}: {name} must now be given"
    for name, found in before.items():
        if name not in after:
            yield f"{where}: {name} is no longer read"
        else:
            values = _Values(f"{where}: {name}", answered=False)
            yield from _schema(values, found.at("schema"), after[name].at("schema"))


def _named(call: _Side) -> dict[str, _Side]:
    sides = (_Side(one, call.document).resolved() for one in call.part.get("parameters", ()))
    return {f"{side.part['in']} parameter {side.part['name']}": side for side in sides}


def _body(where: str, released: _Side, now: _Side) -> Iterator[str]:
    before, after = released.at("requestBody").resolved(), now.at("requestBody").resolved()
    if after.part.get("required") and not before.part.get("required"):
        yield f"{where}: a body must now be given"
    for kind in before.part.get("content", ()):
        if kind not in after.part.get("content", ()):
            yield f"{where}: a body of {kind} is no longer read"
        else:
            values = _Values(f"{where}: body", answered=False)
            yield from _schema(values, *(one.at("content", kind, "schema") for one in (before, after)))


def _answers(where: str, released: _Side, now: _Side) -> Iterator[str]:
    """Of answers of success: how a call is refused may be told anew."""
    for code in released.part["responses"]:
        if code >= "400":
            continue
        if code not in now.part["responses"]:
            yield f"{where}: never answers {code} any more"
            continue
        before, after = (one.at("responses", code).resolved() for one in (released, now))
        for kind in before.part.get("content", ()):
            if kind not in after.part.get("content", ()):
                yield f"{where}: {code} no longer answers {kind}"
            else:
                values = _Values(f"{where}: {code}", answered=True)
                yield from _schema(values, *(one.at("content", kind, "schema") for one in (before, after)))


def _schema(values: _Values, released: _Side, now: _Side) -> Iterator[str]:
    """Values that the one gives and the other does not take, and properties that are gone."""
    pair = (id(released.resolved().part), id(now.resolved().part))
    if pair in values.within:
        return
    values = replace(values, within=values.within | {pair})
    giver, taker = values.sides(released, now)
    takers = taker.alternatives()
    for given in giver.alternatives():
        alike = [one for one in takers if _is_of_type(given.part, one.part)]
        if not alike:
            yield values.told(_type_of(given.part))
        else:
            told = [list(_alike(values, given, one)) for one in alike]
            yield from min(told, key=len)


def _alike(values: _Values, given: _Side, taken: _Side) -> Iterator[str]:
    """What of the values of one type is not taken."""
    yield from _bounds(values, given.part, taken.part)
    yield from _enumerated(values, given.part, taken.part)
    if "properties" in given.part or "properties" in taken.part:
        yield from _properties(values, *values.sides(given, taken))
    for name, said in (("items", "[]"), ("additionalProperties", "{}")):
        if isinstance(taken.part.get(name), dict):
            yield from _schema(values.below(said), *values.sides(given.at(name), taken.at(name)))
        elif taken.part.get(name) is False and given.part.get(name) is not False:
            yield values.told(f"longer than it was, by {name}")
    before, after = (side.part.get("prefixItems", []) for side in values.sides(given, taken))
    if len(before) != len(after):
        yield f"{values.where}: had {len(before)} places and has {len(after)}"
    sides = values.sides(given, taken)
    for number, (one, other) in enumerate(zip(before, after, strict=False)):
        places = (_Side(one, sides[0].document), _Side(other, sides[1].document))
        yield from _schema(values.below(f"[{number}]"), *places)


def _properties(values: _Values, released: _Side, now: _Side) -> Iterator[str]:
    before, after = (one.part.get("properties", {}) for one in (released, now))
    giver, taker = values.sides(released, now)
    gone = [name for name in before if name not in after]
    yield from (f"{values.where}.{name}: is gone" for name in gone)
    for name in taker.part.get("required", ()):
        if name not in giver.part.get("required", ()) and name not in gone:
            told = "may now be missing" if values.answered else "must now be given"
            yield f"{values.where}.{name}: {told}"
    for name in before:
        if name in after:
            below = values.below(f".{name}")
            yield from _schema(below, released.at("properties", name), now.at("properties", name))


def _bounds(values: _Values, given: Part, taken: Part) -> Iterator[str]:
    for name in UPPER:
        if name in taken and given.get(name, taken[name] + 1) > taken[name]:
            yield values.told(f"beyond {name} {taken[name]}")
    for name in LOWER:
        if name in taken and given.get(name, taken[name] - 1) < taken[name]:
            yield values.told(f"below {name} {taken[name]}")
    for name in sorted(taken.keys() - STRUCTURE - WORDS):
        if given.get(name) != taken[name]:
            yield values.told(f"of another {name} than {taken[name]}")


def _enumerated(values: _Values, given: Part, taken: Part) -> Iterator[str]:
    known = _values_of(taken)
    if known is None:
        return
    mine = _values_of(given)
    if mine is None:
        yield values.told(f"something else than {_listed(known)}")
    elif strange := [one for one in mine if one not in known]:
        yield values.told(_listed(strange))


def _values_of(part: Part) -> list[Any] | None:
    """All values, where they are listed."""
    return [part["const"]] if "const" in part else part.get("enum")


def _listed(values: Iterable[Any]) -> str:
    return ", ".join(map(json.dumps, values))


def _is_of_type(given: Part, taken: Part) -> bool:
    """Whether a value of the one may be one of the other, as far as types tell."""
    mine, known = given.get("type"), taken.get("type")
    return known is None or mine == known or (mine, known) == ("integer", "number")


def _type_of(part: Part) -> str:
    return str(part.get("type", "of any type"))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
