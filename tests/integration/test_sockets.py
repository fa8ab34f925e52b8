"""xenopsd's own sockets of a real stack: a VM's life in XML, in JSON, and what is neither."""

import http.client
import shutil
import socket
import tempfile
import threading
import time
import xmlrpc.client
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from engine.conformance.samples import sample_vm
from schema.objects.vm import Vm
from schema.wire.codec import to_rpc
from schema.wire.value import Dict
from stack.layout import Layout
from stack.local import LocalStack
from stack.shape import SIMULATOR_INSTANCE, Shape
from typing_extensions import override
from xenops.command.main import main as xenops

PATIENCE_S = 120.0


@pytest.fixture(name="layout", scope="module")
def make_layout() -> Iterator[Layout]:
    layout = Layout(Path(tempfile.mkdtemp(prefix="xs-")) / "stack")
    yield layout
    shutil.rmtree(layout.root.parent)


@pytest.fixture(name="stack", scope="module", autouse=True)
def bring_up(layout: Layout) -> Iterator[LocalStack]:
    with LocalStack(layout, Shape()) as stack:
        yield stack


class Connection(http.client.HTTPConnection):
    def __init__(self, path: Path) -> None:
        super().__init__("localhost", timeout=PATIENCE_S)
        self._path = path

    @override
    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect(str(self._path))

    def ask(self, body: bytes) -> bytes:
        """One call; any path will do."""
        self.request("POST", "/", body)
        answer = self.getresponse()
        assert answer.status == 200
        return answer.read()


class XmlClient:
    """The standard library's XML-RPC, on one connection."""

    def __init__(self, path: Path) -> None:
        self._connection = Connection(path)

    def call(self, method: str, **params: Any) -> Any:
        body = xmlrpc.client.dumps(({"debug_info": "xml", **params},), method, allow_none=True)
        ((answer,), _) = xmlrpc.client.loads(self._connection.ask(body.encode()), use_builtin_types=True)
        assert isinstance(answer, dict)
        if answer["Status"] == "Success":
            return answer["Value"]
        raise ValueError(answer["ErrorDescription"])

    def done(self, task: str) -> None:
        moments, end = threading.Event(), time.monotonic() + PATIENCE_S
        while (state := self.call("Task.stat", id=task)["state"])[0] == "Pending":
            assert time.monotonic() < end
            moments.wait(0.01)
        assert state[0] == "Completed"

    def close(self) -> None:
        self._connection.close()


def plain(value: Any) -> Any:
    """A wire value as the standard library's."""
    if isinstance(value, Dict):
        return {key: plain(content) for key, content in value.pairs}
    return list(map(plain, value)) if isinstance(value, list) else value


def test_a_vm_lives_in_xml(layout: Layout) -> None:
    client = XmlClient(layout.sockets(SIMULATOR_INSTANCE) / "xenopsd")
    vm = client.call("VM.add", vm=plain(to_rpc(Vm, sample_vm("xml"))))
    assert vm == "xml"
    for method, more in (("VM.start", {"paused": False}), ("VM.unpause", {})):
        client.done(client.call(method, id=vm, **more))
    metadata, state = client.call("VM.stat", id=vm)
    assert (metadata["name"], state["power_state"]) == ("a vm", "Running")
    client.done(client.call("VM.shutdown", id=vm))
    assert client.call("VM.remove", id=vm) is None
    assert client.call("VM.exists", id=vm) is False
    with pytest.raises(ValueError, match=r"\['Does_not_exist', \['VM', 'xml/config'\]\]"):
        client.call("VM.stat", id=vm)
    client.close()


@pytest.mark.parametrize("name", ["xenopsd", "xenopsd.json"])
def test_what_is_no_call_costs_nobody_his_connection(layout: Layout, name: str) -> None:
    connection = Connection(layout.sockets(SIMULATOR_INSTANCE) / name)
    for garbage in (b"", b"\xff\0", b"<", b"<a/>", b"{", b"[]", b"<methodCall/>", b"<!DOCTYPE x>"):
        assert connection.ask(garbage)
        good = b'{"method":"VM.exists","params":[{"debug_info":"d","id":"x"}],"id":8}'
        assert connection.ask(good) == b'{"result":false,"error":null,"id":0}'
    connection.close()


def test_the_command_works_at_the_common_door(layout: Layout) -> None:
    assert xenops(["--broker", f"unix://{layout.door}", "--instance", SIMULATOR_INSTANCE, "list"]) == 0
