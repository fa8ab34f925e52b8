"""Hosts: one worker each, real connections between them, all in one process; workers may die at any step."""
# ruff: noqa: S101  it is a test suite, shipped

import socket
import threading
import time
import uuid
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, cast

from schema.fault import XenopsError, internal_error
from schema.ids import TaskId, VmId
from schema.methods import METHODS
from schema.migration import Channel, decode_cookies, departing_id, read_path
from schema.objects.dynamic import ObjectId
from schema.objects.errors import Error, InternalError
from schema.objects.metadata import Metadata
from schema.objects.vm import PowerState
from schema.operations import VmMigrate, VmReceiveMemory
from schema.records import ChannelOffered, Record
from schema.wire import xmlrpc
from schema.wire.codec import decode_text, to_rpc
from typing_extensions import override

from engine.backend import Backend
from engine.cancellation import Cancellation
from engine.conformance.samples import sample_vm
from engine.hooks import Hooks
from engine.lock import VmLocks
from engine.migrate.course import Course
from engine.migrate.destination import Arrival
from engine.migrate.offers import Offers
from engine.migrate.recovery import recover
from engine.migrate.sockets import SOCKETS
from engine.migrate.source import Departure
from engine.perform.context import Context
from engine.perform.metadata import import_vm, remove_vm
from engine.simulator import Fault, Simulator, SimulatorSettings
from engine.store import FileStore
from engine.threads import SystemThreads

PATIENCE_S = 120.0


class Killed(BaseException):
    """The worker is no more."""


class Life:
    """A worker's; it ends as the `end`-th verb or change of metadata of its task is about to begin."""

    def __init__(self, end: int = 0) -> None:
        self._left = end

    def tick(self) -> None:
        """A step begins."""
        self._left -= 1
        if self._left == 0:
            raise Killed


class Mortal:
    """A backend or a store, used by somebody mortal."""

    def __init__(self, inner: Any, life: Life, thread: threading.Thread) -> None:
        self._inner, self._life, self._thread = inner, life, thread

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._inner, name)
        if not callable(found):
            is_port = hasattr(found, "get_state") or hasattr(found, "ids")
            return Mortal(found, self._life, self._thread) if is_port else found

        def call(*arguments: Any, **named: Any) -> Any:
            if threading.current_thread() is self._thread:
                self._life.tick()
            return found(*arguments, **named)

        return call


class Task(threading.Thread):
    """One side's task: what came of it is in `outcome` in the end."""

    def __init__(self, act: Callable[["Task"], None]) -> None:
        super().__init__(daemon=True)
        self.outcome: BaseException | None = None
        self._act = act
        self._ended = threading.Event()

    @override
    def run(self) -> None:
        try:
            self._act(self)
        except (Exception, Killed) as error:  # noqa: BLE001  the test looks at it
            self.outcome = error
        finally:
            self._ended.set()

    def end(self) -> BaseException | None:
        """Wait for it, started or just about to be; answers its outcome."""
        assert self._ended.wait(PATIENCE_S)
        return self.outcome


class Host:
    """A host with one worker, and a door that does what frontends and the log do."""

    def __init__(self, directory: Path, *faults: Fault, transfer_s: float = 0.0) -> None:
        self.directory = directory
        self.backend = Simulator(SimulatorSettings(faults=faults, transfer_s=transfer_s))
        self.store = FileStore(directory / "metadata")
        self.locks = VmLocks(directory / "locks")
        self.threads = SystemThreads()
        self.offers = Offers(self.threads, SOCKETS)
        self.changed: list[ObjectId] = []
        self.records: list[Record] = []
        self.handed_over = False
        self.keeps = False
        self.left_over: list[VmId] = []
        self.notes = True
        self.life = Life()
        self.cancellation = Cancellation(TaskId(1))
        self.arrivals: list[tuple[VmReceiveMemory, Task]] = []
        self._waiting: dict[str, socket.socket] = {}
        self._door = socket.socket(socket.AF_UNIX)
        self._door.bind(str(directory / "door"))
        self._door.listen()
        self._connections: list[socket.socket] = []
        self._threads: list[threading.Thread] = []
        self._in_thread(self._serve)

    def _in_thread(self, act: Callable[..., None], *arguments: Any) -> None:
        thread = threading.Thread(target=act, args=arguments, daemon=True)
        self._threads.append(thread)
        thread.start()

    @property
    def url(self) -> str:
        """How others reach it."""
        return f"unix://{self.directory}/door"

    def close(self) -> None:
        """Every thread of the door ends by the end of its connections."""
        for connection in (self._door, *self._connections):
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join(PATIENCE_S)
        for connection in (self._door, *self._connections):
            connection.close()

    def course(self, held: Any, task: threading.Thread | None = None) -> Course:
        """For a task that may die; or for one that puts right, which does not."""

        def note() -> None:
            self.life.tick()
            if not self.notes:
                raise internal_error("the disk is full")
            self.handed_over = True
            self.life.tick()

        thread = task or threading.Thread()
        return Course(
            store=cast("FileStore", Mortal(self.store, self.life, thread)),
            backend=cast("Backend", Mortal(self.backend, self.life, thread)),
            hooks=Hooks(self.directory / "hooks"),
            cancellation=self.cancellation,
            held=held,
            signal=self.changed.append,
            append=self.records.append,
            note_handover=note if task else lambda: None,
            keep=lambda: setattr(self, "keeps", True),
            leave_over=self.left_over.append,
            threads=self.threads,
            network=SOCKETS,
            dbg="test",
        )

    def send(self, operation: VmMigrate) -> Task:
        """Be the source."""

        def act(task: Task) -> None:
            with self.locks.held(operation.vm, self.cancellation.wait) as held:
                Departure(operation, self.course(held, task)).run()

        task = Task(act)
        task.start()
        return task

    def receiving(self, operation: VmReceiveMemory) -> Task:
        """Be the destination, once it is started."""

        def act(task: Task) -> None:
            with self.locks.held(operation.vm, self.cancellation.wait) as held:
                Arrival(operation, self.course(held, task), self.offers).run()

        return Task(act)

    def put_right(self, operation: VmMigrate | VmReceiveMemory) -> None:
        """What a worker does that is started anew."""
        self.life, self.cancellation = Life(), Cancellation(TaskId(2))
        is_away = self.handed_over and isinstance(operation, VmMigrate)
        name = departing_id(operation.vm) if is_away else operation.vm
        with self.locks.held(name, self.cancellation.wait) as held:
            crash = XenopsError(InternalError(message="crash"))
            recover(operation, self.course(held), handed_over=self.handed_over, crash=crash)

    def look_again(self, operation: VmMigrate) -> bool:
        """What a worker does now and then about a VM that is kept."""
        self.life, self.cancellation = Life(), Cancellation(TaskId(3))
        with self.locks.held(departing_id(operation.vm), self.cancellation.wait) as held:
            return Departure(operation, self.course(held)).look_again()

    def state(self, vm: VmId) -> PowerState:
        """A VM's, configured or not."""
        found = self.store.read(vm) if self.store.exists(vm) else sample_vm(vm)
        return self.backend.vm.get_state(found).power_state

    # --- the door -----------------------------------------------------------------------------------

    def _serve(self) -> None:
        while True:
            try:
                client, _ = self._door.accept()
            except OSError:
                return
            self._connections.append(client)
            self._in_thread(self._meet_or_part, client)

    def _meet_or_part(self, client: socket.socket) -> None:
        """A bug in this door fails the test by itself: nobody waits for an answer until his patience ends."""
        try:
            self._meet(client)
        except ConnectionError:
            return  # a worker has died, which is what tests are about
        except Exception:
            with suppress(OSError):
                client.shutdown(socket.SHUT_RDWR)
            raise

    def _meet(self, client: socket.socket) -> None:
        head = b""
        while not head.endswith(b"\r\n\r\n"):
            part = client.recv(1)
            if not part:
                raise ConnectionAbortedError(f"who had come went after {head!r}")
            head += part
        line, *lines = head.decode().split("\r\n")
        headers = dict(header.lower().split(": ", 1) for header in lines if ": " in header)
        target = line.split(" ")[1]
        if line.startswith("POST"):
            with client.makefile("rb") as body:
                self._answer(client, body.read(int(headers["content-length"])))
        elif target.startswith("/rendezvous/"):
            self._join(client, self._waiting.pop(target.removeprefix("/rendezvous/"), None))
        else:
            cookies = next(text for text in lines if text.lower().startswith("cookie: "))
            self._open(client, target, decode_cookies([cookies.partition(": ")[2]]))

    def _open(self, client: socket.socket, target: str, cookies: dict[str, str]) -> None:
        found = read_path(target)
        assert found is not None
        channel, ticket, door = found[1], uuid.uuid4().hex, f"{self.directory}/door"
        self._waiting[ticket] = client
        if channel.channel is not Channel.CONTROL:
            offer = ChannelOffered(vm=channel.vm, channel=channel.channel, socket=door, ticket=ticket)
            self.offers.put(offer)
            return
        operation = VmReceiveMemory(
            vm=channel.vm,
            final=VmId(cookies["final_id"]),
            memory_limit_bytes=int(cookies["memory_limit"]),
            socket=door,
            ticket=ticket,
            compressed="compress" in cookies,
        )
        task = self.receiving(operation)
        self.arrivals.append((operation, task))  # known before it can end
        task.start()

    def _join(self, worker: socket.socket, source: socket.socket | None) -> None:
        if source is None:
            worker.sendall(b"HTTP/1.1 404 Not Found\r\n\r\n")
            worker.shutdown(socket.SHUT_RDWR)
            return
        worker.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
        for one, other in ((worker, source), (source, worker)):
            self._in_thread(carry, one, other)

    def _answer(self, client: socket.socket, body: bytes) -> None:
        method, [params] = xmlrpc.decode_call(body)
        try:
            result = to_rpc(METHODS[method].result, self._perform(method, dict(params.pairs)))
            answer = xmlrpc.encode_response(result, success=True)
        except XenopsError as error:
            answer = xmlrpc.encode_response(to_rpc(Error, error.error), success=False)
        client.sendall(f"HTTP/1.1 200 OK\r\ncontent-length: {len(answer)}\r\n\r\n".encode() + answer)
        client.shutdown(socket.SHUT_RDWR)

    def _perform(self, method: str, params: Any) -> Any:
        context = Context(self.store, self.backend, Hooks(self.directory / "hooks"), self.changed.append)
        match method:
            case "VM.exists":
                return self.store.exists(params["id"])
            case "VM.import_metadata":
                metadata: Metadata = decode_text(Metadata, params["metadata"])
                import_vm(context, VmId(metadata.vm.id), metadata)
                return metadata.vm.id
            case _:
                with self.locks.held(VmId(params["id"]), time.sleep):
                    remove_vm(context, params["id"])
                return None


def carry(one: socket.socket, other: socket.socket) -> None:
    """What one says, to the other."""
    try:
        while data := one.recv(1 << 16):
            other.sendall(data)
        other.shutdown(socket.SHUT_WR)
    except OSError:
        for side in (one, other):
            with suppress(OSError):
                side.shutdown(socket.SHUT_RDWR)
