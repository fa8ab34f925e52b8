"""Agents: asks the agent in each guest that has one, on the monitors' own loop.

QEMU tells when a guest opens the agent's port and when it closes it. While it is closed nobody is asked, so a
guest without an agent costs nothing; one whose agent does not answer costs a question now and then.
"""

import asyncio
import secrets
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from virt.monitor import Arguments, MonitorError, MonitorLoop, MonitorRefusedError

from worker_kvm.addresses import Order, obeyed, obstacle
from worker_kvm.addressing import Orders, log_faults
from worker_kvm.qemu.guest_agent import (
    AgentRefusedError,
    Told,
    addresses,
    answer,
    memory_kib,
    request,
    runs_programs,
    system_keys,
)

ANSWER_BYTES_MAX = 1 << 18
"""A longer line is none: an interface with an address takes some 500 bytes."""

_STALE_LINES_MAX = 100
"""Answers to whoever asked before us, before ours comes."""

_CLOSE_TIMEOUT_S = 5.0

_POLLED_S = 30
"""How often QEMU has the balloon's driver count."""

_BALLOON = "/machine/peripheral/balloon"

Ask = Callable[[str, Arguments], Awaitable[Any]]
"""Has QEMU do something, on the loop. Errors: `MonitorError`, `MonitorRefusedError`."""


class AgentMissingError(Exception):
    """No agent of this guest has opened its port."""


@dataclass(frozen=True, slots=True)
class Patience:
    """How often a guest is asked, and how long it may take."""

    first_pause_s: float = 1.0
    """After the first time: a guest that boots has no addresses yet. Each pause is twice the one before."""
    pause_s: float = 30.0
    """The longest: the guest has been up for a while."""
    answer_s: float = 10.0
    """For all answers of one time together; while the agent runs a program, for each."""

    def pauses(self) -> Iterator[float]:
        """One after another."""
        pause_s = self.first_pause_s
        while True:
            yield pause_s
            pause_s = min(2 * pause_s, self.pause_s)


@dataclass(frozen=True, slots=True)
class Channel:
    """How a guest's agent is reached: its socket, and the guest's QEMU."""

    path: Path
    ask: Ask


class Agents:
    """The agents of a host's guests, by domain; safe for any thread. The loop's calls `on_change`."""

    def __init__(
        self,
        loop: MonitorLoop,
        orders: Orders[int],
        on_change: Callable[[int], None],
        patience: Patience | None = None,
    ) -> None:
        """What is pending of `orders` is done at once when a port opens, and before a guest is asked."""
        self._loop = loop
        self._orders = orders
        self._noting = ThreadPoolExecutor(1, thread_name_prefix="qemu-agents")
        self._on_change = on_change
        self._patience = patience or Patience()
        self._told: dict[int, Told] = {}
        self._agents: dict[int, _Agent] = {}

    def told(self, domid: int) -> Told | None:
        """What a guest's agent has said last."""
        return self._told.get(domid)

    def opened(self, domid: int, channel: Channel) -> None:
        """A guest has opened the port: an agent may be there."""
        self._loop.call(self._open, domid, channel)

    def closed(self, domid: int) -> None:
        """A guest has closed it, to sleep or for ever; what was said stands."""
        self._loop.call(self._close, domid)

    def forget(self, domid: int) -> None:
        """A domain has ended."""
        self._loop.call(self._forget, domid)

    def attend(self, domid: int) -> None:
        """Something is pending for an agent: it shall not wait for the next time; there is none, nothing."""
        self._loop.call(self._attend, domid)

    def stir(self, domid: int) -> None:
        """A guest may have something new to tell: it is asked as one is that has just come up."""
        self._loop.call(self._stir, domid)

    def order(self, domid: int, command: str) -> Future[None]:
        """Tell an agent to do something that it may not live to answer; cancelled, its answer is not awaited.

        Errors: `AgentMissingError`; of the future, `AgentRefusedError`.
        """
        agent = self._agents.get(domid)
        if agent is None:
            raise AgentMissingError
        return self._loop.start(agent.order(command))

    def close(self) -> None:
        """Hang up everywhere."""
        self._loop.run(self._close_all(), _CLOSE_TIMEOUT_S)
        self._noting.shutdown()

    def _open(self, domid: int, channel: Channel) -> None:
        self._close(domid)

        def on_told(told: Told) -> None:
            before, self._told[domid] = self._told.get(domid), told
            log_faults(domid, told, before)
            if told.differs(before):
                self._on_change(domid)

        orders = _OrdersOf(self._orders, domid, self._noting)
        self._agents[domid] = _Agent(channel, on_told, orders, self._patience)

    def _close(self, domid: int) -> None:
        agent = self._agents.pop(domid, None)
        if agent is not None:
            agent.close()

    def _attend(self, domid: int) -> None:
        agent = self._agents.get(domid)
        if agent is not None:
            agent.wanted.set()

    def _stir(self, domid: int) -> None:
        agent = self._agents.get(domid)
        if agent is not None:
            agent.stir()

    def _forget(self, domid: int) -> None:
        self._close(domid)
        self._told.pop(domid, None)

    async def _close_all(self) -> None:
        tasks = [agent.task for agent in self._agents.values()]
        for domid in list(self._agents):
            self._close(domid)
        await asyncio.gather(*tasks, return_exceptions=True)


@dataclass(frozen=True, slots=True)
class _OrdersOf:
    """Those of one domain, for the loop, which must not wait for disks."""

    orders: Orders[int]
    domid: int
    noting: Executor

    async def pending(self) -> Sequence[Order]:
        return await asyncio.get_running_loop().run_in_executor(self.noting, self.orders.pending, self.domid)

    async def done(self, order: Order) -> None:
        await asyncio.get_running_loop().run_in_executor(self.noting, self.orders.done, self.domid, order)


class _Agent:
    """One guest's, from the opening of its port to its end; used on the loop alone."""

    def __init__(
        self, channel: Channel, on_told: Callable[[Told], None], orders: _OrdersOf, patience: Patience
    ) -> None:
        self._channel = channel
        self._on_told = on_told
        self._orders = orders
        self._patience = patience
        self._runs_programs: bool | None = None
        self.wanted = asyncio.Event()
        """Set to have it attended to before its next time."""
        self._is_stirred = False
        self._turn = asyncio.Lock()
        self._line: _Line | None = None
        self.task = asyncio.get_running_loop().create_task(self._attend())

    async def order(self, command: str) -> None:
        """See `Agents.order`."""
        async with self._turn:
            try:
                async with asyncio.timeout(self._patience.answer_s):
                    line = await self._synchronised()
            except (OSError, ValueError) as error:
                self._hang_up()
                raise AgentRefusedError("its agent does not answer as one does") from error
            try:
                line.say(request(command))
                await line.answer()
            except (OSError, ValueError):
                self._hang_up()  # whether it has obeyed is seen otherwise

    def stir(self) -> None:
        """See `Agents.stir`: not at once, for a guest that has something new all the time costs no more."""
        self._is_stirred = True
        self.wanted.set()

    def close(self) -> None:
        """Ask no more."""
        self.task.cancel()
        self._hang_up()

    async def _attend(self) -> None:
        pauses = self._patience.pauses()
        while True:
            self.wanted.clear()
            async with self._turn:
                try:
                    told = await self._ask()
                except (OSError, ValueError):
                    self._hang_up()
                else:
                    self._on_told(told)
            pauses = await self._rest(pauses)

    async def _rest(self, pauses: Iterator[float]) -> Iterator[float]:
        """Until it is to be asked again. Answers the pauses from then on."""
        while True:
            with suppress(TimeoutError):
                async with asyncio.timeout(next(pauses)):
                    await self.wanted.wait()
            if not self._is_stirred:
                return pauses
            self._is_stirred = False
            self.wanted.clear()
            pauses = self._patience.pauses()

    async def _ask(self) -> Told:
        """Orders are carried out first, so that what comes of them is told."""
        async with asyncio.timeout(self._patience.answer_s):
            line = await self._synchronised()
            if self._runs_programs is None:
                self._runs_programs = runs_programs(await line.ask("guest-info"))
            system, host = [await line.ask(each) for each in ("guest-get-osinfo", "guest-get-host-name")]
        known = Told(system_keys(system, host), runs_programs=self._runs_programs)
        faults = await self._carry_out(line, known)
        async with asyncio.timeout(self._patience.answer_s):
            await self._listen()
            interfaces = addresses(await line.ask("guest-network-get-interfaces"))
            memory = memory_kib(await self._memory())
        return replace(known, addresses=interfaces, memory_kib=memory, faults=faults)

    async def _carry_out(self, line: "_Line", known: Told) -> tuple[tuple[int, str], ...]:
        """What is pending. Answers what could not be done, and why; it is tried again next time."""
        pending = await self._orders.pending()
        faults = []
        for order in pending:
            fault = obstacle(known) or await self._have_obeyed(line, order)
            if fault:
                faults.append((order.position, fault))
            else:
                await self._orders.done(order)
        return tuple(faults)

    async def _have_obeyed(self, line: "_Line", order: Order) -> str:
        steps = obeyed(order)
        try:
            step = next(steps)
            while True:
                if isinstance(step, float):
                    await asyncio.sleep(step)
                    step = next(steps)
                    continue
                try:
                    async with asyncio.timeout(self._patience.answer_s):
                        reply = await line.obey(*step)
                except AgentRefusedError as error:
                    step = steps.throw(error)
                else:
                    step = steps.send(reply)
        except StopIteration as end:
            return str(end.value)

    async def _listen(self) -> None:
        """QEMU tells once that a guest wants other frames, and again when it was asked which."""
        with suppress(MonitorError, MonitorRefusedError):
            await self._channel.ask("query-rx-filter", {})

    async def _memory(self) -> object:
        """What the guest's balloon driver counts, which QEMU asks it for as often as we ask QEMU."""
        with suppress(MonitorError, MonitorRefusedError):
            polled = {"property": "guest-stats-polling-interval", "value": _POLLED_S}
            await self._channel.ask("qom-set", {"path": _BALLOON, **polled})
            return await self._channel.ask("qom-get", {"path": _BALLOON, "property": "guest-stats"})
        return None

    async def _synchronised(self) -> "_Line":
        if self._line is None:
            streams = await asyncio.open_unix_connection(str(self._channel.path), limit=ANSWER_BYTES_MAX)
            self._line = _Line(*streams)
        await self._line.synchronise()
        return self._line

    def _hang_up(self) -> None:
        if self._line is not None:
            self._line.close()
            self._line = None


class _Line:
    """A connection to an agent. Errors of its methods: `OSError`, `ValueError`."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    async def synchronise(self) -> None:
        """What is still to come for others, or for us before we gave up, is passed over."""
        number = secrets.randbits(31)
        self.say(request("guest-sync-delimited", id=number))
        for _ in range(_STALE_LINES_MAX):
            line = await self._read()
            if line.startswith(b"\xff") and _answered(line.lstrip(b"\xff")) == number:
                return
        raise ValueError("it does not answer what it is asked")

    async def ask(self, command: str) -> object:
        """Have it answer a command; None when it says no."""
        self.say(request(command))
        return _answered(await self._read())

    async def obey(self, command: str, arguments: Mapping[str, object]) -> object:
        """Have it do something; answers its answer. Errors: those of `guest_agent.answer`, too."""
        self.say(request(command, **arguments))
        return await self.answer()

    async def answer(self) -> object:
        """Its answer to what was said. Errors: those of `guest_agent.answer`, too."""
        return answer(await self._read())

    def say(self, words: bytes) -> None:
        """Send it a line; few are on their way at a time, so nobody waits for its reading."""
        self._writer.write(words)

    def close(self) -> None:
        """Hang up."""
        self._writer.close()

    async def _read(self) -> bytes:
        line = await self._reader.readline()
        if not line.endswith(b"\n"):
            raise ConnectionError("the agent hung up")
        return line


def _answered(line: bytes) -> object:
    try:
        return answer(line)
    except AgentRefusedError:
        return None
