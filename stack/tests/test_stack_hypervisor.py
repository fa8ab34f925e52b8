from pathlib import Path

import pytest
from stack.layout import Layout
from stack.processes import StackError
from stack.shape import SIMULATOR_INSTANCE, Network, Shape

from stack import hypervisor


@pytest.fixture
def programs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A directory with all programs that there are."""
    directory = tmp_path / "bin"
    directory.mkdir()
    monkeypatch.setenv("PATH", str(directory))
    return directory


def test_without_qemu_the_simulator_serves_and_the_reason_is_told(programs: Path, layout: Layout) -> None:
    found = hypervisor.look(layout)
    assert found.shape == Shape({"worker-sim": SIMULATOR_INSTANCE})
    assert "the simulator serves alone" in found.remarks[0]
    assert "install it" in found.remarks[0]
    assert list(programs.iterdir()) == []


def test_without_the_means_to_make_a_bridge_vms_have_user_networking(programs: Path, layout: Layout) -> None:
    qemu = programs / "qemu-system-x86_64"
    qemu.write_text("#!/bin/sh\necho QEMU emulator version 7.2.22\n")
    qemu.chmod(0o755)
    found = hypervisor.look(layout)
    assert found.shape.network is Network.USER
    assert tuple(found.shape.workers) == ("worker-kvm", "worker-sim")
    assert found.shape.accelerator == "tcg"
    assert found.remarks[0].startswith("QEMU 7.2.22 runs the VMs, emulating")
    assert "user networking" in found.remarks[1]


def test_where_nothing_runs_there_is_nothing_to_end(layout: Layout) -> None:
    assert hypervisor.end_vms(layout) == []


def test_by_libvirt_qemu_is_not_ours_to_give_users() -> None:
    remarks = ("QEMU 7.2 runs the VMs, on KVM, each with a user of its own among 1-2", "their bridge")
    found = hypervisor.by_libvirt(hypervisor.Found(Shape({"worker-kvm": "i"}, qemu_user="1-2"), remarks))
    assert (found.shape.backend, found.shape.qemu_user) == ("libvirt", "")
    assert found.remarks[0] == "QEMU 7.2 runs the VMs, on KVM, by a libvirtd of the stack's own"
    with pytest.raises(StackError, match=r"BACKEND=libvirt wants QEMU\. there is none"):
        hypervisor.by_libvirt(hypervisor.Found(hypervisor.simulator_only(), ("there is none",)))
