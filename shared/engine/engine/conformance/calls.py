"""Calls: every verb of the port once, with plausible arguments, by the name that settings and tests use."""

from collections.abc import Callable
from typing import Final

from schema.atomics.vm import RenameWhen, ShutdownRequest
from schema.ids import DeviceId, VmId
from schema.objects.network import LocalNetwork
from schema.objects.pci import Pci, PciAddress
from schema.objects.vgpu import Vgpu
from schema.objects.vif import Disabled, Static4, Unspecified6, Vif
from schema.objects.vm import Vm
from schema.objects.vusb import Vusb

from engine.backend import CreateOptions
from engine.conformance.execution import SuiteExecution
from engine.conformance.samples import absent_pci, absent_vusb
from engine.conformance.subject import Life, Subject

Call = Callable[[Subject, Life], object]
"""One verb on a VM that was started."""

_ADDRESS: Final = PciAddress(domain=0, bus=4, dev=0, fn=0)


def _spare(subject: Subject) -> VmId:
    return VmId(subject.make_vm().id)


def _pci(life: Life) -> Pci:
    return absent_pci(life.vm.id)


def _vgpu(life: Life) -> Vgpu:
    return Vgpu(id=DeviceId(life.vm.id, "0"))


def _vusb(life: Life) -> Vusb:
    return absent_vusb(life.vm.id)


def _vif(life: Life) -> Vif:
    return life.devices.vifs[0]


def _suspend(subject: Subject, life: Life) -> None:
    subject.backend.vm.save(SuiteExecution(), life.vm, subject.make_image(), live=False)


def _restore(subject: Subject, life: Life) -> None:
    subject.backend.vm.restore(SuiteExecution(), life.vm, life.devices, subject.make_image())


def _remove(subject: Subject, life: Life) -> None:
    life.stop()
    subject.backend.vm.remove(life.vm)


def _copy(life: Life) -> Vm:
    return life.vm.model_copy(update={"name": "another name"})


CALLS: Final[dict[str, Call]] = {
    "HOST.stat": lambda s, _: s.backend.host.stat(),
    "HOST.console_data": lambda s, _: s.backend.host.console_data(),
    "HOST.total_memory_mib": lambda s, _: s.backend.host.total_memory_mib(),
    "HOST.send_debug_keys": lambda s, _: s.backend.host.send_debug_keys("h"),
    "HOST.set_numa_affinity_policy": lambda s, _: s.backend.host.set_numa_affinity_policy(None),
    "HOST.update_guest_agent_features": lambda s, _: s.backend.host.update_guest_agent_features([]),
    "HOST.combine_cpu_policies": lambda s, _: s.backend.host.combine_cpu_policies("1", "1"),
    "HOST.is_compatible": lambda s, _: s.backend.host.is_compatible("1", "1"),
    "VM.add": lambda s, v: s.backend.vm.add(_copy(v)),
    "VM.remove": _remove,
    "VM.rename": lambda s, v: s.backend.vm.rename(v.id, _spare(s), RenameWhen.PRE_MIGRATION),
    "VM.create": lambda s, v: s.backend.vm.create(SuiteExecution(), v.vm, v.devices, CreateOptions()),
    "VM.build": lambda s, v: s.backend.vm.build(SuiteExecution(), v.vm, v.devices, force=True),
    "VM.create_device_model": lambda s, v: s.backend.vm.create_device_model(
        SuiteExecution(), v.vm, v.devices, save_state=False
    ),
    "VM.destroy_device_model": lambda s, v: s.backend.vm.destroy_device_model(SuiteExecution(), v.vm),
    "VM.destroy": lambda s, v: s.backend.vm.destroy(SuiteExecution(), v.vm),
    "VM.pause": lambda s, v: s.backend.vm.pause(SuiteExecution(), v.vm),
    "VM.unpause": lambda s, v: s.backend.vm.unpause(SuiteExecution(), v.vm),
    "VM.set_xsdata": lambda s, v: s.backend.vm.set_xsdata(SuiteExecution(), v.vm, [("vm-data/a", "b")]),
    "VM.set_vcpus": lambda s, v: s.backend.vm.set_vcpus(SuiteExecution(), v.vm, 1),
    "VM.set_shadow_multiplier": lambda s, v: s.backend.vm.set_shadow_multiplier(SuiteExecution(), v.vm, 1.5),
    "VM.set_memory_dynamic_range": lambda s, v: s.backend.vm.set_memory_dynamic_range(
        SuiteExecution(), v.vm, v.vm.memory_static_max, v.vm.memory_static_max
    ),
    "VM.request_shutdown": lambda s, v: s.backend.vm.request_shutdown(
        SuiteExecution(), v.vm, ShutdownRequest.HALT, 0.0
    ),
    "VM.wait_shutdown": lambda s, v: s.backend.vm.wait_shutdown(
        SuiteExecution(), v.vm, ShutdownRequest.HALT, 0.0
    ),
    "VM.assert_can_save": lambda s, v: s.backend.vm.assert_can_save(v.vm),
    "VM.save": _suspend,
    "VM.restore": _restore,
    "VM.resume": lambda s, v: s.backend.vm.resume(SuiteExecution(), v.vm),
    "VM.s3suspend": lambda s, v: s.backend.vm.s3suspend(SuiteExecution(), v.vm),
    "VM.s3resume": lambda s, v: s.backend.vm.s3resume(SuiteExecution(), v.vm),
    "VM.soft_reset": lambda s, v: s.backend.vm.soft_reset(SuiteExecution(), v.vm),
    "VM.wait_ballooning": lambda s, v: s.backend.vm.wait_ballooning(SuiteExecution(), v.vm),
    "VM.run_script": lambda s, v: s.backend.vm.run_script(SuiteExecution(), v.vm, "true"),
    "VM.request_rdp": lambda s, v: s.backend.vm.request_rdp(v.vm, enabled=True),
    "VM.get_state": lambda s, v: s.backend.vm.get_state(v.vm),
    "VM.set_domain_action_request": lambda s, v: s.backend.vm.set_domain_action_request(v.vm, None),
    "VM.get_domain_action_request": lambda s, v: s.backend.vm.get_domain_action_request(v.vm),
    "VM.get_hook_args": lambda s, v: s.backend.vm.get_hook_args(v.id),
    "VM.generate_state_string": lambda s, v: s.backend.vm.generate_state_string(v.vm),
    "VM.get_internal_state": lambda s, v: s.backend.vm.get_internal_state([], [], v.vm),
    "VM.set_internal_state": lambda s, v: s.backend.vm.set_internal_state(
        v.vm, s.backend.vm.get_internal_state([], [], v.vm)
    ),
    "PCI.get_state": lambda s, v: s.backend.pci.get_state(v.id, _pci(v)),
    "PCI.plug": lambda s, v: s.backend.pci.plug(SuiteExecution(), v.id, _pci(v), use_qmp=False),
    "PCI.unplug": lambda s, v: s.backend.pci.unplug(SuiteExecution(), v.id, _pci(v)),
    "PCI.wants_unplug": lambda s, v: s.backend.pci.wants_unplug(v.id, _pci(v)),
    "PCI.dequarantine": lambda s, _: s.backend.pci.dequarantine(_ADDRESS),
    "VBD.set_active": lambda s, v: s.backend.vbd.set_active(
        SuiteExecution(), v.id, v.devices.vbds[0], active=True
    ),
    "VBD.epoch_begin": lambda s, v: s.backend.vbd.epoch_begin(
        SuiteExecution(), v.id, s.make_image(), persistent=True
    ),
    "VBD.epoch_end": lambda s, v: s.backend.vbd.epoch_end(SuiteExecution(), v.id, s.make_image()),
    "VBD.attach": lambda s, v: s.backend.vbd.attach(SuiteExecution(), v.id, v.devices.vbds[0]),
    "VBD.activate": lambda s, v: s.backend.vbd.activate(SuiteExecution(), v.id, v.devices.vbds[0]),
    "VBD.deactivate": lambda s, v: s.backend.vbd.deactivate(
        SuiteExecution(), v.id, v.devices.vbds[0], force=True
    ),
    "VBD.detach": lambda s, v: s.backend.vbd.detach(SuiteExecution(), v.id, s.make_vbd(v.vm, 1)),
    "VBD.insert": lambda s, v: s.backend.vbd.insert(
        SuiteExecution(), v.id, s.make_cd(v.vm, 1), s.make_image()
    ),
    "VBD.eject": lambda s, v: s.backend.vbd.eject(SuiteExecution(), v.id, s.make_cd(v.vm, 1)),
    "VBD.set_qos": lambda s, v: s.backend.vbd.set_qos(SuiteExecution(), v.id, v.devices.vbds[0]),
    "VBD.get_state": lambda s, v: s.backend.vbd.get_state(v.id, v.devices.vbds[0]),
    "VBD.wants_unplug": lambda s, v: s.backend.vbd.wants_unplug(v.id, v.devices.vbds[0]),
    "VBD.wants_qos": lambda s, v: s.backend.vbd.wants_qos(v.id, v.devices.vbds[0]),
    "VIF.set_active": lambda s, v: s.backend.vif.set_active(SuiteExecution(), v.id, _vif(v), active=True),
    "VIF.plug": lambda s, v: s.backend.vif.plug(SuiteExecution(), v.id, _vif(v)),
    "VIF.unplug": lambda s, v: s.backend.vif.unplug(SuiteExecution(), v.id, _vif(v), force=True),
    "VIF.move": lambda s, v: s.backend.vif.move(
        SuiteExecution(), v.id, _vif(v), LocalNetwork(bridge="xenbr1")
    ),
    "VIF.set_carrier": lambda s, v: s.backend.vif.set_carrier(SuiteExecution(), v.id, _vif(v), carrier=True),
    "VIF.set_locking_mode": lambda s, v: s.backend.vif.set_locking_mode(
        SuiteExecution(), v.id, _vif(v), Disabled()
    ),
    "VIF.set_ipv4_configuration": lambda s, v: s.backend.vif.set_ipv4_configuration(
        SuiteExecution(), v.id, _vif(v), Static4(addresses=("192.0.2.1/24",), gateway=None)
    ),
    "VIF.set_ipv6_configuration": lambda s, v: s.backend.vif.set_ipv6_configuration(
        SuiteExecution(), v.id, _vif(v), Unspecified6()
    ),
    "VIF.set_pvs_proxy": lambda s, v: s.backend.vif.set_pvs_proxy(SuiteExecution(), v.id, _vif(v), None),
    "VIF.set_trunks": lambda s, v: s.backend.vif.set_trunks(SuiteExecution(), v.id, _vif(v), [1]),
    "VIF.get_state": lambda s, v: s.backend.vif.get_state(v.id, _vif(v)),
    "VIF.wants_unplug": lambda s, v: s.backend.vif.wants_unplug(v.id, _vif(v)),
    "VGPU.start": lambda s, v: s.backend.vgpu.start(SuiteExecution(), v.id, [_vgpu(v)], saved=False),
    "VGPU.set_active": lambda s, v: s.backend.vgpu.set_active(SuiteExecution(), v.id, _vgpu(v), active=True),
    "VGPU.get_state": lambda s, v: s.backend.vgpu.get_state(v.id, _vgpu(v)),
    "VUSB.plug": lambda s, v: s.backend.vusb.plug(SuiteExecution(), v.id, _vusb(v)),
    "VUSB.unplug": lambda s, v: s.backend.vusb.unplug(SuiteExecution(), v.id, _vusb(v)),
    "VUSB.get_state": lambda s, v: s.backend.vusb.get_state(v.id, _vusb(v)),
    "VUSB.wants_unplug": lambda s, v: s.backend.vusb.wants_unplug(v.id, _vusb(v)),
}
"""All verbs but `trigger`."""
