"""Stream: how the broker keeps an instance's log, and who makes it."""

import logging
import re

from pika.channel import Channel
from pika.exceptions import ChannelClosedByBroker
from schema.ids import InstanceName

from bus.loop import Action
from bus.retention import Retention
from bus.topology import EXCHANGE, log_stream, routing_word

_log = logging.getLogger("bus")

_PRECONDITION_FAILED = 406
_UNEQUAL = re.compile(r"inequivalent arg '([^']*)'.*received (.*) but current is (.*)")


class Logs:
    """Has exchange, stream and binding of an instance in place, for whoever lives on a channel.

    Who may make a stream may delete it: so one service makes logs, as `retention` says, and others (None)
    only look for them. A log that is not there closes the channel, and is looked for again. So does one that
    was made otherwise: RabbitMQ keeps that, so it is taken as it is.
    """

    def __init__(self, retention: Retention | None) -> None:
        self._retention = retention
        self._as_made: set[InstanceName] = set()

    def declare(self, channel: Channel, instance: InstanceName, then: Action) -> None:
        """Put all in place; `then` it is. A channel that closes meanwhile hears nothing of it."""
        stream = log_stream(instance)

        def in_place(_: object) -> None:
            if channel.is_open:
                then()

        if self._retention is None:
            channel.queue_declare(stream, passive=True, callback=in_place)
            return
        channel.exchange_declare(EXCHANGE, "topic", durable=True)
        if instance in self._as_made:
            channel.queue_declare(stream, passive=True)
        else:
            channel.add_on_close_callback(lambda _, reason: self._on_closed(instance, reason))
            channel.queue_declare(stream, durable=True, arguments=self._retention.arguments())
        channel.queue_bind(stream, EXCHANGE, f"{routing_word(instance)}.#", callback=in_place)

    def _on_closed(self, instance: InstanceName, reason: Exception) -> None:
        if not isinstance(reason, ChannelClosedByBroker) or reason.reply_code != _PRECONDITION_FAILED:
            return
        text = str(reason.reply_text)
        unequal = _UNEQUAL.search(text)
        if unequal is None or f"'{log_stream(instance)}'" not in text or instance in self._as_made:
            return
        self._as_made.add(instance)
        name, wanted, made = unequal.groups()
        sentence = (
            "the log of %s was made with %s %s, and not with %s as is set now: it is used as it is, for "
            "RabbitMQ keeps what a log was made with; a policy changes it (set_policy, see docs/log.md)"
        )
        _log.warning(sentence, instance, name, made.strip(), wanted.strip())
