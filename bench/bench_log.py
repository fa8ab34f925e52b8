"""The log on RabbitMQ: appending, reading back and calling, beside a bare pika script on the same broker.

    python bench/bench_log.py [RECORDS]

Bare pika sends and reads the same bytes, by the same encoder and parser, in a log of its own.
"""

import argparse
import statistics
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pika
from bare import peers
from bus.ports import BEGINNING, Request
from bus.rabbit import RabbitBus
from bus.topology import log_stream
from figures import interleaved, tell, tell_rate
from schema.ids import InstanceName, VmId
from schema.records import ENVELOPE, Envelope, LaneHeld
from stack.broker.node import PrivateNode
from xenops import open_log
from xenops.lines import line_of

INSTANCE, BARE = InstanceName("bench"), InstanceName("bare")
CALLS = 500
ROUNDS = 5
PREFETCH = 2_000
PATIENCE_S = 120.0


def main() -> None:
    """Print medians of rounds, and their ratios."""
    parser = argparse.ArgumentParser(description="the log, beside bare pika")
    parser.add_argument("records", type=int, nargs="?", default=10_000, help="records in each of the rounds")
    records = parser.parse_args().records
    with tempfile.TemporaryDirectory() as directory, PrivateNode(Path(directory)) as node:
        bus = RabbitBus(node.url, "bench", (INSTANCE, BARE))
        bus.ready(PATIENCE_S)
        rates = [(append_with_us(bus, records), append_bare(node.url, records)) for _ in range(ROUNDS)]
        ours, bare = (statistics.median(each) for each in zip(*rates, strict=True))
        tell_rate("peer: bare pika, append, all under way", bare)
        tell_rate("append, confirmed, all under way", ours, bare)
        rates = [(replay(bus), replay_bare(node.url, ROUNDS * records)) for _ in range(ROUNDS)]
        ours, bare = (statistics.median(each) for each in zip(*rates, strict=True))
        tell_rate("peer: bare pika, replay and parse", bare)
        tell_rate("replay", ours, bare)
        tell_rate("read, and made lines of as `xenops log` does", look(node.url), bare)
        one_at_a_time(bus, node.url)
        bus.close()


def one_at_a_time(bus: RabbitBus, url: str) -> None:
    """What one append and one call take."""
    bus.serve("bench.echo", lambda request: answer(bus, request))
    bus.ready(PATIENCE_S)
    body = ENVELOPE.dump_json(envelope(0))
    with peers(url) as (echo, log):
        bare_append, append, bare_call, call = interleaved(
            CALLS,
            lambda: log.append(body),
            lambda: bus.append(INSTANCE, record(0)).result(PATIENCE_S),
            lambda: echo.call(b"x"),
            lambda: bus.call("bench.echo", b"x", PATIENCE_S),
        )
    tell("peer: bare pika, one append, confirmed", bare_append)
    tell("one append, confirmed", append, bare_append)
    tell("peer: bare pika, call and answer", bare_call)
    tell("call and answer", call, bare_call)


def record(number: int) -> LaneHeld:
    """A small record."""
    return LaneHeld(vm=VmId(f"vm-{number}"))


def envelope(number: int) -> Envelope:
    """The same as it goes into the log."""
    return Envelope(producer="bare", seq=number + 1, at=0.0, instance=BARE, record=record(number))


def append_with_us(bus: RabbitBus, records: int) -> float:
    """Records a second, all under way at once, until the last is confirmed."""
    begun = time.perf_counter()
    futures = [bus.append(INSTANCE, record(number)) for number in range(records)]
    futures[-1].result(PATIENCE_S)
    return records / (time.perf_counter() - begun)


def run_bare(url: str, on_channel: Callable[["pika.channel.Channel"], None]) -> None:
    """A SelectConnection with one channel, until it is closed."""
    connection = pika.SelectConnection(
        pika.URLParameters(url), on_open_callback=lambda opened: opened.channel(on_open_callback=on_channel)
    )
    connection.add_on_close_callback(lambda *_: connection.ioloop.stop())
    connection.ioloop.start()


def append_bare(url: str, records: int) -> float:
    """The same envelopes by a SelectConnection that does nothing else."""

    def publish(channel: "pika.channel.Channel") -> None:
        def on_confirm(frame: "pika.frame.Method[pika.spec.Basic.Ack | pika.spec.Basic.Nack]") -> None:
            if (frame.method.delivery_tag or 0) >= records:
                channel.connection.close()

        channel.confirm_delivery(on_confirm)
        for number in range(records):
            body = ENVELOPE.dump_json(envelope(number))
            properties = pika.BasicProperties(delivery_mode=2)
            channel.basic_publish("xenops", "bare.vm.LaneHeld", body, properties, mandatory=True)

    begun = time.perf_counter()
    run_bare(url, publish)
    return records / (time.perf_counter() - begun)


def replay(bus: RabbitBus) -> float:
    """Records a second, read from the log's beginning to where it ended when we began."""
    live = threading.Event()
    count = 0

    def on_entry(_: object) -> None:
        nonlocal count
        count += 1

    begun = time.perf_counter()
    bus.tail(INSTANCE, BEGINNING, on_entry, live.set)
    live.wait(PATIENCE_S)
    return count / (time.perf_counter() - begun)


def look(url: str) -> float:
    """Records a second, read and made lines of for people."""
    begun = time.perf_counter()
    with open_log(url, INSTANCE) as log:
        count = sum(1 for one in log.read() if line_of(one))
    return count / (time.perf_counter() - begun)


def replay_bare(url: str, records: int) -> float:
    """Records a second of those that it appended, read from the beginning and parsed."""
    count = 0

    def on_message(
        channel: "pika.channel.Channel", deliver: "pika.spec.Basic.Deliver", *rest: object
    ) -> None:
        nonlocal count
        _properties, body = rest
        assert isinstance(body, bytes)
        count += bool(ENVELOPE.validate_json(body))
        if count == records and channel.is_open:
            channel.connection.close()
        elif count % (PREFETCH // 10) == 0:
            channel.basic_ack(deliver.delivery_tag or 0, multiple=True)

    def consume(channel: "pika.channel.Channel") -> None:
        channel.basic_qos(prefetch_count=PREFETCH)
        channel.basic_consume(log_stream(BARE), on_message, arguments={"x-stream-offset": "first"})

    begun = time.perf_counter()
    run_bare(url, consume)
    return count / (time.perf_counter() - begun)


def answer(bus: RabbitBus, request: Request) -> None:
    """Send back what came."""
    bus.send(request.reply_to or "", Request(request.body, correlation_id=request.correlation_id))


if __name__ == "__main__":
    main()
