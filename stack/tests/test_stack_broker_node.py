"""Which ports a private node has when it is started again."""

import os
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from stack.broker import node
from stack.broker.node import PrivateNode

LOOPBACK = "127.0.0.1"


@contextmanager
def listening() -> Iterator[socket.socket]:
    """Somebody has a port."""
    with socket.socket() as listener:
        listener.bind((LOOPBACK, 0))
        listener.listen()
        yield listener


def known(directory: Path, port: int) -> list[int]:
    """The ports of the node before, of which that one is in use."""
    ports = [port, *node.free_ports(2)]
    (directory / "ports").write_text(" ".join(map(str, ports)))
    return ports


def test_a_node_waits_for_the_ports_of_the_one_before_which_is_about_to_end(tmp_path: Path) -> None:
    with listening() as before:
        ports = known(tmp_path, before.getsockname()[1])
        threading.Timer(0.2, before.close).start()
        assert PrivateNode(tmp_path)._ports() == ports


def test_who_keeps_its_port_is_left_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("stack.broker.node.PORTS_TIMEOUT_S", 0.05)
    with listening() as stranger:
        ports = known(tmp_path, stranger.getsockname()[1])
        assert not set(ports) & set(PrivateNode(tmp_path)._ports())


def test_ports_are_such_as_nobody_gets_who_asks_for_any() -> None:
    ports = node.free_ports(3)
    assert len(set(ports)) == 3
    first = int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0])
    if first <= 20_000:
        pytest.skip("this machine gives nearly all ports to who asks for any")
    assert max(ports) < first


def test_what_listens_at_a_port_is_known_by_its_process() -> None:
    waits = "import sys; sys.stdin.read()"
    with (
        listening() as ours,
        subprocess.Popen([sys.executable, "-c", waits], stdin=subprocess.PIPE) as stranger,
    ):
        port = ours.getsockname()[1]
        assert node._listens(os.getpid(), port)
        assert not node._listens(stranger.pid, port)
        assert not node._listens(os.getpid(), node.free_ports(1)[0])
        stranger.communicate()
    assert not node._listens(stranger.pid, port)
