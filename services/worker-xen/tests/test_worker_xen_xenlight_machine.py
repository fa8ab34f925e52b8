"""What the host knows of a VM under libxl, and how it changes."""

import uuid

from engine.conformance.samples import sample_pci, sample_vbd, sample_vm, sample_vusb
from engine.conformance.subject import refusal
from engine.hosted.usb import refuse_with_usbs, with_usb
from schema.ids import DeviceId
from schema.objects.disk import BusType
from schema.objects.errors import AlreadyExists, DoesNotExist, DomainNotBuilt, InternalError
from schema.objects.vif import Vif
from worker_xen.xenlight.machine import (
    Machine,
    Nic,
    attached,
    created,
    plugged,
    uuid_of,
    with_pci,
)

VM = sample_vm()
BARE = Machine(id="v1")
MADE = created(BARE, VM, "v1", 1.0)


def vif(number: int) -> Vif:
    return Vif(id=DeviceId("v1", str(number)), position=number)


def test_a_domain_is_created_once_and_again_until_it_is_built() -> None:
    assert created(MADE, VM, "v1", 2.0) is MADE
    error = refusal(lambda: created(MADE.with_domain(built=True), VM, "v1", 2.0))
    assert error == AlreadyExists(klass="domain", id="v1")


def test_what_is_not_there_cannot_run() -> None:
    assert refusal(BARE.living) == DoesNotExist(klass="domain", id="v1")
    assert refusal(MADE.launched) == DomainNotBuilt()
    assert MADE.with_domain(domid=7).launched()[1] == 7


def test_the_guest_sees_the_vm_s_id_where_that_is_a_uuid() -> None:
    id_ = str(uuid.uuid4())
    assert uuid_of(id_) == id_
    assert uuid_of("web-1") == uuid_of("web-1") != uuid_of("web-2")


def test_a_disk_has_its_place_or_the_next_one() -> None:
    first = sample_vbd("xvdc", position=(BusType.XEN, 2, 0))
    machine = attached(attached(MADE, first, None), sample_vbd("disk"), None)
    assert attached(machine, first, None) is machine
    names = [disk.name for disk in machine.living().disks]
    assert names == ["xvdc", "xvdd"]
    ide = attached(MADE, sample_vbd("hdb", position=(BusType.IDE, 1, 0)), None)
    assert [disk.name for disk in ide.living().disks] == ["hdb"]


def test_a_place_that_is_taken_or_is_none_is_refused() -> None:
    position = (BusType.XEN, 0, 0)
    machine = attached(MADE, sample_vbd("xvda", position=position), None)
    error = refusal(lambda: attached(machine, sample_vbd("other", position=position), None))
    assert isinstance(error, AlreadyExists)
    error = refusal(lambda: attached(MADE, sample_vbd("far", position=(BusType.XEN, 256, 0)), None))
    assert isinstance(error, InternalError)


def test_an_interface_has_a_place_of_its_own_changes_and_goes() -> None:
    machine = plugged(plugged(MADE, vif(0)), vif(1))
    assert plugged(machine, vif(1)) is machine
    other = Vif(id=DeviceId("v1", "other"), position=1)
    assert refusal(lambda: plugged(machine, other)) == AlreadyExists(klass="vif", id="1")
    changed = machine.with_nic(Nic(vif=vif(1).model_copy(update={"carrier": False})))
    assert [nic.vif.carrier for nic in changed.living().nics] == [True, False]
    assert changed.without_nic(vif(1).id).nic(vif(1).id) is None
    assert BARE.without_nic(vif(0).id) is BARE
    assert BARE.nic(vif(0).id) is None


def test_a_pci_device_comes_and_goes() -> None:
    machine = with_pci(MADE, sample_pci(), there=True)
    assert with_pci(machine, sample_pci(), there=True).living().pcis == (sample_pci(),)
    assert with_pci(machine, sample_pci(), there=False).living().pcis == ()
    assert with_pci(BARE, sample_pci(), there=True) is BARE


def test_a_guest_that_has_a_usb_device_of_the_host_goes_into_no_image() -> None:
    refuse_with_usbs("v1", MADE.living())
    machine = with_usb(MADE, sample_vusb("v1"), "/dev/bus/usb/001/004", ())
    error = refusal(lambda: refuse_with_usbs("v1", machine.living()))
    assert isinstance(error, InternalError)
    assert error.message.startswith("VM v1 cannot be suspended or migrated: it has VUSB ")
    assert error.message.endswith("of this host; unplug it first")
