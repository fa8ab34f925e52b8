"""Cluster networks: one of its own for each node of a cluster on this machine, to be cut; as root only.

Each node is in a network namespace with two interfaces: `outer` for clients, `inner` for its peers. Both
end at bridges in one more namespace; this machine is on the outer one. A namespace lives by a process that
holds it, and that process by its owner: nothing is left behind, however the owner ends.
"""

import ipaddress
import os
import secrets
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Self

_OUTER = ipaddress.IPv4Network("198.18.0.0/15")
"""For clients: a network that is set aside for tests (RFC 2544); of it some addresses that nobody has."""

_INNER = ipaddress.IPv4Network("10.0.0.0/24")
"""For peers: nobody else is on that bridge, so it needs not be another one each time."""

_FIRST_NODE = 11
_HOLDER_TIMEOUT_S = 30.0


class NetworksError(Exception):
    """No networks can be made here; the sentence says why."""


class ClusterNetworks:
    """Networks for so many nodes. Made and ended on one thread, which must live as long as they shall."""

    def __init__(self, count: int) -> None:
        self._count = count
        self._holders: list[subprocess.Popen[bytes]] = []
        self._outer = _OUTER

    def __enter__(self) -> Self:
        if os.geteuid():
            raise NetworksError("only root makes networks: run as root")
        try:
            self._lay()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """End all namespaces; who is still in one is without a network."""
        while self._holders:
            holder = self._holders.pop()
            holder.kill()
            holder.wait()

    def within(self, node: int) -> tuple[str, ...]:
        """A command that runs another in a node's network; nodes count from 0."""
        return self._inside(self._holders[node + 1])

    def outer(self, node: int) -> str:
        """Where clients reach a node."""
        return str(self._outer[_FIRST_NODE + node])

    def inner(self, node: int) -> str:
        """Where peers reach it."""
        return str(_INNER[_FIRST_NODE + node])

    @contextmanager
    def cut(self, node: int, *, from_clients: bool) -> Iterator[None]:
        """Meanwhile nothing passes between a node and its peers, nor, if told so, between it and clients.

        Nobody is told: the interfaces stay up, as when a switch forgets a port.
        """
        ports = [f"inner{node}", *([f"outer{node}"] if from_clients else [])]
        for port in ports:
            self._at_hub("link", "set", port, "nomaster")
        try:
            yield
        finally:
            for port in ports:
                self._at_hub("link", "set", port, "master", port.rstrip("0123456789"))

    def _lay(self) -> None:
        for _ in range(self._count + 1):
            self._holders.append(_hold())
        self._outer = _free_network()
        for bridge in ("inner", "outer"):
            self._at_hub("link", "add", bridge, "type", "bridge")
            self._at_hub("link", "set", bridge, "up")
        for node in range(self._count):
            for side, address in (("inner", self.inner(node)), ("outer", self.outer(node))):
                self._plug(f"{side}{node}", side, self._holders[node + 1].pid)
                self._at_node(node, "addr", "add", f"{address}/24", "dev", side)
                self._at_node(node, "link", "set", side, "up")
            self._at_node(node, "link", "set", "lo", "up")
        ours = f"xo{self._holders[0].pid}"
        self._plug("machine", ours, os.getpid(), "outer")
        _ip("addr", "add", f"{self._outer[1]}/24", "dev", ours)
        _ip("link", "set", ours, "up")

    def _plug(self, port: str, there: str, process: int, bridge: str = "") -> None:
        """A wire from a bridge to the network of a process."""
        self._at_hub("link", "add", port, "type", "veth", "peer", "name", there, "netns", str(process))
        self._at_hub("link", "set", port, "master", bridge or there, "up")

    def _at_hub(self, *arguments: str) -> None:
        _ip(*arguments, within=self._inside(self._holders[0]))

    def _at_node(self, node: int, *arguments: str) -> None:
        _ip(*arguments, within=self.within(node))

    @staticmethod
    def _inside(holder: subprocess.Popen[bytes]) -> tuple[str, ...]:
        return ("nsenter", f"--net=/proc/{holder.pid}/ns/net", "--")


def _hold() -> subprocess.Popen[bytes]:
    """A process in a network of its own, which ends with the thread that calls."""
    ours = Path("/proc/self/ns/net").readlink()
    holder = subprocess.Popen(
        ["setpriv", "--pdeathsig", "KILL", "unshare", "--net", "sleep", "infinity"], start_new_session=True
    )
    theirs = Path(f"/proc/{holder.pid}/ns/net")
    end = time.monotonic() + _HOLDER_TIMEOUT_S
    while holder.poll() is None and theirs.readlink() == ours and time.monotonic() < end:
        time.sleep(0.005)
    if holder.poll() is not None or theirs.readlink() == ours:
        holder.kill()
        holder.wait()
        raise NetworksError("the kernel gives no network of its own (unshare --net): are we in a container?")
    return holder


def _free_network() -> ipaddress.IPv4Network:
    """One of the networks for tests to which no route leads yet."""
    networks = list(_OUTER.subnets(new_prefix=24))
    while True:
        network = secrets.choice(networks)
        if not _ip("route", "show", "root", str(network)):
            return network


def _ip(*arguments: str, within: tuple[str, ...] = ()) -> str:
    done = subprocess.run([*within, "ip", *arguments], capture_output=True, text=True, check=False)
    if done.returncode:
        raise NetworksError(f"ip {' '.join(arguments)} failed: {done.stderr.strip()}")
    return done.stdout.strip()
