"""Fuzz of all that decides: decoding, a frontend's core, the switch, XML, and the bytes of a connection.

    python tests/fuzz/fuzz_core.py INPUTS [SEED]

Whatever comes in, nothing but an answer comes out: each request has one effect that leads to its reply, and a
client that speaks well is served as if nothing had been.
"""

import asyncio
import json
import sys
import time
from typing import Any

from bus.ports import Request
from frontend.core import Append, Forward, Frontend
from frontend.http.connection import Connection
from frontend.http.message import Limits
from frontend.http.server import HttpServer
from frontend.rpc_door import RpcDoor, xml_of_answer
from frontend.switch.core import Switch
from frontend.switch.door import LIMITS, SwitchDoor
from fuzz_inputs import INSTANCE, Inputs
from schema.ids import InstanceName
from schema.methods import METHODS
from schema.wire import xmlrpc
from typing_extensions import override

GOOD = b'{"method":"VM.exists","params":[{"debug_info":"d","id":"nobody is called so"}],"id":8}'
ANSWER = b'{"result":false,"error":null,"id":0}'
REPLY_TO = "client"
CONTROL_EVERY = 1_000
"""After so many inputs a client that speaks well asks."""


class Pipe(asyncio.Transport):
    """A transport that keeps what is written to it."""

    def __init__(self) -> None:
        super().__init__()
        self.written = bytearray()
        self.closed = False

    @override
    def write(self, data: Any) -> None:
        self.written += data

    @override
    def close(self) -> None:
        self.closed = True

    abort = write_eof = close

    @override
    def can_write_eof(self) -> bool:
        return True

    @override
    def is_closing(self) -> bool:
        return self.closed

    @override
    def pause_reading(self) -> None:
        """Nothing is read here."""

    @override
    def resume_reading(self) -> None:
        """See there."""


class Strict(HttpServer):
    """A server that does not go on after a bug."""

    @override
    def report(self, error: Exception) -> None:
        raise error


class Subject:
    """All that is fuzzed, with instances that answer at once."""

    def __init__(self, seed: int) -> None:
        self.inputs = Inputs(seed)
        self.names = list(METHODS)
        self.frontend = Frontend(InstanceName(INSTANCE), "inbox")
        self.renew()

    def renew(self) -> None:
        """Doors and cores anew, so that a run has the memory of none before it."""
        door = SwitchDoor(Switch((INSTANCE,), "us"), self.ask)
        door.start(lambda _: True, b"lost")
        self.switch = Strict(door, LIMITS)
        self.rpc = Strict(RpcDoor((INSTANCE,), self.ask, is_fixed=True), Limits())

    def ask(self, _queue: str, question: Request, on_answer: Any) -> None:
        """An instance: its core's first effect becomes the answer."""
        on_answer(self.perform(question.body))

    def perform(self, body: bytes) -> bytes:
        """A request at the core: one effect, that answers or goes where an answer comes from."""
        effects = self.frontend.on_request(Request(body, REPLY_TO), f"{self.inputs.random.random()}", 0.0)
        match effects:
            case [Forward(queue, request)]:
                return request.body if queue == REPLY_TO else ANSWER
            case [Append(record)]:
                record.model_dump_json()
                self.frontend.on_append_failed(record, "nobody appends here")
                return b'{"result":"1","error":null,"id":0}'
            case _:
                raise AssertionError(f"{len(effects)} effects of one request")

    def one(self) -> None:
        """One input to one of them."""
        match self.inputs.random.randrange(4):
            case 0:
                assert self.perform(self.inputs.damaged(self.inputs.request(self.names)))
            case 1:
                self.call_in_xml()
            case 2:
                answers(self.sent(self.switch, self.inputs.http(self.names)))
            case _:
                answers(self.sent(self.rpc, self.inputs.torn(post(GOOD) * 2)))

    def call_in_xml(self) -> None:
        """A call in XML is answered in XML."""
        body = self.inputs.xml(self.names)
        found = answers(self.sent(self.rpc, post(body)))
        assert len(found) == 1
        if body.lstrip()[:1] == b"<" and is_plain(found[0]):
            xmlrpc.decode_response(found[0])
        xml_of_answer(body)

    def sent(self, server: HttpServer, data: bytes) -> bytes:
        """What a connection says to some bytes, that come in two pieces."""
        connection, pipe = server.factory(), Pipe()
        connection.connection_made(pipe)
        cut = self.inputs.random.randrange(len(data) + 1)
        for part in (data[:cut], data[cut:]):
            if part and not pipe.closed:
                connection.data_received(part)
        self.leave(connection)
        return bytes(pipe.written)

    @staticmethod
    def leave(connection: Connection) -> None:
        """The client goes."""
        connection.eof_received()
        connection.connection_lost(None)

    def control(self) -> None:
        """One who speaks well is served."""
        assert self.perform(GOOD) == ANSWER
        assert answers(self.sent(self.rpc, post(GOOD))) == [ANSWER]
        hello = b"GET /login/good HTTP/1.1\r\n\r\n" + b"GET /list/org HTTP/1.1\r\n\r\n"
        nothing, names = answers(self.sent(self.switch, hello))
        assert nothing == b""
        assert INSTANCE in json.loads(names.decode("utf-8", "surrogateescape"))
        assert not self.switch.connections
        assert not self.rpc.connections
        self.renew()


def is_plain(answer: bytes) -> bool:
    """Whether XML can say it: a name of a member may hold letters that it has no place for."""
    return not any(byte < 0x20 and byte not in b"\t\n\r" for byte in answer)


def post(body: bytes) -> bytes:
    """A call on a socket."""
    return b"POST / HTTP/1.1\r\ncontent-length: %d\r\n\r\n" % len(body) + body


def answers(written: bytes) -> list[bytes]:
    """The bodies of whole answers, and nothing else."""
    found = []
    while written:
        head, blank, rest = written.partition(b"\r\n\r\n")
        assert blank
        assert head.startswith(b"HTTP/1.1 "), head
        if head.startswith(b"HTTP/1.1 100"):
            written = rest
            continue
        (line,) = [line for line in head.split(b"\r\n") if line.startswith(b"content-length: ")]
        length = int(line[16:])
        assert len(rest) >= length
        found.append(rest[:length])
        written = rest[length:]
    return found


async def run(inputs: int, seed: int) -> None:
    """So many inputs, and a control request now and then."""
    subject = Subject(seed)
    for number in range(inputs):
        try:
            subject.one()
            if number % CONTROL_EVERY == CONTROL_EVERY - 1:
                subject.control()
                await asyncio.sleep(0)
        except BaseException:
            sys.stderr.write(f"at input {number} of seed {seed}\n")
            raise
    subject.control()


def main() -> None:
    """Run, and say how fast."""
    inputs, seed = int(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else 0
    begun = time.monotonic()
    asyncio.run(run(inputs, seed))
    seconds = time.monotonic() - begun
    sys.stdout.write(f"{inputs} inputs to the cores, seed {seed}: all answered, {inputs / seconds:.0f} /s\n")


if __name__ == "__main__":
    main()
