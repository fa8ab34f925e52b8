"""Fuzz of a living stack through all its doors: AMQP, the switch, xenopsd's sockets in JSON and in XML.

    python tests/fuzz/fuzz_doors.py INPUTS [SEED]

Each request that has a form gets its reply, each garbage an answer or an end, and between them one who speaks
well is served at every door.
"""

import socket
import sys
import tempfile
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pika
from fuzz_core import ANSWER, GOOD, answers, post
from fuzz_inputs import INSTANCE, Inputs
from schema.methods import METHODS
from schema.wire import json as wire
from schema.wire import xmlrpc
from stack.layout import Layout
from stack.local import LocalStack
from stack.shape import Shape

PATIENCE_S = 60.0
BATCH = 100
"""Requests that are under way together."""

AVOIDED = ("UPDATES.get", "VM.delay", "HOST.set_worker_pool_size", "DEBUG.shutdown")
"""Two may wait as long as they are told to, and with them who asks for the same VM; the others change
what serves the next request."""


class Lines:
    """A connection to a Unix socket that speaks HTTP."""

    def __init__(self, path: Path) -> None:
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.settimeout(PATIENCE_S)
        self._socket.connect(str(path))
        self._rest = b""

    def send(self, data: bytes) -> None:
        """Write, to somebody who may have gone."""
        with suppress(BrokenPipeError, ConnectionResetError):
            self._socket.sendall(data)

    def receive(self) -> bytes:
        """The next answer's body."""
        while b"\r\n\r\n" not in self._rest:
            self._more()
        head, _, body = self._rest.partition(b"\r\n\r\n")
        length = int(head.lower().partition(b"content-length: ")[2].split(b"\r\n")[0])
        while len(body) < length:
            self._more()
            body = self._rest.partition(b"\r\n\r\n")[2]
        self._rest = body[length:]
        return body[:length]

    def end(self) -> bytes:
        """All that still comes, once we say no more."""
        with suppress(OSError):
            self._socket.shutdown(socket.SHUT_WR)
        parts = [self._rest]
        with suppress(ConnectionResetError):
            while part := self._socket.recv(1 << 18):
                parts.append(part)
        self.close()
        return b"".join(parts)

    def _more(self) -> None:
        part = self._socket.recv(1 << 18)
        assert part, "the connection ended before its answer"
        self._rest += part

    def close(self) -> None:
        """Part."""
        self._socket.close()


class Amqp:
    """A client that writes AMQP as it likes."""

    def __init__(self, url: str) -> None:
        self._connection = pika.BlockingConnection(pika.URLParameters(url))
        self._channel = self._connection.channel()
        self._queue = str(self._channel.queue_declare("", exclusive=True).method.queue)

    def ask(self, bodies: list[bytes]) -> list[bytes]:
        """Many requests at once; all their answers."""
        ids = [uuid.uuid4().hex for _ in bodies]
        for id_, body in zip(ids, bodies, strict=True):
            wanted = pika.BasicProperties(reply_to=self._queue, correlation_id=id_)
            self._channel.basic_publish("", INSTANCE, body, wanted)
        found: dict[Any, bytes] = {}
        for _, properties, answer in self._channel.consume(
            self._queue, auto_ack=True, inactivity_timeout=PATIENCE_S
        ):
            assert properties, f"{len(ids) - len(found)} requests were not answered"
            assert answer is not None
            found[properties.correlation_id] = answer
            if len(found) == len(ids):
                break
        self._channel.cancel()
        return [found[id_] for id_ in ids]

    def close(self) -> None:
        """Part."""
        self._connection.close()


class Switch:
    """A session on the switch."""

    def __init__(self, path: Path) -> None:
        self._lines = Lines(path)
        self._after = "-1"
        for target in ("/login/fuzz", "/transient/fuzz"):
            self._get(target)

    def ask(self, bodies: list[bytes]) -> list[bytes]:
        """Many requests at once; all their answers."""
        for body in bodies:
            self._lines.send(post(body).replace(b"POST /", f"POST /request/{INSTANCE}/fuzz".encode(), 1))
        ids = [tuple(wire.loads(self._lines.receive().decode())[0]) for _ in bodies]
        found: dict[Any, bytes] = {}
        while len(found) < len(ids):
            wanted = f'{{"from":"{self._after}","timeout":{PATIENCE_S},"queues":["fuzz"]}}'.encode()
            self._lines.send(post(wanted).replace(b"POST /", b"POST /transfer", 1))
            answer = wire.loads(self._lines.receive().decode("utf-8", "surrogateescape"))
            missing = [body for id_, body in zip(ids, bodies, strict=True) if id_ not in found]
            assert answer.get("messages"), f"not answered: {missing}"
            self._after = answer.get("next")
            for (queue, number), message in answer.get("messages"):
                found[tuple(message.get("kind")[1])] = message.get("payload").encode(
                    "utf-8", "surrogateescape"
                )
                self._get(f"/ack/{queue}/{number}")
        return [found[id_] for id_ in ids]

    def _get(self, target: str) -> None:
        self._lines.send(f"GET {target} HTTP/1.1\r\n\r\n".encode())
        self._lines.receive()

    def close(self) -> None:
        """Part."""
        self._lines.close()


class Sockets:
    """One connection to a socket of xenopsd's."""

    def __init__(self, path: Path) -> None:
        self._lines = Lines(path)

    def ask(self, bodies: list[bytes]) -> list[bytes]:
        """Many requests, one after the other on the same connection; all their answers."""
        for body in bodies:
            self._lines.send(post(body))
        return [self._lines.receive() for _ in bodies]

    def close(self) -> None:
        """Part."""
        self._lines.close()


class Doors:
    """All doors of a stack, and inputs for each."""

    def __init__(self, stack: LocalStack, layout: Layout, seed: int) -> None:
        sockets = layout.sockets(INSTANCE)
        self._paths = (layout.switch, sockets / "xenopsd", layout.door)
        self._inputs = Inputs(seed)
        self._names = [name for name in METHODS if name not in AVOIDED]
        self._clients = (
            Amqp(stack.url),
            Switch(layout.switch),
            Sockets(sockets / "xenopsd.json"),
        )
        self._xml = Sockets(sockets / "xenopsd")

    def batch(self) -> int:
        """Some inputs for each door; answers how many."""
        for client in self._clients:
            bodies = [self._inputs.damaged(self._inputs.request(self._names)) for _ in range(BATCH)]
            assert all(client.ask(bodies))
        assert all(self._xml.ask([self._inputs.xml(self._names) for _ in range(BATCH)]))
        for path in self._paths:
            garbage = Lines(path)
            garbage.send(self._inputs.http(self._names))
            answers(garbage.end())
        self.control()
        return (len(self._clients) + 1) * BATCH + len(self._paths)

    def control(self) -> None:
        """One who speaks well is served at every door."""
        for client in self._clients:
            assert client.ask([GOOD]) == [ANSWER]
        params = wire.loads(GOOD.decode()).get("params")
        (answer,) = self._xml.ask([xmlrpc.encode_call("VM.exists", params)])
        assert xmlrpc.decode_response(answer) == (True, False)

    def close(self) -> None:
        """Part from all."""
        for client in (*self._clients, self._xml):
            client.close()


@contextmanager
def fuzzed_stack() -> Iterator[tuple[LocalStack, Layout]]:
    """A stack on the simulator, in a directory of its own; afterwards no service has died or met a bug."""
    with tempfile.TemporaryDirectory(prefix="xf-") as directory:
        layout = Layout(Path(directory) / "s")
        with LocalStack(layout, Shape()) as stack:
            yield stack, layout
            assert stack.dead() == []
        for name in stack.shape.services:
            assert "Traceback" not in layout.log(name).read_text(), name


def run(inputs: int, seed: int) -> int:
    """At least so many inputs; answers how many."""
    done = 0
    with fuzzed_stack() as (stack, layout):
        doors = Doors(stack, layout, seed)
        while done < inputs:
            done += doors.batch()
        doors.close()
    return done


def main() -> None:
    """Run, and say how fast."""
    inputs, seed = int(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else 0
    begun = time.monotonic()
    done = run(inputs, seed)
    seconds = time.monotonic() - begun
    sys.stdout.write(f"{done} inputs through the doors, seed {seed}: all answered, in {seconds:.0f} s\n")


if __name__ == "__main__":
    main()
