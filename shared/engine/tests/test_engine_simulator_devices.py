import json

from engine.conformance import SuiteExecution
from engine.conformance.samples import (
    plug_sample,
    sample_vbd,
    start_sample,
)
from engine.conformance.subject import refusal
from engine.simulator import (
    Simulator,
)
from schema.ids import DeviceId, VmId
from schema.objects.disk import BusType
from schema.objects.dynamic import ObjectId, VbdObject
from schema.objects.errors import (
    AlreadyExists,
    DoesNotExist,
    InternalError,
)
from schema.objects.network import LocalNetwork
from schema.objects.pci import Pci, PciAddress
from schema.objects.vbd import IdleQos, Ionice, VbdMode
from schema.objects.vgpu import Vgpu
from schema.objects.vif import Vif
from schema.objects.vusb import Vusb

ID = VmId("v1")


def test_read_only_disks_plugged_before_read_write_ones_are_found() -> None:
    simulator = Simulator()
    start_sample(simulator)
    plug_sample(simulator, sample_vbd("xvda"))
    plug_sample(simulator, sample_vbd("xvdb", mode=VbdMode.READ_ONLY))
    simulator.trigger("check-vbd-plug-ordering", [ID])
    plug_sample(simulator, sample_vbd("xvdc"))
    error = refusal(simulator.trigger, "check-vbd-plug-ordering", [ID])
    assert error == InternalError(message="check-vbd-plug-ordering")


def test_devices_ask_to_be_unplugged_until_they_are() -> None:
    simulator, told = Simulator(), list[ObjectId]()
    simulator.start(told.append)
    start_sample(simulator)
    task, disk, vif = SuiteExecution(), sample_vbd("xvda"), Vif(id=DeviceId(ID, "0"))
    pci = Pci(id=DeviceId(ID, "p"), position=0, address=PciAddress(domain=0, bus=0, dev=0, fn=0))
    vusb = Vusb(id=DeviceId(ID, "u"), hostbus="1", hostport="1", version="2", path="p", speed=1.0)
    plug_sample(simulator, disk)
    simulator.vif.plug(task, ID, vif)
    simulator.pci.plug(task, ID, pci, use_qmp=True)
    simulator.vusb.plug(task, ID, vusb)
    for device in ("vbd.xvda", "vif.0", "pci.p", "vusb.u", "vgpu.0"):
        simulator.trigger("unplug", [ID, device])
    assert told[0] == VbdObject(id=disk.id)
    assert len(told) == 5
    assert simulator.vbd.wants_unplug(ID, disk)
    assert simulator.vif.wants_unplug(ID, vif)
    assert simulator.pci.wants_unplug(ID, pci)
    assert simulator.vusb.wants_unplug(ID, vusb)
    simulator.vbd.deactivate(task, ID, disk, force=False)
    simulator.vif.unplug(task, ID, vif, force=False)
    simulator.pci.unplug(task, ID, pci)
    simulator.vusb.unplug(task, ID, vusb)
    assert not simulator.vbd.wants_unplug(ID, disk)
    assert not simulator.vif.wants_unplug(ID, vif)
    assert not simulator.pci.wants_unplug(ID, pci)
    assert not simulator.vusb.wants_unplug(ID, vusb)


def test_disks_without_a_position_get_the_next_one() -> None:
    simulator = Simulator()
    machine = start_sample(simulator)
    for number in range(5):
        plug_sample(simulator, sample_vbd(f"xvd{number}"))
    exported = json.loads(simulator.vm.get_internal_state([], [], machine))
    positions = [disk["position"][:2] for disk in reversed(exported["vbds"])]
    assert positions == [["Ide", 0], ["Ide", 1], ["Ide", 2], ["Ide", 3], ["Xen", 4]]


def test_two_disks_do_not_take_the_same_position() -> None:
    simulator = Simulator()
    start_sample(simulator)
    plug_sample(simulator, sample_vbd("xvda", position=(BusType.XEN, 0, 0)))
    error = refusal(
        simulator.vbd.attach, SuiteExecution(), ID, sample_vbd("xvdb", position=(BusType.XEN, 0, 0))
    )
    assert error == AlreadyExists(klass="vbd", id="Xen(0, 0)")


def test_a_disk_that_is_not_attached_is_not_activated() -> None:
    simulator = Simulator()
    start_sample(simulator)
    error = refusal(simulator.vbd.activate, SuiteExecution(), ID, sample_vbd("xvda"))
    assert error == DoesNotExist(klass="VBD", id="v1.xvda")


def test_another_io_scheduling_is_wanted_until_it_is_applied() -> None:
    simulator = Simulator()
    start_sample(simulator)
    plug_sample(simulator, sample_vbd("xvda"))
    changed = sample_vbd("xvda", qos=Ionice(scheduler=IdleQos()))
    assert simulator.vbd.wants_qos(ID, changed)
    simulator.vbd.set_qos(SuiteExecution(), ID, changed)
    assert not simulator.vbd.wants_qos(ID, changed)


def test_what_is_set_on_an_interface_is_seen() -> None:
    simulator = Simulator()
    machine = start_sample(simulator)
    task, vif = SuiteExecution(), Vif(id=DeviceId(ID, "0"))
    simulator.vif.set_pvs_proxy(task, ID, vif, ("site", (), "interface"))
    simulator.vif.plug(task, ID, vif)
    assert not simulator.vif.get_state(ID, vif).pvs_rules_active
    simulator.vif.set_pvs_proxy(task, ID, vif, ("site", (), "interface"))
    simulator.vif.move(task, ID, vif, LocalNetwork(bridge="xenbr1"))
    simulator.vif.set_trunks(task, ID, vif, [7])
    state = simulator.vif.get_state(ID, vif)
    assert (state.pvs_rules_active, state.device) == (True, "vif1.0")
    exported = json.loads(simulator.vm.get_internal_state([], [], machine))
    assert exported["vifs"][0]["backend"] == ["Local", "xenbr1"]
    assert exported["vifs"][0]["trunks"] == [7]


def test_pci_devices_gpus_and_usb_devices_come_and_go() -> None:
    simulator = Simulator()
    task = SuiteExecution()
    address = PciAddress(domain=0, bus=4, dev=0, fn=0)
    pci = Pci(id=DeviceId(ID, "p"), position=0, address=address)
    vgpu = Vgpu(id=DeviceId(ID, "0"))
    vusb = Vusb(id=DeviceId(ID, "u"), hostbus="1", hostport="1", version="2", path="p", speed=1.0)
    simulator.pci.unplug(task, ID, pci)
    simulator.vusb.unplug(task, ID, vusb)
    start_sample(simulator)
    for _ in range(2):
        simulator.pci.plug(task, ID, pci, use_qmp=False)
        simulator.vgpu.start(task, ID, [vgpu], saved=False)
        simulator.vgpu.set_active(task, ID, vgpu, active=True)
        simulator.vusb.plug(task, ID, vusb)
    assert simulator.pci.get_state(ID, pci).plugged
    state = simulator.vgpu.get_state(ID, vgpu)
    assert (state.active, state.plugged) == (True, True)
    assert simulator.vusb.get_state(ID, vusb).plugged
    twin = pci.model_copy(update={"id": DeviceId(ID, "q")})
    error = refusal(simulator.pci.plug, task, ID, twin, use_qmp=False)
    assert error == AlreadyExists(klass="pci", id="0")
    for _ in range(2):
        simulator.pci.unplug(task, ID, pci)
        simulator.vusb.unplug(task, ID, vusb)
    assert not simulator.pci.get_state(ID, pci).plugged
    assert not simulator.vusb.get_state(ID, vusb).plugged
