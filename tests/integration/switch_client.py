"""A client of the message switch, written from its protocol: what xapi's own does, in as many threads."""

import json
import socket
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import suppress
from pathlib import Path
from typing import Any
from urllib.parse import quote

from bus.ports import RequestTimeoutError

TRANSFER_S = 30.0
"""How long the original's clients wait at a time."""

RETRY_S = 0.1
PATIENCE_S = 120.0


class HttpError(Exception):
    """The switch says something else than 200."""


class Line:
    """One connection: a request, its answer, the next request."""

    def __init__(self, path: Path) -> None:
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.settimeout(PATIENCE_S + TRANSFER_S)
        try:
            self._socket.connect(str(path))
        except OSError:
            self._socket.close()
            raise
        self._stream = self._socket.makefile("rb")

    def begin(self, method: str, target: str, body: bytes = b"") -> None:
        """Send a request, as the original writes it."""
        head = f"{method} {target} HTTP/1.1\r\nuser-agent: cohttp\r\ncontent-length: {len(body)}\r\n"
        self._socket.sendall(f"{head}connection: keep-alive\r\n\r\n".encode() + body)

    def end(self) -> bytes:
        """The answer to the request that was sent."""
        status = self._stream.readline()
        if not status:
            raise ConnectionResetError("the switch has gone")
        length = 0
        while (line := self._stream.readline().strip().lower()) != b"":
            if line.startswith(b"content-length:"):
                length = int(line.partition(b":")[2])
        body = self._stream.read(length)
        if status.split()[1] != b"200":
            raise HttpError(f"{status.decode()} {body.decode(errors='replace')}")
        return body

    def get(self, target: str) -> bytes:
        self.begin("GET", target)
        return self.end()

    def post(self, target: str, body: bytes) -> bytes:
        self.begin("POST", target, body)
        return self.end()

    def begin_transfer(self, queue: str, after: str | None = None, timeout_s: float = TRANSFER_S) -> None:
        content: dict[str, Any] = {"timeout": timeout_s, "queues": [queue]}
        if after is not None:
            content["from"] = after
        self.begin("POST", "/transfer", json.dumps(content).encode())

    def transfer(self, queue: str, after: str | None = None) -> tuple[list[Any], str]:
        self.begin_transfer(queue, after)
        answer = json.loads(self.end())
        return answer["messages"], answer["next"]

    def close(self) -> None:
        with suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)  # ends a transfer that another thread waits in
        self._stream.close()
        self._socket.close()


def logged_in(path: Path, token: str) -> Line:
    line = Line(path)
    try:
        line.get(f"/login/{quote(token)}")
    except OSError:
        line.close()
        raise
    return line


def logged_in_again(path: Path, token: str, ended: threading.Event) -> Line:
    """Try until the switch is there; as the original's, it makes no queue anew."""
    end = time.monotonic() + PATIENCE_S
    while True:
        try:
            return logged_in(path, token)
        except OSError:
            if time.monotonic() > end or ended.wait(RETRY_S):
                raise


class SwitchClient:
    """One session with two connections: one for requests, one that waits for answers."""

    def __init__(self, path: Path, token: str) -> None:
        self._path = path
        self._token = token
        self._ended = threading.Event()
        self._lock = threading.Lock()
        self._waiting: dict[tuple[str, int], Future[bytes]] = {}
        self._requests = logged_in(path, token)
        self._events = logged_in(path, token)
        self._requests.get(f"/transient/{quote(token)}")
        self._thread = threading.Thread(target=self._receive)
        self._thread.start()

    def call(self, queue: str, body: bytes, timeout_s: float) -> bytes:
        """Ask, and wait for the answer; who answers late has been given up."""
        answer: Future[bytes] = Future()
        id_ = self._ask(queue, body, answer, time.monotonic() + timeout_s)
        try:
            return answer.result(timeout_s)
        except TimeoutError:
            raise RequestTimeoutError(f"no answer from {queue} within {timeout_s:g} s") from None
        finally:
            self._waiting.pop(id_, None)

    def _ask(self, queue: str, body: bytes, answer: Future[bytes], end: float) -> tuple[str, int]:
        while True:
            try:
                with self._lock:
                    self._requests.get(f"/persistent/{quote(queue)}")
                    target = f"/request/{quote(queue)}/{quote(self._token)}"
                    ((name, number),) = json.loads(self._requests.post(target, body))
                    self._waiting[name, number] = answer
                    return name, number
            except (OSError, ValueError):  # the thread that waits for answers connects anew
                if time.monotonic() > end or self._ended.wait(RETRY_S):
                    raise

    def _receive(self) -> None:
        after: str | None = None
        while not self._ended.is_set():
            try:
                messages, last = self._events.transfer(self._token, after)
                for id_, message in messages:
                    self._take(id_, message)
                after = last
            except (OSError, ValueError):
                self._reconnect()

    def _take(self, id_: list[Any], message: dict[str, Any]) -> None:
        """Hand an answer over, then acknowledge it: the switch may end before it says that it heard so."""
        kind, content = message["kind"]
        with self._lock:
            waiting = self._waiting.get(tuple(content)) if kind == "Response" else None
        if waiting is not None and not waiting.done():
            waiting.set_result(message["payload"].encode("utf-8", "surrogateescape"))
        self._events.get(f"/ack/{quote(id_[0])}/{id_[1]}")

    def _reconnect(self) -> None:
        with self._lock, suppress(OSError):
            self._requests.close()
            self._events.close()
            if not self._ended.is_set():
                self._requests = logged_in_again(self._path, self._token, self._ended)
                self._events = logged_in_again(self._path, self._token, self._ended)

    def close(self) -> None:
        self._ended.set()
        self._events.close()
        self._thread.join()
        self._requests.close()


class SwitchServer:
    """A service on the switch: takes requests from a queue of its own and answers them."""

    def __init__(self, path: Path, queue: str, perform: Callable[[bytes], bytes]) -> None:
        self._line = logged_in(path, f"server of {queue}")
        self._answers = logged_in(path, f"server of {queue}")
        self._answers.get(f"/persistent/{queue}")
        self._queue = queue
        self._perform = perform
        self._thread = threading.Thread(target=self._serve)
        self._thread.start()

    def _serve(self) -> None:
        after: str | None = None
        with suppress(OSError, ValueError):
            while True:
                messages, after = self._line.transfer(self._queue, after)
                for (name, number), message in messages:
                    answer = self._perform(message["payload"].encode())
                    reply_to = message["kind"][1]
                    self._answers.post(f"/response/{quote(reply_to)}/{name}/{number}", answer)
                    self._answers.get(f"/ack/{name}/{number}")

    def close(self) -> None:
        self._line.close()
        self._thread.join()
        self._answers.close()
