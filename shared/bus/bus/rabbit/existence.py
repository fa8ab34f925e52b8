"""Existence: whether a broker has an instance's log at all, asked of it by a connection of its own."""

from collections.abc import Sequence

import pika
from pika.connection import Parameters
from pika.exceptions import AMQPError, ChannelClosedByBroker
from schema.ids import InstanceName

from bus.topology import log_stream

_NOT_FOUND = 404
_NO_SUCH_QUEUE = "no queue"
"""How RabbitMQ says that there is none; one whose node is down is not found either, in other words."""


def may_have_log(nodes: Sequence[Parameters], instance: InstanceName) -> bool:
    """False: the broker says that it has no such log. Any user may ask; who cannot be asked may have it."""
    try:
        with pika.BlockingConnection(nodes) as connection:
            connection.channel().queue_declare(log_stream(instance), passive=True)
    except ChannelClosedByBroker as error:
        return error.reply_code != _NOT_FOUND or _NO_SUCH_QUEUE not in str(error.reply_text)
    except (AMQPError, OSError):
        return True
    return True
