"""The switch's door: over a socket, with its queues on the disk."""

import socket
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest
from bus.ports import Request
from frontend.switch import journal as journal_module
from frontend.switch.core import Switch
from frontend.switch.door import LIMITS, SwitchDoor
from frontend.switch.journal import Journal, JournalError
from frontend.switch.queues import Queues
from http_client import Served, connected, post, response, served

INSTANCE = "org.xen.xapi.xenops.simulator"

Answer = Callable[[bytes], None]


def get(connection: socket.socket, target: str) -> tuple[int, bytes]:
    connection.sendall(f"GET {target} HTTP/1.1\r\n\r\n".encode())
    return response(connection)


def transfer(connection: socket.socket, queue: str, timeout: float = 20.0) -> bytes:
    start_transfer(connection, queue, timeout)
    status, body = response(connection)
    assert status == 200
    return body


def start_transfer(connection: socket.socket, queue: str, timeout: float = 20.0) -> None:
    connection.sendall(post(f'{{"timeout": {timeout}, "queues": ["{queue}"]}}'.encode(), "/transfer"))


class Instances:
    """What answers for all instances: the same bytes, but a request to be held."""

    def __init__(self) -> None:
        self.held: list[Answer] = []

    def ask(self, _queue: str, question: Request, on_answer: Answer) -> None:
        if question.body == b"hold":
            self.held.append(on_answer)
        else:
            on_answer(question.body)


@contextmanager
def opened(directory: Path | None = None, instances: Instances | None = None) -> Iterator[Served]:
    journal = Journal(directory) if directory else None
    queues = journal.load() if journal else Queues()
    door = SwitchDoor(Switch((INSTANCE,), "us", queues), (instances or Instances()).ask, journal)
    with served(door, LIMITS) as open_door:
        open_door.on_loop(lambda: door.start(lambda body: body == b"hold", b"lost"))
        yield open_door
    if journal:
        journal.close()


@contextmanager
def logged_in(door: Served, session: str) -> Iterator[socket.socket]:
    with connected(door.path) as connection:
        assert get(connection, f"/login/{session}") == (200, b"")
        yield connection


def test_a_request_to_an_instance_comes_back_to_the_one_who_waits_for_it() -> None:
    instances = Instances()
    with opened(instances=instances) as door, logged_in(door, "c") as asking, logged_in(door, "c") as waiting:
        get(asking, "/transient/c")
        start_transfer(waiting, "c")
        for number, body in enumerate((b"one", b"hold")):
            asking.sendall(post(body, f"/request/{INSTANCE}/c"))
            assert response(asking) == (200, f'[["{INSTANCE}",{number}]]'.encode())
        assert b'"payload":"one"' in response(waiting)[1]
        start_transfer(waiting, "c")
        assert b'"payload":"one"' in response(waiting)[1]
        assert get(waiting, "/ack/c/0") == (200, b"")
        start_transfer(waiting, "c")
        door.on_loop(lambda: instances.held[0](b"at last"))
        assert b'"payload":"at last"' in response(waiting)[1]


def test_a_transfer_ends_when_its_time_is_over() -> None:
    with opened() as door, logged_in(door, "a") as long, logged_in(door, "b") as short:
        start_transfer(long, "x", 300.0)
        assert transfer(short, "x", 0.05) == b'{"messages":[],"next":"-1"}'


def test_one_who_leaves_while_he_waits_takes_his_queues_along() -> None:
    with opened() as door, logged_in(door, "other") as other:
        with logged_in(door, "gone") as gone:
            get(gone, "/transient/gone")
            start_transfer(gone, "gone")
        names = (200, b'["gone"]')
        while names != (200, b"[]"):
            names = get(other, "/list/gone")
            assert names in {(200, b'["gone"]'), (200, b"[]")}


def test_one_who_comes_and_says_nothing_leaves_nothing() -> None:
    with opened() as door:
        with connected(door.path):
            pass
        with logged_in(door, "x") as connection:
            assert get(connection, "/list/x") == (200, b"[]")


def test_hundreds_wait_at_once_and_each_gets_his_own() -> None:
    with opened() as door, ExitStack() as many, logged_in(door, "sender") as sender:
        waiting = [many.enter_context(logged_in(door, f"c{number}")) for number in range(300)]
        for number, connection in enumerate(waiting):
            get(connection, f"/transient/c{number}")
            start_transfer(connection, f"c{number}")
        for number in range(300):
            sender.sendall(post(b"to %d" % number, f"/request/c{number}/sender"))
            assert response(sender)[0] == 200
        for number, connection in enumerate(waiting):
            assert b'"payload":"to %d"' % number in response(connection)[1]


def test_nothing_is_put_on_hold_by_a_stream_that_there_is_none_of() -> None:
    with opened() as door, connected(door.path) as connection:
        connection.sendall(post(b"x", "/anything").replace(b"POST", b"PUT"))
        assert response(connection) == (404, b"Not found: /anything")


def test_queues_outlive_the_process(tmp_path: Path) -> None:
    instances = Instances()
    with opened(tmp_path) as door, logged_in(door, "c") as client:
        get(client, "/persistent/wish")
        get(client, "/persistent/gone")
        get(client, "/destroy/gone")
        get(client, "/transient/c")
        for body in (b"one", b"\xff\0two", b"three"):
            client.sendall(post(body, "/request/wish/c"))
            response(client)
        client.sendall(post(b"answer", "/response/c/wish/1"))
        response(client)
        get(client, "/ack/wish/0")
        for body in (b"hold", b"hold"):
            client.sendall(post(body, f"/request/{INSTANCE}/c"))
            response(client)
        copied = (tmp_path / "switch").read_bytes()  # as a process leaves it that is killed here
    (tmp_path / "switch").write_bytes(copied + b'[">", "wish", 5, "unfinis')
    with opened(tmp_path, instances) as door, logged_in(door, "c") as client:
        assert get(client, "/list/") == (200, f'["wish","{INSTANCE}","c"]'.encode())
        assert transfer(client, "wish") == (
            b'{"messages":[[["wish",2],{"payload":"three","kind":["Request","c"]}],'
            b'[["wish",1],{"payload":"\xff\\u0000two","kind":["Request","c"]}]],"next":"2"}'
        )
        assert b'"payload":"answer","kind":["Response",["wish",1]]' in transfer(client, "c")
        client.sendall(post(b"four", "/request/wish/c"))
        assert response(client) == (200, b'[["wish",3]]')
        assert len(instances.held) == 2


def test_sessions_keep_their_queues_when_the_process_is_ended_in_order(tmp_path: Path) -> None:
    journal = Journal(tmp_path)
    door = SwitchDoor(Switch((INSTANCE,), "us", journal.load()), Instances().ask, journal)
    with served(door, LIMITS) as open_door, logged_in(open_door, "c") as client:
        get(client, "/transient/c")
        open_door.on_loop(journal.close)
        open_door.on_loop(open_door.server.close)
        assert client.recv(1) == b""
    with opened(tmp_path) as open_door, logged_in(open_door, "c") as client:
        assert get(client, "/list/c") == (200, b'["c"]')


def test_a_journal_is_one_process_at_a_time(tmp_path: Path) -> None:
    journal = Journal(tmp_path)
    with pytest.raises(JournalError, match="another frontend keeps its queues"):
        Journal(tmp_path)
    journal.close()
    Journal(tmp_path).close()


def test_lines_that_say_nothing_are_passed_over(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    lines = [b'["+", "a", null, 3]', b"junk", b"{}", b'[">", "none", 0, "x", 0, "y", ""]', b'["<", "a", 9]']
    (tmp_path / "switch").write_bytes(b"\n".join(lines) + b"\n")
    journal = Journal(tmp_path)
    assert journal.load().names("") == ["a"]
    journal.close()
    assert "cannot be read" in caplog.text
    assert "says nothing" in caplog.text


def test_a_journal_does_not_grow_for_ever(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(journal_module, "GROWTH_BYTES_MAX", 10_000)
    with opened(tmp_path) as door, logged_in(door, "c") as client:
        get(client, "/persistent/wish")
        for number in range(100):
            client.sendall(post(b"x" * 1_000, "/request/wish/c"))
            response(client)
            get(client, f"/ack/wish/{number}")
        assert (tmp_path / "switch").stat().st_size < 30_000
        client.sendall(post(b"y", "/request/wish/c"))
        assert response(client) == (200, b'[["wish",100]]')
    with opened(tmp_path) as door, logged_in(door, "c") as client:
        assert b'["wish",100]' in transfer(client, "wish")


def test_a_disk_that_is_full_costs_only_the_memory_of_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(journal_module, "GROWTH_BYTES_MAX", 10)
    with opened(tmp_path) as door, logged_in(door, "c") as client:
        (tmp_path / "switch.new").mkdir()  # nothing can be written there
        for name in ("one", "two"):
            assert get(client, f"/persistent/{name}") == (200, name.encode())
        assert get(client, "/list/o") == (200, f'["{INSTANCE}","one"]'.encode())
    assert "from now on the switch's queues end with this process" in caplog.text
