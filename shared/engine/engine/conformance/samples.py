"""Samples: a VM and devices for tests that need any, and short ways to start and plug them."""

from typing import Any

from schema.ids import DeviceId, VmId
from schema.objects.pci import Pci, PciAddress
from schema.objects.vbd import Vbd
from schema.objects.vm import Hvm, HvmInfo, SchedulerParams, Vm, VmAction
from schema.objects.vusb import Vusb

from engine.backend import Backend, CreateOptions, Devices
from engine.conformance.execution import SuiteExecution

_MIB = 1 << 20


def sample_vm(id_: str = "v1", **fields: Any) -> Vm:
    """A small HVM guest; `fields` replace what is usual."""
    usual = Vm(
        id=id_,
        name="a vm",
        ssidref=0,
        xsdata=(("vm-data/foo", "bar"),),
        platformdata=(),
        bios_strings=(),
        ty=Hvm(info=HvmInfo(timeoffset="7")),
        suppress_spurious_page_faults=False,
        memory_static_max=256 * _MIB,
        memory_dynamic_max=256 * _MIB,
        memory_dynamic_min=128 * _MIB,
        vcpu_max=4,
        vcpus=2,
        scheduler_params=SchedulerParams(affinity=()),
        on_crash=(VmAction.SHUTDOWN,),
        on_shutdown=(VmAction.SHUTDOWN,),
        on_reboot=(VmAction.START,),
        pci_msitranslate=False,
        pci_power_mgmt=False,
    )
    return usual.model_copy(update=fields)


def sample_vbd(device: str = "xvda", vm: str = "v1", **fields: Any) -> Vbd:
    """A disk without a backend; `fields` replace what is usual."""
    return Vbd(id=DeviceId(vm, device), **fields)


def sample_pci(vm: str = "v1", **fields: Any) -> Pci:
    """A PCI device; `fields` replace what is usual."""
    address = PciAddress(domain=0, bus=4, dev=0, fn=0)
    return Pci(id=DeviceId(vm, "0000:04:00.0"), position=0, address=address).model_copy(update=fields)


def sample_vusb(vm: str = "v1", **fields: Any) -> Vusb:
    """A USB device; `fields` replace what is usual."""
    id_ = DeviceId(vm, "vusb1-2")
    usual = Vusb(id=id_, hostbus="1", hostport="2", version="2.0", path="1-2", speed=480.0)
    return usual.model_copy(update=fields)


def absent_pci(vm: str = "v1") -> Pci:
    """One that no host has: a backend that gives its host's devices away takes none from whoever tests it."""
    return sample_pci(vm, address=PciAddress(domain=0xFFFF, bus=0xFF, dev=0x1F, fn=7))


def absent_vusb(vm: str = "v1") -> Vusb:
    """One that no host has, for the same reason."""
    return sample_vusb(vm, hostbus="255", hostport="255")


def start_sample(backend: Backend, vm: Vm | None = None) -> Vm:
    """Start a VM without devices; it is left paused."""
    vm = vm or sample_vm()
    task = SuiteExecution()
    backend.vm.create(task, vm, Devices(), CreateOptions())
    backend.vm.build(task, vm, Devices(), force=False)
    backend.vm.create_device_model(task, vm, Devices(), save_state=False)
    backend.vm.set_domain_action_request(vm, None)
    return vm


def plug_sample(backend: Backend, vbd: Vbd) -> None:
    """Plug a disk."""
    backend.vbd.attach(SuiteExecution(), VmId(vbd.id.vm), vbd)
    backend.vbd.activate(SuiteExecution(), VmId(vbd.id.vm), vbd)
