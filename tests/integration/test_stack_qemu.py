"""The stack with VMs on QEMU: they outlive their worker, and end with the stack."""

import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from schema.objects.vm import PowerState
from stack.hypervisor import look
from stack.layout import Layout
from stack.local import LocalStack
from stack.shape import QEMU_INSTANCE, SINGLE, WORKER_KVM, BusKind, Network
from worker_kvm.accelerator import QemuMissingError, find_qemu
from xenops.client import Client
from xenops.events import wait_for_task
from xenops.vmfile import parse_vm_file

from stack import remains

PATIENCE_S = 120.0
VM_FILE = """{
  "vm": {"id": "vm1", "memory": "64 MiB"},
  "vifs": [{"device": "0", "mac": "52:54:00:00:00:01", "bridge": "xenbr0"}]
}"""


def qemu_runs() -> bool:
    try:
        find_qemu()
    except QemuMissingError:
        return False
    return True


pytestmark = pytest.mark.skipif(not qemu_runs(), reason="QEMU is not there: `make setup` installs it")


@pytest.fixture(name="layout")
def make_layout() -> Iterator[Layout]:
    layout = Layout(Path(tempfile.mkdtemp(prefix="xs-")) / "stack")
    yield layout
    assert remains.processes(layout) == []
    assert not remains.has_namespace(layout)
    shutil.rmtree(layout.root.parent)


def start_vm(client: Client) -> None:
    metadata = parse_vm_file(VM_FILE, Path("/x"))
    client.vm.add(metadata.vm)
    for vif in metadata.vifs:
        client.vif.add(vif)
    for operate in (client.vm.start, client.vm.unpause):
        wait_for_task(client, operate("vm1"), PATIENCE_S)


def seen(stack: LocalStack) -> tuple[PowerState, tuple[int, ...]]:
    with stack.client(QEMU_INSTANCE, timeout_s=PATIENCE_S) as client:
        state = client.vm.stat("vm1")[1]
        return state.power_state, state.domids


@pytest.mark.parametrize(("bus", "process"), [(BusKind.RABBITMQ, WORKER_KVM), (BusKind.MEMORY, SINGLE)])
def test_a_vm_outlives_its_workers_death_and_restart_and_ends_with_the_stack(
    layout: Layout, bus: BusKind, process: str
) -> None:
    stack = LocalStack(layout, replace(look(layout).shape, bus=bus))
    with stack:
        with stack.client(QEMU_INSTANCE, timeout_s=PATIENCE_S) as client:
            start_vm(client)
        before = seen(stack)
        assert before[0] is PowerState.RUNNING
        stack.kill(process)
        stack.up()
        assert seen(stack) == before
        stack.restart(process)
        assert seen(stack) == before
        assert stack.down().vms == ("vm1",)


def test_vms_need_no_rights_with_qemus_own_networking(layout: Layout) -> None:
    shape = replace(look(layout).shape, network=Network.USER, bus=BusKind.MEMORY)
    with LocalStack(layout, shape) as stack, stack.client(QEMU_INSTANCE, timeout_s=PATIENCE_S) as client:
        start_vm(client)
        ((_, vif),) = client.vif.list("vm1")
        assert vif.active
        assert vif.plugged
