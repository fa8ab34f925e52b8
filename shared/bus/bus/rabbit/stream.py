"""Stream: how the broker keeps an instance's log."""

from pika.channel import Channel
from schema.ids import InstanceName

from bus.loop import Action
from bus.rabbit.constants import STREAM_BYTES_MAX, STREAM_SEGMENT_BYTES_MAX
from bus.topology import EXCHANGE, log_stream, routing_word


def declare_log(channel: Channel, instance: InstanceName, then: Action, *, make: bool) -> None:
    """Make exchange, stream and binding of an instance, where they are not there yet.

    Who may make a stream may delete it: so one service makes logs, and others (not `make`) only look for
    them. A log that is not there closes the channel, and is looked for again.
    """
    stream = log_stream(instance)
    if not make:
        channel.queue_declare(stream, passive=True, callback=lambda _: then())
        return
    arguments = {
        "x-queue-type": "stream",
        "x-max-length-bytes": STREAM_BYTES_MAX,
        "x-stream-max-segment-size-bytes": STREAM_SEGMENT_BYTES_MAX,
    }
    channel.exchange_declare(EXCHANGE, "topic", durable=True)
    channel.queue_declare(stream, durable=True, arguments=arguments)
    channel.queue_bind(stream, EXCHANGE, f"{routing_word(instance)}.#", callback=lambda _: then())
