import socket
from pathlib import Path

from stack.waiting import takes_connections_in_time


def test_who_listens_is_found_and_who_has_ended_is_not_waited_for(tmp_path: Path) -> None:
    path = tmp_path / "socket"
    assert not takes_connections_in_time(path, lambda: False)
    looks = iter(range(2))
    with socket.socket(socket.AF_UNIX) as listener:

        def lives() -> bool:
            if next(looks):
                listener.bind(str(path))
                listener.listen()
            return True

        assert takes_connections_in_time(path, lives)
