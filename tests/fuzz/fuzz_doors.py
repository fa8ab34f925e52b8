"""Fuzz of a living stack through all its doors: AMQP, the switch, xenopsd's sockets in JSON and in XML.

    python tests/fuzz/fuzz_doors.py INPUTS [SEED] [--memory]

Each request that has a form gets its reply, each garbage an answer or an end, and between them one who speaks
well is served at every door. With `--memory` the stack is one process on a bus in memory, which takes ten
times as many: `fuzz_stack.py` then stands for the broker. What a stack leaves is kept if anything is wrong.
"""

import argparse
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from pathlib import Path
from typing import Any, Protocol

import fuzz_stack
import pika
from fuzz_core import ANSWER, GOOD, answers, post
from fuzz_inputs import INSTANCE, Inputs
from schema.methods import METHODS
from schema.wire import json as wire
from schema.wire import xmlrpc
from stack.layout import Layout
from stack.local import LocalStack
from stack.shape import Shape
from stack.waiting import takes_connections_in_time

PATIENCE_S = 120.0
BATCH = 100
"""Requests that are under way together at each door."""

CONNECTIONS = 10
"""Connections to a socket that are open together; garbage gets as many of its own."""

SLICE = 50_000
"""After so many inputs comes a new stack: a log in memory is never shortened."""

AVOIDED = ("UPDATES.get", "VM.delay", "HOST.set_worker_pool_size", "DEBUG.shutdown")
"""Two may wait as long as they are told to, and with them who asks for the same VM; the others change
what serves the next request."""


class Client(Protocol):
    """One who has many requests under way at a door."""

    def begin(self, bodies: Sequence[bytes]) -> None:
        """Send requests."""

    def finish(self) -> list[bytes]:
        """The answers to all that was sent, in that order."""

    def close(self) -> None:
        """Part."""


def ask(client: Client, body: bytes) -> bytes:
    """One request and its answer."""
    client.begin([body])
    (answer,) = client.finish()
    return answer


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
        self._ids: list[str] = []

    def begin(self, bodies: Sequence[bytes]) -> None:
        """Publish requests."""
        self._ids = [uuid.uuid4().hex for _ in bodies]
        for id_, body in zip(self._ids, bodies, strict=True):
            wanted = pika.BasicProperties(reply_to=self._queue, correlation_id=id_)
            self._channel.basic_publish("", INSTANCE, body, wanted)

    def finish(self) -> list[bytes]:
        """Consume their answers."""
        found: dict[Any, bytes] = {}
        for _, properties, answer in self._channel.consume(
            self._queue, auto_ack=True, inactivity_timeout=PATIENCE_S
        ):
            assert properties, f"{len(self._ids) - len(found)} requests were not answered"
            assert answer is not None
            found[properties.correlation_id] = answer
            if len(found) == len(self._ids):
                break
        self._channel.cancel()
        return [found[id_] for id_ in self._ids]

    def close(self) -> None:
        """Part."""
        self._connection.close()


class InMemory:
    """The same where no broker is: by the door of `fuzz_stack`."""

    def __init__(self, path: Path) -> None:
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.settimeout(PATIENCE_S)
        self._socket.connect(str(path))
        self._held = bytearray()
        self._bodies: Sequence[bytes] = ()

    def begin(self, bodies: Sequence[bytes]) -> None:
        """Send requests."""
        self._bodies = bodies
        self._socket.sendall(b"".join(map(fuzz_stack.framed, range(len(bodies)), bodies)))

    def finish(self) -> list[bytes]:
        """Receive their answers."""
        found: dict[int, bytes] = {}
        while len(found) < len(self._bodies):
            part = self._socket.recv(1 << 16)
            assert part, "the stack has gone"
            self._held += part
            found.update(fuzz_stack.frames(self._held))
        lost = [self._bodies[number] for number, answer in found.items() if not answer]
        assert not lost, f"not answered: {lost}"
        return [found[number] for number in range(len(self._bodies))]

    def close(self) -> None:
        """Part."""
        self._socket.close()


class Switch:
    """A session on the switch."""

    def __init__(self, path: Path) -> None:
        self._lines = Lines(path)
        self._after = "-1"
        self._bodies: Sequence[bytes] = ()
        for target in ("/login/fuzz", "/transient/fuzz"):
            self._get(target)

    def begin(self, bodies: Sequence[bytes]) -> None:
        """Send requests to the instance's queue."""
        self._bodies = bodies
        for body in bodies:
            self._lines.send(post(body).replace(b"POST /", f"POST /request/{INSTANCE}/fuzz".encode(), 1))

    def finish(self) -> list[bytes]:
        """Transfer their answers, and acknowledge them."""
        ids = [tuple(wire.loads(self._lines.receive().decode())[0]) for _ in self._bodies]
        found: dict[Any, bytes] = {}
        while len(found) < len(ids):
            wanted = f'{{"from":"{self._after}","timeout":{PATIENCE_S},"queues":["fuzz"]}}'.encode()
            self._lines.send(post(wanted).replace(b"POST /", b"POST /transfer", 1))
            answer = wire.loads(self._lines.receive().decode("utf-8", "surrogateescape"))
            missing = [body for id_, body in zip(ids, self._bodies, strict=True) if id_ not in found]
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
    """Some connections to a socket of xenopsd's, which take requests in turn."""

    def __init__(self, path: Path) -> None:
        self._lines = [Lines(path) for _ in range(CONNECTIONS)]
        self._used: list[Lines] = []

    def begin(self, bodies: Sequence[bytes]) -> None:
        """Send requests, some of them one behind the other."""
        self._used = [self._lines[number % CONNECTIONS] for number in range(len(bodies))]
        for lines, body in zip(self._used, bodies, strict=True):
            lines.send(post(body))

    def finish(self) -> list[bytes]:
        """Receive their answers."""
        return [lines.receive() for lines in self._used]

    def close(self) -> None:
        """Part."""
        for lines in self._lines:
            lines.close()


class Doors:
    """All doors of a stack, and inputs for each; `bus` is a client at the one that is no socket."""

    def __init__(self, bus: Client, layout: Layout, seed: int) -> None:
        sockets = layout.sockets(INSTANCE)
        self._paths = (layout.switch, sockets / "xenopsd", layout.door)
        self._inputs = Inputs(seed)
        self._names = [name for name in METHODS if name not in AVOIDED]
        self._xml = Sockets(sockets / "xenopsd")
        self._by_json: tuple[Client, ...] = (bus, Switch(layout.switch), Sockets(sockets / "xenopsd.json"))
        self._clients: tuple[Client, ...] = (*self._by_json, self._xml)
        self._next = self._made()

    def batch(self) -> int:
        """Some inputs for each door at once, while those after them are made; answers how many."""
        for client, bodies in zip(self._clients, self._next, strict=True):
            client.begin(bodies)
        sent, self._next = self._next, self._made()
        for client in self._clients:
            assert all(client.finish())
        garbage = [Lines(path) for path in self._paths for _ in range(CONNECTIONS)]
        for lines in garbage:
            lines.send(self._inputs.http(self._names))
        for lines in garbage:
            answers(lines.end())
        self.control()
        return sum(map(len, sent)) + len(garbage)

    def _made(self) -> list[list[bytes]]:
        """Requests for each client."""
        inputs, names = self._inputs, self._names
        by_json = [[inputs.damaged(inputs.request(names)) for _ in range(BATCH)] for _ in self._by_json]
        return [*by_json, [inputs.xml(names) for _ in range(BATCH)]]

    def control(self) -> None:
        """One who speaks well is served at every door."""
        for client in self._by_json:
            assert ask(client, GOOD) == ANSWER
        params = wire.loads(GOOD.decode()).get("params")
        answer = ask(self._xml, xmlrpc.encode_call("VM.exists", params))
        assert xmlrpc.decode_response(answer) == (True, False)

    def close(self) -> None:
        """Part from all."""
        for client in self._clients:
            client.close()


Running = tuple[Client, Layout]
"""A stack that runs: a client on its bus, and where its doors are."""


@contextmanager
def on_broker() -> Iterator[Running]:
    """A stack on the simulator, in a directory of its own; afterwards no service has died or met a bug."""
    with kept_if_wrong() as directory:
        layout = Layout(directory / "s")
        with LocalStack(layout, Shape()) as stack:
            yield Amqp(stack.url), layout
            assert stack.dead() == []
        for name in stack.shape.services:
            assert "Traceback" not in layout.log(name).read_text(), name


@contextmanager
def in_memory() -> Iterator[Running]:
    """The same as one process, without a broker."""
    with kept_if_wrong() as directory:
        layout, log = Layout(directory / "s"), directory / "log"
        with log.open("wb") as output:
            command = [sys.executable, fuzz_stack.__file__, str(layout.root)]
            process = subprocess.Popen(command, stdin=subprocess.PIPE, stderr=output)
        try:
            door = layout.root / fuzz_stack.BUS
            assert takes_connections_in_time(door, lambda: process.poll() is None), log.read_text()
            yield InMemory(door), layout
            process.communicate(timeout=PATIENCE_S)
            assert process.returncode == 0
        finally:
            process.kill()
            process.wait()
        assert "Traceback" not in log.read_text()


@contextmanager
def kept_if_wrong() -> Iterator[Path]:
    """A directory that goes if all goes well; else it is told where it is."""
    directory = Path(tempfile.mkdtemp(prefix="xf-"))
    try:
        yield directory
    except BaseException:
        sys.stderr.write(f"what the stack has left is in {directory}\n")
        raise
    shutil.rmtree(directory)


def run(inputs: int, seed: int, stack: Callable[[], AbstractContextManager[Running]] = on_broker) -> int:
    """At least so many inputs; answers how many."""
    done = 0
    with stack() as (bus, layout):
        doors = Doors(bus, layout, seed)
        while done < inputs:
            done += doors.batch()
        doors.close()
    return done


def main() -> None:
    """Run, and say how fast."""
    parser = argparse.ArgumentParser(description="Fuzz through all doors")
    parser.add_argument("inputs", type=int, help="how many")
    parser.add_argument(
        "seed", type=int, nargs="?", default=0, help="of the first stack; the next has the next"
    )
    parser.add_argument("--memory", action="store_true", help="one process and no broker")
    asked = parser.parse_args()
    done, seed = 0, asked.seed
    begun = time.monotonic()
    while done < asked.inputs:
        here = run(min(SLICE, asked.inputs - done), seed, in_memory if asked.memory else on_broker)
        done += here
        seconds = time.monotonic() - begun
        sys.stdout.write(f"seed {seed}: {here} inputs, all answered; {done} in {seconds:.0f} s\n")
        sys.stdout.flush()
        seed += 1


if __name__ == "__main__":
    main()
