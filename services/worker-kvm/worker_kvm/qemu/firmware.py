"""Firmware: UEFI from Debian's OVMF, and each VM's file of UEFI variables."""

import hashlib
import shutil
from dataclasses import dataclass
from pathlib import Path

from engine.hosted.records import replace
from schema.fault import internal_error
from schema.objects.vm import Hvm, Uefi, UefiOnBoot, Vm

OVMF = Path("/usr/share/OVMF")
"""Where Debian's package `ovmf` puts it."""

SECURE_BOOT = ("secureboot", "true")
"""The platform's key for it, as xapi's."""

_FILES = {
    False: ("OVMF_CODE_4M.fd", "OVMF_VARS_4M.fd"),
    True: ("OVMF_CODE_4M.secboot.fd", "OVMF_VARS_4M.ms.fd"),
}
"""Code and new variables, by whether the system must be signed; then Microsoft's keys are enrolled."""


@dataclass(frozen=True, slots=True)
class UefiFiles:
    """The firmware, which all VMs share, and a VM's own variables."""

    code: Path
    variables: Path


class Firmware:
    """The firmware of a host; VMs' variables are kept in `directory` until they are forgotten."""

    def __init__(self, directory: Path, ovmf: Path = OVMF) -> None:
        self._directory = directory
        self._ovmf = ovmf

    def files(self, name: str, vm: Vm) -> UefiFiles | None:
        """What a VM, `name` by now, boots by; None: BIOS, or a kernel. Variables are new unless they persist.

        Raises:
            OSError: the variables cannot be written.
        """
        new = shipped(vm, self._ovmf)
        if new is None:
            return None
        variables = self._variables(name, is_secure=wants_secure_boot(vm))
        if not variables.exists() or begins_anew(vm):
            self._directory.mkdir(parents=True, exist_ok=True, mode=0o700)
            replace(variables, new.variables.read_bytes())
        return UefiFiles(new.code, variables)

    def rename(self, vm: str, name: str) -> None:
        """Let a VM's variables be another's; it has none, nothing to do."""
        for is_secure in _FILES:
            variables = self._variables(vm, is_secure=is_secure)
            if variables.exists():
                shutil.move(variables, self._variables(name, is_secure=is_secure))

    def forget(self, vm: str) -> None:
        """Remove a VM's variables; it has none, nothing to do."""
        for is_secure in _FILES:
            self._variables(vm, is_secure=is_secure).unlink(missing_ok=True)

    def _variables(self, vm: str, *, is_secure: bool) -> Path:
        """A name that holds whatever a client calls its VM.

        With secure boot there are others: those without have no keys, and would let everything boot.
        """
        name = hashlib.sha256(vm.encode(errors="surrogateescape")).hexdigest()
        return self._directory / f"{name}{'.secure' if is_secure else ''}.fd"


def shipped(vm: Vm, ovmf: Path = OVMF) -> UefiFiles | None:
    """What a VM's firmware is made of: its code, and variables as they are when it is new; None: no UEFI."""
    if _uefi(vm) is None:
        return None
    code, new = _FILES[wants_secure_boot(vm)]
    return UefiFiles(ovmf / code, ovmf / new)


def refuse_if_missing(vm: Vm, ovmf: Path = OVMF) -> None:
    """Errors: `Internal_error` when a VM wants UEFI and the host has none."""
    files = shipped(vm, ovmf)
    for path in () if files is None else (files.code, files.variables):
        if not path.is_file():
            raise internal_error(
                f"VM {vm.id} boots by UEFI, and there is no {path}: install it (Debian: ovmf)"
            )


def begins_anew(vm: Vm) -> bool:
    """Whether its variables are new at each start."""
    uefi = _uefi(vm)
    return uefi is not None and uefi.variables.on_boot is UefiOnBoot.RESET


def boots_by_uefi(vm: Vm) -> bool:
    """Whether its firmware is UEFI."""
    return _uefi(vm) is not None


def wants_secure_boot(vm: Vm) -> bool:
    """Whether the firmware shall boot only what is signed; there is none without UEFI."""
    return boots_by_uefi(vm) and SECURE_BOOT in vm.platformdata


def _uefi(vm: Vm) -> Uefi | None:
    return vm.ty.info.firmware if isinstance(vm.ty, Hvm) and isinstance(vm.ty.info.firmware, Uefi) else None
