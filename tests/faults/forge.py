"""Forge: services as forks of one process that has imported them all, so that a start costs no imports.

A sweep kills and starts a service at each of hundreds of points. Nearly all that a start costs is imports,
half a second of a processor and more; on a machine that others use the sweep would do little else. All else
is as by `python -m`: a process of its own, its environment, its words, its exit code.

`python forge.py MODULE...` reads orders from its standard input, one a line, and ends with it.
"""

from __future__ import annotations

import importlib
import json
import os
import runpy
import select
import signal
import subprocess
import sys
import threading
from collections.abc import Iterable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, NoReturn, Self


class Forge:
    """Starts the services that are named when it is made; each is a child of the forge's, not ours."""

    def __init__(self, modules: Iterable[str]) -> None:
        self._process = subprocess.Popen(
            [sys.executable, __file__, *dict.fromkeys(modules)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self._turn = threading.Lock()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._process.communicate()

    def start(self, module: str, environment: Mapping[str, str], log: Path) -> Forked:
        """Start a service whose words are appended to a file."""
        return Forked(self, self.order(module=module, environment=dict(environment), log=str(log)))

    def order(self, **words: Any) -> int:
        """Have something done; answers what came of it."""
        with self._turn:
            to, answers = self._process.stdin, self._process.stdout
            assert to is not None
            assert answers is not None
            to.write(json.dumps(words) + "\n")
            to.flush()
            return int(answers.readline())


class Forked:
    """A process of a forge, in the words of `subprocess.Popen`."""

    def __init__(self, forge: Forge, pid: int) -> None:
        self.pid = pid
        self._forge = forge
        self._file = os.pidfd_open(pid)
        self._code: int | None = None

    def poll(self) -> int | None:
        """The exit code of one that has ended."""
        return self._ended(0.0)

    def wait(self, timeout: float | None = None) -> int:
        """Wait for the end; answers the exit code."""
        code = self._ended(timeout)
        if code is None:
            raise subprocess.TimeoutExpired(f"process {self.pid}", timeout or 0.0)
        return code

    def _ended(self, timeout_s: float | None) -> int | None:
        if self._code is None and select.select([self._file], [], [], timeout_s)[0]:
            self._code = self._forge.order(end_of=self.pid)
            os.close(self._file)
        return self._code

    def send_signal(self, number: int) -> None:
        """Send a signal to one that runs."""
        if self.poll() is None:
            signal.pidfd_send_signal(self._file, number)

    def kill(self) -> None:
        """End it as a crash would."""
        self.send_signal(signal.SIGKILL)

    def terminate(self) -> None:
        """Ask it to end."""
        self.send_signal(signal.SIGTERM)


# --- the forge's own process ---------------------------------------------------------------------------


def main(modules: list[str]) -> NoReturn:
    """Import, then do what is ordered, until nobody orders any more."""
    for module in modules:
        importlib.import_module(f"{module}.__main__")
        del sys.modules[f"{module}.__main__"]  # it is run anew, as what was started
    assert threading.active_count() == 1, "who forks has no threads"
    for line in sys.stdin:
        order = json.loads(line)
        if "end_of" in order:
            _, status = os.waitpid(order["end_of"], 0)
            _answer(os.waitstatus_to_exitcode(status))
        elif pid := os.fork():
            _answer(pid)
        else:
            _become(order["module"], order["environment"], order["log"])
    sys.exit(0)


def _answer(number: int) -> None:
    sys.stdout.write(f"{number}\n")
    sys.stdout.flush()


def _become(module: str, environment: dict[str, str], log: str) -> NoReturn:
    """What `python -m` would do with it; by `orig_argv` a service begins anew that has lost its log."""
    words, nothing = os.open(log, os.O_WRONLY | os.O_APPEND | os.O_CREAT), os.open(os.devnull, os.O_RDONLY)
    for file, number in ((nothing, 0), (words, 1), (words, 2)):
        os.dup2(file, number)
    os.environ.clear()
    os.environ.update(environment)
    sys.orig_argv = [sys.executable, "-m", module]
    sys.argv = [module]
    runpy.run_module(module, run_name="__main__", alter_sys=True)
    sys.exit(0)


if __name__ == "__main__":
    main(sys.argv[1:])
