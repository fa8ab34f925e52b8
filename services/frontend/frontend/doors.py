"""Doors: opens the switch and the sockets of a frontend on its bus, and takes their files away at the end."""

import logging
import os
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

from bus.ports import Bus, BusError, Request
from bus.topology import storage_queue
from schema import rpc
from schema.ids import InstanceName
from schema.objects.errors import InternalError

from frontend.handover import Handovers
from frontend.http.address import Address, DoorError, Place, wants_tls
from frontend.http.door import Door
from frontend.http.message import Limits
from frontend.http.server import HttpServer
from frontend.migration import LIMITS_OF_SOURCES, Migrations, for_sources
from frontend.routes import is_harmless
from frontend.rpc_door import AskInstance, RpcDoor
from frontend.settings import Doors
from frontend.switch.core import Switch
from frontend.switch.door import LIMITS, SwitchDoor
from frontend.switch.journal import Journal, JournalError
from frontend.switch.passage import Passage
from frontend.switch.queues import Queues

SOCKET_NAMES = ("xenopsd", "xenopsd.json")
"""An instance's sockets, as the original calls them; both speak both languages."""

HANDOVER_NAME = "xenopsd.forwarded"
"""Where xapi hands over the connections of migrations that come in at its own port."""

CALL_TIMEOUT_S = 600.0
"""The longest wait that a request may ask for, and some."""

LOST = "the frontend ended before this was answered; whether it was done is not known: look, then ask again"

_log = logging.getLogger("frontend")


class OpenDoors:
    """All doors of one frontend but the queues on the bus."""

    def __init__(self, bus: Bus, doors: Doors, instances: tuple[InstanceName, ...], ask: AskInstance) -> None:
        """Bind all sockets; `ask` is how an instance of ours is asked.

        Raises:
            DoorError: one of them is in use, or cannot be bound.
        """
        self._bus = bus
        self._places: list[tuple[Place, HttpServer]] = []
        self._handovers: list[tuple[Place, Handovers]] = []
        self._is_open = False
        self._tls = doors.tls
        self._journal: Journal | None = None
        self._start: list[Callable[[], None]] = []
        try:
            self._bind(doors, instances, ask)
        except BaseException:
            self.close()
            raise

    def _bind(self, doors: Doors, instances: tuple[InstanceName, ...], ask: AskInstance) -> None:
        if doors.switch:
            door = self._make_switch(doors.state, instances, ask)
            switch = HttpServer(door, LIMITS)
            if doors.storage is not None:
                passage = Passage(self._bus, door, doors.storage)
                self._start.append(lambda: passage.open(map(storage_queue, instances)))
            for address in doors.switch:
                self._add(address, switch)
        sockets = {
            name: [directory / socket for socket in SOCKET_NAMES] for name, directory in doors.sockets.items()
        }
        own = [*([doors.door] if doors.door else []), *(path for paths in sockets.values() for path in paths)]
        migrations = self._bind_migrations(doors.migration, own, instances, ask)
        if doors.door is not None:
            streams = partial(migrations.take_over, instances) if migrations else None
            self._add(doors.door, _server(RpcDoor(instances, ask, is_fixed=False, streams=streams)))
        for instance, paths in sockets.items():
            streams = partial(migrations.take_over, (instance,)) if migrations else None
            server = _server(RpcDoor((instance,), ask, is_fixed=True, streams=streams))
            for path in paths:
                self._add(path, server)
            if migrations is not None:
                self._bind_handover(doors.sockets[instance] / HANDOVER_NAME, migrations, instance)

    def _bind_migrations(
        self,
        doors: Sequence[Address],
        own: Sequence[Path],
        instances: tuple[InstanceName, ...],
        ask: AskInstance,
    ) -> Migrations | None:
        """Migrations come in at all doors but the switch; workers come for them to the first without TLS."""
        places = [Place(address) for address in doors]
        plain = [place for place in places if not wants_tls(place.address)]
        meeting = [*map(str, plain), *map(str, own)]
        if not meeting:
            return None
        migrations = Migrations(self._bus, meeting[0])
        streams = partial(migrations.take_over, instances)
        server = HttpServer(
            RpcDoor(instances, for_sources(ask), is_fixed=False, streams=streams), LIMITS_OF_SOURCES
        )
        self._places += [(place, server) for place in places]
        return migrations

    def _bind_handover(self, path: Path, migrations: Migrations, instance: InstanceName) -> None:
        self._handovers.append((Place(path), Handovers(self._bus, migrations, instance)))

    def open(self) -> None:
        """Let clients in."""
        self._is_open = True
        for start in self._start:
            self._bus.call_soon(start)
        for place, server in self._places:
            self._bus.listen(place.socket, server.factory, self._tls if wants_tls(place.address) else None)
            _log.info("a door is open at %s", place)
        for place, handovers in self._handovers:
            self._bus.accept(place.socket, handovers.take)
            _log.info("connections may be handed over at %s", place)

    def close(self) -> None:
        """Take the files away; connections, and sockets that the bus has been given, end with the bus."""
        for place in [*(place for place, _ in self._places), *(place for place, _ in self._handovers)]:
            place.remove()
            if not self._is_open:
                place.socket.close()
        if self._is_open:
            for _, handovers in self._handovers:
                self._bus.call_soon(handovers.close)
        if self._journal is not None:
            self._bus.call_soon(self._journal.close)

    def _add(self, address: Address, server: HttpServer) -> None:
        self._places.append((Place(address), server))

    def _make_switch(self, state: Path | None, instances: tuple[InstanceName, ...], ask: AskInstance) -> Door:
        queues = Queues()
        if state is not None:
            try:
                self._journal = Journal(state)
            except JournalError as error:
                raise DoorError(str(error)) from error
            queues = self._journal.load()
        core = Switch(instances, f"xenops-frontend:{os.getpid()}", queues)

        def ask_any(queue: str, question: Request, on_answer: Callable[[bytes], None]) -> None:
            """Ask an instance: ours here, another one on the bus."""
            if queue in instances:
                ask(queue, question, on_answer)
            else:
                self._bus.ask(queue, question, CALL_TIMEOUT_S, lambda outcome: on_answer(answer_of(outcome)))

        door = SwitchDoor(core, ask_any, self._journal)
        lost = rpc.encode_failure(InternalError(message=LOST))
        self._start.append(lambda: door.start(is_harmless, lost))
        return door


def answer_of(outcome: bytes | BusError) -> bytes:
    """Trouble on the bus is an error of the interface."""
    return (
        rpc.encode_failure(InternalError(message=str(outcome))) if isinstance(outcome, BusError) else outcome
    )


def _server(door: Door) -> HttpServer:
    return HttpServer(door, Limits())
