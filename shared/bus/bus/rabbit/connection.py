"""Connection: the one connection to the broker, made again whenever it is lost, and its channels' owners."""

import errno
import logging
import os
import re
import ssl
from abc import ABC, abstractmethod

import pika
from pika.channel import Channel
from pika.exceptions import ChannelClosedByBroker, ProbableAccessDeniedError, ProbableAuthenticationError

from bus.loop import Loop
from bus.ports import BrokerSeen
from bus.rabbit.address import address_of, nodes_of
from bus.rabbit.backoff import Backoff
from bus.rabbit.constants import ELSEWHERE_MAX, MISSING_TOLD, RECONNECT_MOST_S
from bus.rabbit.services import LoopServices, StreamConnection

_log = logging.getLogger("bus")

_NOT_FOUND, _RESOURCE_LOCKED = 404, 405
_REFUSES_USER, _REFUSES_HOST = "it refuses this user and password", "it refuses this user the virtual host"
_REFUSALS = (_REFUSES_USER, _REFUSES_HOST)

_ELSEWHERE = "does not have a replica on the local node"
"""How RabbitMQ refuses a stream that is on other nodes, or that is not up on this one yet."""

_EXPECTED = (_NOT_FOUND, _RESOURCE_LOCKED)
"""A stream that is not up yet after the broker's start, an exclusive queue that its last holder still has."""


class ChannelOwner(ABC):
    """Owns a channel of the connection, and gets another whenever that is lost.

    `blocked` is why the broker takes nothing for now. All methods are called on the loop's thread.
    """

    def __init__(self) -> None:
        self.is_ready = False
        self.blocked: str | None = None
        self.backoff = Backoff()
        self._missing = 0
        self._channel: Channel | None = None

    @abstractmethod
    def set_up(self, channel: Channel) -> None:
        """Declare and consume what is needed on a new channel; it ends with `mark_ready`."""

    def take_channel(self, channel: Channel) -> None:
        """Here is a channel: set it up."""
        self._channel = channel
        self.set_up(channel)

    def lose_channel(self) -> None:
        """The channel is gone."""
        self._channel = None
        self.is_ready = False

    def mark_ready(self) -> None:
        """All that was to be set up is."""
        self.is_ready = True
        self._missing = 0
        self.backoff.reset()

    def refused(self, code: int) -> bool:
        """What it is to set up was; answers whether to tell: what is expected, when it does not end."""
        self._missing += code == _NOT_FOUND
        return code not in _EXPECTED or (code == _NOT_FOUND and self._missing == MISSING_TOLD)


class Connection:
    """Connects, and connects again, for its owners. On the loop's thread, except for the constructor.

    Of a cluster it takes the next node whenever one is lost or cannot be had, and waits only when all were
    tried in vain.
    """

    def __init__(self, urls: str, name: str, loop: Loop) -> None:
        self._loop = loop
        self._nodes = nodes_of(urls, name)
        self._turn = 0
        self._in_vain = 0
        self._elsewhere = 0
        everywhere = ",".join(sorted(map(address_of, self._nodes)))
        self.broker = f"{everywhere}/{self._nodes[0].virtual_host}"
        """The same for all who name the same nodes, in whichever order."""
        self.user = _user(self._nodes[0])
        self.trouble = "not tried yet"
        self._product = "RabbitMQ"
        self._blocked: str | None = None
        self._owners: list[ChannelOwner] = []
        self._connection: StreamConnection | None = None
        self._backoff = Backoff(RECONNECT_MOST_S)
        self._closing = False
        self._services = LoopServices(loop.asyncio)

    @property
    def address(self) -> str:
        """Of the node that is connected to, or tried."""
        return address_of(self._nodes[self._turn])

    @property
    def parameters(self) -> tuple[pika.URLParameters, ...]:
        """All nodes, the one that is connected to first; from any thread."""
        turn = self._turn
        return self._nodes[turn:] + self._nodes[:turn]

    def seen(self) -> BrokerSeen:
        """The broker, as this connection shows it."""
        is_open = self._connection is not None and self._connection.is_open
        return BrokerSeen(self._product, self.address, "" if is_open else self.trouble, self._blocked or "")

    def open(self) -> None:
        """Begin to connect."""
        if not self._closing:
            self._connection = StreamConnection(
                self._nodes[self._turn],
                on_open_callback=self._on_open,
                on_open_error_callback=self._on_lost,
                on_close_callback=self._on_lost,
                custom_ioloop=self._services,
            )

    def close(self) -> None:
        """Send what has been handed over, part from the broker, end the loop.

        pika does not let go of a connection that is only being opened, so that one is cut.
        """
        self._closing = True
        connection = self._connection
        if connection is None:
            self._loop.stop()
        elif connection.is_open:
            connection.close()
        elif not connection.is_closing:
            self._services.break_off()  # if it has not come so far, it is told once it has

    def add(self, owner: ChannelOwner) -> None:
        """Give one more owner a channel."""
        self._owners.append(owner)
        if self._connection is not None and self._connection.is_open:
            self._open_channel(owner, self._connection)

    def is_ready(self) -> bool:
        """Whether all owners have what they need."""
        is_open = self._connection is not None and self._connection.is_open
        return is_open and all(owner.is_ready for owner in self._owners)

    @property
    def is_refused(self) -> bool:
        """Whether it was told that there is no such user, or that his password is another one."""
        is_open = self._connection is not None and self._connection.is_open
        return not is_open and self.trouble == _REFUSES_USER

    def complaint(self, timeout_s: float) -> str:
        """Why, after so long, not all is settled."""
        if self._connection is not None and self._connection.is_open:
            return (
                f"the broker at {self.address} did not let all be put in place within {timeout_s:g} s "
                f"({self.trouble}): is that there, and may this user have it?"
            )
        places = " or ".join(map(address_of, self._nodes))
        if self.trouble in _REFUSALS:
            return f"the broker at {places} was reached, but {self.trouble}: is its URL right?"
        return f"no broker at {places} ({self.trouble}): is RabbitMQ running there?"

    def _on_open(self, connection: StreamConnection) -> None:
        if self._closing:
            connection.close()
            return
        _log.info("connected to the broker at %s", self.address)
        self._product = _product(connection)
        self._backoff.reset()
        self._in_vain = self._elsewhere = 0
        connection.add_on_connection_blocked_callback(self._on_blocked)
        connection.add_on_connection_unblocked_callback(lambda *_: self._block(None))
        for owner in self._owners:
            self._open_channel(owner, connection)

    def _on_lost(self, _connection: object, error: BaseException | str) -> None:
        self.trouble = trouble_of(error)
        self._connection = None
        self._block(None)
        for owner in self._owners:
            owner.lose_channel()
        if self._closing:
            self._loop.stop()
            return
        self._in_vain += 1
        delay_s = self._backoff.delay_s() if self._in_vain % len(self._nodes) == 0 else 0.0
        lost, self._turn = self.address, (self._turn + 1) % len(self._nodes)
        again = "again" if len(self._nodes) == 1 else f"next is {self.address}"
        sentence = "no connection to the broker at %s (%s); %s in %.1f s"
        _log.warning(sentence, lost, self.trouble, again, delay_s)
        self._loop.later(delay_s, self.open)

    def _on_blocked(
        self, _connection: object, frame: "pika.frame.Method[pika.spec.Connection.Blocked]"
    ) -> None:
        reason = frame.method.reason or "an alarm"
        _log.warning("the broker at %s takes no messages: %s", self.address, reason)
        self._block(reason)

    def _block(self, reason: str | None) -> None:
        self._blocked = reason
        for owner in self._owners:
            owner.blocked = reason

    def _open_channel(self, owner: ChannelOwner, connection: StreamConnection) -> None:
        """Open a channel for an owner, unless the connection has been replaced: then the next one does."""

        def opened(channel: Channel) -> None:
            channel.add_on_close_callback(closed)
            owner.take_channel(channel)

        def closed(_channel: Channel, reason: Exception) -> None:
            if connection is self._connection and connection.is_open:
                self._reopen(owner, connection, reason)

        if connection is self._connection and connection.is_open:
            connection.channel(on_open_callback=opened)

    def _reopen(self, owner: ChannelOwner, connection: StreamConnection, reason: Exception) -> None:
        if isinstance(reason, ChannelClosedByBroker):
            self.trouble = str(reason.reply_text)
            level = logging.WARNING if owner.refused(reason.reply_code) else logging.DEBUG
            _log.log(level, "the broker at %s refuses: %s", self.address, self.trouble)
        owner.lose_channel()
        self._elsewhere += _ELSEWHERE in str(reason)
        if self._elsewhere >= ELSEWHERE_MAX and len(self._nodes) > 1:
            connection.close()  # the next node may have it
            return
        self._loop.later(owner.backoff.delay_s(), lambda: self._open_channel(owner, connection))


def trouble_of(error: BaseException | str) -> str:
    """What is wrong, in words: pika wraps the cause several times."""
    if isinstance(error, ProbableAuthenticationError):
        return _REFUSES_USER
    if isinstance(error, ProbableAccessDeniedError):
        return _REFUSES_HOST
    if isinstance(error, ssl.SSLError):
        return _tls_trouble(error)
    causes = getattr(error, "exceptions", ()) or (getattr(error, "exception", None), *_arguments(error))
    lost = re.search(r"SSLError\(\d+, '\[SSL: (\w+)\]", str(error))  # pika has made a text of it
    if lost:
        return f"it ends TLS: {lost[1].replace('_', ' ').lower()}"
    inner = [cause for cause in causes if isinstance(cause, BaseException)]
    if inner:
        return trouble_of(inner[-1])
    if isinstance(error, OSError) and error.strerror:
        is_systems = error.errno in errno.errorcode  # asyncio puts the address where the reason would be
        return (os.strerror(error.errno) if is_systems and error.errno else error.strerror).lower()
    return str(error) or type(error).__name__


def _tls_trouble(error: ssl.SSLError) -> str:
    """Why two ends do not come to speak TLS."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"its certificate is not accepted: {error.verify_message.rstrip('.').lower()}"
    reason = (error.reason or str(error)).replace("_", " ").lower()
    if reason in ("wrong version number", "record layer failure"):
        return "it does not speak TLS at this port: is it meant to be amqp://, or another port?"
    return f"TLS fails: {reason}"


def _product(connection: StreamConnection) -> str:
    """What the broker calls itself, as `RabbitMQ 3.10.8`."""
    told = connection.server_properties or {}
    words = (told.get("product", "RabbitMQ"), told.get("version", ""))
    return " ".join(word for word in words if isinstance(word, str) and word)


def _user(parameters: pika.URLParameters) -> str | None:
    """The broker's user, where it is known before the broker says: not from a certificate."""
    credentials = parameters.credentials
    return credentials.username if isinstance(credentials, pika.PlainCredentials) else None


def _arguments(error: BaseException | str) -> tuple[object, ...]:
    return error.args if isinstance(error, BaseException) else ()
