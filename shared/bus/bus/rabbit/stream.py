"""Stream: how the broker keeps an instance's log."""

from pika.channel import Channel
from schema.ids import InstanceName

from bus.rabbit.constants import STREAM_BYTES_MAX, STREAM_SEGMENT_BYTES_MAX
from bus.rabbit.loop import Action
from bus.topology import EXCHANGE, log_stream, routing_word


def declare_log(channel: Channel, instance: InstanceName, then: Action) -> None:
    """Make exchange, stream and binding of an instance, where they are not there yet."""
    stream = log_stream(instance)
    arguments = {
        "x-queue-type": "stream",
        "x-max-length-bytes": STREAM_BYTES_MAX,
        "x-stream-max-segment-size-bytes": STREAM_SEGMENT_BYTES_MAX,
    }
    channel.exchange_declare(EXCHANGE, "topic", durable=True)
    channel.queue_declare(stream, durable=True, arguments=arguments)
    channel.queue_bind(stream, EXCHANGE, f"{routing_word(instance)}.#", callback=lambda _: then())
