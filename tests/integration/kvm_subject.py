"""A subject of the conformance suite whose guests run on QEMU, whichever backend runs that."""

import itertools
import subprocess
from pathlib import Path

from engine.conformance import Subject
from engine.conformance.samples import sample_vm
from schema.ids import DeviceId
from schema.objects.disk import BusType, Disk, LocalDisk
from schema.objects.vbd import Vbd, VbdMode, VbdType
from schema.objects.vif import Vif
from schema.objects.vm import Hvm, Pv, Pvh, Vm
from stack.guest import guest_in
from typing_extensions import override

GUEST = guest_in(Path("var/guest"))
MIB = 1 << 20


class KvmSubject(Subject):
    """VMs of one kind, with disks in a directory."""

    def __init__(self, ty: Pv | Pvh | Hvm, disks: Path) -> None:
        self._ty = ty
        self._disks = disks
        self._numbers = itertools.count()
        self.guest_shuts_down = not isinstance(ty, Hvm)  # the other has nothing to boot

    @override
    def make_vm(self) -> Vm:
        size = 128 * MIB
        memory = {"memory_static_max": size, "memory_dynamic_max": size, "memory_dynamic_min": size // 2}
        return sample_vm(f"vm-{next(self._numbers)}", ty=self._ty, vcpus=1, vcpu_max=2, **memory)

    @override
    def make_vbd(self, vm: Vm, number: int) -> Vbd:
        return Vbd(
            id=DeviceId(vm.id, f"xvd{'abcd'[number]}"),
            position=(BusType.XEN, number, 0),
            backend=LocalDisk(path=str(self._disk(f"{vm.id}-{number}", "qcow2" if number % 2 else "raw"))),
        )

    @override
    def make_cd(self, vm: Vm, number: int) -> Vbd:
        return Vbd(
            id=DeviceId(vm.id, f"xvd{'abcd'[number]}"),
            ty=VbdType.CDROM,
            mode=VbdMode.READ_ONLY,
            backend=LocalDisk(path=str(self._disk(f"{vm.id}-cd-{number}", "raw"))),
        )

    @override
    def make_vif(self, vm: Vm, number: int) -> Vif:
        return Vif(id=DeviceId(vm.id, str(number)), position=number, mac=f"52:54:00:00:00:{number:02x}")

    @override
    def make_image(self) -> Disk:
        return LocalDisk(path=str(self._disk(f"image-{next(self._numbers)}", "raw")))

    def _disk(self, name: str, kind: str) -> Path:
        path = self._disks / f"{name}.{kind}"
        subprocess.run(["qemu-img", "create", "-q", "-f", kind, str(path), "4M"], check=True)
        return path
