"""Agents of guests over sockets as QEMU has them; what plays the agent may be as bad as a guest can be."""

import json
import queue
import socket
import threading
from collections.abc import Callable, Iterator
from io import BufferedRWPair
from itertools import chain, repeat
from pathlib import Path

import pytest
from schema.ids import DeviceId
from typing_extensions import override
from virt.monitor import Arguments, MonitorLoop, MonitorRefusedError
from worker_kvm.addresses import Addressed, Addresses, Order
from worker_kvm.qemu.agents import AgentMissingError, Agents, Channel, Patience
from worker_kvm.qemu.guest_agent import AgentRefusedError, Told

PATIENCE_S = 120.0
DOMID = 7
QUICK = Patience(first_pause_s=0.01, pause_s=0.02, answer_s=0.2)
ANSWERS = {
    "guest-get-osinfo": {"pretty-name": "Tiny guest"},
    "guest-get-host-name": {"host-name": "web1"},
    "guest-network-get-interfaces": [
        {"hardware-address": "m", "ip-addresses": [{"ip-address": "192.0.2.7"}]}
    ],
}
SAID = Told((("data/os_name", "Tiny guest"), ("data/host_name_dns", "web1")), {"m": ("192.0.2.7",)}, (2, 1))

Answer = Callable[[dict[str, object]], bytes]


def well(asked: dict[str, object]) -> bytes:
    """What an agent answers that behaves."""
    command = str(asked["execute"])
    if command == "guest-sync-delimited":
        arguments = asked["arguments"]
        assert isinstance(arguments, dict)
        return b"\xff" + json.dumps({"return": arguments["id"]}).encode() + b"\n"
    if command in ANSWERS:
        return json.dumps({"return": ANSWERS[command]}).encode() + b"\n"
    return b'{"error": {"class": "CommandNotFound", "desc": "no such command"}}\n'


class Guest:
    """Plays QEMU's socket with an agent behind it, for one client at a time."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.asked: queue.Queue[str] = queue.Queue()
        self.answer: Answer = well
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(str(path))
        self._listener.listen(1)
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def stop(self) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join(PATIENCE_S)

    def _serve(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            with client, client.makefile("rwb") as stream:
                self._talk(stream)

    def _talk(self, stream: BufferedRWPair) -> None:
        try:
            for line in stream:
                asked = json.loads(line)
                self.asked.put(asked["execute"])
                stream.write(self.answer(asked))
                stream.flush()
        except OSError:
            return


async def qemu(command: str, _: Arguments) -> object:
    """A QEMU whose balloon counts."""
    return {"stats": {"stat-total-memory": 2048, "stat-free-memory": 1024}} if command == "qom-get" else {}


async def qemu_without_balloon(command: str, _: Arguments) -> object:
    raise MonitorRefusedError(command)


@pytest.fixture(name="guest")
def run_guest(tmp_path: Path) -> Iterator[Guest]:
    guest = Guest(tmp_path / "agent")
    yield guest
    guest.stop()


class Orders:
    """What is pending for the one domain, until it is done."""

    def __init__(self) -> None:
        self.left: list[Order] = []

    def pending(self, domain: int) -> list[Order]:
        assert domain == DOMID
        return list(self.left)

    def done(self, domain: int, order: Order) -> None:
        assert domain == DOMID
        self.left.remove(order)


class Watched:
    """Agents, and what was told of changes."""

    def __init__(self) -> None:
        self.loop = MonitorLoop()
        self.changes: queue.Queue[int] = queue.Queue()
        self.orders = Orders()
        self.agents = Agents(self.loop, self.orders, self.changes.put, QUICK)

    def told(self) -> Told | None:
        assert self.changes.get(timeout=PATIENCE_S) == DOMID
        return self.agents.told(DOMID)


@pytest.fixture(name="watched")
def watch() -> Iterator[Watched]:
    watched = Watched()
    yield watched
    watched.agents.close()
    watched.loop.close()


def times(guest: Guest, count: int) -> None:
    """Until it was asked so often more."""
    while count:
        count -= guest.asked.get(timeout=PATIENCE_S) == "guest-sync-delimited"


def test_an_agent_is_asked_again_and_again_and_only_news_is_told(guest: Guest, watched: Watched) -> None:
    watched.agents.opened(DOMID, Channel(guest.path, qemu))
    assert watched.told() == SAID
    times(guest, 3)
    assert watched.changes.empty()
    guest.answer = lambda asked: well(asked).replace(b"web1", b"web2")
    told = watched.told()
    assert told is not None
    assert ("data/host_name_dns", "web2") in told.system


def test_what_an_agent_or_a_balloon_does_not_know_is_left_out(guest: Guest, watched: Watched) -> None:
    guest.answer = lambda asked: well(asked | {"execute": "x"} if asked["execute"] in ANSWERS else asked)
    watched.agents.opened(DOMID, Channel(guest.path, qemu_without_balloon))
    assert watched.told() == Told(addresses={})


def answers_late(late: list[bytes]) -> Answer:
    """One that answers each time what it was asked before."""

    def answer(asked: dict[str, object]) -> bytes:
        late.append(well(asked))
        return late.pop(0)

    return answer


HOSTILE: dict[str, Answer] = {
    "silent": lambda _: b"",
    "huge": lambda _: b"x" * (1 << 20),
    "malformed": lambda asked: well(asked) if asked["execute"] == "guest-sync-delimited" else b"{]\n",
    "another's": lambda _: b'\xff{"return": 1}\n' * 200,
    "deep": lambda asked: b"[" * 200_000 + b"\n" if asked["execute"] in ANSWERS else well(asked),
    "zeroes": lambda _: bytes(1000),
    "late": answers_late([b"\xff\n"] * 3),
}


@pytest.mark.parametrize("how", sorted(HOSTILE))
def test_a_hostile_agent_harms_nobody_and_is_heard_once_it_behaves(
    guest: Guest, watched: Watched, how: str
) -> None:
    guest.answer = HOSTILE[how]
    watched.agents.opened(DOMID, Channel(guest.path, qemu))
    times(guest, 3)
    assert watched.agents.told(DOMID) is None
    guest.answer = well
    assert watched.told() == SAID


def test_a_closed_port_is_asked_no_more_and_what_was_said_stands(guest: Guest, watched: Watched) -> None:
    watched.agents.opened(DOMID, Channel(guest.path, qemu))
    watched.told()
    watched.agents.closed(DOMID)
    settle(watched)
    while not guest.asked.empty():
        guest.asked.get()
    with pytest.raises(queue.Empty):
        guest.asked.get(timeout=5 * QUICK.pause_s)
    assert watched.agents.told(DOMID) == SAID
    watched.agents.forget(DOMID)
    settle(watched)
    assert watched.agents.told(DOMID) is None


def settle(watched: Watched) -> None:
    async def nothing() -> None:
        pass

    watched.loop.run(nothing(), PATIENCE_S)


def test_a_socket_where_nobody_listens_is_no_agent(tmp_path: Path, watched: Watched) -> None:
    watched.agents.opened(DOMID, Channel(tmp_path / "nobody", qemu))
    settle(watched)
    assert watched.agents.told(DOMID) is None


def test_an_order_reaches_the_agent_and_its_refusal_comes_back(guest: Guest, watched: Watched) -> None:
    with pytest.raises(AgentMissingError):
        watched.agents.order(DOMID, "guest-suspend-ram")
    watched.agents.opened(DOMID, Channel(guest.path, qemu))
    watched.told()
    with pytest.raises(AgentRefusedError, match="no such command"):
        watched.agents.order(DOMID, "guest-suspend-ram").result(PATIENCE_S)


def test_one_that_obeys_an_order_by_hanging_up_has_not_refused(guest: Guest, watched: Watched) -> None:
    def answer(asked: dict[str, object]) -> bytes:
        if asked["execute"] == "guest-suspend-ram":
            watched.agents.closed(DOMID)
            return b""
        return well(asked)

    guest.answer = answer
    watched.agents.opened(DOMID, Channel(guest.path, qemu))
    watched.told()
    assert watched.agents.order(DOMID, "guest-suspend-ram").result(PATIENCE_S) is None


ORDER = Order(
    DeviceId("vm", "0"),
    0,
    ("m", "1", "+address", "192.0.2.7/24"),
    Addressed(device="0", plugs=0, has=Addresses(addresses=("192.0.2.7/24",))),
)
SLOW = Patience(first_pause_s=PATIENCE_S, pause_s=PATIENCE_S)


def able(outcome: dict[str, object], *, runs: bool = True) -> Answer:
    """An agent that may run programs, of which each comes to that end."""
    answers: dict[str, object] = {
        "guest-info": {"supported_commands": [{"name": "guest-exec", "enabled": runs}]},
        "guest-exec": {"pid": 7},
        "guest-exec-status": {"exited": True, **outcome},
    }

    def answer(asked: dict[str, object]) -> bytes:
        command = str(asked["execute"])
        if command in answers:
            return json.dumps({"return": answers[command]}).encode() + b"\n"
        return well(asked)

    return answer


def test_what_is_pending_for_an_agent_is_done_before_it_tells(guest: Guest, watched: Watched) -> None:
    guest.answer = able({"exitcode": 0})
    watched.orders.left = [ORDER]
    watched.agents.opened(DOMID, Channel(guest.path, qemu))
    told = watched.told()
    assert told is not None
    assert (told.faults, told.runs_programs, watched.orders.left) == ((), True, [])


def test_what_an_agent_cannot_do_is_told_and_tried_again(guest: Guest, watched: Watched) -> None:
    guest.answer = able({"exitcode": 1, "err-data": "bm8gc3VjaCBkZXY="})
    watched.orders.left = [ORDER]
    watched.agents.opened(DOMID, Channel(guest.path, qemu))
    told = watched.told()
    assert told is not None
    assert told.faults == ((0, "no such dev"),)
    guest.answer = able({"exitcode": 0})
    told = watched.told()
    assert told is not None
    assert (told.faults, watched.orders.left) == ((), [])


def test_an_agent_that_runs_no_programs_is_not_asked_to(guest: Guest, watched: Watched) -> None:
    guest.answer = able({}, runs=False)
    watched.orders.left = [ORDER]
    watched.agents.opened(DOMID, Channel(guest.path, qemu))
    told = watched.told()
    assert told is not None
    assert told.faults == ((0, "its agent runs no programs: allow it guest-exec"),)
    watched.agents.forget(DOMID)
    settle(watched)
    asked = [guest.asked.get() for _ in range(guest.asked.qsize())]
    assert "guest-exec" not in asked


def test_an_agent_that_takes_back_its_word_is_told_of(guest: Guest, watched: Watched) -> None:
    able_to = able({})
    guest.answer = lambda asked: (
        b'{"error": {"class": "CommandNotFound", "desc": "it has been disabled"}}\n'
        if asked["execute"] == "guest-exec"
        else able_to(asked)
    )
    watched.orders.left = [ORDER]
    watched.agents.opened(DOMID, Channel(guest.path, qemu))
    told = watched.told()
    assert told is not None
    assert told.faults == ((0, "it has been disabled"),)


def test_what_comes_later_is_attended_to_at_once(guest: Guest) -> None:
    loop, orders, changes = MonitorLoop(), Orders(), queue.Queue[int]()
    agents = Agents(loop, orders, changes.put, SLOW)
    guest.answer = able({"exitcode": 1})
    agents.attend(DOMID)  # nobody is there
    agents.opened(DOMID, Channel(guest.path, qemu))
    changes.get(timeout=PATIENCE_S)
    orders.left = [ORDER]
    agents.attend(DOMID)
    changes.get(timeout=PATIENCE_S)
    told = agents.told(DOMID)
    assert told is not None
    assert told.faults == ((0, "it ended with 1"),)
    agents.close()
    loop.close()


class Rarely(Patience):
    """A guest that comes up is asked twice, and then no more."""

    @override
    def pauses(self) -> Iterator[float]:
        return chain((0.0,), repeat(1e6))


def test_a_guest_that_may_have_news_is_asked_as_one_that_comes_up_and_qemu_to_tell_again(
    guest: Guest,
) -> None:
    loop, changes, listened = MonitorLoop(), queue.Queue[int](), queue.Queue[str]()

    async def ask(command: str, arguments: Arguments) -> object:
        listened.put(command)
        return await qemu(command, arguments)

    agents = Agents(loop, Orders(), changes.put, Rarely())
    agents.stir(DOMID)  # nobody is there
    agents.opened(DOMID, Channel(guest.path, ask))
    changes.get(timeout=PATIENCE_S)
    for _ in range(2):
        while listened.get(timeout=PATIENCE_S) != "qom-get":  # what is asked last
            pass
    guest.answer = lambda asked: well(asked).replace(b"web1", b"web2")
    agents.stir(DOMID)
    changes.get(timeout=PATIENCE_S)
    told = agents.told(DOMID)
    assert told is not None
    assert ("data/host_name_dns", "web2") in told.system
    agents.close()
    loop.close()
    assert "query-rx-filter" in listened.queue
