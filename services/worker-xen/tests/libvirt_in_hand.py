"""The libvirt backend of Xen as a subject, with a libvirt in hand."""

import itertools
import queue
from collections.abc import Callable
from pathlib import Path

from engine.conformance import Subject, SuiteExecution
from engine.conformance.samples import sample_vm
from engine.conformance.subject import Life, make_life, refusal
from schema.ids import DeviceId
from schema.objects.disk import BusType, Disk, LocalDisk
from schema.objects.dynamic import ObjectId
from schema.objects.errors import InternalError
from schema.objects.network import LocalNetwork
from schema.objects.vbd import Vbd, VbdMode, VbdType
from schema.objects.vif import Vif
from schema.objects.vm import DirectBoot, Pv, PvDirectBoot, PvInfo, Vm
from typing_extensions import override
from virt_in_hand import NodesInHand, Room, VirtInHand
from worker_xen.libvirt.backend import Libvirt
from worker_xen.libvirt.hypervisor import Hypervisor, LibvirtSettings

UNSUPPORTED = frozenset(
    {
        *("HOST.combine_cpu_policies", "HOST.console_data", "HOST.is_compatible", "HOST.send_debug_keys"),
        *("HOST.update_guest_agent_features", "PCI.plug", "VGPU.set_active", "VGPU.start"),
        *("VIF.set_ipv4_configuration", "VIF.set_locking_mode", "VIF.set_trunks", "VM.request_rdp"),
        *("VM.run_script", "VM.s3resume", "VM.s3suspend", "VM.set_shadow_multiplier", "VM.soft_reset"),
        "VUSB.plug",
    }
)


class InHand(Subject):
    """A host with one bridge, and a kernel."""

    unsupported = UNSUPPORTED
    keeps_domid = False

    def __init__(self, directory: Path) -> None:
        self.room = Room()
        self.nodes = NodesInHand(self.room)
        self.directory = directory
        self.changes: queue.Queue[ObjectId] = queue.Queue()
        self._numbers = itertools.count()
        (directory / "kernel").touch()
        for bridge in ("xenbr0", "xenbr1"):
            (directory / "net" / bridge / "bridge").mkdir(parents=True)
        self.open()

    def open(self) -> None:
        settings = LibvirtSettings(self.directory / "run", "xen:///", "i")
        self.hypervisor = Hypervisor(settings, self.room.connect, self.nodes)
        self.backend = Libvirt(self.hypervisor)
        self.backend.start(self.changes.put)

    def close(self) -> None:
        """As the worker's end does; what happens meanwhile, nobody hears."""
        if self.room.listener is not None:
            self.backend.stop()

    @override
    def reopen(self) -> None:
        self.close()
        self.open()

    @override
    def make_vm(self) -> Vm:
        boot = DirectBoot(boot=PvDirectBoot(kernel=str(self.directory / "kernel")))
        ty = Pv(info=PvInfo(boot=boot, framebuffer=False))
        return sample_vm(f"vm-{next(self._numbers)}", ty=ty, vcpus=1, vcpu_max=2)

    @override
    def make_vbd(self, vm: Vm, number: int) -> Vbd:
        id_ = DeviceId(vm.id, f"xvd{'abcd'[number]}")
        return Vbd(id=id_, position=(BusType.XEN, number, 0), backend=self._disk())

    @override
    def make_cd(self, vm: Vm, number: int) -> Vbd:
        id_ = DeviceId(vm.id, f"xvd{'abcd'[number]}")
        return Vbd(id=id_, ty=VbdType.CDROM, mode=VbdMode.READ_ONLY, backend=self._disk())

    @override
    def make_vif(self, vm: Vm, number: int) -> Vif:
        mac, network = f"00:16:3e:00:00:0{number}", LocalNetwork(bridge="xenbr0")
        return Vif(id=DeviceId(vm.id, str(number)), position=number, mac=mac, backend=network)

    @override
    def make_image(self) -> Disk:
        return LocalDisk(path=str(self.directory / f"image-{next(self._numbers)}"))

    @override
    def let_boot(self, vm: Vm) -> None:
        self.backend.vm.unpause(SuiteExecution(), vm)

    def _disk(self) -> LocalDisk:
        path = self.directory / f"disk-{next(self._numbers)}"
        path.touch()
        return LocalDisk(path=str(path))

    def told(self) -> ObjectId:
        return self.changes.get(timeout=30.0)

    def virt(self) -> VirtInHand:
        assert isinstance(self.hypervisor.virt, VirtInHand)
        return self.hypervisor.virt


def running(subject: InHand) -> Life:
    """A VM that runs."""
    life = make_life(subject)
    life.start()
    subject.backend.vm.unpause(SuiteExecution(), life.vm)
    return life


def words(call: Callable[[], None]) -> str:
    error = refusal(call)
    assert isinstance(error, InternalError)
    return error.message
