"""TPM: a swtpm for each VM that has a vTPM; it lives as long as QEMU, its state as long as the VM."""

import hashlib
import os
import shutil
import socket
import stat
import subprocess
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path

from schema.fault import internal_error
from schema.objects.vm import Hvm, Vm

from worker_kvm.qemu.machine import Process
from worker_kvm.qemu.process import Program, ends, kill, spawn
from worker_kvm.qemu.user import User, launcher

SWTPM, SWTPM_SETUP = "swtpm", "swtpm_setup"

END_TIMEOUT_S = 5.0
"""How long swtpm may take to end once its QEMU has; then it is killed."""

_SETUP_TIMEOUT_S = 60.0

_STATE = "tpm2-00.permall"
"""Swtpm's file of what a TPM 2.0 keeps."""


@dataclass(frozen=True, slots=True)
class RunningTpm:
    """A swtpm, and the socket by which QEMU drives it."""

    process: Process
    socket: int


class Tpms:
    """The vTPMs of a host's VMs; their states are kept in `directory` until the VMs are forgotten."""

    def __init__(self, directory: Path, user: User | None = None) -> None:
        self._directory = directory
        self._user = user

    def start(self, name: str, domid: int, log: Path, closing: ExitStack, *, is_new: bool) -> RunningTpm:
        """Start the swtpm of a VM, `name` by now; it ends when the socket is closed here and by QEMU.

        `is_new`: the TPM is made, unless there is one; else its state comes with the guest's. `closing`
        closes our end.

        Raises:
            OSError: it does not start, or its state is not what swtpm leaves.
        """
        directory = self._give(name, domid)
        words = launcher(self._user, domid)
        if is_new and not (directory / _STATE).exists():
            _set_up(name, words, directory)
        ours, theirs = socket.socketpair()
        closing.enter_context(ours)
        with theirs:
            control = f"type=unixio,clientfd={theirs.fileno()}"
            command = [SWTPM, "socket", "--tpm2", "--tpmstate", "dir=.", "--ctrl", control, "--terminate"]
            process = spawn(Program([*words, *command], directory, log), [theirs.fileno()])
        return RunningTpm(process, ours.fileno())

    def rename(self, vm: str, name: str) -> None:
        """Let a VM's TPM be another's; it has none, nothing to do."""
        if self._state(vm).exists():
            self._state(vm).rename(self._state(name))

    def forget(self, vm: str) -> None:
        """Remove what a VM's TPM keeps; it has none, nothing to do."""
        with suppress(FileNotFoundError):
            shutil.rmtree(self._state(vm))

    def _state(self, vm: str) -> Path:
        """A name that holds whatever a client calls its VM."""
        return self._directory / hashlib.sha256(vm.encode(errors="surrogateescape")).hexdigest()

    def _give(self, name: str, domid: int) -> Path:
        """A VM's directory, and what swtpm has left in it, as its domain's user's now."""
        directory = self._state(name)
        directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        if self._user is not None:
            for path in (*directory.iterdir(), directory):
                found = path.lstat()
                if path != directory and not (stat.S_ISREG(found.st_mode) and found.st_nlink == 1):
                    raise OSError(f"{path} is no file of swtpm's: see what it is, and remove it")
                os.chown(path, *self._user.of(domid), follow_symlinks=False)
        return directory


def has_tpm(vm: Vm) -> bool:
    """Whether a VM has a vTPM."""
    return isinstance(vm.ty, Hvm) and vm.ty.info.tpm is not None


def refuse_without_swtpm(vm: Vm) -> None:
    """Errors: `Internal_error` when a VM has a vTPM and the host no swtpm."""
    if has_tpm(vm):
        for program in (SWTPM, SWTPM_SETUP):
            if shutil.which(program) is None:
                raise internal_error(
                    f"VM {vm.id} has a vTPM, and there is no {program} on PATH: install it (Debian: swtpm "
                    "and swtpm-tools)"
                )


def end_tpm(process: Process | None) -> None:
    """Wait for a swtpm whose QEMU has ended, so that its state is whole and free; None, or ended: nothing."""
    if process is not None and not ends(process, END_TIMEOUT_S):
        kill(process)
        ends(process, END_TIMEOUT_S)


def _set_up(vm: str, words: list[str], directory: Path) -> None:
    """Make a TPM, with measurements by SHA-256 alone: each further bank costs the firmware as much again."""
    options = [
        "--tpm2",
        "--tpmstate",
        ".",
        "--pcr-banks",
        "sha256",
        "--config",
        os.devnull,
        "--not-overwrite",
    ]
    environment = {"PATH": os.environ.get("PATH", os.defpath)}
    try:
        done = subprocess.run(
            [*words, SWTPM_SETUP, *options],
            capture_output=True,
            text=True,
            errors="replace",
            check=False,
            timeout=_SETUP_TIMEOUT_S,
            env=environment,
            cwd=directory,
        )
    except subprocess.TimeoutExpired as error:
        raise OSError(
            f"{SWTPM_SETUP} did not make a TPM for VM {vm} within {_SETUP_TIMEOUT_S:g} s"
        ) from error
    if done.returncode:
        said = " ".join((done.stdout + done.stderr).split())[-500:]
        raise OSError(f"{SWTPM_SETUP} did not make a TPM for VM {vm}: {said}")
