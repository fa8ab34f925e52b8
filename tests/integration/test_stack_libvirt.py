"""VMs on a libvirtd of the stack's own, through the whole; they live through the worker's death."""

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from libvirt_room import await_that
from schema.objects.vm import PowerState, VmAction
from stack.guest import guest_in
from stack.layout import Layout
from stack.libvirtd import LibvirtDaemon
from stack.local import LocalStack
from stack.shape import WORKER_KVM, Network, Shape
from worker_kvm.settings import BackendName
from xenops.client import Client
from xenops.events import wait_for_task
from xenops.vmfile import parse_vm_file

INSTANCE = "org.xen.xapi.xenops.libvirt"
PATIENCE_S = 120.0
VM_FILE = (
    """{"vm": {"id": "vm1", "memory": "96 MiB"}, "vifs": [{"device": "0", "mac": "52:54:00:00:00:01"}]}"""
)


@pytest.fixture(name="directory")
def make_directory() -> Iterator[Path]:
    directory = Path(tempfile.mkdtemp(prefix="xl-"))
    yield directory
    shutil.rmtree(directory)


@pytest.fixture(name="stack")
def run_stack(directory: Path) -> Iterator[LocalStack]:
    shape = Shape({WORKER_KVM: INSTANCE}, Network.USER, "tcg", backend=BackendName.LIBVIRT)
    with LocalStack(Layout(directory / "s"), shape) as stack:
        yield stack


def add(client: Client, then: str) -> None:
    metadata = parse_vm_file(VM_FILE, Path("/x"))
    ty = guest_in(Path("var/guest")).builder(f"xenops.then={then}")
    client.vm.add(metadata.vm.model_copy(update={"ty": ty, "on_reboot": (VmAction.START,)}))
    for vif in metadata.vifs:
        client.vif.add(vif)


def test_a_vm_lives_through_its_workers_death_and_reboots_as_it_wants(
    stack: LocalStack, directory: Path
) -> None:
    with stack.client(INSTANCE, timeout_s=PATIENCE_S) as client:
        add(client, "reboot")
        wait_for_task(client, client.vm.start("vm1"), PATIENCE_S)
        before = client.vm.stat("vm1")[1]
        assert before.power_state is PowerState.PAUSED
        stack.kill(WORKER_KVM)
        stack.up()
        assert client.vm.stat("vm1")[1] == before
        ((_, vif),) = client.vif.list("vm1")
        assert vif.plugged
        wait_for_task(client, client.vm.unpause("vm1"), PATIENCE_S)
        await_that(lambda: client.vm.stat("vm1")[1].domids not in {(), before.domids}, "it has rebooted")
        wait_for_task(client, client.vm.shutdown("vm1"), PATIENCE_S)
        assert client.vm.stat("vm1")[1].power_state is PowerState.HALTED
    operator = LibvirtDaemon(Layout(directory / "s").libvirt).client()
    assert operator.domains() == []
    operator.close()
