"""Local: the stack as processes of this machine, started, restarted, killed and stopped by name."""

import fcntl
import shutil
import signal
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from types import TracebackType
from typing import Self

from bus.ports import BusError
from bus.roles import Role
from schema.fault import XenopsError
from worker_kvm.settings import RUN_PATH_BYTES_MAX, BackendName
from xenops.client import Client, connect

from stack import hypervisor, page, remains
from stack.broker.node import role_url
from stack.layout import DOOR_PATH_BYTES_MAX, LONGEST_SOCKET, Layout
from stack.libvirt_places import libvirt_socket
from stack.processes import (
    KILL_TIMEOUT_S,
    StackError,
    end,
    known,
    last_words,
    running,
    runs_as,
    spawn,
    stop,
)
from stack.shape import (
    BROKER,
    LIBVIRTD,
    SINGLE,
    WORKER_KVM,
    XENSTORED,
    BusKind,
    Network,
    Process,
    Shape,
    ShapeError,
    StoreKind,
    broker,
    libvirtd,
    load,
    save,
    single,
    xenstored,
)
from stack.waiting import takes_connections_in_time, unsaid
from stack.xenstored import answers_in_time

READY_TIMEOUT_S = 60.0
"""How long the broker, and then the services, may take to answer."""

LOCK_TIMEOUT_S = 5.0
"""How long to wait for somebody else who starts or stops the same stack."""

_LAST = (LIBVIRTD, XENSTORED, BROKER)
"""What services use to their end."""

_POLL_S = 0.05
_CALL_TIMEOUT_S = 5.0


@dataclass(frozen=True, slots=True)
class Ended:
    """What `down` has ended: processes by name, VMs by id."""

    processes: tuple[str, ...]
    vms: tuple[str, ...]


class LocalStack:
    """One stack under one layout; what it is, is in its files, so any process may take it up.

    As a context manager it is up within, and down afterwards. Without a shape it is what the files say, or
    the simulator alone. Every method raises `StackError`, with a sentence.
    """

    def __init__(
        self, layout: Layout, shape: Shape | None = None, *, environment: Mapping[str, str] | None = None
    ) -> None:
        self._layout = layout
        self._shape = shape
        self._environment = dict(environment or {})

    def __enter__(self) -> Self:
        try:
            self.up()
        except BaseException:
            self.down()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.down()

    @property
    def shape(self) -> Shape:
        """Of what it is made."""
        return self._shape or self._shape_there() or Shape()

    @property
    def url(self) -> str:
        """Where clients connect to: the broker, or the one process's socket."""
        if self.shape.bus is BusKind.MEMORY:
            return f"unix://{self._layout.door}"
        return self.url_of(Role.OPERATOR)

    @property
    def administrator_url(self) -> str:
        """Where to connect to the broker with every right: for benches that measure it bare."""
        return self._layout.broker_url.read_text()

    def url_of(self, role: Role) -> str:
        """Where to connect to the broker in a role."""
        url = role_url(self._layout.broker, role)
        if url is None:
            raise StackError("the stack's broker does not run: start it with `make up`")
        return url

    def client(self, instance: str, *, timeout_s: float = 60.0) -> Client:
        """A client of one instance; the caller closes it. Errors: `BusError`."""
        return connect(self.url, instance, dbg="stack", timeout_s=timeout_s)

    def up(self) -> None:
        """Start what does not run, or not as it should, and wait until every instance answers. Idempotent."""
        with self._alone():
            self._settle()
            if self.shape.bus is BusKind.RABBITMQ:
                self.start_broker()
            if self.shape.store is not StoreKind.FILES:
                self.start_xenstored()
            if self.shape.network is Network.BRIDGE:
                hypervisor.open_network(self._layout)
            if self.shape.backend is BackendName.LIBVIRT:
                self.start_libvirtd()
            self._replace_outdated()
        self.await_answers()

    def start_broker(self) -> None:
        """Start the broker, unless it runs, and wait until it does."""
        self._prepare()
        process = broker(self._layout, self.shape)
        if not runs_as(process, self._layout):
            stop([BROKER], self._layout)
            self._layout.broker_url.unlink(missing_ok=True)
            spawn(process, self._layout)
        deadline = time.monotonic() + READY_TIMEOUT_S
        while not self._layout.broker_url.exists():
            if running(BROKER, self._layout) is None or time.monotonic() > deadline:
                raise StackError(f"the broker does not come up. {last_words(BROKER, self._layout)}")
            time.sleep(_POLL_S)

    def start_xenstored(self) -> None:
        """Start the xenstored, unless it runs, and wait until it does; what an earlier one kept is gone."""
        process = xenstored(self._layout, self.shape.store)
        if not runs_as(process, self._layout):
            stop([XENSTORED], self._layout)
            spawn(process, self._layout)
        path = self._layout.xenstored / "socket"
        if not answers_in_time(path, lambda: running(XENSTORED, self._layout) is not None):
            raise StackError(f"the xenstored does not come up. {last_words(XENSTORED, self._layout)}")

    def start_libvirtd(self) -> None:
        """Start the libvirtd, unless it runs, and wait until it does; VMs end with it."""
        process = libvirtd(self._layout, self.shape)
        if not runs_as(process, self._layout):
            stop([LIBVIRTD], self._layout)
            spawn(process, self._layout)
        path = libvirt_socket(self._layout.libvirt)
        if not takes_connections_in_time(path, lambda: running(LIBVIRTD, self._layout) is not None):
            raise StackError(f"the libvirtd does not come up. {last_words(LIBVIRTD, self._layout)}")

    def down(self) -> Ended:
        """Stop everything, the broker last, and end all VMs; what was made by another version is removed.

        What services keep on the disk stays: the next `up` goes on from it. Idempotent.
        """
        if not self._layout.root.exists():
            return Ended((), ())
        with self._alone():
            services = stop([name for name in known(self._layout) if name not in _LAST], self._layout)
            vms = hypervisor.end_vms(self._layout)
            ended = [*services, *stop(_LAST, self._layout)]
            end(remains.processes(self._layout), signal.SIGKILL, KILL_TIMEOUT_S)
            self._layout.broker_url.unlink(missing_ok=True)
            shutil.rmtree(self._layout.temporary, ignore_errors=True)
            if self._is_foreign():
                shutil.rmtree(self._layout.root)
        return Ended(tuple(ended), tuple(vms))

    def restart(self, name: str) -> None:
        """Stop one process and start it again, as its code is now; VMs run on."""
        process = self._process(name)
        with self._alone():
            stop([name], self._layout)
            self._spawn(process)
        self.await_answers()

    def kill(self, name: str) -> None:
        """End one process as a crash would."""
        process = running(self._process(name).name, self._layout)
        end([process] if process else [], signal.SIGKILL, KILL_TIMEOUT_S)

    def start(self, name: str, environment: Mapping[str, str] | None = None) -> None:
        """Start one process that does not run, with more in its environment; waits for no answer."""
        process = self._process(name)
        if running(name, self._layout) is None:
            self._spawn(replace(process, environment={**process.environment, **(environment or {})}))

    def status(self) -> dict[str, int | None]:
        """Each process's pid; None for one that should run and does not; nothing of a stack that is down."""
        there = known(self._layout)
        names = dict.fromkeys((*self._names(), *there)) if there else ()
        found = {name: running(name, self._layout) for name in names}
        return {name: process.pid if process else None for name, process in found.items()}

    def dead(self) -> list[str]:
        """What should run and does not, each with its last words."""
        names = [name for name, pid in self.status().items() if pid is None]
        return [f"{name} has ended. {last_words(name, self._layout)}" for name in names]

    def await_answers(self) -> None:
        """Wait until worker, frontend and event hub of every instance answer."""
        deadline = time.monotonic() + READY_TIMEOUT_S
        for instance in self.shape.instances:
            while (trouble := self._trouble(instance)) is not None:
                if dead := self.dead():
                    raise StackError("\n".join(dead))
                if time.monotonic() > deadline:
                    sentence = f"{instance} does not answer within {READY_TIMEOUT_S:g} s: {trouble}"
                    raise StackError(f"{sentence}; the logs are in {self._layout.log('').parent}")
                time.sleep(_POLL_S)
        if dead := self.dead():
            raise StackError("\n".join(dead))

    def _trouble(self, instance: str) -> str | None:
        """Why an instance does not answer yet."""
        try:
            with unsaid(), self.client(instance, timeout_s=_CALL_TIMEOUT_S) as client:
                client.query()
                client.updates.last_id()
        except (BusError, XenopsError) as error:
            return str(error)
        return page.trouble(self._layout)

    def _settle(self) -> None:
        """Write down of what the stack is made, unless it is made of something else already."""
        there, shape = self._shape_there(), self.shape
        if there is not None and _kept_in(there) != _kept_in(shape) and any(self.status().values()):
            raise StackError(
                f"the stack runs already, with {there.bus} as its bus, metadata in {there.store} and VMs by "
                f"{there.backend}: `make down` ends it"
            )
        has_vms = WORKER_KVM in shape.workers
        sockets = (self._layout.sockets(instance) / LONGEST_SOCKET for instance in shape.instances)
        longest = max(map(len, map(bytes, sockets)))
        is_too_long = has_vms and len(bytes(self._layout.vms)) > RUN_PATH_BYTES_MAX
        if is_too_long or longest > DOOR_PATH_BYTES_MAX:
            sentence = f"{self._layout.root} is too long a path: sockets in it could not be opened"
            raise StackError(f"{sentence}; move the checkout")
        self._prepare()
        save(shape, self._layout.shape)

    def _prepare(self) -> None:
        for directory in (self._layout.pids, self._layout.log("").parent, self._layout.temporary):
            directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        page.make_tokens(self._layout.tokens)

    def _shape_there(self) -> Shape | None:
        try:
            return load(self._layout.shape)
        except ShapeError as error:
            raise StackError(str(error)) from error

    def _is_foreign(self) -> bool:
        """Whether another version made what is there."""
        try:
            self._shape_there()
        except StackError:
            return True
        return False

    def _replace_outdated(self) -> None:
        """Stop what should not run, or was started for another broker or shape; start what is missing."""
        wanted = self._processes()
        current = {process.name for process in wanted if runs_as(process, self._layout)}
        kept = {*current, *self._names()[: -len(wanted)]}
        stop([name for name in known(self._layout) if name not in kept], self._layout)
        for process in wanted:
            if process.name not in current:
                spawn(process, self._layout)

    def _names(self) -> tuple[str, ...]:
        """What runs when all runs, in the order of its start."""
        store = () if self.shape.store is StoreKind.FILES else (XENSTORED,)
        backend = (LIBVIRTD,) if self.shape.backend is BackendName.LIBVIRT else ()
        return (
            *store,
            *backend,
            *((SINGLE,) if self.shape.bus is BusKind.MEMORY else (BROKER, *self.shape.services)),
        )

    def _processes(self) -> tuple[Process, ...]:
        """What runs beside the broker."""
        memory = self.shape.bus is BusKind.MEMORY
        found = (single(self._layout),) if memory else self.shape.processes(self._layout, self.url_of)
        return tuple(replace(each, environment={**each.environment, **self._environment}) for each in found)

    def _process(self, name: str) -> Process:
        if name not in self._names():
            unknown = f"there is no service {name!r} here" if name else "which service? SERVICE=… names it"
            raise StackError(f"{unknown}; there are: {', '.join(self._names())}")
        if name == BROKER:
            return broker(self._layout, self.shape)
        if name == XENSTORED:
            return xenstored(self._layout, self.shape.store)
        if name == LIBVIRTD:
            return libvirtd(self._layout, self.shape)
        return next(process for process in self._processes() if process.name == name)

    def _spawn(self, process: Process) -> None:
        if process.name == BROKER:
            self.start_broker()
        elif process.name == XENSTORED:
            self.start_xenstored()
        elif process.name == LIBVIRTD:
            self.start_libvirtd()
        else:
            spawn(process, self._layout)

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """Nobody else starts or stops anything of this stack meanwhile."""
        self._layout.root.mkdir(mode=0o700, parents=True, exist_ok=True)
        with self._layout.lock.open("w") as lock:
            deadline = time.monotonic() + LOCK_TIMEOUT_S
            while not _is_taken(lock.fileno()):
                if time.monotonic() > deadline:
                    raise StackError(
                        f"somebody else starts or stops {self._layout.root}: wait, then try again"
                    )
                time.sleep(_POLL_S)
            yield


def _kept_in(shape: Shape) -> tuple[BusKind, StoreKind, BackendName]:
    return shape.bus, shape.store, shape.backend


def _is_taken(handle: int) -> bool:
    with suppress(BlockingIOError):
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return True
    return False
