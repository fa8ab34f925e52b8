import os
import socket
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from stack.console import LINE_BYTES_MAX, Console
from stack.processes import StackError
from stack.teller import NobodyListensError, Teller

PATIENCE_S = 120.0


@pytest.fixture
def listener() -> Iterator[socket.socket]:
    with tempfile.TemporaryDirectory() as directory, socket.socket(socket.AF_UNIX) as listener:
        listener.bind(f"{directory}/console")
        listener.listen()
        yield listener


def test_lines_are_heard_whole_until_the_guest_is_gone(listener: socket.socket, tmp_path: Path) -> None:
    with Console(listener.getsockname(), tmp_path / "heard") as console:
        guest, _ = listener.accept()
        guest.sendall(b"one\r\ntwo\nthr")
        lines = console.lines(PATIENCE_S)
        assert [next(lines), next(lines)] == ["one", "two"]
        guest.sendall(b"ee\nunfinished")
        guest.close()
        assert list(lines) == ["three"]
    assert (tmp_path / "heard").read_bytes() == b"one\r\ntwo\nthree\nunfinished"


def test_who_stops_hearing_loses_no_line_that_came_along(listener: socket.socket, tmp_path: Path) -> None:
    with Console(listener.getsockname(), tmp_path / "heard") as console:
        guest, _ = listener.accept()
        guest.sendall(b"one\ntwo\n")
        heard = [next(console.lines(PATIENCE_S)) for _ in range(2)]
        assert heard == ["one", "two"]
        guest.close()


def test_a_guest_cannot_write_to_the_terminal_what_it_likes(listener: socket.socket, tmp_path: Path) -> None:
    with Console(listener.getsockname(), tmp_path / "heard") as console:
        guest, _ = listener.accept()
        guest.sendall(b"/ # \x1b[6n\x07\xff\x1b[31mred\x1b[0m\n")
        assert next(console.lines(PATIENCE_S)) == "/ # \ufffdred"
        guest.close()


def test_a_line_without_an_end_is_heard_in_parts(listener: socket.socket, tmp_path: Path) -> None:
    with Console(listener.getsockname(), tmp_path / "heard") as console:
        guest, _ = listener.accept()
        guest.sendall(b"x" * (LINE_BYTES_MAX + 1))
        guest.close()
        assert "".join(console.lines(PATIENCE_S)) == "x" * (LINE_BYTES_MAX + 1)


def test_a_silent_guest_is_not_waited_for_longer_than_asked(listener: socket.socket, tmp_path: Path) -> None:
    with Console(listener.getsockname(), tmp_path / "heard") as console:
        assert list(console.lines(0.02)) == []


def test_a_console_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(StackError, match="takes no connection"):
        Console(str(tmp_path / "console"), tmp_path / "heard")


def test_the_teller_says_things_plainly_where_there_is_no_terminal(tmp_path: Path) -> None:
    path = tmp_path / "said"
    with path.open("w") as out:
        teller = Teller(out)
        teller.heading("A step")
        teller.command(("xenops", "list"))
        teller.heard("hello")
        teller.remark("so it is")
        teller.trouble("oh")
    assert path.read_text() == "\nA step\n$ xenops list\n  console | hello\n  so it is\noh\n"


def test_a_teller_whose_listener_is_gone_says_so_once_and_is_silent_then() -> None:
    reading, writing = os.pipe()
    os.close(reading)
    with os.fdopen(writing, "w") as out:
        teller = Teller(out)
        with pytest.raises(NobodyListensError):
            teller.remark("hello")
        teller.remark("and good-bye")
