"""The way to a socket: what is sent, what becomes of answers and of none."""

import errno
import itertools
import re
import socket
import tempfile
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from bus.ports import BusUnavailableError, RequestTimeoutError, UndeliveredError
from schema.rpc import encode_result
from xenops import connect
from xenops.command.main import UNREACHABLE, main
from xenops.unix import UnixDoor, unanswered

Serve = Callable[[bytes], str]
"""Answer the next client so, whatever it asks; the URL to ask at."""

INSTANCE = "org.xen.xapi.xenops.simulator"


@pytest.fixture
def asked() -> list[bytes]:
    return []


@pytest.fixture
def serve(asked: list[bytes]) -> Iterator[Serve]:
    with tempfile.TemporaryDirectory() as directory, socket.socket(socket.AF_UNIX) as listener:
        path = Path(directory) / "door"
        listener.bind(str(path))
        listener.listen()
        threads: list[threading.Thread] = []

        def once(answer: bytes) -> None:
            connection, _ = listener.accept()
            with connection:
                asked.append(whole_request(connection))
                connection.sendall(answer)

        def start(answer: bytes) -> str:
            threads.append(threading.Thread(target=once, args=(answer,)))
            threads[-1].start()
            return f"unix://{path}"

        yield start
        for thread in threads:
            thread.join()


def whole_request(connection: socket.socket) -> bytes:
    """Head and body, which may come apart; nothing, when the client leaves."""
    with connection.makefile("rb") as stream:
        head = b"".join(itertools.takewhile(lambda line: line not in {b"", b"\r\n"}, stream))
        length = re.search(rb"(?i)content-length: (\d+)", head)
        return head + b"\r\n" + stream.read(int(length[1]) if length else 0)


def http(status: str, body: bytes) -> bytes:
    return f"HTTP/1.1 {status}\r\ncontent-length: {len(body)}\r\n\r\n".encode() + body


def test_a_client_connects_to_a_socket_by_its_url(serve: Serve, asked: list[bytes]) -> None:
    answer = encode_result("UPDATES.last_id", 7)
    with connect(serve(http("200 OK", answer)), INSTANCE) as client:
        assert client.updates.last_id() == 7
    assert asked[0].startswith(f"POST /{INSTANCE} HTTP/1.1".encode())
    assert b"UPDATES.last_id" in asked[0]


def test_a_refusal_is_told_in_the_services_words(serve: Serve) -> None:
    url = serve(http("404 Not Found", b"no instance 'x y' is served here"))
    with pytest.raises(BusUnavailableError, match="no instance 'x y'"):
        UnixDoor(url).call("x y", b"{}", 10.0)


def test_a_refusal_is_heard_although_the_request_is_not_read(serve: Serve) -> None:
    url = serve(http("400 Bad Request", b"give a content-length"))
    with pytest.raises(BusUnavailableError, match="give a content-length"):
        UnixDoor(url).call(INSTANCE, bytes(8 << 20), 10.0)


def test_an_answer_that_is_no_http_is_an_answer_of_nobody(serve: Serve) -> None:
    with pytest.raises(BusUnavailableError, match="nobody answers at the socket"):
        UnixDoor(serve(b"garbage\r\n\r\n")).call(INSTANCE, b"{}", 10.0)


LIST = ("--instance", INSTANCE, "--call-timeout", "0.3", "list")


def test_a_path_at_which_no_door_is_or_was_is_told_at_once(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "file").touch()
    for path, words in (
        ("door", "there is no socket {}: is its path right, and does a frontend serve there?"),
        ("file/door", "there is no socket {}: is its path right"),
        ("file", "{} is no socket: is its path right?"),
        ("x" * 200, "nobody answers at the socket {} (AF_UNIX path too long)"),
    ):
        place = f"{tmp_path}/{path}"
        assert main(["--broker", f"unix://{place}", *LIST]) == UNREACHABLE
        assert words.format(place) in capsys.readouterr().err
    refused = unanswered("/run/door", PermissionError(errno.EACCES, "Permission denied"))
    assert "the socket /run/door is not for this user" in str(refused)
    assert not isinstance(refused, UndeliveredError)
    assert caplog.messages == [], "nothing was waited for"


def test_a_door_whose_frontend_has_died_is_tried_for_a_while(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    with socket.socket(socket.AF_UNIX) as left:
        left.bind(f"{tmp_path}/door")
    assert main(["--broker", f"unix://{tmp_path}/door", *LIST]) == UNREACHABLE
    words = f"nobody serves at the socket {tmp_path}/door any more: is its frontend running?"
    assert caplog.messages == [f"{words} (trying for 0.3 s)"]
    assert words in capsys.readouterr().err


def test_a_service_that_says_nothing_is_waited_for_no_longer_than_asked() -> None:
    with tempfile.TemporaryDirectory() as directory, socket.socket(socket.AF_UNIX) as listener:
        listener.bind(f"{directory}/door")
        listener.listen()
        with pytest.raises(RequestTimeoutError, match=r"within 0\.05 s"):
            UnixDoor(f"unix://{directory}/door").call(INSTANCE, b"{}", 0.05)
