"""Node: a private RabbitMQ under one directory, on free loopback ports; everything of it ends with its owner.

`python -m bus.node DIR` runs one in the foreground until it is told to stop; its URL is in `DIR/url`.
"""

import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path
from types import TracebackType
from typing import Self

SERVER = Path("/usr/lib/rabbitmq/bin/rabbitmq-server")
"""Debian's; the wrapper on PATH wants to run as user rabbitmq."""

START_TIMEOUT_S = 90.0
STOP_TIMEOUT_S = 20.0
_POLL_S = 0.02
_PROTOCOL_HEADER = b"AMQP\0\0\x09\x01"


class NodeError(Exception):
    """The broker cannot be run; the sentence says why, and what to do."""


class PrivateNode:
    """One RabbitMQ node; its directory keeps its data from one start to the next."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory.resolve()
        self._process: subprocess.Popen[bytes] | None = None
        self._environment: dict[str, str] = {}
        self.port = 0

    @property
    def url(self) -> str:
        """Where services connect to."""
        return f"amqp://guest:guest@127.0.0.1:{self.port}/"

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def start(self) -> None:
        """Start the node and wait until it answers; a second start keeps port and data.

        Raises:
            NodeError: it is not installed, or does not come up; the sentence names its log.
        """
        if not SERVER.exists():
            raise NodeError(f"{SERVER} is missing: install Debian's rabbitmq-server (make setup does)")
        if not self._environment:
            self._prepare()
        log = (self._directory / "log" / "output").open("ab")
        with log:
            self._process = subprocess.Popen(
                [str(SERVER)],
                cwd=self._directory,
                env={**os.environ, **self._environment},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        self._await_answer()
        (self._directory / "url").write_text(self.url)

    def kill(self) -> None:
        """End the node as a crash would."""
        self._signal(signal.SIGKILL)
        self._end_process(0.0)

    def stop(self) -> None:
        """End the node, and the port mapper that it has started. Idempotent."""
        self._signal(signal.SIGTERM)
        self._end_process(STOP_TIMEOUT_S)
        epmd = shutil.which("epmd")
        if epmd and self._environment:
            command = [epmd, "-port", self._environment["ERL_EPMD_PORT"], "-kill"]
            subprocess.run(command, capture_output=True, check=False)
        (self._directory / "url").unlink(missing_ok=True)

    def ctl(self, *arguments: str) -> str:
        """Run rabbitmqctl on the node; answers what it prints."""
        command = [str(SERVER.parent / "rabbitmqctl"), *arguments]
        environment = {**os.environ, **self._environment}
        done = subprocess.run(
            command, cwd=self._directory, env=environment, capture_output=True, text=True, check=False
        )
        if done.returncode:
            raise NodeError(f"rabbitmqctl {' '.join(arguments)} failed: {done.stderr.strip()}")
        return done.stdout

    def _prepare(self) -> None:
        for name in ("mnesia", "log"):
            (self._directory / name).mkdir(parents=True, exist_ok=True)
        self._directory.chmod(0o700)
        cookie = self._directory / ".erlang.cookie"
        if not cookie.exists():
            cookie.write_text(secrets.token_hex(20))
            cookie.chmod(0o400)
        self.port, distribution, epmd = _free_ports(3)
        (self._directory / "enabled_plugins").write_text("[].\n")
        (self._directory / "rabbitmq.conf").write_text(_configuration(self.port))
        here = str(self._directory)
        self._environment = {
            "HOME": here,
            "RABBITMQ_NODENAME": f"xenops{self.port}@localhost",
            "RABBITMQ_NODE_IP_ADDRESS": "127.0.0.1",
            "RABBITMQ_NODE_PORT": str(self.port),
            "RABBITMQ_DIST_PORT": str(distribution),
            "ERL_EPMD_PORT": str(epmd),
            "ERL_EPMD_ADDRESS": "127.0.0.1",
            "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": "-kernel inet_dist_use_interface {127,0,0,1}",
            "RABBITMQ_MNESIA_BASE": f"{here}/mnesia",
            "RABBITMQ_LOG_BASE": f"{here}/log",
            "RABBITMQ_PID_FILE": f"{here}/pid",
            "RABBITMQ_CONFIG_FILE": f"{here}/rabbitmq",
            "RABBITMQ_CONF_ENV_FILE": f"{here}/no-environment.conf",
            "RABBITMQ_ENABLED_PLUGINS_FILE": f"{here}/enabled_plugins",
            "RABBITMQ_GENERATED_CONFIG_DIR": f"{here}/generated",
            "LANG": "C.UTF-8",
        }

    def _await_answer(self) -> None:
        end = time.monotonic() + START_TIMEOUT_S
        while not _answers(self.port):
            if self._process is None or self._process.poll() is not None or time.monotonic() > end:
                self.stop()
                raise NodeError(f"RabbitMQ does not come up; its words are in {self._directory / 'log'}")
            time.sleep(_POLL_S)

    def _signal(self, number: signal.Signals) -> None:
        if self._process is not None and self._process.poll() is None:
            os.killpg(self._process.pid, number)

    def _end_process(self, patience_s: float) -> None:
        if self._process is None:
            return
        try:
            self._process.wait(patience_s or None)
        except subprocess.TimeoutExpired:
            self._signal(signal.SIGKILL)
            self._process.wait()
        self._process = None


def _configuration(port: int) -> str:
    return (
        f"listeners.tcp.1 = 127.0.0.1:{port}\n"
        "loopback_users.guest = true\n"
        "default_user = guest\n"
        "default_pass = guest\n"
        "log.console = false\n"
        "disk_free_limit.absolute = 50MB\n"
    )


def _free_ports(count: int) -> list[int]:
    sockets = [socket.socket() for _ in range(count)]
    for each in sockets:
        each.bind(("127.0.0.1", 0))
    ports = [int(each.getsockname()[1]) for each in sockets]
    for each in sockets:
        each.close()
    return ports


def _answers(port: int) -> bool:
    """Whether a broker greets there: it answers the protocol header with a method frame."""
    try:
        with socket.create_connection(("127.0.0.1", port), 1.0) as connection:
            connection.settimeout(5.0)
            connection.sendall(_PROTOCOL_HEADER)
            return connection.recv(7)[:1] == b"\x01"
    except OSError:
        return False


def main(arguments: list[str]) -> int:
    """Run a node until SIGTERM or SIGINT."""
    if len(arguments) != 1:
        sys.stderr.write("usage: python -m bus.node DIR\n")
        return 2
    ended = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: ended.set())
    try:
        with PrivateNode(Path(arguments[0])) as node:
            sys.stdout.write(f"{node.url}\n")
            sys.stdout.flush()
            ended.wait()
    except NodeError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
