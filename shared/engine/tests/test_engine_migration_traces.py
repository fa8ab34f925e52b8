"""What a migration says to the other host, its trace with it, and what the answers mean."""

import json
import re
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from engine.migrate.address import Address, UnixSocket
from engine.migrate.connect import NeverReachedError, UnreachableError, call, open_channel
from engine.migrate.sockets import SOCKETS
from schema.fault import XenopsError
from schema.objects.errors import DoesNotExist, Error
from schema.wire import xmlrpc
from schema.wire.codec import to_rpc
from traces import Observers, Start, Tracer
from traces.span import Span

PATIENCE_S = 120.0


class Destination:
    """Takes one connection and what is sent until it has seen `end`; then says `answer`."""

    def __init__(self, path: Path, answer: bytes = b"") -> None:
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(str(path))
        self._listener.listen()
        self._answer = answer
        self.heard = b""
        self.address = Address(UnixSocket(str(path)), "/services/xenops")
        self._thread = threading.Thread(target=self._take, daemon=True)
        self._thread.start()

    def _take(self) -> None:
        connection, _ = self._listener.accept()
        with connection:
            connection.settimeout(PATIENCE_S)
            while not self._is_whole() and (more := connection.recv(1 << 16)):
                self.heard += more
            if self._answer:
                connection.sendall(self._answer)

    def _is_whole(self) -> bool:
        head, end, body = self.heard.partition(b"\r\n\r\n")
        lengths = re.findall(rb"content-length: (\d+)", head.lower())
        return bool(end) and len(body) >= sum(map(int, lengths))

    def close(self) -> None:
        self._thread.join(PATIENCE_S)
        self._listener.close()


@pytest.fixture(name="span")
def within_a_span(monkeypatch: pytest.MonkeyPatch) -> Iterator[Span]:
    tracer = Tracer("test", "i")
    tracer.follow(Observers())
    monkeypatch.setattr(tracer, "on", True)  # to nobody: no span needs to get out
    with tracer.within(Start("VM_migrate", baggage=(("k", "v"),))) as span:
        assert span is not None
        yield span


def test_a_channel_names_the_span_that_opens_it(tmp_path: Path, span: Span) -> None:
    destination = Destination(tmp_path / "door")
    channel = open_channel(SOCKETS, destination.address, "/migrate/vm/v", {"dbg": "mine"}, verify=False)
    destination.close()
    channel.close()
    assert f"\r\ntraceparent: {span.traceparent}\r\n".encode() in destination.heard


def test_a_call_names_the_span_that_makes_it(tmp_path: Path, span: Span) -> None:
    body = xmlrpc.encode_response(content=True, success=True)
    answer = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body)
    destination = Destination(tmp_path / "door", answer)
    assert call(SOCKETS, destination.address, "VM.exists", verify=False, dbg="mine", id="v") is True
    destination.close()
    method, [params] = xmlrpc.decode_call(destination.heard.partition(b"\r\n\r\n")[2])
    assert (method, params.get("id")) == ("VM.exists", "v")
    name, trace = params.get("debug_info").split("\n")
    assert (name, json.loads(trace)) == ("mine", {"traceparent": span.traceparent, "baggage": [["k", "v"]]})


@pytest.mark.parametrize(
    "body",
    [b"words", b'{"result":true,"error":null,"id":0}', xmlrpc.encode_response(content="maybe", success=True)],
    ids=["words", "JSON", "no boolean"],
)
def test_what_is_no_answer_of_xenops_leaves_open_what_was_done(tmp_path: Path, body: bytes) -> None:
    answer = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body)
    destination = Destination(tmp_path / "door", answer)
    with pytest.raises(UnreachableError, match=r"VM\.exists at .* failed"):
        call(SOCKETS, destination.address, "VM.exists", verify=False, dbg="mine", id="v")
    destination.close()


@pytest.mark.parametrize(("status", "may_be_done"), [("404 Not Found", False), ("502 Bad Gateway", True)])
def test_who_takes_no_such_call_has_done_nothing(tmp_path: Path, status: str, may_be_done: bool) -> None:  # noqa: FBT001
    answer = f"HTTP/1.1 {status}\r\nContent-Length: 2\r\n\r\nno".encode()
    destination = Destination(tmp_path / "door", answer)
    with pytest.raises(UnreachableError, match="is xenops served at") as raised:
        call(SOCKETS, destination.address, "VM.exists", verify=False, dbg="mine", id="v")
    destination.close()
    assert isinstance(raised.value, NeverReachedError) is not may_be_done


def test_a_destinations_own_error_is_the_calls(tmp_path: Path) -> None:
    body = xmlrpc.encode_response(to_rpc(Error, DoesNotExist(klass="VM", id="v")), success=False)
    destination = Destination(
        tmp_path / "door", b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body)
    )
    with pytest.raises(XenopsError) as raised:
        call(SOCKETS, destination.address, "VM.remove", verify=False, dbg="mine", id="v")
    destination.close()
    assert raised.value.error == DoesNotExist(klass="VM", id="v")


def test_without_a_span_nothing_is_named(tmp_path: Path) -> None:
    destination = Destination(tmp_path / "door")
    open_channel(SOCKETS, destination.address, "/migrate/vm/v", {"dbg": "mine"}, verify=False).close()
    destination.close()
    assert b"traceparent" not in destination.heard
