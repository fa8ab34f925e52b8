"""Xenstored: a real xenstored of either kind as a process of one's own, on a machine without Xen.

    python -m stack.xenstored DIRECTORY xenstored|oxenstored

It listens at DIRECTORY/socket, and what it keeps is in its memory alone. `make setup` has built it.
"""

import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Self

from stack.processes import StackError

BUILD = Path(__file__).resolve().parents[2] / "var" / "xenstored" / "current"
"""Where `make setup` puts both daemons."""

READY_TIMEOUT_S = 30.0
"""How long a daemon may take to answer; it takes 30 ms."""

_PAGE_BYTES = 4096
_POLL_S = 0.005
_CONFIGURATION = """\
persistent = false
xenstored-kva = /proc/xen/xsd_kva
xenstored-port = /proc/xen/xsd_port
"""


def prepare(directory: Path) -> None:
    """Make what the daemon looks for: a page to share with a kernel that there is not, and its settings."""
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    (directory / "xsd_kva").write_bytes(bytes(_PAGE_BYTES))
    (directory / "xsd_port").write_text("1")
    (directory / "oxenstored.conf").write_text(_CONFIGURATION)
    (directory / "socket").unlink(missing_ok=True)


def command(directory: Path, kind: str) -> list[str]:
    """How the daemon is started."""
    daemon = BUILD / kind
    if not daemon.exists():
        raise StackError(f"there is no {kind} in {BUILD}: `make setup` first")
    if kind == "xenstored":
        return [str(daemon), "--no-fork"]
    return [str(daemon), "--no-fork", "--config-file", str(directory / "oxenstored.conf")]


def environment(directory: Path) -> dict[str, str]:
    """What the daemon has in its environment."""
    libraries = {"LD_LIBRARY_PATH": str(BUILD / "lib"), "LD_PRELOAD": str(BUILD / "shim.so")}
    return {**os.environ, **libraries, "XENSTORED_SHIM_ROOT": str(directory)}


def answers_in_time(path: Path, lives: Callable[[], bool]) -> bool:
    """Wait until somebody listens at the socket; answers whether that came to be."""
    deadline = time.monotonic() + READY_TIMEOUT_S
    while not _listens(path):
        if not lives() or time.monotonic() > deadline:
            return False
        time.sleep(_POLL_S)
    return True


def _listens(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX) as probe:
        return probe.connect_ex(str(path)) == 0


class PrivateXenstored:
    """A daemon that lives as long as this context, and may be killed and started within."""

    def __init__(self, directory: Path, kind: str) -> None:
        self._directory = directory
        self._kind = kind
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.kill()

    @property
    def socket(self) -> Path:
        """Where it listens."""
        return self._directory / "socket"

    @property
    def pid(self) -> int:
        """The process."""
        if self._process is None:
            raise StackError(f"no {self._kind} runs in {self._directory}: start it")
        return self._process.pid

    def start(self) -> None:
        """Start it, empty, and wait until it answers."""
        prepare(self._directory)
        with (self._directory / "log").open("ab") as log:
            self._process = subprocess.Popen(
                command(self._directory, self._kind),
                env=environment(self._directory),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        process = self._process
        if not answers_in_time(self.socket, lambda: process.poll() is None):
            raise StackError(f"{self._kind} does not come up; its words are in {self._directory / 'log'}")

    def kill(self) -> None:
        """End it as a crash would; all that it kept is gone."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None


def main(arguments: list[str]) -> None:
    """Become the daemon."""
    directory, kind = Path(arguments[0]), arguments[1]
    prepare(directory)
    words = command(directory, kind)
    os.execve(words[0], words, environment(directory))  # noqa: S606  that is what it is for


if __name__ == "__main__":
    main(sys.argv[1:])
