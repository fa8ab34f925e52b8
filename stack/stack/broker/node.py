"""Node: a private RabbitMQ under one directory, on free loopback ports; it ends when its owner ends.

`python -m stack.broker.node DIR INSTANCE...` runs one in the foreground until it is told to stop.
`DIR/urls.json` holds the URL for each role, `DIR/url` the administrator's.
"""

import fcntl
import json
import os
import random
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from types import TracebackType
from typing import IO, Self

from bus.ending import await_end, listen
from bus.roles import Role
from bus.users import ADMINISTRATOR, user_of
from schema.ids import InstanceName

from stack.broker.passwords import keep, write_secret
from stack.broker.placement import ALONE, Placement

SERVER = Path("/usr/lib/rabbitmq/bin/rabbitmq-server")
"""Debian's; the wrapper on PATH wants to run as user rabbitmq."""

START_TIMEOUT_S = 240.0
STOP_TIMEOUT_S = 20.0
PORTS_TIMEOUT_S = 15.0
"""How long a broker whose owner was killed may take to end: who was its client comes to its port again."""

_POLL_S = 0.02
_PORT_MIN, _PORT_END = 10_000, 1 << 16
_ASKED_FOR = Path("/proc/sys/net/ipv4/ip_local_port_range")
"""The first and the last port of those that who asks for any gets, also who connects."""

_LISTENS = "0A"
"""A socket's state in /proc/net/tcp: TCP_LISTEN of Linux, <net/tcp_states.h>."""

_PROTOCOL_HEADER = b"AMQP\0\0\x09\x01"
_HOST = "127.0.0.1"


class NodeError(Exception):
    """The broker cannot be run; the sentence says why, and what to do."""


@dataclass(frozen=True, slots=True)
class NodeTls:
    """Files with which a node serves by TLS alone: an authority, and a certificate and its key.

    With `asks_clients` it lets nobody in without a certificate of the authority.
    """

    authority: Path
    certificate: Path
    key: Path
    asks_clients: bool = False

    def configuration(self, place: str) -> str:
        """As RabbitMQ reads it; `place` is host:port."""
        return (
            "listeners.tcp = none\n"
            f"listeners.ssl.1 = {place}\n"
            f"ssl_options.cacertfile = {self.authority}\n"
            f"ssl_options.certfile = {self.certificate}\n"
            f"ssl_options.keyfile = {self.key}\n"
            f"ssl_options.verify = {'verify_peer' if self.asks_clients else 'verify_none'}\n"
            f"ssl_options.fail_if_no_peer_cert = {str(self.asks_clients).lower()}\n"
        )


class PrivateNode:
    """One RabbitMQ node. Its directory keeps its data, and if it can its ports, from one start to the next.

    The kernel ends broker and port mapper when the thread that called `start` ends, however it does: start a
    node on a thread that lives as long as the node shall. `placement` is where it runs, if not alone on this
    machine's loopback (see `stack.broker.cluster`).
    """

    def __init__(
        self,
        directory: Path,
        instances: Iterable[str] = (),
        tls: NodeTls | None = None,
        *,
        placement: Placement = ALONE,
    ) -> None:
        self._tls = tls
        self._placement = placement
        self._directory = directory.resolve()
        self._instances = tuple(map(InstanceName, instances))
        self._passwords: dict[str, str] = {}
        self._lock: IO[str] | None = None
        self._processes: list[subprocess.Popen[bytes]] = []
        self._environment: dict[str, str] = {}
        self.port = 0

    @property
    def url(self) -> str:
        """Where to connect to as one who may do everything."""
        return self._url(ADMINISTRATOR)

    def url_of(self, role: Role) -> str:
        """Where to connect to in a role: as a user who may do no more, for the instances that were given."""
        return self._url(user_of(role))

    def _url(self, user: str) -> str:
        scheme = "amqps" if self._tls else "amqp"
        return f"{scheme}://{user}:{self._passwords[user]}@{self._placement.host}:{self.port}/"

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def start(self) -> None:
        """Start the node and wait until it answers.

        Raises:
            NodeError: it is not installed, or its directory in use, or it does not come up; the sentence says
                which, and names its log.
        """
        self.launch()
        self.await_answer()

    def launch(self) -> None:
        """Start the node, for `await_answer` to wait: nodes of a cluster wait for each other.

        Raises:
            NodeError: it is not installed, or its directory in use.
        """
        epmd = _find("epmd", "erlang-base")
        if not SERVER.exists():
            raise NodeError(f"{SERVER} is missing: install the package rabbitmq-server (make setup does)")
        self._take_directory()
        ports = self._ports()
        self._prepare(ports)
        self._spawn(signal.SIGKILL, epmd, "-port", str(ports[2]), "-address", self._placement.inner)
        self._spawn(signal.SIGTERM, str(SERVER))

    def await_answer(self) -> None:
        """Wait until it answers.

        Raises:
            NodeError: it does not come up; the sentence names its log.
        """
        end = time.monotonic() + START_TIMEOUT_S
        while not self._answers():
            is_dead = any(process.poll() is not None for process in self._processes)
            if is_dead or time.monotonic() > end:
                self.stop()
                raise NodeError(f"RabbitMQ does not come up; its words are in {self._directory / 'log'}")
            time.sleep(_POLL_S)
        urls = {role: self.url_of(role) for role in Role}
        write_secret(self._directory / "urls.json", json.dumps(urls))
        write_secret(self._directory / "url", self.url)

    def _answers(self) -> bool:
        """Whether a broker answers, and it is this one: a stranger's may have got the port meanwhile."""
        broker = self._processes[-1].pid
        is_by_tls = self._tls is not None
        return _answers(self._placement.host, self.port, by_tls=is_by_tls) and _listens(broker, self.port)

    def kill(self) -> None:
        """End the node as a crash would."""
        self._end(signal.SIGKILL)

    def stop(self) -> None:
        """End the node, and the port mapper that it needs. Idempotent."""
        self._end(signal.SIGTERM)
        (self._directory / "url").unlink(missing_ok=True)

    def ctl(self, *arguments: str) -> str:
        """Run rabbitmqctl on the node; answers what it prints.

        Raises:
            NodeError: it failed; with its words.
        """
        done = subprocess.run(
            [*self._placement.within, str(SERVER.parent / "rabbitmqctl"), *arguments],
            cwd=self._directory,
            env={**os.environ, **self._environment},
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            raise NodeError(f"rabbitmqctl {' '.join(arguments)} failed: {done.stderr.strip()}")
        return done.stdout

    def _take_directory(self) -> None:
        for name in ("mnesia", "log"):
            (self._directory / name).mkdir(parents=True, exist_ok=True)
        self._directory.chmod(0o700)
        lock = (self._directory / "lock").open("w")
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            lock.close()
            raise NodeError(f"a broker runs already in {self._directory}: stop it first") from None
        self._lock = lock

    def _ports(self) -> list[int]:
        """For AMQP, for Erlang's distribution, for the port mapper: the last ones, if they are free."""
        if self._placement.ports:
            return self._placement.ports
        file = self._directory / "ports"
        ports = [int(word) for word in file.read_text().split()] if file.exists() else []
        if len(ports) != 3 or not _are_free_in_time(ports):
            ports = free_ports(3)
            file.write_text(" ".join(map(str, ports)))
        return ports

    def _prepare(self, ports: list[int]) -> None:
        self.port, distribution, epmd = ports
        cookie = self._directory / ".erlang.cookie"
        if not cookie.exists():
            cookie.touch(0o600)
            cookie.write_text(secrets.token_hex(20))
        here = str(self._directory)
        (self._directory / "enabled_plugins").write_text("[].\n")
        (self._directory / "rabbitmq.conf").write_text(self._configuration())
        self._passwords = keep(self._directory, self._instances)
        self._environment = {
            "HOME": here,
            "RUNNING_UNDER_SYSTEMD": "1",  # the start script then becomes the broker, with no shell between
            **self._placement.environment(),
            **({} if self._tls else {"RABBITMQ_NODE_IP_ADDRESS": self._placement.host}),
            **({} if self._tls else {"RABBITMQ_NODE_PORT": str(self.port)}),
            "RABBITMQ_DIST_PORT": str(distribution),
            "ERL_EPMD_PORT": str(epmd),
            "RABBITMQ_MNESIA_BASE": f"{here}/mnesia",
            "RABBITMQ_LOG_BASE": f"{here}/log",
            "RABBITMQ_PID_FILE": f"{here}/pid",
            "RABBITMQ_CONFIG_FILE": f"{here}/rabbitmq",
            "RABBITMQ_CONF_ENV_FILE": f"{here}/no-environment.conf",
            "RABBITMQ_ENABLED_PLUGINS_FILE": f"{here}/enabled_plugins",
            "RABBITMQ_GENERATED_CONFIG_DIR": f"{here}/generated",
            "LANG": "C.UTF-8",
        }

    def _configuration(self) -> str:
        place = f"{self._placement.host}:{self.port}"
        listeners = self._tls.configuration(place) if self._tls else f"listeners.tcp.1 = {place}\n"
        return (
            f"{listeners}"
            f"{self._placement.configuration()}"
            f"load_definitions = {self._directory}/definitions.json\n"
            "log.console = false\n"
            "disk_free_limit.absolute = 50MB\n"
        )

    def _spawn(self, last_word: signal.Signals, *command: str) -> None:
        """Run a program that is sent `last_word` when its owner is gone."""
        setpriv, signal_name = _find("setpriv", "util-linux"), last_word.name.removeprefix("SIG")
        with (self._directory / "log" / "output").open("ab") as log:
            process = subprocess.Popen(
                [setpriv, "--pdeathsig", signal_name, *self._placement.within, *command],
                cwd=self._directory,
                env={**os.environ, **self._environment},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        self._processes.append(process)

    def _end(self, number: signal.Signals) -> None:
        """End the broker by a signal, then the port mapper, which nobody needs any more."""
        while self._processes:
            process = self._processes.pop()
            process.send_signal(number)
            try:
                process.wait(STOP_TIMEOUT_S)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        if self._lock is not None:
            self._lock.close()
            self._lock = None


def role_url(directory: Path, role: Role) -> str | None:
    """Where to connect to in a role, at the node that another process runs in a directory, if one does."""
    try:
        urls: dict[str, str] = json.loads((directory / "urls.json").read_text())
    except FileNotFoundError:
        return None
    return urls[role]


def _find(program: str, package: str) -> str:
    found = shutil.which(program)
    if found is None:
        raise NodeError(f"the program {program} is missing: install the package {package}")
    return found


def free_ports(count: int) -> list[int]:
    """Such as nobody gets who asks for any: the broker listens there seconds later, and others start, too.

    A stranger's broker that has got one meanwhile answers like ours, and refuses our password.
    """
    first = int(_ASKED_FOR.read_text().split()[0])
    unasked = range(_PORT_MIN, first if first > 2 * _PORT_MIN else _PORT_END)
    return list(islice(filter(_is_free, random.sample(unasked, len(unasked))), count))


def _are_free_in_time(ports: Iterable[int]) -> bool:
    """Wait for whoever has them, usually the broker before, which is about to end; no: it goes on."""
    end = time.monotonic() + PORTS_TIMEOUT_S
    while not all(map(_is_free, ports)):
        if time.monotonic() > end:
            return False
        time.sleep(_POLL_S)
    return True


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as the broker does
        try:
            probe.bind((_HOST, port))
        except OSError:
            return False
    return True


def _answers(host: str, port: int, *, by_tls: bool) -> bool:
    """Whether a broker greets there: it answers the protocol header with a frame; by TLS it listens."""
    try:
        with socket.create_connection((host, port), 1.0) as connection:
            if by_tls:
                return True
            connection.settimeout(5.0)
            connection.sendall(_PROTOCOL_HEADER)
            return connection.recv(7)[:1] == b"\x01"
    except OSError:
        return False


def _listens(pid: int, port: int) -> bool:
    """Whether a process has the socket that listens at a port, in its own network."""
    try:
        lines = [line.split() for line in Path(f"/proc/{pid}/net/tcp").read_text().splitlines()[1:]]
        inodes = {words[9] for words in lines if words[3] == _LISTENS and _port_of(words[1]) == port}
        files = set(_files_of(pid))
    except PermissionError:
        return True  # nobody can tell here whose it is
    except OSError:
        return False  # it has just ended
    return any(f"socket:[{inode}]" in files for inode in inodes)


def _files_of(pid: int) -> Iterator[str]:
    for link in Path(f"/proc/{pid}/fd").iterdir():
        with suppress(FileNotFoundError):  # closed meanwhile
            yield str(link.readlink())


def _port_of(address: str) -> int:
    return int(address.rpartition(":")[2], 16)


def main(arguments: list[str]) -> int:
    """Run a node until SIGTERM or SIGINT."""
    if not arguments:
        sys.stderr.write("usage: python -m stack.broker.node DIR [INSTANCE...]\n")
        return 2
    ended = listen()
    try:
        with PrivateNode(Path(arguments[0]), arguments[1:]) as node:
            sys.stdout.write(f"RabbitMQ answers at port {node.port}\n")
            sys.stdout.flush()
            await_end(ended)
    except NodeError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
