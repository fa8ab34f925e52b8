"""Inputs: requests of every method with arbitrary parameters, and what they are when damaged."""

import json
import random
from collections.abc import Callable
from typing import Any

from schema.methods import METHODS
from schema.rpc import encode_request
from schema.wire import json as wire
from schema.wire import xmlrpc
from schema.wire.shape import (
    Association,
    Enumeration,
    Integer,
    Opaque,
    Optional,
    Product,
    Scalar,
    Sequence,
    Structure,
    Sum,
    shape_of,
)

INSTANCE = "org.xen.xapi.xenops.simulator"

TEXTS = ("", "x", "vm", "日本", "\0", "a/b", "../..", "x" * 300, '<&">', "1", "true", "\udcff", "\u2028")
INTEGERS = (0, 1, -1, 7, 2**31, 2**62 - 1, -(2**62))
FLOATS = (0.0, 1.0, -1.5, 1e16, 1e-5, float("inf"), float("nan"))
ODD: tuple[Any, ...] = (None, True, -1, 2**62, 2**70, 1e308, "", "x" * 300, "\0", [], {}, [[]], {"id": {}})

_DEPTH_MAX = 4


class Inputs:
    """A stream of inputs; the same number gives the same stream."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)

    def value(self, type_: Any, depth: int = 0) -> Any:
        """Some value of a type."""
        chance = self.random
        match shape_of(type_):
            case Scalar(type=scalar):
                choices: dict[type, tuple[Any, ...]] = {bool: (True, False), float: FLOATS, str: TEXTS}
                return chance.choice(choices.get(scalar, (None,)))
            case Integer():
                return chance.choice(INTEGERS)
            case Opaque():
                return chance.choice(("", "00000000-0000-0000-0000-000000000000", "junk"))
            case Optional(content=content):
                return self.value(content, depth + 1) if chance.random() < 0.5 else None
            case Sequence(content=content):
                return tuple(self.value(content, depth + 1) for _ in range(self._count(depth)))
            case Association(content=content):
                return tuple(
                    (chance.choice(TEXTS), self.value(content, depth + 1)) for _ in range(self._count(depth))
                )
            case Product(contents=contents, make=make):
                return make(*(self.value(content, depth + 1) for content in contents))
            case Structure(type=class_, fields=fields):
                return class_(**{field.name: self.value(field.type, depth + 1) for field in fields})
            case Sum(choices=arms):
                arm = chance.choice(arms)
                return arm.type(**{name: self.value(content, depth + 1) for name, content in arm.fields})
            case Enumeration(type=members):
                return chance.choice(list(members))

    def _count(self, depth: int) -> int:
        return 0 if depth > _DEPTH_MAX else self.random.randrange(3)

    def request(self, names: list[str]) -> bytes:
        """A request for one of some methods, as a client writes it."""
        name = self.random.choice(names)
        params = {parameter: self.value(type_) for parameter, type_ in METHODS[name].parameters}
        return encode_request(name, **params)

    def damaged(self, body: bytes) -> bytes:
        """The same with something changed: in what it says, or in its bytes."""
        chance = self.random.random()
        if chance < 0.1:
            return body
        if chance < 0.6:
            try:
                return json.dumps(self._mutated(json.loads(body))).encode()
            except ValueError:
                pass  # letters that are none, as some samples have
        return self.torn(body)

    def torn(self, body: bytes) -> bytes:
        """The same with some bytes changed, lost, or there twice."""
        for _ in range(self.random.randrange(1, 4)):
            place, length = self.random.randrange(len(body) + 1), self.random.randrange(8)
            change: Callable[[], bytes] = self.random.choice(
                (
                    lambda length=length: self.random.randbytes(length),
                    lambda: b"",
                    lambda place=place, body=body: body[place : place + 40] * 2,
                    lambda: self.random.choice(
                        (b"<", b"{", b'"', b"\\", b"\r\n", b"%", b"\0", b"&#0;", b"]]>", b"\\udc00")
                    ),
                )
            )
            body = body[:place] + change() + body[place + length :]
        return body

    def _mutated(self, value: Any) -> Any:
        """JSON that differs in one place."""
        chance = self.random
        if not isinstance(value, list | dict) or not value or chance.random() < 0.2:
            return chance.choice(ODD)
        copied = dict(value) if isinstance(value, dict) else dict(enumerate(value))
        place = chance.choice(list(copied))
        match chance.randrange(4):
            case 0:
                del copied[place]
            case 1 if isinstance(value, dict):
                copied[str(place).upper()] = copied.pop(place)
            case _:
                copied[place] = self._mutated(copied[place])
        return copied if isinstance(value, dict) else list(copied.values())

    def xml(self, names: list[str]) -> bytes:
        """A call in XML, whole or not."""
        request = wire.loads(self.request(names).decode("utf-8", "surrogateescape"))
        call = xmlrpc.encode_call(request.get("method"), request.get("params"))
        return call if self.random.random() < 0.2 else self.torn(call)

    def switch_request(self, names: list[str]) -> tuple[str, str, bytes]:
        """A request to the switch: method, target, body."""
        chance = self.random
        queue, other = (chance.choice(("a", "b", "c", INSTANCE, "%41", "", "日")) for _ in range(2))
        number = chance.choice(("0", "1", "-1", "x", "99999999999999999999"))
        transfer: dict[str, Any] = {"timeout": chance.choice((0, 0.0, -1)), "queues": [queue, other]}
        if chance.random() < 0.5:
            transfer["from"] = number
        return chance.choice(
            (
                ("GET", f"/login/{queue}", b""),
                ("GET", f"/persistent/{queue}", b""),
                ("GET", f"/transient/{queue}", b""),
                ("GET", f"/destroy/{queue}", b""),
                ("GET", f"/ack/{queue}/{number}", b""),
                ("GET", f"/list/{queue}", b""),
                ("GET", f"/list/alive/{queue}", b""),
                ("GET", "/", b""),
                ("GET", f"/trace/{number}/0", b""),
                ("POST", "/transfer", self._perhaps_torn(json.dumps(transfer).encode())),
                ("POST", f"/request/{queue}/{other}", self.damaged(self.request(names))),
                ("POST", f"/response/{queue}/{other}/{number}", b"answer"),
            )
        )

    def _perhaps_torn(self, body: bytes) -> bytes:
        return self.torn(body) if self.random.random() < 0.5 else body

    def http(self, names: list[str]) -> bytes:
        """Some requests in one piece, damaged more often than not."""
        parts = []
        for _ in range(self.random.randrange(1, 4)):
            method, target, body = self.switch_request(names)
            length = len(body) if self.random.random() < 0.9 else self.random.choice(INTEGERS)
            parts.append(f"{method} {target} HTTP/1.1\r\ncontent-length: {length}\r\n\r\n".encode() + body)
        return self._perhaps_torn(b"".join(parts))
