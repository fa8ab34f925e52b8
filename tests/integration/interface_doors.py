"""Doors: the ways into one stack, each as something that takes a JSON request and answers as JSON."""

import http.client
import socket
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from bus.rabbit import RabbitBus
from schema.wire import json, xmlrpc
from schema.wire.value import Dict
from stack.layout import Layout
from stack.local import LocalStack
from switch_client import SwitchClient
from typing_extensions import override
from xenops.client import Client, Door

PATIENCE_S = 120.0


class _Connection(http.client.HTTPConnection):
    def __init__(self, path: Path) -> None:
        super().__init__("localhost", timeout=PATIENCE_S)
        self._path = path

    @override
    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect(str(self._path))


class JsonSocket:
    """JSON-RPC over HTTP on a socket of xenopsd's own."""

    def __init__(self, path: Path) -> None:
        self._connection = _Connection(path)

    def call(self, _queue: str, body: bytes, _timeout_s: float) -> bytes:
        """POST a body."""
        self._connection.request("POST", "/", body)
        answer = self._connection.getresponse()
        found = answer.read()
        if answer.status != http.client.OK:
            raise http.client.HTTPException(f"{answer.status}: {found!r}")
        return found

    def close(self) -> None:
        """Hang up."""
        self._connection.close()


class XmlSocket(JsonSocket):
    """XML-RPC there: requests and answers are turned from and into JSON."""

    @override
    def call(self, _queue: str, body: bytes, _timeout_s: float) -> bytes:
        request = dict(json.loads(body.decode()).pairs)
        asked = xmlrpc.encode_call(request["method"], request["params"])
        success, content = xmlrpc.decode_response(super().call(_queue, asked, _timeout_s))
        answer = [("result", content), ("error", None)] if success else [("result", None), ("error", content)]
        return json.dumps(Dict([*answer, ("id", 0)])).encode()


def _amqp(stack: LocalStack, _layout: Layout, _instance: str) -> Door:
    bus = RabbitBus(stack.url, "interface")
    bus.ready(PATIENCE_S)
    return bus


DOORS: Mapping[str, Callable[[LocalStack, Layout, str], Door]] = {
    "amqp": _amqp,
    "switch": lambda _, layout, __: SwitchClient(layout.switch, "interface"),
    "json": lambda _, layout, instance: JsonSocket(layout.sockets(instance) / "xenopsd"),
    "xml": lambda _, layout, instance: XmlSocket(layout.sockets(instance) / "xenopsd"),
}
"""By name."""


def home(layout: Layout, instance: str) -> str:
    """The URL at which VMs that migrate to an instance arrive."""
    return f"unix://{layout.door}?instance={instance}"


@contextmanager
def client_through(name: str, stack: LocalStack, layout: Layout, instance: str) -> Iterator[Client]:
    """A client that comes in by a door."""
    with Client(DOORS[name](stack, layout, instance), instance, dbg=name, timeout_s=PATIENCE_S) as client:
        yield client
