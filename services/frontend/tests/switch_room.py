"""A switch in a room of its own: clients speak to its core, and time goes when it is told to."""

import json
from typing import Any

from frontend.http.message import HttpRequest
from frontend.switch.core import Switch
from frontend.switch.effects import Effect, Now, Reply
from frontend.switch.protocol import MessageId

INSTANCE = "org.xen.xapi.xenops.simulator"
PENDING = None


class Room:
    """A switch, and a clock that goes when it is told to."""

    def __init__(self, switch: Switch | None = None) -> None:
        self.switch = switch or Switch((INSTANCE,), "us")
        self.now = Now(1000.5, 5_000_000_000)
        self.effects = self.switch.on_start(self.now, lambda body: body == b"read", b"lost")
        self.answers: dict[int, tuple[int, bytes]] = {}

    def get(self, connection: int, target: str) -> tuple[int, bytes] | None:
        return self.ask(connection, "GET", target, b"")

    def post(self, connection: int, target: str, body: bytes = b"") -> tuple[int, bytes] | None:
        return self.ask(connection, "POST", target, body)

    def ask(self, connection: int, method: str, target: str, body: bytes) -> tuple[int, bytes] | None:
        self._take(self.switch.on_request(connection, HttpRequest(method, target, (), body), self.now))
        return self.answers.pop(connection, PENDING)

    def transfer(self, connection: int, *queues: str, after: str | None = None, timeout: float = 5.0) -> Any:
        content = {"timeout": timeout, "queues": queues, **({} if after is None else {"from": after})}
        return self.post(connection, "/transfer", json.dumps(content).encode())

    def later(self, seconds: float) -> None:
        self.now = Now(self.now.at + seconds, self.now.ns + int(seconds * 1e9))
        self._take(self.switch.on_time(self.now))

    def leave(self, connection: int) -> None:
        self._take(self.switch.on_gone(connection))

    def answer(self, id_: MessageId, payload: bytes) -> None:
        self._take(self.switch.on_answer(id_, payload, self.now))

    def _take(self, effects: list[Effect]) -> None:
        self.effects = effects
        for effect in effects:
            if isinstance(effect, Reply):
                assert effect.connection not in self.answers
                self.answers[effect.connection] = (effect.status, effect.body)

    def did(self, kind: type) -> list[Any]:
        return [effect for effect in self.effects if isinstance(effect, kind)]


def busy_room() -> Room:
    """A server (0) and a client (1) that are logged in; 2 is not."""
    room = Room()
    assert room.get(0, "/login/server") == room.get(1, "/login/client") == (200, b"")
    assert room.get(0, "/persistent/wish") == (200, b"wish")
    assert room.get(1, "/transient/replies") == (200, b"replies")
    return room


def messages(answer: tuple[int, bytes] | None) -> list[Any]:
    assert answer is not None
    assert answer[0] == 200
    found: list[Any] = json.loads(answer[1])["messages"]
    return found
