"""What runs on the Xen test host: the tiny guest as PV or PVH, disks in files; what a console has said."""

import itertools
import time
from collections.abc import Iterator
from pathlib import Path

from engine.conformance.samples import sample_vm
from schema.ids import DeviceId
from schema.objects.disk import BusType, LocalDisk
from schema.objects.vbd import Vbd, VbdMode, VbdType
from schema.objects.vif import Vif
from schema.objects.vm import DirectBoot, Pv, PvDirectBoot, Pvh, PvInfo, Vm

GUEST = Path("/opt/xenops/sources/var/guest")
CONSOLES = Path("/var/log/xen")
MIB = 1 << 20
PATIENCE_S = 240.0
"""Emulated, on cores that others use, too: all takes many times as long as on a real host."""

UP = "xenops guest: userland is up"


def info(*words: str) -> PvInfo:
    """The tiny guest's kernel and initramfs; `words` are for its command line (see tools/guest-init).

    The kernel's tests of its ciphers would be a quarter of its emulated boot.
    """
    cmdline = " ".join(("console=hvc0 quiet panic=-1 cryptomgr.notests", *words))
    boot = PvDirectBoot(kernel=str(GUEST / "vmlinuz"), ramdisk=str(GUEST / "initrd.gz"), cmdline=cmdline)
    return PvInfo(boot=DirectBoot(boot=boot), framebuffer=False)


class Guests:
    """Makes VMs and their devices, each new, below a directory."""

    def __init__(self, directory: Path, ty: type[Pv] | type[Pvh] = Pv) -> None:
        self._directory = directory
        self._ty = ty
        self._numbers: Iterator[int] = itertools.count()
        self._stem = f"{directory.name}-{time.monotonic_ns()}"

    def vm(self, *words: str) -> Vm:
        size = 128 * MIB
        memory = {"memory_static_max": size, "memory_dynamic_max": size, "memory_dynamic_min": size // 2}
        id_ = f"{self._stem}-{next(self._numbers)}"
        return sample_vm(id_, ty=self._ty(info=info(*words)), vcpus=1, vcpu_max=2, **memory)

    def disk(self, name: str) -> LocalDisk:
        path = self._directory / f"{name}.raw"
        if not path.exists():
            with path.open("wb") as file:
                file.truncate(4 * MIB)
        return LocalDisk(path=str(path))

    def vbd(self, vm: Vm, number: int) -> Vbd:
        id_ = DeviceId(vm.id, f"xvd{'abcd'[number]}")
        return Vbd(id=id_, position=(BusType.XEN, number, 0), backend=self.disk(f"{vm.id}-{number}"))

    def cd(self, vm: Vm, number: int) -> Vbd:
        medium = self.disk(f"{vm.id}-cd-{number}")
        id_ = DeviceId(vm.id, f"xvd{'abcd'[number]}")
        return Vbd(id=id_, ty=VbdType.CDROM, mode=VbdMode.READ_ONLY, backend=medium)

    def vif(self, vm: Vm, number: int) -> Vif:
        mac = f"00:16:3e:00:00:{number:02x}"
        return Vif(id=DeviceId(vm.id, str(number)), position=number, mac=mac)

    def image(self) -> LocalDisk:
        return LocalDisk(path=str(self._directory / f"image-{next(self._numbers)}"))


def await_words(vm: str, words: str) -> None:
    """Wait until a guest has said something on its console."""
    log, end = CONSOLES / f"guest-{vm}.log", time.monotonic() + PATIENCE_S
    while words not in (said := log.read_text(errors="replace") if log.exists() else ""):
        assert time.monotonic() < end, f"{vm} has not said {words!r}, but: {said[-2000:]}"
        time.sleep(0.1)
