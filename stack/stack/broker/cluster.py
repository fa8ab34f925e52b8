"""Cluster: private RabbitMQ nodes, each in a network of its own, that form one broker; as root only.

`python -m stack.broker.cluster DIR INSTANCE...` runs three in the foreground until it is told to stop,
and prints their URLs.
"""

import shutil
import sys
from collections.abc import Iterable
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Self

from bus.ending import await_end, listen
from bus.roles import Role

from stack.broker.networks import ClusterNetworks, NetworksError
from stack.broker.node import NodeError, PrivateNode
from stack.broker.placement import Placement

NODES = 3

_SECRETS = (".erlang.cookie", "passwords.json")
"""What all nodes have alike."""


class PrivateCluster:
    """Three nodes that are started together, and each killed, cut off and started anew on its own.

    As of a single node, all of it ends with the thread that has made it.
    """

    def __init__(self, directory: Path, instances: Iterable[str] = ()) -> None:
        self._directory = directory.resolve()
        self._instances = tuple(instances)
        self._stack = ExitStack()
        self.networks = ClusterNetworks(NODES)
        self.nodes: list[PrivateNode] = []

    def __enter__(self) -> Self:
        self._stack.enter_context(self.networks)
        try:
            peers = tuple(map(self.networks.inner, range(NODES)))
            for number in range(NODES):
                node = self._make(number, peers)
                self._stack.callback(node.stop)
                node.launch()
                self.nodes.append(node)
            for node in self.nodes:
                node.await_answer()
        except BaseException:
            self._stack.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()

    @property
    def url(self) -> str:
        """Where to connect to as one who may do everything: all nodes, from the first on."""
        return ",".join(node.url for node in self.nodes)

    def url_of(self, role: Role) -> str:
        """The same in a role."""
        return ",".join(node.url_of(role) for node in self.nodes)

    def _make(self, number: int, peers: tuple[str, ...]) -> PrivateNode:
        """A node, not started yet; its secrets are those of the first."""
        place, first = self._place(number), self._place(0)
        place.mkdir(parents=True, exist_ok=True)
        for secret in _SECRETS if number else ():
            shutil.copy2(first / secret, place / secret)
        placement = Placement(
            self.networks.outer(number), self.networks.inner(number), self.networks.within(number), peers
        )
        return PrivateNode(place, self._instances, placement=placement)

    def _place(self, number: int) -> Path:
        return self._directory / f"node{number}"


def main(arguments: list[str]) -> int:
    """Run a cluster until SIGTERM or SIGINT."""
    if not arguments:
        sys.stderr.write("usage: python -m stack.broker.cluster DIR [INSTANCE...]\n")
        return 2
    ended = listen()
    try:
        with PrivateCluster(Path(arguments[0]), arguments[1:]) as cluster:
            sys.stdout.write(f"{cluster.url}\n")
            sys.stdout.flush()
            await_end(ended)
    except (NodeError, NetworksError) as error:
        sys.stderr.write(f"{error}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
