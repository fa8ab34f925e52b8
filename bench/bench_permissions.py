"""What checks cost a record: the broker's, of who may write it, and a reader's, of the way it came.

    python bench/bench_permissions.py [RECORDS]

The broker's by a bare connection that waits for nothing but the end: as the administrator, whose routing keys
are not looked at, and as a worker, whose are. Each takes turns, three times; the best counts.
"""

import sys
import tempfile
import time
from functools import partial
from pathlib import Path

import pika
from bus.quarantine import Arrival, judge
from bus.roles import Role
from bus.topology import EXCHANGE, log_stream, routing_key
from figures import tell_rate
from schema.ids import InstanceName, Offset, VmId
from schema.records import ENVELOPE, Changed, Envelope
from stack.broker.node import PrivateNode

INSTANCE = InstanceName("bench")
KEYS = 1_000
ROUNDS = 3


def published_per_s(url: str, user: str | None, count: int) -> float:
    """How many records the broker takes a second."""
    connection = pika.BlockingConnection(pika.URLParameters(url))
    channel = connection.channel()
    properties = pika.BasicProperties(user_id=user)
    begun = time.perf_counter()
    for number in range(count):
        channel.basic_publish(EXCHANGE, f"bench.vm{number % KEYS}.Changed", b"x" * 300, properties)
    channel.queue_declare(log_stream(INSTANCE), passive=True)
    rate = count / (time.perf_counter() - begun)
    connection.close()
    return rate


def judged_per_s(count: int) -> tuple[float, float]:
    """How many records a reader judges a second, and how many it would only parse."""
    record = Changed(vm=VmId("vm1"), changed=())
    body = ENVELOPE.dump_json(Envelope(producer="p" * 40, seq=1, at=1.5, instance=INSTANCE, record=record))
    arrival = Arrival(EXCHANGE, routing_key(INSTANCE, record), "xenops-worker", body)
    rates = []
    for action in (partial(judge, INSTANCE, Offset(1), arrival), partial(ENVELOPE.validate_json, body)):
        begun = time.perf_counter()
        for _ in range(count):
            action()
        rates.append(count / (time.perf_counter() - begun))
    return rates[0], rates[1]


def main() -> None:
    """Measure and tell."""
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 10_000
    with tempfile.TemporaryDirectory() as directory, PrivateNode(Path(directory), (INSTANCE,)) as node:
        connection = pika.BlockingConnection(pika.URLParameters(node.url))
        channel = connection.channel()
        channel.exchange_declare(EXCHANGE, "topic", durable=True)
        channel.queue_declare(log_stream(INSTANCE), durable=True, arguments={"x-queue-type": "stream"})
        channel.queue_bind(log_stream(INSTANCE), EXCHANGE, "bench.#")
        connection.close()
        ways = {"administrator": (node.url, None), "worker": (node.url_of(Role.WORKER), "xenops-worker")}
        rates = dict.fromkeys(ways, 0.0)
        for _ in range(ROUNDS):
            for way, (url, user) in ways.items():
                rates[way] = max(rates[way], published_per_s(url, user, count))
    tell_rate("published, keys not looked at, unsigned", rates["administrator"])
    tell_rate("published, keys looked at, signed", rates["worker"], rates["administrator"])
    ours, parsed = judged_per_s(count)
    tell_rate("read: parsed", parsed)
    tell_rate("read: parsed, and the way it came compared", ours, parsed)


if __name__ == "__main__":
    main()
