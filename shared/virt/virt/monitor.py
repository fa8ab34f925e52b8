"""Monitor: one QEMU's QMP socket, for callers in threads. The only importer of qemu.qmp.

Commands wait for their reply; events are told in order, from the loop's own thread.
"""

import asyncio
import logging
import threading
from collections.abc import Callable, Coroutine, Mapping
from concurrent.futures import CancelledError, Future
from concurrent.futures import TimeoutError as FutureTimeoutError
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from qemu.qmp import ExecuteError, QMPClient, QMPError

CONNECT_TIMEOUT_S = 30.0
"""How long QEMU may take to set itself up and greet: its memory may have to be found first."""

COMMAND_TIMEOUT_S = 60.0
"""How long QEMU may take for a command; storage that hangs holds up its main loop."""

_DISCONNECT_TIMEOUT_S = 5.0

logging.getLogger("qemu.qmp").setLevel(logging.CRITICAL)  # a QEMU that ends is no error of the library's

Arguments = Mapping[str, object]

T = TypeVar("T")


class MonitorError(Exception):
    """QEMU is not reached, or does not answer; the sentence says which."""


class MonitorRefusedError(Exception):
    """QEMU understood a command and said no; the text is QEMU's."""


@dataclass(frozen=True, slots=True)
class QemuEvent:
    """What QEMU tells by itself, by its name in QMP."""

    name: str
    data: Mapping[str, Any]


class MonitorLoop:
    """The thread that talks to all QEMUs of a process."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._loop.set_exception_handler(_complain)
        self._thread = threading.Thread(target=self._loop.run_forever, name="qmp", daemon=True)
        self._thread.start()

    def run(self, coroutine: Coroutine[Any, Any, T], timeout_s: float) -> T:
        """Run a coroutine there and wait for what comes of it."""
        future: Future[T] = asyncio.run_coroutine_threadsafe(coroutine, self._loop)
        try:
            return future.result(timeout_s)
        except FutureTimeoutError:
            future.cancel()
            raise

    def start(self, coroutine: Coroutine[Any, Any, T]) -> Future[T]:
        """Run a coroutine there; from any thread but the loop's own, which must not wait for it."""
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop)

    def call(self, call: Callable[..., object], *arguments: object) -> None:
        """Call something there, soon; from any thread."""
        self._loop.call_soon_threadsafe(call, *arguments)

    def close(self) -> None:
        """End the thread; every monitor is closed by then."""
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()


class Monitor:
    """A connection to one QEMU; its methods may be called from any thread but the loop's."""

    def __init__(
        self,
        loop: MonitorLoop,
        path: Path,
        on_event: Callable[[QemuEvent], None],
        on_gone: Callable[[], None],
    ) -> None:
        self._loop = loop
        self._path = path
        self._on_event = on_event
        self._on_gone = on_gone
        self._client = QMPClient()
        self._tasks: tuple[asyncio.Task[None], ...] = ()

    def connect(self, timeout_s: float = CONNECT_TIMEOUT_S) -> None:
        """Wait for QEMU's greeting, and listen to its events from then on.

        Raises:
            MonitorError: nobody listens there, QEMU ended, or it took too long.
        """
        self._run(self._connect(), timeout_s, "the greeting")

    def execute(
        self, command: str, arguments: Arguments | None = None, timeout_s: float = COMMAND_TIMEOUT_S
    ) -> Any:
        """Have QEMU do something; answers its reply.

        Raises:
            MonitorRefusedError: QEMU says no.
            MonitorError: QEMU has ended, or did not answer in time.
        """
        try:
            return self._run(self._client.execute(command, dict(arguments or {})), timeout_s, command)
        except ExecuteError as error:
            raise MonitorRefusedError(str(error)) from error

    def begin(self, command: str, arguments: Arguments, timeout_s: float) -> Future[Any]:
        """The same as `execute`, and do not wait for the reply."""
        return self._loop.start(self.ask(command, arguments, timeout_s))

    async def ask(self, command: str, arguments: Arguments, timeout_s: float = COMMAND_TIMEOUT_S) -> Any:
        """The same as `execute`, for coroutines on the loop."""
        try:
            async with asyncio.timeout(timeout_s):
                return await self._client.execute(command, dict(arguments))
        except ExecuteError as error:
            raise MonitorRefusedError(str(error)) from error
        except TimeoutError as error:
            raise MonitorError(f"QEMU did not answer {command} within {timeout_s:g} s") from error
        except (QMPError, EOFError, OSError) as error:
            raise MonitorError(f"QEMU has ended, or its monitor {self._path} is closed: {error}") from error

    def give(self, descriptor: int, command: str, arguments: Arguments) -> Any:
        """Give QEMU an open file with a command that takes one; answers its reply. Errors as of `execute`."""
        try:
            return self._run(self._give(descriptor, command, arguments), COMMAND_TIMEOUT_S, command)
        except ExecuteError as error:
            raise MonitorRefusedError(str(error)) from error

    def close(self) -> None:
        """Hang up; QEMU runs on, and `on_gone` is not told."""
        with suppress(FutureTimeoutError, CancelledError):
            self._loop.run(self._disconnect(), _DISCONNECT_TIMEOUT_S)

    async def _connect(self) -> None:
        await self._client.connect(str(self._path))
        self._tasks = (asyncio.create_task(self._listen()), asyncio.create_task(self._watch()))

    async def _give(self, descriptor: int, command: str, arguments: Arguments) -> Any:
        self._client.send_fd_scm(descriptor)
        return await self._client.execute(command, dict(arguments))

    async def _listen(self) -> None:
        async for message in self._client.events:
            self._tell(message)

    async def _watch(self) -> None:
        """Until QEMU hangs up; what it said last is told first."""
        await self._client.runstate_changed()
        listener, _ = self._tasks
        listener.cancel()
        await self._hang_up()
        while not self._client.events.empty():
            self._tell(await self._client.events.get())
        self._on_gone()

    def _tell(self, message: Mapping[str, Any]) -> None:
        self._on_event(QemuEvent(str(message["event"]), _data_of(message)))

    async def _disconnect(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._hang_up()

    async def _hang_up(self) -> None:
        with suppress(QMPError, EOFError, OSError):
            await self._client.disconnect()

    def _run(self, coroutine: Coroutine[Any, Any, T], timeout_s: float, what: str) -> T:
        try:
            return self._loop.run(coroutine, timeout_s)
        except FutureTimeoutError as error:
            raise MonitorError(f"QEMU did not answer {what} within {timeout_s:g} s") from error
        except ExecuteError:
            raise
        except (QMPError, EOFError, OSError, CancelledError) as error:
            raise MonitorError(f"QEMU has ended, or its monitor {self._path} is closed: {error}") from error


def _complain(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    """The library leaves a hang-up in a future that nobody asks; who must know of it is told by `on_gone`."""
    if not isinstance(context.get("exception"), EOFError | ConnectionError):
        loop.default_exception_handler(context)


def _data_of(message: Mapping[str, Any]) -> Mapping[str, Any]:
    data = message.get("data")
    return data if isinstance(data, Mapping) else {}
