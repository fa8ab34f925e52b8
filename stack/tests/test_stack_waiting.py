import logging
import socket
from pathlib import Path

import pytest
from stack.waiting import takes_connections_in_time, unsaid


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


def test_what_the_client_waits_for_is_not_said_while_the_stack_waits(
    caplog: pytest.LogCaptureFixture,
) -> None:
    client = logging.getLogger("xenops")
    with unsaid():
        client.warning("trying for 5 s")
    client.warning("trying for 10 s")
    assert caplog.messages == ["trying for 10 s"]
