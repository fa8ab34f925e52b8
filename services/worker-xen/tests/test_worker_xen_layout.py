"""What a domain and its devices are in xenstore."""

import pytest
from schema.objects.disk import BusType, DeviceNumber
from worker_xen.xenstore.devices import (
    BlockDevice,
    BusState,
    DevicePath,
    DiskNode,
    NicNode,
    PciNode,
    asking_nodes,
    closing_nodes,
    device_number,
    disk_nodes,
    interface_name,
    linux_name,
    nic_nodes,
    pci_nodes,
    pci_slot_paths,
    state_of,
)
from worker_xen.xenstore.layout import Birth, Ring, birth_nodes, rename_nodes, ring_nodes, xsdata_nodes
from worker_xen.xenstore.tree import Node, model_path

XEN, SCSI, IDE, FLOPPY = BusType.XEN, BusType.SCSI, BusType.IDE, BusType.FLOPPY

BIRTH = Birth(
    domid=5,
    uuid="u",
    name="a vm",
    vcpus=1,
    vcpu_max=2,
    memory_kib=128,
    memory_kib_max=256,
    memory_kib_min=64,
    xsdata=(("vm-data/foo", "bar"), ("FIST", "1"), ("vm-database", "no"), ("control/shutdown", "halt")),
    platformdata=(("acpi", "1"),),
)


PCIS = DevicePath("pci", 5, 0)


def values(nodes: tuple[Node, ...]) -> dict[str, str]:
    return {node.path: node.value for node in nodes}


def test_a_device_model_says_how_far_it_is_in_the_control_domain_s_part() -> None:
    assert model_path(5) == "/local/domain/0/device-model/5"


def test_a_domain_has_what_its_guest_looks_for() -> None:
    nodes = birth_nodes(BIRTH)
    found = values(nodes)
    assert found["/local/domain/5/vm"] == "/vm/u"
    assert found["/vm/u/domains/5"] == "/local/domain/5"
    assert found["/local/domain/5/memory/target"] == "128"
    assert found["/local/domain/5/memory/static-max"] == "256"
    assert found["/local/domain/5/cpu/0/availability"] == "online"
    assert found["/local/domain/5/cpu/1/availability"] == "offline"
    assert found["/local/domain/5/platform/acpi"] == "1"
    assert found["/local/domain/5/control/platform-feature-multiprocessor-suspend"] == "1"


def test_a_guest_may_write_where_it_must_and_nowhere_else() -> None:
    permissions = {node.path: node.permissions for node in birth_nodes(BIRTH) if node.permissions}
    assert permissions.pop("/local/domain/5") == ("n0", "r5")
    assert permissions.pop("/vm/u") == ("n0", "r5")
    assert set(permissions.values()) == {("n5",)}
    assert "/local/domain/5/memory" not in permissions
    assert "/local/domain/5/control" in permissions


def test_a_client_has_a_guest_shown_nothing_outside_of_its_own_keys() -> None:
    found = values(xsdata_nodes(5, BIRTH.xsdata))
    assert found == {"/local/domain/5/vm-data/foo": "bar", "/local/domain/5/FIST": "1"}


def test_both_daemons_find_the_rings() -> None:
    found = values(ring_nodes(5, Ring(1, 11), Ring(2, 12)))
    assert found["/local/domain/5/store/ring-ref"] == "11"
    assert found["/local/domain/5/console/port"] == "2"
    assert found["/local/domain/5/console/type"] == "xenconsoled"


def test_a_renamed_domain_is_found_by_its_new_id() -> None:
    found = values(rename_nodes(5, "v", "name"))
    assert found["/local/domain/5/vm"] == "/vm/v"
    assert found["/vm/v/uuid"] == "v"


@pytest.mark.parametrize(
    ("position", "number", "name"),
    [
        ((XEN, 0, 0), 51712, "xvda"),
        ((XEN, 15, 15), 51967, "xvdp15"),
        ((XEN, 16, 0), 268439552, "xvdq"),
        ((XEN, 26, 1), 268442113, "xvdaa1"),
        ((XEN, 0, 16), 268435472, "xvda16"),
        ((SCSI, 1, 2), 2066, "sdb2"),
        ((IDE, 0, 0), 768, "hda"),
        ((IDE, 1, 1), 833, "hdb1"),
        ((IDE, 2, 0), 5632, "hdc"),
        ((FLOPPY, 1, 0), 51984, "fdb"),
    ],
)
def test_a_disk_has_the_number_that_guests_know(position: DeviceNumber, number: int, name: str) -> None:
    assert device_number(position) == number
    assert linux_name(position) == name


@pytest.mark.parametrize(
    "position", [(XEN, -1, 0), (XEN, 0, -1), (XEN, 1 << 20, 0), (SCSI, 16, 0), (IDE, 4, 0), (FLOPPY, 0, 1)]
)
def test_a_place_that_there_is_not_is_refused(position: DeviceNumber) -> None:
    with pytest.raises(ValueError, match="no place for a disk"):
        device_number(position)


DISK = DevicePath("vbd", 5, 51712)


def test_a_disk_is_told_to_both_ends() -> None:
    keys = (("format", "raw"), ("sm-data/x", "y"))
    content = BlockDevice("/dev/loop3", 7, 19)
    nodes = disk_nodes(DiskNode(DISK, "xvda", content, is_read_only=True, backend_keys=keys))
    found = values(nodes)
    backend, frontend = "/local/domain/0/backend/vbd/5/51712", "/local/domain/5/device/vbd/51712"
    assert found[f"{backend}/physical-device"] == "7:13"
    assert found[f"{backend}/hotplug-status"] == "connected"
    assert found[f"{backend}/mode"] == "r"
    assert found[f"{backend}/sm-data/x"] == "y"
    assert f"{backend}/format" not in found
    assert found[f"{frontend}/device-type"] == "disk"
    assert found[f"{frontend}/backend"] == backend
    assert {node.path: node.permissions for node in nodes if node.permissions} == {
        backend: ("n0", "r5"),
        frontend: ("n5", "r0"),
    }


def test_a_disk_whose_script_finds_its_content_is_not_connected_yet() -> None:
    found = values(disk_nodes(DiskNode(DISK, "xvda", "iqn.x", is_cdrom=True)))
    assert found["/local/domain/0/backend/vbd/5/51712/params"] == "iqn.x"
    assert "/local/domain/0/backend/vbd/5/51712/hotplug-status" not in found
    assert found["/local/domain/5/device/vbd/51712/device-type"] == "cdrom"


def test_an_interface_is_told_to_both_ends_and_connected_by_nobody_yet() -> None:
    device = DevicePath("vif", 5, 1)
    nic = NicNode(device, "00:16:3e:00:00:01", "xenbr0", 1500, rate=(10, 50), has_carrier=False)
    found = values(nic_nodes(nic))
    assert found[f"{device.backend}/rate"] == "10240,50"
    assert found[f"{device.backend}/disconnect"] == "1"
    assert found[f"{device.frontend}/mtu"] == "1500"
    assert f"{device.backend}/hotplug-status" not in found
    assert f"{device.backend}/rate" not in values(nic_nodes(NicNode(device, "m", "b", 1500)))


def test_a_device_is_asked_to_close_by_its_backend() -> None:
    assert values(closing_nodes(DISK)) == {f"{DISK.backend}/online": "0", f"{DISK.backend}/state": "5"}
    assert DISK.bus_name == "vbd-5-51712"
    assert DISK.error == "/local/domain/0/error/backend/vbd/5/51712/error"
    assert interface_name(5, 1) == "vif5.1"


def test_a_state_that_nobody_knows_is_unknown() -> None:
    assert state_of(b"4") is BusState.CONNECTED
    assert {state_of(None), state_of(b"99"), state_of(b"x")} == {BusState.UNKNOWN}


def test_the_first_pci_device_makes_the_bus_and_the_next_ones_join_it() -> None:
    first = values(pci_nodes(PciNode(PCIS, 0, "0000:01:00.0"), is_first=True, is_connected=False))
    assert first[f"{PCIS.frontend}/backend"] == PCIS.backend
    assert first[f"{PCIS.backend}/state"] == "1"
    assert first[f"{PCIS.backend}/dev-0"] == "0000:01:00.0"
    node = PciNode(PCIS, 1, "0000:02:00.0", msi_translate=True, power_management=True)
    assert values(pci_nodes(node, is_first=False, is_connected=False)) == {
        f"{PCIS.backend}/key-1": "0000:02:00.0",
        f"{PCIS.backend}/dev-1": "0000:02:00.0",
        f"{PCIS.backend}/opts-1": "msitranslate=1,power_mgmt=1",
        f"{PCIS.backend}/state-1": "1",
        f"{PCIS.backend}/num_devs": "2",
    }


def test_a_guest_is_told_of_a_device_that_comes_and_asked_for_one_that_goes() -> None:
    node = PciNode(PCIS, 1, "0000:02:00.0")
    assert values(pci_nodes(node, is_first=False, is_connected=True))[f"{PCIS.backend}/state"] == "7"
    asked = values(asking_nodes(PCIS, 1))
    assert asked == {f"{PCIS.backend}/state-1": "5", f"{PCIS.backend}/state": "7"}
    assert f"{PCIS.backend}/opts-1" in pci_slot_paths(PCIS, 1)
