"""The peer: a QEMU with the very arguments of the worker's, spoken to by QMP over a bare socket."""

import json
import os
import socket
import subprocess
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from worker_kvm.accelerator import Accelerator
from worker_kvm.qemu.command import Inherited, command_line
from worker_kvm.qemu.machine import Domain
from worker_kvm.qemu.starting import listen, with_files

PATIENCE_S = 60.0

Words = Callable[[int, ExitStack], tuple[Sequence[str], Sequence[int]]]
"""QEMU's arguments and the open files in them, of its monitor's listening socket as an open file; the others
are open until the stack ends."""


class BareQemu:
    """One QEMU, from its start to its greeting; what it complains of goes where the bench's own errors go.

    `environment` is what it finds beside the bench's own.

    It has a session of its own, as the worker's has: Linux shares the processors among sessions (autogroup),
    so that on a busy machine a QEMU within the bench's would come up sooner by half.
    """

    def __init__(
        self, qemu: str, monitor: Path, words: Words, environment: Mapping[str, str] | None = None
    ) -> None:
        with ExitStack() as opened:
            arguments, files = words(listen(monitor, opened), opened)
            self._process = subprocess.Popen(
                [qemu, *arguments],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                pass_fds=files,
                env={**os.environ, **(environment or {})},
                start_new_session=True,
            )
        self._line = socket.socket(socket.AF_UNIX)
        self._line.settimeout(PATIENCE_S)
        self._migrations: deque[str] = deque()
        try:
            self._line.connect(str(monitor))
            self._answers = self._line.makefile("r")
            self._read()
            self.do("qmp_capabilities")
        except BaseException:
            self.end()
            raise

    def do(self, command: str, arguments: Mapping[str, object] | None = None) -> Any:
        """Have it do something; answers its reply."""
        self._line.sendall(_encoded(command, arguments or {}))
        return self._reply()

    def give(self, file: int, name: str) -> None:
        """Give it an open file."""
        socket.send_fds(self._line, [_encoded("getfd", {"fdname": name})], [file])
        self._reply()

    def until(self, status: str) -> None:
        """Wait until a state on its way is as far as this."""
        while status not in self._migrations:
            message = self._read()
            assert "event" in message
            if "failed" in self._migrations:
                raise SystemExit(f"the bare QEMU's migration has failed before it was {status}")
        self._migrations.clear()

    def quit(self) -> None:
        """Let it put all away, and wait for its end."""
        self.do("quit")
        self._process.wait(PATIENCE_S)
        self._close()

    def end(self) -> None:
        """End it at once; it has ended already, nothing to do."""
        self._process.kill()
        self._process.wait(PATIENCE_S)
        self._close()

    def _close(self) -> None:
        if hasattr(self, "_answers"):
            self._answers.close()
        self._line.close()

    def _reply(self) -> Any:
        while True:
            message = self._read()
            if "error" in message:
                raise SystemExit(f"the bare QEMU says no: {message['error']['desc']}")
            if "return" in message:
                return message["return"]

    def _read(self) -> dict[str, Any]:
        line = self._answers.readline()
        if not line:
            raise SystemExit(
                f"the bare QEMU has ended ({self._process.wait(PATIENCE_S)}); its words are above"
            )
        message: dict[str, Any] = json.loads(line)
        if message.get("event") == "MIGRATION":
            self._migrations.append(message["data"]["status"])
        return message


def words_of(
    domain: Domain, accelerator: Accelerator, directory: Path, *, awaits_state: bool = False
) -> Words:
    """What the worker would tell the QEMU of such a domain."""
    directory.mkdir(exist_ok=True)

    def words(monitor: int, opened: ExitStack) -> tuple[Sequence[str], Sequence[int]]:
        console = listen(directory / "console", opened)
        agent = listen(directory / "agent", opened) if domain.has_agent_port else None
        given = Inherited(monitor, console, agent, awaits_state=awaits_state)
        inherited = with_files(given, domain, None, opened)
        return command_line(domain, accelerator, inherited), inherited.descriptors

    return words


def words_of_none(accelerator: Accelerator) -> Words:
    """The least that there can be: a machine without any device, which waits."""

    def words(monitor: int, _: ExitStack) -> tuple[Sequence[str], Sequence[int]]:
        arguments = [
            *("-nodefaults", "-no-user-config", "-display", "none", "-S", "-machine", "q35", "-m", "96"),
            *("-accel", accelerator, "-chardev", f"socket,id=monitor,fd={monitor},server=on,wait=off"),
            *("-mon", "chardev=monitor,mode=control"),
        ]
        return arguments, [monitor]

    return words


def _encoded(command: str, arguments: Mapping[str, object]) -> bytes:
    return json.dumps({"execute": command, "arguments": arguments}).encode()
