"""Tour: every method of the interface once, in an order that makes sense, on one backend through one door."""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from engine.conformance.samples import absent_vusb, sample_pci, sample_vbd
from schema.fault import XenopsError
from schema.ids import DeviceId
from schema.objects.disk import LocalDisk
from schema.objects.errors import Unimplemented
from schema.objects.host import GuestAgentFeature, NumaAffinityPolicy
from schema.objects.network import LocalNetwork
from schema.objects.pci import PciAddress
from schema.objects.vbd import Vbd, VbdMode, VbdType
from schema.objects.vgpu import GvtG, GvtGVgpu, Vgpu
from schema.objects.vif import Static4, Unlocked, Unspecified6, Vif
from schema.objects.vm import Vm
from xenops.calls.vm import Destination
from xenops.client import Client
from xenops.events import wait_for_task
from xenops.vmfile import parse_vm_file

PATIENCE_S = 120.0
FIXED = Static4(addresses=("192.0.2.1/24",), gateway=None)
PASS = "pass"  # noqa: S105  a word of the table


@dataclass(slots=True)
class Visit:
    """One tour: the client, the ids of this tour's VMs, a directory for disks, what was found.

    `home` is the URL at which VMs that migrate to this instance arrive.
    """

    client: Client
    name: str
    directory: Path
    home: str
    exported: str = ""
    found: dict[str, str] = field(default_factory=dict)

    @property
    def main(self) -> str:
        """The VM that runs."""
        return f"{self.name}-main"

    @property
    def parts(self) -> str:
        """The VM that is made step by step."""
        return f"{self.name}-parts"

    @property
    def disk(self) -> LocalDisk:
        """A small disk."""
        path = self.directory / "disk"
        if not path.exists():
            path.write_bytes(bytes(1 << 20))
        return LocalDisk(path=str(path))

    @property
    def image(self) -> LocalDisk:
        """Where the VM is suspended."""
        return LocalDisk(path=str(self.directory / "image"))

    def vm(self, vm: str) -> Vm:
        """A small VM."""
        return parse_vm_file(f'{{"vm": {{"id": "{vm}", "memory": "64 MiB"}}}}', self.directory).vm

    def cd(self) -> Vbd:
        """A drive with a medium."""
        return sample_vbd("xvdd", self.main, ty=VbdType.CDROM, mode=VbdMode.READ_ONLY, backend=self.disk)

    def vif(self) -> Vif:
        """An interface."""
        return Vif(id=DeviceId(self.main, "0"), mac="", backend=LocalNetwork(bridge="xenbr0"))

    def vgpu(self) -> Vgpu:
        """A virtual GPU of the VM that never runs."""
        config = GvtG(low_gm_sz=1, high_gm_sz=1, fence_sz=1)
        id_ = DeviceId(self.parts, "0")
        return Vgpu(id=id_, physical_pci_address=ADDRESS, implementation=GvtGVgpu(config=config))

    def done(self, task: str) -> None:
        """Wait for a task's good end."""
        wait_for_task(self.client, task, PATIENCE_S)


ADDRESS = PciAddress(domain=0, bus=4, dev=0, fn=0)
Step = Callable[[Visit], object]


def _task(operate: Callable[[Visit], str]) -> Step:
    return lambda visit: visit.done(operate(visit))


def _delay(visit: Visit) -> str:
    """A task that lasts."""
    return visit.client.vm.delay(visit.main, 3600.0)


def _remove(visit: Visit) -> None:
    for vm in (visit.main, visit.parts):
        visit.client.vm.remove(vm)


def _export(visit: Visit) -> None:
    visit.exported = visit.client.vm.export_metadata(visit.main)


def _cancel(visit: Visit) -> None:
    task = _delay(visit)
    visit.client.task.cancel(task)
    try:
        visit.done(task)
    except XenopsError as error:
        assert error.error.kind == "Cancelled"  # noqa: PT017  the other error is told as it is


def _destroy(visit: Visit) -> None:
    task = visit.client.vm.delay(visit.main, 0.0)
    wait_for_task(visit.client, task, PATIENCE_S, destroy=False)
    visit.client.task.destroy(task)
    assert task not in {known.id for known in visit.client.task.list()}


def _migrate(visit: Visit) -> None:
    """A VM that runs: on Xen one that is paused cannot say that it suspends."""
    visit.done(visit.client.vm.unpause(visit.main))
    visit.done(visit.client.vm.migrate(visit.main, Destination(visit.home, ())))


def _device(kind: str, verb: str, id_: Callable[[Visit], DeviceId]) -> Step:
    return lambda visit: getattr(getattr(visit.client, kind), verb)(id_(visit))


def _disk(visit: Visit) -> DeviceId:
    return DeviceId(visit.main, "xvdd")


def _nic(visit: Visit) -> DeviceId:
    return DeviceId(visit.main, "0")


def _usb(visit: Visit) -> DeviceId:
    return absent_vusb(visit.main).id


def _pci(visit: Visit) -> DeviceId:
    return sample_pci(visit.parts).id


def _gpu(visit: Visit) -> DeviceId:
    return visit.vgpu().id


def _observer(verb: str, *params: object) -> Step:
    return lambda visit: getattr(visit.client.observer, verb)(*params)


STEPS: tuple[tuple[str, Step], ...] = (
    ("query", lambda v: v.client.query()),
    ("HOST.stat", lambda v: v.client.host.stat()),
    ("HOST.get_console_data", lambda v: v.client.host.get_console_data()),
    ("HOST.get_total_memory_mib", lambda v: v.client.host.get_total_memory_mib()),
    ("HOST.send_debug_keys", lambda v: v.client.host.send_debug_keys("q")),
    ("HOST.set_worker_pool_size", lambda v: v.client.host.set_worker_pool_size(16)),
    (
        "HOST.update_guest_agent_features",
        lambda v: v.client.host.update_guest_agent_features(
            (GuestAgentFeature(name="f", licensed=True, parameters=()),)
        ),
    ),
    ("HOST.combine_cpu_policies", lambda v: v.client.host.combine_cpu_policies("ffffffff", "0000ffff")),
    ("HOST.is_compatible", lambda v: v.client.host.is_compatible("00000001", "00000003")),
    (
        "HOST.set_numa_affinity_policy",
        lambda v: v.client.host.set_numa_affinity_policy(NumaAffinityPolicy.BEST_EFFORT),
    ),
    ("VM.add", lambda v: [v.client.vm.add(v.vm(vm)) for vm in (v.main, v.parts)]),
    ("VM.exists", lambda v: v.client.vm.exists(v.main)),
    ("VM.stat", lambda v: v.client.vm.stat(v.main)),
    ("VM.list", lambda v: v.client.vm.list()),
    ("VM.generate_state_string", lambda v: v.client.vm.generate_state_string(v.vm(v.main))),
    ("VM.create", _task(lambda v: v.client.vm.create(v.parts))),
    ("VM.build", _task(lambda v: v.client.vm.build(v.parts))),
    ("VM.create_device_model", _task(lambda v: v.client.vm.create_device_model(v.parts))),
    ("VM.destroy", _task(lambda v: v.client.vm.destroy(v.parts))),
    ("PCI.add", lambda v: v.client.pci.add(sample_pci(v.parts))),
    ("PCI.stat", _device("pci", "stat", _pci)),
    ("PCI.list", lambda v: v.client.pci.list(v.parts)),
    ("PCI.remove", _device("pci", "remove", _pci)),
    ("PCI.dequarantine", lambda v: v.client.pci.dequarantine(ADDRESS)),
    ("VGPU.add", lambda v: v.client.vgpu.add(v.vgpu())),
    ("VGPU.stat", _device("vgpu", "stat", _gpu)),
    ("VGPU.list", lambda v: v.client.vgpu.list(v.parts)),
    ("VGPU.remove", _device("vgpu", "remove", _gpu)),
    ("VBD.add", lambda v: v.client.vbd.add(v.cd())),
    ("VBD.stat", _device("vbd", "stat", _disk)),
    ("VBD.list", lambda v: v.client.vbd.list(v.main)),
    ("VIF.add", lambda v: v.client.vif.add(v.vif())),
    ("VIF.stat", _device("vif", "stat", _nic)),
    ("VIF.list", lambda v: v.client.vif.list(v.main)),
    ("VM.start", _task(lambda v: v.client.vm.start(v.main))),
    ("VM.unpause", _task(lambda v: v.client.vm.unpause(v.main))),
    ("VBD.eject", _task(lambda v: v.client.vbd.eject(_disk(v)))),
    ("VBD.insert", _task(lambda v: v.client.vbd.insert(_disk(v), v.disk))),
    ("VBD.unplug", _task(lambda v: v.client.vbd.unplug(_disk(v), force=True))),
    ("VBD.plug", _task(lambda v: v.client.vbd.plug(_disk(v)))),
    ("VIF.move", _task(lambda v: v.client.vif.move(_nic(v), LocalNetwork(bridge="xenbr0")))),
    ("VIF.set_carrier", _task(lambda v: v.client.vif.set_carrier(_nic(v), carrier=True))),
    ("VIF.set_locking_mode", _task(lambda v: v.client.vif.set_locking_mode(_nic(v), Unlocked()))),
    ("VIF.set_ipv4_configuration", _task(lambda v: v.client.vif.set_ipv4_configuration(_nic(v), FIXED))),
    (
        "VIF.set_ipv6_configuration",
        _task(lambda v: v.client.vif.set_ipv6_configuration(_nic(v), Unspecified6())),
    ),
    ("VIF.set_pvs_proxy", _task(lambda v: v.client.vif.set_pvs_proxy(_nic(v), None))),
    ("VIF.set_trunks", _task(lambda v: v.client.vif.set_trunks(_nic(v), ()))),
    ("VIF.unplug", _task(lambda v: v.client.vif.unplug(_nic(v), force=True))),
    ("VIF.plug", _task(lambda v: v.client.vif.plug(_nic(v)))),
    ("VUSB.add", lambda v: v.client.vusb.add(absent_vusb(v.main))),
    ("VUSB.stat", _device("vusb", "stat", _usb)),
    ("VUSB.list", lambda v: v.client.vusb.list(v.main)),
    ("VUSB.plug", _task(lambda v: v.client.vusb.plug(_usb(v)))),
    ("VUSB.unplug", _task(lambda v: v.client.vusb.unplug(_usb(v)))),
    ("VUSB.remove", _device("vusb", "remove", _usb)),
    ("VM.pause", _task(lambda v: v.client.vm.pause(v.main))),
    ("VM.fast_resume", _task(lambda v: v.client.vm.fast_resume(v.main))),
    ("VM.request_rdp", _task(lambda v: v.client.vm.request_rdp(v.main, enabled=True))),
    ("VM.run_script", _task(lambda v: v.client.vm.run_script(v.main, "true"))),
    ("VM.set_xsdata", _task(lambda v: v.client.vm.set_xsdata(v.main, (("vm-data/a", "b"),)))),
    ("VM.set_vcpus", _task(lambda v: v.client.vm.set_vcpus(v.main, 1))),
    ("VM.set_shadow_multiplier", _task(lambda v: v.client.vm.set_shadow_multiplier(v.main, 1.5))),
    (
        "VM.set_memory_dynamic_range",
        _task(lambda v: v.client.vm.set_memory_dynamic_range(v.main, 64 << 20, 64 << 20)),
    ),
    ("VM.s3suspend", _task(lambda v: v.client.vm.s3suspend(v.main))),
    ("VM.s3resume", _task(lambda v: v.client.vm.s3resume(v.main))),
    ("VM.delay", _task(lambda v: v.client.vm.delay(v.main, 0.1))),
    ("VM.reboot", _task(lambda v: v.client.vm.reboot(v.main, None))),
    ("VM.suspend", _task(lambda v: v.client.vm.suspend(v.main, v.image))),
    ("VM.resume", _task(lambda v: v.client.vm.resume(v.main, v.image))),
    ("VM.migrate", _migrate),
    ("VM.export_metadata", _export),
    ("VM.import_metadata", lambda v: v.client.vm.import_metadata(v.exported)),
    ("VM.import_metadata_async", _task(lambda v: v.client.vm.import_metadata_async(v.exported))),
    ("UPDATES.last_id", lambda v: v.client.updates.last_id()),
    ("UPDATES.inject_barrier", lambda v: v.client.updates.inject_barrier(v.main, 77)),
    ("UPDATES.get", lambda v: v.client.updates.get(None, 1)),
    ("UPDATES.remove_barrier", lambda v: v.client.updates.remove_barrier(77)),
    ("UPDATES.refresh_vm", lambda v: v.client.updates.refresh_vm(v.main)),
    ("Task.cancel", _cancel),
    ("Task.stat", lambda v: v.client.task.stat(v.client.vm.delay(v.main, 0.0))),
    ("Task.list", lambda v: v.client.task.list()),
    ("Task.destroy", _destroy),
    ("Task.destroy_on_finish", lambda v: v.client.task.destroy_on_finish(v.client.vm.delay(v.main, 0.0))),
    ("get_diagnostics", lambda v: v.client.get_diagnostics()),
    ("DEBUG.trigger", lambda v: v.client.debug.trigger("set-cancel-trigger", ("nobody", "1"))),
    ("DEBUG.shutdown", lambda v: v.client.debug.shutdown()),
    ("Observer.create", lambda v: v.client.observer.create("u", "n", (("a", "b"),), enabled=False)),
    ("Observer.set_enabled", lambda v: v.client.observer.set_enabled("u", enabled=False)),
    ("Observer.set_attributes", _observer("set_attributes", "u", ())),
    ("Observer.set_endpoints", _observer("set_endpoints", "u", ())),
    ("Observer.destroy", _observer("destroy", "u")),
    ("Observer.init", _observer("init")),
    ("Observer.set_trace_log_dir", lambda v: v.client.observer.set_trace_log_dir(str(v.directory))),
    ("Observer.set_export_interval", _observer("set_export_interval", 30.0)),
    ("Observer.set_export_chunk_size", _observer("set_export_chunk_size", 1)),
    ("Observer.set_max_spans", _observer("set_max_spans", 100)),
    ("Observer.set_max_traces", _observer("set_max_traces", 100)),
    ("Observer.set_max_depth", _observer("set_max_depth", 10)),
    ("Observer.set_max_file_size", _observer("set_max_file_size", 1 << 20)),
    ("Observer.set_host_id", _observer("set_host_id", "host")),
    (
        "Observer.set_compress_tracing_files",
        lambda v: v.client.observer.set_compress_tracing_files(enabled=False),
    ),
    ("VM.shutdown", _task(lambda v: v.client.vm.shutdown(v.main, None))),
    ("VBD.remove", _device("vbd", "remove", _disk)),
    ("VIF.remove", _device("vif", "remove", _nic)),
    ("VM.remove", _remove),
)
"""What is done, by the method that it shows."""


def tour(visit: Visit) -> dict[str, str]:
    """Take all steps; answers for each method `pass`, or the error that it was answered with."""
    for method, step in STEPS:
        try:
            step(visit)
        except XenopsError as error:
            visit.found[method] = _shown(error)
        else:
            visit.found[method] = PASS
    return visit.found


def _shown(error: XenopsError) -> str:
    if isinstance(error.error, Unimplemented):
        return f"unsupported: `Unimplemented({error.error.what})`"
    return f"refused: `{error}`"
