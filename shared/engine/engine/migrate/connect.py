"""Connect: opens connections to a destination, and to the frontends where a source's connections wait."""

import http.client
import io
import ssl
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

from schema.debug_info import DebugInfo, write_debug_info
from schema.fault import XenopsError, internal_error
from schema.methods import METHODS
from schema.migration import encode_cookies
from schema.objects.errors import Error, InternalError
from schema.wire import xmlrpc
from schema.wire.codec import from_rpc
from schema.wire.errors import MarshalError
from schema.wire.value import Dict
from traces import current_span
from typing_extensions import override

from engine.migrate.address import Address, Endpoint, TcpHost, read_socket
from engine.migrate.channel import Channel
from engine.migrate.wire import Network, Wire

CALL_TIMEOUT_S = 120.0
"""How long a call to the destination may take: it may wait for the VM there."""

QUESTION_TIMEOUT_S = 5.0
"""How long a mere question may take: a worker that dies takes it along unanswered, and it is asked again."""

JOIN_TIMEOUT_S = 30.0
RENDEZVOUS_PATH = "/rendezvous/"
"""Where a frontend joins a worker to the connection that waits for it; the ticket follows."""

TAKES_DESCRIPTOR = "x-xenops-descriptor"
"""Header of a worker that takes the connection itself, too, should both be on one host."""

_HEAD_BYTES_MAX = 4096
_ANSWER_BYTES_MAX = 1 << 20
"""Answers have some hundred bytes; but where a URL leads, only who gave it knows."""

_AGENT = "xenopsd"


class TicketError(XenopsError):
    """No connection waits under that ticket, or none any more: an `Internal_error`."""


class UnreachableError(XenopsError):
    """The other side is not there, or not any more: an `Internal_error`; what it has done is not known."""


class NeverReachedError(UnreachableError):
    """The same, and it has done nothing: nobody was there, or nobody who takes such a call."""


def open_channel(
    network: Network, address: Address, below: str, cookies: Mapping[str, str], *, verify: bool
) -> Channel:
    """Open a channel of a migration. Errors: `Internal_error`, the destination is not reached."""
    wire = _connect(network, address.endpoint, verify=verify)
    channel = Channel(wire, f"Migration to {address.endpoint}{below}")
    span = current_span()
    traceparent = "" if span is None else f"traceparent: {span.traceparent}\r\n"
    head = (
        f"PUT {address.target(below)} HTTP/1.1\r\nhost: {_host(address.endpoint)}\r\n{traceparent}"
        f"cookie: {encode_cookies(cookies)}\r\nconnection: keep-alive\r\nuser-agent: {_AGENT}\r\n\r\n"
    )
    channel.write(head.encode("utf-8", "surrogateescape"))
    return channel


def join(network: Network, where: str, ticket: str) -> Channel:
    """The source's connection that waits at a frontend: itself, from one of this host, or carried by it.

    Raises:
        TicketError: it does not wait there, as when the frontend was started anew.
        XenopsError: the frontend is not reached.
    """
    wire = _connect(network, read_socket(where), verify=False)
    wire.set_timeout(JOIN_TIMEOUT_S)
    try:
        words = f"PUT {RENDEZVOUS_PATH}{ticket} HTTP/1.1\r\nhost: frontend\r\n{TAKES_DESCRIPTOR}: 1\r\n\r\n"
        wire.send(words.encode())
        head, passed = _read_head(wire)
    except OSError as error:
        wire.close()
        raise internal_error(f"the frontend at {where} did not answer: {error}") from error
    if f" {HTTPStatus.OK} ".encode() not in head.partition(b"\r\n")[0]:
        wire.close()
        words = (
            f"the source's connection does not wait at the frontend at {where} any more; was it restarted?"
        )
        raise TicketError(InternalError(message=words))
    if passed is not None:
        wire.close()
    return Channel(passed or wire, "Migration from another host")


def _connect(network: Network, endpoint: Endpoint, *, verify: bool) -> Wire:
    try:
        return network.connect(endpoint, verify=verify)
    except OSError as error:
        sentence = f"Cannot connect to {endpoint}: {error}; is xenops served there, and reached from here?"
        raise NeverReachedError(InternalError(message=sentence)) from error


def call(network: Network, address: Address, method: str, *, verify: bool, **params: Any) -> Any:
    """Ask the destination for something; in XML, for that is what xapi takes from other hosts.

    Raises:
        XenopsError: its own error, or `Internal_error`: it is not reached, or does not answer as xenops does.
    """
    wire = _connect(network, address.endpoint, verify=verify)
    wire.set_timeout(QUESTION_TIMEOUT_S if method == "VM.exists" else CALL_TIMEOUT_S)
    connection = http.client.HTTPConnection("destination")
    connection.sock = _HttpSocket(wire)
    name = "dbg" if "dbg" in dict(METHODS[method].parameters) else "debug_info"
    fields = [(name, _traced(params.pop("dbg"))), *params.items()]  # strings, all of them
    body = xmlrpc.encode_call(method, [Dict(fields)])
    headers = {"user-agent": _AGENT, "host": _host(address.endpoint), "content-type": "text/xml"}
    try:
        connection.request("POST", address.target(), body, headers)
        response = connection.getresponse()
        answer = _body(response, address)
        if response.status != HTTPStatus.OK:
            words = (
                f"{method} at {address.endpoint}: HTTP status {response.status}, "
                f"{answer[:200].decode(errors='replace')!r}: is xenops served at {address.path}?"
            )
            is_not_done = response.status < HTTPStatus.INTERNAL_SERVER_ERROR
            raise (NeverReachedError if is_not_done else UnreachableError)(InternalError(message=words))
        return _result(method, answer)
    except (OSError, http.client.HTTPException, xmlrpc.XmlError, MarshalError) as error:
        words = f"{method} at {address.endpoint} failed: {error}{_remedy(address.endpoint, error)}"
        raise UnreachableError(InternalError(message=words)) from error
    finally:
        wire.close()


def _body(response: http.client.HTTPResponse, address: Address) -> bytes:
    """What is answered, if it may be an answer: not without end."""
    answer = response.read(_ANSWER_BYTES_MAX + 1)
    if len(answer) > _ANSWER_BYTES_MAX:
        words = f"it answers with more than {_ANSWER_BYTES_MAX} bytes: is xenops served at {address.path}?"
        raise http.client.HTTPException(words)
    return answer


def _remedy(endpoint: Endpoint, error: Exception) -> str:
    """What to look at: who is not let in by TLS 1.3 is told so by the end of the connection at most."""
    is_tls = isinstance(endpoint, TcpHost) and endpoint.tls
    if is_tls and isinstance(error, ssl.SSLEOFError | ConnectionResetError):
        return "; does it ask who comes? Then show a certificate that it trusts: XENOPS_TLS_CERTIFICATE"
    return ""


def _result(method: str, answer: bytes) -> Any:
    """What a call gave. Raises its own error; XmlError or MarshalError for what is no answer."""
    success, content = xmlrpc.decode_response(answer)
    if success:
        return from_rpc(METHODS[method].result, content)
    raise XenopsError(from_rpc(Error, content))


def _traced(dbg: str) -> str:
    """What a call is named, with the span that it is made for."""
    span = current_span()
    return dbg if span is None else write_debug_info(DebugInfo(dbg, span.traceparent, span.start.baggage))


def _host(endpoint: Endpoint) -> str:
    return str(endpoint) if isinstance(endpoint, TcpHost) else "localhost"


def _read_head(wire: Wire) -> tuple[bytes, Wire | None]:
    """An answer's head and not a byte more, what follows is the channel's; a connection may come with it."""
    head, passed = wire.receive_with_wire(1)
    while not head.endswith(b"\r\n\r\n") and len(head) < _HEAD_BYTES_MAX:
        byte = wire.receive(1)
        if not byte:
            break
        head += byte
    return head, passed


class _HttpSocket:
    """A connection as `http.client` takes it: what it asks of a socket, and no more."""

    def __init__(self, wire: Wire) -> None:
        self._wire = wire

    def sendall(self, data: bytes) -> None:
        self._wire.send(data)

    def makefile(self, _mode: str) -> io.BufferedReader:
        return io.BufferedReader(_Raw(self._wire))

    def close(self) -> None:
        """Not yet: `http.client` closes it at an answer's head that says so, and then reads the rest."""


class _Raw(io.RawIOBase):
    def __init__(self, wire: Wire) -> None:
        super().__init__()
        self._wire = wire

    @override
    def readable(self) -> bool:
        return True

    @override
    def readinto(self, buffer: Any) -> int:
        return self._wire.receive_into(memoryview(buffer))
