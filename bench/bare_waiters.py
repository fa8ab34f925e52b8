"""The floor under news for many: how often two processes that do nothing else can ask and be answered.

    python bench/bare_waiters.py [CLIENTS] [SECONDS]

So many clients, in one process, ask, are answered by another one, and ask again at once: by bare pika through
a broker, and over a Unix socket each, by system calls alone. Clients divided by the rate is what a wave of
news to all of them takes at the least, with nothing said of what the news is, and nothing else done.
"""

import argparse
import multiprocessing
import select
import socket
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from bare import ECHO_QUEUE, Asker, peers
from figures import tell_rate
from stack.layout import Layout
from stack.local import LocalStack
from typing_extensions import override

QUESTION, ANSWER = b"q" * 300, b"a" * 1_000
BYTES = 4_096
TOGETHER = 256
FOR_EVER_S = 3_600.0


def main() -> None:
    """Print both floors."""
    parser = argparse.ArgumentParser(description="Questions and answers of many, by nothing but bare means")
    parser.add_argument("clients", type=int, nargs="?", default=5_000)
    parser.add_argument("seconds", type=float, nargs="?", default=5.0)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="xb") as directory:
        with LocalStack(Layout(Path(directory) / "s")) as stack, peers(stack.administrator_url):
            told("through the broker", asked.clients, through_the_broker(stack.administrator_url, asked))
        told("over Unix sockets", asked.clients, over_sockets(Path(directory) / "door", asked))


def told(way: str, clients: int, per_s: float) -> None:
    """One floor."""
    tell_rate(f"bare answers {way}", per_s)
    print(f"  {clients} clients are told in {clients / per_s * 1e3:.0f} ms at the least")


def through_the_broker(url: str, asked: argparse.Namespace) -> float:
    """Answers a second with bare pika."""
    crowd = Crowd(url, asked.clients, asked.seconds)
    return crowd.answers / crowd.taken_s


class Crowd(Asker):
    """Clients, each of which asks again once it is answered, until the time is up."""

    def __init__(self, url: str, clients: int, seconds: float) -> None:
        self.answers = 0
        self.taken_s = 0.0
        self._clients, self._seconds = clients, seconds
        super().__init__(url)

    @override
    def _begin(self) -> None:
        for _ in range(self._clients):
            self._ask(ECHO_QUEUE, QUESTION)

    @override
    def _hear(self, number: str, body: bytes) -> None:
        self.answers += 1
        self.taken_s = self._taken_s()
        if self.taken_s < self._seconds:
            self._ask(ECHO_QUEUE, QUESTION)
        else:
            self._close()


def over_sockets(door: Path, asked: argparse.Namespace) -> float:
    """Answers a second over a socket for each client."""
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(door))
        listener.listen(asked.clients)
        server = multiprocessing.Process(target=answer_all, args=(listener, asked.clients), daemon=True)
        server.start()
        clients = [socket.socket(socket.AF_UNIX) for _ in range(asked.clients)]
        for client in clients:
            client.connect(str(door))
    for client in clients:
        client.send(QUESTION)
    answers, began = 0, time.perf_counter()

    def again(client: socket.socket) -> None:
        nonlocal answers
        client.recv(BYTES)
        answers += 1
        client.send(QUESTION)

    attend(clients, again, asked.seconds)
    taken_s = time.perf_counter() - began
    server.terminate()
    server.join()
    return answers / taken_s


def answer_all(listener: socket.socket, clients: int) -> None:
    """The other process, for ever."""
    connected = [listener.accept()[0] for _ in range(clients)]

    def answer(client: socket.socket) -> None:
        client.recv(BYTES)
        client.send(ANSWER)

    attend(connected, answer, FOR_EVER_S)


def attend(sockets: list[socket.socket], act: Callable[[socket.socket], None], seconds: float) -> None:
    """Act on each socket whenever there is something to read, for so long."""
    end = time.perf_counter() + seconds
    by_number = {each.fileno(): each for each in sockets}
    with select.epoll() as ready:
        for number in by_number:
            ready.register(number, select.EPOLLIN)
        while time.perf_counter() < end:
            for number, _ in ready.poll(seconds, TOGETHER):
                act(by_number[number])


if __name__ == "__main__":
    main()
