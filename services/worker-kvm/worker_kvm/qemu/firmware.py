"""Firmware: UEFI from Debian's OVMF, and each VM's file of UEFI variables."""

import hashlib
import shutil
from dataclasses import dataclass
from pathlib import Path

from engine.records import replace
from schema.fault import internal_error
from schema.objects.vm import Hvm, Uefi, UefiOnBoot, Vm

OVMF = Path("/usr/share/OVMF")
"""Where Debian's package `ovmf` puts it."""

_CODE, _VARIABLES = "OVMF_CODE_4M.fd", "OVMF_VARS_4M.fd"


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

    def refuse_if_missing(self, vm: Vm) -> None:
        """Errors: `Internal_error` when a VM wants UEFI and the host has none."""
        if _uefi(vm) is not None:
            for name in (_CODE, _VARIABLES):
                if not (self._ovmf / name).is_file():
                    raise internal_error(
                        f"VM {vm.id} boots by UEFI, and there is no {self._ovmf / name}: install it (Debian: "
                        "ovmf)"
                    )

    def files(self, name: str, vm: Vm) -> UefiFiles | None:
        """What a VM, `name` by now, boots by; None: BIOS, or a kernel. Variables are new unless they persist.

        Raises:
            OSError: the variables cannot be written.
        """
        uefi = _uefi(vm)
        if uefi is None:
            return None
        variables = self._variables(name)
        if not variables.exists() or uefi.variables.on_boot is UefiOnBoot.RESET:
            self._directory.mkdir(parents=True, exist_ok=True, mode=0o700)
            replace(variables, (self._ovmf / _VARIABLES).read_bytes())
        return UefiFiles(self._ovmf / _CODE, variables)

    def rename(self, vm: str, name: str) -> None:
        """Let a VM's variables be another's; it has none, nothing to do."""
        if self._variables(vm).exists():
            shutil.move(self._variables(vm), self._variables(name))

    def forget(self, vm: str) -> None:
        """Remove a VM's variables; it has none, nothing to do."""
        self._variables(vm).unlink(missing_ok=True)

    def _variables(self, vm: str) -> Path:
        """A name that holds whatever a client calls its VM."""
        return self._directory / f"{hashlib.sha256(vm.encode(errors='surrogateescape')).hexdigest()}.fd"


def _uefi(vm: Vm) -> Uefi | None:
    return vm.ty.info.firmware if isinstance(vm.ty, Hvm) and isinstance(vm.ty.info.firmware, Uefi) else None
