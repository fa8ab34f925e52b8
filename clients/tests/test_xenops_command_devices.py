"""The command's words about devices: given to a VM, plugged at once, taken."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from schema.objects.disk import BusType, LocalDisk, Vdi
from schema.objects.dynamic import TaskObject
from schema.objects.network import LocalNetwork
from schema.objects.pci import PciAddress
from schema.objects.task import Completed, Completion, Task, TaskState
from schema.objects.vbd import VbdMode, VbdType
from schema.wire.types import DeviceId
from xenops.command import main as command

Capture = pytest.CaptureFixture[str]
TaskIn = Callable[[TaskState], Task]
MAC = "52:54:00:12:34:56"


def test_a_disk_is_a_file_beginning_here_or_of_a_storage_service(
    xenops: Callable[..., int], door: Any, capsys: Capture
) -> None:
    door.answer("VBD.add", lambda vbd, **_: vbd.id)
    assert xenops("vbd-add", "web1", "xvdb", "--disk", "data.img") == command.DONE
    vbd = door.asked[0][1]["vbd"]
    assert (vbd.id, vbd.position) == (DeviceId("web1", "xvdb"), (BusType.XEN, 1, 0))
    assert vbd.backend == LocalDisk(path=str(Path.cwd() / "data.img"))
    assert (vbd.ty, vbd.mode) == (VbdType.DISK, VbdMode.READ_WRITE)
    assert capsys.readouterr() == ("", "web1 has the device xvdb from its next start on\n")
    assert xenops("vbd-add", "web1", "xvdc", "--vdi", "sr/one", "--read-only") == command.DONE
    vbd = door.asked[1][1]["vbd"]
    assert (vbd.backend, vbd.mode) == (Vdi(name="sr/one"), VbdMode.READ_ONLY)


def test_a_drive_may_be_empty_and_a_disk_not(xenops: Callable[..., int], door: Any, capsys: Capture) -> None:
    door.answer("VBD.add", lambda vbd, **_: vbd.id)
    assert xenops("vbd-add", "web1", "hdc", "--type", "cdrom") == command.DONE
    vbd = door.asked[0][1]["vbd"]
    assert (vbd.backend, vbd.ty, vbd.mode) == (None, VbdType.CDROM, VbdMode.READ_ONLY)
    assert "hdc" in capsys.readouterr().err
    assert xenops("vbd-add", "web1", "xvdb") == command.USAGE
    assert capsys.readouterr().err.startswith("xenops: xvdb: has neither disk nor vdi")
    assert door.methods() == ["VBD.add"]


@pytest.mark.parametrize(
    ("line", "methods"),
    [
        ("vbd-add web1 xvdb --disk /d --plug", ["VBD.add", "VBD.plug"]),
        (f"vif-add web1 1 --mac {MAC} --plug", ["VIF.add", "VIF.plug"]),
    ],
)
def test_with_plug_a_running_vm_has_it_at_once(
    xenops: Callable[..., int], door: Any, task_in: TaskIn, line: str, methods: list[str]
) -> None:
    for method in ("VBD.add", "VIF.add"):
        door.answer(method, lambda **given: next(one.id for one in given.values() if hasattr(one, "id")))
    for method in ("VBD.plug", "VIF.plug"):
        door.answer(method, "7")
    door.answer("UPDATES.last_id", 4)
    door.answer("Task.stat", task_in(Completed(completion=Completion(duration=0.5))))
    door.answer("UPDATES.get", ((), (TaskObject(id="7"),), 5))
    door.answer("Task.destroy", None)
    assert xenops(*line.split()) == command.DONE
    assert door.methods()[:2] == methods
    assert door.asked[1][1]["id"] == door.asked[0][1][methods[0][:3].lower()].id
    assert "Task.destroy" in door.methods()


def test_an_interface_has_an_address_and_a_network(
    xenops: Callable[..., int], door: Any, capsys: Capture
) -> None:
    door.answer("VIF.add", lambda vif, **_: vif.id)
    assert xenops("vif-add", "web1", "1", "--mac", MAC, "--bridge", "br1", "--mtu", "9000") == command.DONE
    vif = door.asked[0][1]["vif"]
    assert (vif.id, vif.position, vif.mac, vif.mtu) == (DeviceId("web1", "1"), 1, MAC, 9000)
    assert vif.backend == LocalNetwork(bridge="br1")
    capsys.readouterr()
    assert xenops("vif-add", "web1", "1", "--mac", "52:54") == command.USAGE
    assert MAC in capsys.readouterr().err


def test_a_pci_device_has_a_number_and_an_address(
    xenops: Callable[..., int], door: Any, capsys: Capture
) -> None:
    door.answer("PCI.add", lambda pci, **_: pci.id)
    assert xenops("pci-add", "web1", "1", "0000:03:00.0") == command.DONE
    pci = door.asked[0][1]["pci"]
    assert (pci.id, pci.position) == (DeviceId("web1", "1"), 1)
    assert pci.address == PciAddress(domain=0, bus=3, dev=0, fn=0)
    capsys.readouterr()
    assert xenops("pci-add", "web1", "1", "somewhere") == command.USAGE
    assert "0000:03:00.0" in capsys.readouterr().err
    assert xenops("pci-add", "web1", "gpu", "0000:03:00.0") == command.USAGE
    assert "give a number" in capsys.readouterr().err


@pytest.mark.parametrize("kind", ["vbd", "vif", "pci"])
def test_a_device_is_taken(xenops: Callable[..., int], door: Any, capsys: Capture, kind: str) -> None:
    method = f"{kind.upper()}.remove"
    door.answer(method, None)
    assert xenops(f"{kind}-remove", "web1", "1") == command.DONE
    assert door.asked[0] == (method, {"debug_info": "test", "id": DeviceId("web1", "1")})
    assert "no more" in capsys.readouterr().err
