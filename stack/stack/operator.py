"""Operator: what a person does in the demo: writes VM files, types commands, looks at what there is."""

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

from schema.objects.vm import ConsoleProtocol

from stack.guest import CMDLINE, Guest, guest_in
from stack.layout import Layout
from stack.local import LocalStack
from stack.processes import StackError, environment
from stack.promises import Seen
from stack.shape import BRIDGE
from stack.teller import Teller

DEMO = "demo"
"""The VM."""

COMMAND_TIMEOUT_S = 75.0
"""No command of the demo takes longer, or something is wrong."""

_DISK_BYTES = 16 << 20


def guest_beside(layout: Layout) -> Guest:
    """The tiny guest, beside the demo's root, if it was built."""
    return guest_in(layout.root.parent / "guest")


class VmFiles:
    """VM files and their disks, in the demo's root."""

    def __init__(self, layout: Layout) -> None:
        self._layout = layout

    def with_guest(self) -> Path:
        """A VM that boots the tiny guest, on real images."""
        guest = guest_beside(self._layout)
        boot = {"kernel": str(guest.kernel), "initrd": str(guest.initrd), "cmdline": CMDLINE}
        command = ["qemu-img", "create", "-q", "-f", "qcow2", self._disk("system.qcow2"), str(_DISK_BYTES)]
        try:
            subprocess.run(command, check=True, capture_output=True, text=True)
        except FileNotFoundError as error:
            raise StackError("there is no qemu-img on PATH: install it (Debian: qemu-utils)") from error
        except subprocess.CalledProcessError as error:
            raise StackError(f"`{' '.join(command)}` failed: {error.stderr.strip()}") from error
        return self._write("demo.json", {"boot": boot})

    def without_guest(self) -> Path:
        """The same for the simulator, which looks into no image."""
        Path(self._disk("system.qcow2")).touch()
        return self._write("simulated.json", {})

    def _write(self, name: str, more: dict[str, Any]) -> Path:
        with Path(self._disk("data.raw")).open("ab") as data:
            data.truncate(_DISK_BYTES)
        content = {
            "vm": {"id": DEMO, "name": "the demo's VM", "memory": "128 MiB", "vcpus": 1, **more},
            "vbds": [{"device": "xvda", "disk": "system.qcow2"}, {"device": "xvdb", "disk": "data.raw"}],
            "vifs": [{"device": "0", "mac": "52:54:00:00:00:01", "bridge": BRIDGE}],
        }
        path = self._layout.root / name
        path.write_text(json.dumps(content, indent=2) + "\n")
        return path

    def _disk(self, name: str) -> str:
        return str(self._layout.root / name)


class Operator:
    """Somebody at a terminal, with one instance in mind."""

    def __init__(self, layout: Layout, stack: LocalStack, teller: Teller, instance: str) -> None:
        self._layout = layout
        self._stack = stack
        self._teller = teller
        self._instance = instance

    def introduce(self) -> None:
        """Say which instance on which broker commands are for."""
        self._teller.command(
            ("export", f"XENOPS_BROKER={self._stack.url}", f"XENOPS_INSTANCE={self._instance}")
        )

    def xenops(self, *arguments: str, quiet: bool = False) -> None:
        """Run the command as a user would; what it prints is shown, unless it is to be quiet."""
        if not quiet:
            self._teller.command(("xenops", *arguments))
        told = {"XENOPS_BROKER": self._stack.url, "XENOPS_INSTANCE": self._instance}
        output = subprocess.PIPE if quiet else None
        command = [_xenops(), *arguments]
        try:
            done = subprocess.run(
                command,
                env={**environment(self._layout), **told},
                stdout=output,
                stderr=output,
                text=True,
                check=False,
                timeout=COMMAND_TIMEOUT_S,
            )
        except subprocess.TimeoutExpired as error:
            words = f"`xenops {' '.join(arguments)}` has not ended within {COMMAND_TIMEOUT_S:g} s"
            raise StackError(words) from error
        if done.returncode:
            words = f"`xenops {' '.join(arguments)}` ended with exit code {done.returncode}"
            raise StackError(f"{words}: {done.stderr.strip()}" if done.stderr else words)

    def seen(self) -> Seen:
        """The VM and its devices, as the service shows them to the Python client."""
        with self._stack.client(self._instance) as client:
            vm, state = client.vm.stat(DEMO)
            return Seen(vm, state, client.vbd.list(DEMO), client.vif.list(DEMO))

    def console(self) -> str | None:
        """The socket of the VM's text console, if it has one."""
        consoles = self.seen().state.consoles
        texts = (console.path for console in consoles if console.protocol is ConsoleProtocol.VT100)
        return next((path for path in texts if Path(path).is_socket()), None)


def _xenops() -> str:
    """The command of this very installation."""
    beside = Path(sys.executable).with_name("xenops")
    found = str(beside) if beside.exists() else shutil.which("xenops")
    if found is None:
        raise StackError("there is no command xenops: `make setup` installs it")
    return found
