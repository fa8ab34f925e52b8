"""The doors for one call at a time: JSON-RPC and XML-RPC over HTTP, as xenopsd's own socket and more."""

import asyncio
from collections.abc import Callable, Collection
from functools import partial
from urllib.parse import unquote

from bus.ports import Request
from schema.objects.errors import Error, InternalError
from schema.wire import json, xmlrpc
from schema.wire.codec import to_rpc
from schema.wire.errors import JsonError
from schema.wire.value import Dict
from schema.wire.xmlrpc import XmlError

from frontend.arrivals import SERVICE
from frontend.http.door import Client
from frontend.http.message import HttpRequest

AskInstance = Callable[[str, Request, Callable[[bytes], None]], None]
"""Ask an instance's queue; the answer, which may be an error of the interface, is handed over later."""

Streams = Callable[[HttpRequest], asyncio.Protocol | None]
"""Who takes a connection over after this head; None for one that is an ordinary request."""


class RpcDoor:
    """Calls by POST, in JSON or XML as the body is, whatever the path; of one instance, or of that it names.

    Unlike the original's, what is no call is answered, in the same language, and costs nobody his connection.
    """

    def __init__(
        self, instances: Collection[str], ask: AskInstance, *, is_fixed: bool, streams: Streams | None = None
    ) -> None:
        """`is_fixed`: the first instance is meant, whatever is named."""
        self._instances = tuple(instances)
        self._ask = ask
        self._is_fixed = is_fixed
        self._streams = streams

    def on_request(self, connection: Client, request: HttpRequest) -> None:
        """One call."""
        instance = self._instances[0] if self._is_fixed else self._named(request.target.partition("?")[0])
        agent = f"user-agent: xenopsd-{instance.rpartition('.')[2]}\r\n".encode("ascii", "replace")
        if request.method != "POST":
            connection.reply(404, b"", agent if self._is_fixed else b"")
        elif instance not in self._instances:
            words = f"no instance {instance!r} is served here, but: {', '.join(self._instances)}"
            connection.reply(404, words.encode("utf-8", "backslashreplace"))
        elif is_xml(request.body):
            self._on_xml(instance, request, partial(_reply, connection, agent))
        else:
            self._ask(instance, _question(request, request.body), partial(_reply, connection, agent))

    def _named(self, path: str) -> str:
        return self._instances[0] if path == SERVICE else unquote(path.removeprefix("/"))

    def _on_xml(self, instance: str, request: HttpRequest, reply: Callable[[bytes], None]) -> None:
        try:
            call = json_of_call(request.body)
        except XmlError as error:
            failure = to_rpc(Error, InternalError(message=f"the request is no XML-RPC call: {error}"))
            reply(xmlrpc.encode_response(failure, success=False))
            return
        self._ask(instance, _question(request, call), lambda answer: reply(xml_of_answer(answer)))

    def on_closed(self, _connection: Client) -> bool:
        """Who is asked does not hear of it, and answers."""
        return True

    def take_over(self, request: HttpRequest) -> asyncio.Protocol | None:
        """A stream, for whoever takes those of that path."""
        return self._streams(request) if self._streams is not None else None


def _question(request: HttpRequest, call: bytes) -> Request:
    """A call as it is handed on, with the span that sent it, if it names one."""
    traceparent = request.header(b"traceparent")
    return Request(call, traceparent=None if traceparent is None else traceparent.decode("latin-1"))


def is_xml(body: bytes) -> bool:
    """No JSON begins so."""
    return body.lstrip()[:1] == b"<"


def json_of_call(body: bytes) -> bytes:
    """The same call in JSON.

    Raises:
        XmlError: it is none.
    """
    name, params = xmlrpc.decode_call(body)
    return json.dumps(Dict([("method", name), ("params", params), ("id", 0)])).encode(
        "utf-8", "surrogateescape"
    )


def xml_of_answer(body: bytes) -> bytes:
    """The same answer in XML; words of a refusal become an internal error."""
    text = body.decode("utf-8", "surrogateescape")
    try:
        answer = json.loads(text)
    except JsonError:
        answer = None
    if not isinstance(answer, Dict):
        return xmlrpc.encode_response(to_rpc(Error, InternalError(message=text)), success=False)
    error = answer.get("error")
    return xmlrpc.encode_response(answer.get("result") if error is None else error, success=error is None)


def _reply(connection: Client, more: bytes, answer: bytes) -> None:
    connection.reply(200, answer, more)
