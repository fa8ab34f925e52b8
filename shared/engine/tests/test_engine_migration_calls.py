"""What a migration's source asks a destination for."""

import socket
import threading
from contextlib import suppress
from pathlib import Path

import pytest
from engine.migrate import connect
from engine.migrate.address import Address, UnixSocket
from engine.migrate.sockets import SOCKETS
from schema.ids import VmId
from schema.wire import xmlrpc

VM = VmId("vm")


def test_a_question_that_nobody_answers_is_not_waited_for_as_a_call_that_does_something(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connect, "QUESTION_TIMEOUT_S", 0.05)
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(tmp_path / "door"))
        listener.listen()
        listener.settimeout(connect.CALL_TIMEOUT_S)
        address = Address(UnixSocket(str(tmp_path / "door")), "/services/xenops")
        with pytest.raises(connect.UnreachableError, match=r"VM\.exists at .* failed: timed out"):
            connect.call(SOCKETS, address, "VM.exists", verify=False, dbg="d", id=VM)


def test_an_answer_that_ends_with_its_connection_is_read(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(tmp_path / "door"))
        listener.listen()

        def serve() -> None:
            asked, _ = listener.accept()
            with asked:
                _read_call(asked)
                asked.sendall(b"HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n")
                asked.sendall(xmlrpc.encode_response(content=True, success=True))

        destination = threading.Thread(target=serve)
        destination.start()
        address = Address(UnixSocket(str(tmp_path / "door")), "/services/xenops")
        assert connect.call(SOCKETS, address, "VM.exists", verify=False, dbg="d", id=VM) is True
        destination.join()


def test_an_answer_without_end_is_not_read_to_its_end(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(tmp_path / "door"))
        listener.listen()

        def serve() -> None:
            asked, _ = listener.accept()
            with asked, suppress(ConnectionError):
                _read_call(asked)
                asked.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
                while True:
                    asked.sendall(bytes(1 << 16))

        destination = threading.Thread(target=serve)
        destination.start()
        address = Address(UnixSocket(str(tmp_path / "door")), "/services/xenops")
        with pytest.raises(connect.UnreachableError, match=r"more than \d+ bytes: is xenops served"):
            connect.call(SOCKETS, address, "VM.exists", verify=False, dbg="d", id=VM)
        destination.join()


def _read_call(asked: socket.socket) -> None:
    """All of it: who closes a connection before that resets it."""
    heard = b""
    while not heard.endswith(b"</methodCall>"):
        heard += asked.recv(1 << 16)
