"""Libvirtd: one for tests and benches, with files, mounts, name and network of its own; it ends its QEMUs.

    python -m stack.libvirtd reap COMMAND…
    python -m stack.libvirtd serve DIRECTORY [NAMESPACE]

runs a command, or a libvirtd, takes in every process that loses its parent below it, and ends them all when
it is ended; the first also when who started it ends.
"""

import ctypes
import os
import shlex
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Self

from virt.connection import Connection
from virt.mark import MARK
from virt.values import VirtEvent

from stack.libvirt_places import libvirt_logs, libvirt_socket, libvirt_uri
from stack.waiting import takes_connections

PATIENCE_S = 60.0

LIBVIRTD = "/usr/sbin/libvirtd"

SMALL_BYTES = 1 << 18
"""Less than a suspended guest needs."""
_POLL_S = 0.02

_PR_SET_PDEATHSIG, _PR_SET_CHILD_SUBREAPER = 1, 36
"""Linux, <linux/prctl.h>."""

_QEMU_CONF = """\
user = "root"
group = "root"
dynamic_ownership = 0
remember_owner = 0
security_driver = "none"
cgroup_controllers = [ ]
namespaces = [ ]
stdio_handler = "file"
set_process_name = 0
swtpm_user = "root"
swtpm_group = "root"
"""

_BOUND = {
    "run": "/run/libvirt",
    "lib": "/var/lib/libvirt",
    "cache": "/var/cache/libvirt",
    "log": "/var/log/libvirt",
    "etc": "/etc/libvirt",
}
"""What libvirtd has of its own, and where it looks for it."""

_USERS = {
    "passwd": "libvirt-qemu:x:64055:64055::/var/lib/libvirt:/usr/sbin/nologin\n",
    "group": "libvirt-qemu:x:64055:\n",
}
"""Its driver does not start without that user, which libvirt-daemon-system would make for the whole host."""


class _Deaf:
    def on_event(self, event: VirtEvent) -> None:
        pass

    def on_connected(self) -> None:
        pass


class LibvirtDaemon:
    """libvirtd with QEMU's driver alone, a host of its own to others; `logs` is where QEMU's words are."""

    def __init__(self, directory: Path, namespace: str | None = None) -> None:
        self.directory = directory
        self.namespace = namespace
        self._host_uuid = str(uuid.uuid5(uuid.NAMESPACE_URL, f"file://{directory.resolve()}"))
        self._reapers: list[subprocess.Popen[bytes]] = []
        self._socket = libvirt_socket(directory)
        self._prepare()

    @property
    def uri(self) -> str:
        """Where it is reached."""
        return libvirt_uri(self.directory)

    @property
    def logs(self) -> Path:
        """The logs of its QEMUs."""
        return libvirt_logs(self.directory)

    @property
    def small(self) -> Path:
        """A directory in which libvirtd finds little room."""
        return self.directory / "small"

    @property
    def pid(self) -> int:
        """Its process."""
        return int((self.directory / "pid").read_text())

    def start(self) -> None:
        """Start it, and wait until it takes connections."""
        command = self.command()
        with (self.directory / "out").open("ab") as out:
            self._reapers.append(
                subprocess.Popen(
                    [sys.executable, "-m", "stack.libvirtd", "reap", *command],
                    stdin=subprocess.DEVNULL,
                    stdout=out,
                    stderr=out,
                )
            )
        self._await(self._takes_connections, f"libvirtd does not start: {shlex.join(command)}")

    def command(self) -> list[str]:
        """How it is started, with mounts and a network of its own."""
        self._socket.unlink(missing_ok=True)
        inside = "; ".join(
            [
                "set -e",
                *(
                    f"mkdir -p {path}; mount --bind {self.directory / name} {path}"
                    for name, path in _BOUND.items()
                ),
                *(f"mount --bind {self.directory / name} /etc/{name}" for name in _USERS),
                f"mount -t tmpfs -o size={SMALL_BYTES} none {self.small}",
                f"hostname xenops-{self._host_uuid[:8]}",
                f"exec {LIBVIRTD} -f /etc/libvirt/libvirtd.conf -p {self.directory / 'pid'}",
            ]
        )
        enter = ["ip", "netns", "exec", self.namespace] if self.namespace else []
        return [*enter, "unshare", "--mount", "--uts", "--propagation", "private", "sh", "-c", inside]

    def kill(self) -> None:
        """End it as by a crash; its QEMUs live on."""
        pid = self.pid
        os.kill(pid, signal.SIGKILL)
        self._await(lambda: not Path(f"/proc/{pid}").exists(), "a killed libvirtd stays")

    def restart(self) -> None:
        """End it and start another one; QEMUs live on."""
        self.kill()
        self.start()

    def client(self) -> Connection:
        """Libvirt as an operator has it."""
        connection = Connection(self.uri, MARK, _Deaf())
        connection.open()
        return connection

    def destroy_all(self) -> None:
        """End every domain that it has."""
        client = self.client()
        for domain in client.domains():
            client.destroy(domain.uuid)
        client.close()

    def end(self) -> None:
        """End it with all its QEMUs."""
        for reaper in self._reapers:
            reaper.terminate()
        for reaper in self._reapers:
            reaper.wait(PATIENCE_S)
        self._reapers.clear()

    def __enter__(self) -> Self:
        try:
            self.start()
        except BaseException:
            self.end()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.end()

    def _prepare(self) -> None:
        for name in (*_BOUND, "sock", "small"):
            (self.directory / name).mkdir(parents=True, exist_ok=True)
        (self.directory / "etc" / "qemu.conf").write_text(_QEMU_CONF)
        (self.directory / "etc" / "libvirtd.conf").write_text(
            f'unix_sock_dir = "{self._socket.parent}"\nauth_unix_ro = "none"\nauth_unix_rw = "none"\n'
            f'host_uuid = "{self._host_uuid}"\n'
            f'log_outputs = "2:file:{self.directory}/libvirtd.log"\nlog_filters = "3:object 3:event 3:util"\n'
        )
        for name, line in _USERS.items():
            there = Path("/etc", name).read_text()
            (self.directory / name).write_text(there if "libvirt-qemu:" in there else there + line)

    def _takes_connections(self) -> bool:
        return takes_connections(self._socket)

    def _await(self, come: Callable[[], bool], complaint: str) -> None:
        end = time.monotonic() + PATIENCE_S
        while not come():
            if time.monotonic() > end:
                words = (self.directory / "out").read_text()
                raise TimeoutError(f"{complaint}\n{words}")
            time.sleep(_POLL_S)


def reap(command: list[str], *, ends_with_parent: bool = True) -> None:
    """See above."""
    libc = ctypes.CDLL(None)
    libc.prctl(_PR_SET_CHILD_SUBREAPER, 1)
    if ends_with_parent:
        libc.prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
    signal.signal(signal.SIGTERM, lambda *_: _end_children())
    os.posix_spawnp(command[0], command, os.environ)
    while True:
        try:
            os.wait()
        except ChildProcessError:
            return


def _end_children() -> None:
    """All of them, and those whose parents end by that: every one becomes ours sooner or later."""
    while children := _children():
        for child in children:
            with suppress(ProcessLookupError):
                os.kill(child, signal.SIGKILL)
        with suppress(ChildProcessError):
            os.wait()
    sys.exit(0)


def _children() -> list[int]:
    text = Path(f"/proc/self/task/{os.getpid()}/children").read_text()
    return [int(word) for word in text.split()]


def serve(directory: Path, namespace: str | None = None) -> None:
    """See above. It ends with 1 and a sentence where it cannot run."""
    if os.geteuid() != 0 or not Path(LIBVIRTD).exists():
        sys.exit(
            f"a private libvirtd wants root and {LIBVIRTD} (Debian: libvirt-daemon); or leave BACKEND out"
        )
    reap(LibvirtDaemon(directory, namespace).command(), ends_with_parent=False)


if __name__ == "__main__":
    if sys.argv[1] == "serve":
        serve(Path(sys.argv[2]), *sys.argv[3:])
    else:
        reap(sys.argv[2:])
