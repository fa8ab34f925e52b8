"""Placement: where a private node is, and who its peers are: alone on this machine, or one of a cluster."""

from collections.abc import Mapping
from dataclasses import dataclass

TICK_S = 8
"""After so long a peer that says nothing is down; RabbitMQ's own 60 s would make tests slow."""

SETUP_S = 2
"""How long a peer may take to be reached; Erlang's own 7 s are waited for, stream by stream, before another
node leads those of one whose address is silent."""

HALF_OF_PROCESSORS = "+SP 50:50"
"""How many threads the Erlang machine computes with: as many as half of the processors, for services and
clients are on this machine, too. More mostly wake each other: on two processors a task cost the broker a
quarter more (`bench/README.md`)."""

ONE_AT_THE_DISK = "+SDio 1"
"""How many threads read and write its files: a record is a small write and some small reads, each of which
would wake one of ten. One alone is mostly still awake (`docs/adr/0076-one-thread-at-the-disk.md`)."""

AMQP_PORT, DISTRIBUTION_PORT, EPMD_PORT = 5672, 25672, 4369


@dataclass(frozen=True, slots=True)
class Placement:
    """Addresses of a node: `host` is where clients connect to, `inner` where its peers do.

    `within` is a command that runs another in the node's own network; in one of its own it has the usual
    ports, on this machine any that are free. `peers` are the hosts by which all nodes of its cluster are
    known, itself included.
    """

    host: str = "127.0.0.1"
    inner: str = "127.0.0.1"
    within: tuple[str, ...] = ()
    peers: tuple[str, ...] = ()

    @property
    def ports(self) -> list[int]:
        """For AMQP, for Erlang's distribution, for the port mapper; none where any will do."""
        return [AMQP_PORT, DISTRIBUTION_PORT, EPMD_PORT] if self.peers else []

    def environment(self) -> Mapping[str, str]:
        """What the start script must know of it."""
        interface = self.inner.replace(".", ",")
        arguments = f"{HALF_OF_PROCESSORS} {ONE_AT_THE_DISK} -kernel inet_dist_use_interface {{{interface}}}"
        alone = {
            "RABBITMQ_NODENAME": "xenops@localhost",
            "ERL_EPMD_ADDRESS": self.inner,
            "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": arguments,
        }
        if not self.peers:
            return alone
        return alone | {
            "RABBITMQ_NODENAME": f"xenops@{self.inner}",
            "RABBITMQ_USE_LONGNAME": "true",
            "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": (
                f"{arguments} -kernel net_ticktime {TICK_S} net_setuptime {SETUP_S}"
            ),
        }

    def configuration(self) -> str:
        """How it finds its peers, and what it does without most of them, as RabbitMQ reads it."""
        if not self.peers:
            return ""
        nodes = "".join(
            f"cluster_formation.classic_config.nodes.{number} = xenops@{peer}\n"
            for number, peer in enumerate(self.peers, 1)
        )
        return (
            "cluster_formation.peer_discovery_backend = classic_config\n"
            f"{nodes}"
            "cluster_partition_handling = pause_minority\n"
        )


ALONE = Placement()
"""On this machine's loopback, at any ports."""
