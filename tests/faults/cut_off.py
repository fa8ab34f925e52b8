"""Cut off: services behind proxies, whose connections break, crawl, go silent; or standing still."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from proxy import Proxy
from room import Room, usual_parts
from scenarios import Fire, pauses, until_true
from stack.broker.node import PrivateNode

Fault = Callable[[], None]

BEHIND_PROXIES = ("redirector", "eventhub", "frontend", "worker")


@contextmanager
def behind_proxies(place: Path, node: PrivateNode) -> Iterator[tuple[Room, dict[str, Proxy]]]:
    """Two of each that may be several; the first of each, and the worker, reach the broker by a proxy."""
    proxies = {name: Proxy(node.url) for name in BEHIND_PROXIES}
    room = Room(place, node.url, usual_parts(copies=2))
    room.urls = {name: proxy.url for name, proxy in proxies.items()}
    try:
        room.open()
        yield room, proxies
    finally:
        room.close()
        for proxy in proxies.values():
            proxy.close()


def breaks_and_crawls(proxies: dict[str, Proxy]) -> list[Fault]:
    """Connections are cut, then slow, then slow and dripping, then well."""

    def every(act: Callable[[Proxy], None]) -> Fault:
        def act_on_all() -> None:
            for proxy in proxies.values():
                act(proxy)

        return act_on_all

    return [
        every(Proxy.cut),
        every(lambda proxy: proxy.slow(0.01)),
        every(lambda proxy: proxy.slow(0.001, drips=True)),
        every(lambda proxy: proxy.slow(0.0)),
    ]


def goes_silent(room: Room, proxies: dict[str, Proxy]) -> Fault:
    """Nothing arrives, and nobody is told: until each service itself gives its connection up."""
    before = {name: room.words_of(name).count("no connection to the broker") for name in proxies}

    def noticed(name: str) -> bool:
        return room.words_of(name).count("no connection to the broker") > before[name]

    def swallow() -> None:
        for proxy in proxies.values():
            proxy.swallow(all_of_it=True)
        try:
            until_true(lambda: all(map(noticed, proxies)))
        finally:
            for proxy in proxies.values():
                proxy.swallow(all_of_it=False)
                proxy.cut()

    return swallow


def leader_stands_still(room: Room) -> Fault:
    """The leader is paused past its queue: another leads, and it goes on as if nothing had been."""

    def leads(name: str) -> bool:
        words = room.words_of(name)
        return words.count(": leads\n") > words.count(": leads no more\n")

    standby = next(name for name in ("redirector", "redirector1") if not leads(name))
    leader = next(name for name in ("redirector", "redirector1") if leads(name))
    return pauses(room, leader, lambda: leads(standby))


def worker_stands_still(room: Room, fire: Fire) -> Fault:
    """The worker is paused until all that it runs was called lost."""
    return pauses(room, "worker", lambda: fire.log_says_lost("worker"))
