"""A lean client of the message switch: what the original's sends for each call, without its threads."""

import json
import multiprocessing
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from schema.wire import json as wire

TIMEOUT_S = 30.0
ECHO_QUEUE = "bench.echo"


class Exchange:
    """One connection; requests and answers by turns."""

    def __init__(self, path: Path, session: str) -> None:
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.connect(str(path))
        self.get(f"/login/{session}")

    def get(self, target: str) -> bytes:
        """A request without a body."""
        self._socket.sendall(
            f"GET {target} HTTP/1.1\r\ncontent-length: 0\r\nconnection: keep-alive\r\n\r\n".encode()
        )
        return self.receive()

    def post(self, target: str, body: bytes) -> bytes:
        """A request with a body."""
        self.begin_post(target, body)
        return self.receive()

    def begin_post(self, target: str, body: bytes) -> None:
        """The same, the answer to be received later."""
        head = f"POST {target} HTTP/1.1\r\ncontent-length: {len(body)}\r\nconnection: keep-alive\r\n\r\n"
        self._socket.sendall(head.encode() + body)

    def receive(self) -> bytes:
        """The next answer."""
        answer = self._socket.recv(1 << 18)
        head, _, body = answer.partition(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 200"), head
        length = int(head.partition(b"content-length: ")[2].split(b"\r\n")[0])
        while len(body) < length:
            body += self._socket.recv(1 << 18)
        return body

    def close(self) -> None:
        """Part."""
        self._socket.close()


class SwitchCaller:
    """Calls as the original's client does: make the queue, send, wait with a long poll, acknowledge."""

    def __init__(self, path: Path, session: str) -> None:
        self._session = session
        self._requests = Exchange(path, session)
        self._events = Exchange(path, session)
        self._requests.get(f"/transient/{session}")
        self._after: str | None = None
        self._begin_transfer()

    def call(self, queue: str, body: bytes, _timeout_s: float = TIMEOUT_S) -> bytes:
        """One call and its answer."""
        self._requests.get(f"/persistent/{queue}")
        self._requests.post(f"/request/{queue}/{self._session}", body)
        id_, message = self._next_message()
        self._events.get(f"/ack/{id_[0]}/{id_[1]}")
        self._begin_transfer()
        payload: str = message["payload"]
        return payload.encode("utf-8", "surrogateescape")

    def exchange(self) -> bytes:
        """The shortest request that there is."""
        return self._requests.get("/list/none")

    def _begin_transfer(self) -> None:
        place = {} if self._after is None else {"from": self._after}
        body = json.dumps({**place, "timeout": TIMEOUT_S, "queues": [self._session]}).encode()
        self._events.begin_post("/transfer", body)

    def _next_message(self) -> tuple[Any, Any]:
        """The one that comes; a wait that was over before anything was asked is begun anew."""
        while True:
            messages, self._after = self._received()
            for id_, message in messages:
                return id_, message
            self._begin_transfer()

    def _received(self) -> tuple[list[Any], str]:
        answer = wire.loads(self._events.receive().decode("utf-8", "surrogateescape"))
        messages = [(id_, dict(message.pairs)) for id_, message in answer.get("messages")]
        return messages, answer.get("next")

    def close(self) -> None:
        """Part."""
        self._requests.close()
        self._events.close()


@contextmanager
def echo_service(path: Path) -> Iterator[None]:
    """A service on the switch that sends back what it gets, as a process of its own."""
    ready = multiprocessing.Event()
    server = multiprocessing.Process(target=serve_echo, args=(path, ready), daemon=True)
    server.start()
    ready.wait()
    yield
    server.kill()
    server.join()


def serve_echo(path: Path, ready: Any) -> None:
    """The echo, for ever."""
    requests, answers = Exchange(path, "echo"), Exchange(path, "echo")
    answers.get(f"/persistent/{ECHO_QUEUE}")
    after = "-1"
    ready.set()
    while True:
        body = f'{{"from":"{after}","timeout":{TIMEOUT_S},"queues":["{ECHO_QUEUE}"]}}'.encode()
        answer = json.loads(requests.post("/transfer", body))
        after = answer["next"]
        for (queue, number), message in answer["messages"]:
            target = f"/response/{message['kind'][1]}/{queue}/{number}"
            answers.post(target, message["payload"].encode("utf-8", "surrogateescape"))
            answers.get(f"/ack/{queue}/{number}")
