"""The log on RabbitMQ: appending, reading back and calling, beside a bare pika script on the same broker."""

import statistics
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pika
from bus.node import PrivateNode
from bus.ports import BEGINNING, Request
from bus.rabbit import RabbitBus
from schema.ids import InstanceName, VmId
from schema.records import ENVELOPE, Envelope, LaneHeld

INSTANCE = InstanceName("bench")
RECORDS = 10_000
CALLS = 500
ROUNDS = 5
PATIENCE_S = 120.0


def main() -> None:
    """Print medians of rounds, and their ratios."""
    with tempfile.TemporaryDirectory() as directory, PrivateNode(Path(directory)) as node:
        bus = RabbitBus(node.url, "bench", (INSTANCE,))
        bus.ready(PATIENCE_S)
        ours = statistics.median(append_with_us(bus) for _ in range(ROUNDS))
        bare = statistics.median(append_bare(node.url) for _ in range(ROUNDS))
        print(f"append, confirmed: {ours:.0f}/s ours, {bare:.0f}/s bare pika, ratio {bare / ours:.2f}")
        print(f"replay: {replay(bus):.0f} records/s")
        print(f"one append, confirmed: p50 {median_ms(lambda: append_one(bus)):.2f} ms")
        bus.serve("bench.echo", lambda request: answer(bus, request))
        bus.ready(PATIENCE_S)
        print(f"call and answer: p50 {median_ms(lambda: bus.call('bench.echo', b'x', PATIENCE_S)):.2f} ms")
        bus.close()


def record(number: int) -> LaneHeld:
    """A small record."""
    return LaneHeld(vm=VmId(f"vm-{number}"))


def append_with_us(bus: RabbitBus) -> float:
    """Records a second, all under way at once, until the last is confirmed."""
    begun = time.perf_counter()
    futures = [bus.append(INSTANCE, record(number)) for number in range(RECORDS)]
    futures[-1].result(PATIENCE_S)
    return RECORDS / (time.perf_counter() - begun)


def append_bare(url: str) -> float:
    """The same envelopes by a SelectConnection that does nothing else."""
    done = threading.Event()
    confirmed = 0

    def on_confirm(frame: "pika.frame.Method[pika.spec.Basic.Ack | pika.spec.Basic.Nack]") -> None:
        nonlocal confirmed
        confirmed = frame.method.delivery_tag or 0
        if confirmed >= RECORDS:
            connection.close()
            done.set()

    def publish(channel: "pika.channel.Channel") -> None:
        channel.confirm_delivery(on_confirm)
        for number in range(RECORDS):
            envelope = Envelope(
                producer="bare", seq=number + 1, at=0.0, instance=INSTANCE, record=record(number)
            )
            body = ENVELOPE.dump_json(envelope)
            properties = pika.BasicProperties(delivery_mode=2)
            channel.basic_publish("xenops", "bench.vm.LaneHeld", body, properties, mandatory=True)

    connection = pika.SelectConnection(
        pika.URLParameters(url), on_open_callback=lambda opened: opened.channel(on_open_callback=publish)
    )
    connection.add_on_close_callback(lambda *_: connection.ioloop.stop())
    begun = time.perf_counter()
    connection.ioloop.start()
    return RECORDS / (time.perf_counter() - begun)


def replay(bus: RabbitBus) -> float:
    """Records a second, read from the log's beginning."""
    live = threading.Event()
    count = 0

    def on_entry(_: object) -> None:
        nonlocal count
        count += 1

    begun = time.perf_counter()
    bus.tail(INSTANCE, BEGINNING, on_entry, live.set)
    live.wait(PATIENCE_S)
    return count / (time.perf_counter() - begun)


def append_one(bus: RabbitBus) -> None:
    """One record, waited for."""
    bus.append(INSTANCE, record(0)).result(PATIENCE_S)


def answer(bus: RabbitBus, request: Request) -> None:
    """Send back what came."""
    bus.send(request.reply_to or "", Request(request.body, correlation_id=request.correlation_id))


def median_ms(action: Callable[[], object]) -> float:
    """The median time of one call."""
    times = []
    for _ in range(CALLS):
        begun = time.perf_counter()
        action()
        times.append(time.perf_counter() - begun)
    return statistics.median(times) * 1e3


if __name__ == "__main__":
    main()
