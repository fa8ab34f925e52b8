"""HVM guests on the Xen test host that are Linux: the tiny guest, which GRUB starts from a first disk."""

from pathlib import Path

from engine.conformance import SuiteExecution
from hvm_subject import BootSectors, Ear
from own_disk import add_grub, make_own_disk
from schema.ids import DeviceId
from schema.objects.disk import BusType, LocalDisk
from schema.objects.vbd import Vbd
from schema.objects.vm import Vm
from typing_extensions import override
from xen_guests import GUEST, MIB, UP

WORDS = "console=ttyS0 quiet panic=-1 cryptomgr.notests"
BOOT_PATIENCE_S = 600.0
"""It takes 120 s: its BIOS reads 16 MiB, each sector by an emulated device model."""


class LinuxGuests(BootSectors):
    """Its console is its serial port. Only the first disk is on IDE: what comes later is for its drivers."""

    @override
    def vm(self, *words: str) -> Vm:
        size = 160 * MIB
        memory = {"memory_static_max": size, "memory_dynamic_max": size, "memory_dynamic_min": size}
        self._made[-1:] = [super().vm(*words).model_copy(update=memory)]
        return self._made[-1]

    @override
    def make_vbd(self, vm: Vm, number: int) -> Vbd:
        if number:
            return self.guests.vbd(vm, number)
        disk = self.guests.disk(f"{vm.id}-system").path
        if not Path(disk).stat().st_blocks:
            make_own_disk(Path(disk), GUEST / "vmlinuz-packed", GUEST / "initrd.gz", WORDS)
            add_grub(Path(disk))
        return Vbd(id=DeviceId(vm.id, "hda"), position=(BusType.IDE, 0, 0), backend=LocalDisk(path=disk))

    @override
    def let_boot(self, vm: Vm) -> None:
        self.hears_boot(vm)

    def hears_boot(self, vm: Vm) -> Ear:
        """Let it boot; answers who hears it: of two, each would hear a part."""
        ear = Ear(self, vm, BOOT_PATIENCE_S)
        self.backend.vm.unpause(SuiteExecution(), vm)
        ear.await_words(UP)
        return ear
