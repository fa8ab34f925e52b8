import threading
from pathlib import Path

from dashboard.operators import OperatorRole
from schema.objects.vm import PowerState
from stack.layout import Layout
from stack.shape import SIMULATOR_INSTANCE, BusKind, Shape
from stack.single import Single
from xenops.client import connect
from xenops.events import wait_for_task
from xenops.vmfile import parse_vm_file

from stack import page

PATIENCE_S = 120.0
SHAPE = Shape(bus=BusKind.MEMORY)


def test_a_vm_lives_in_one_process_and_its_metadata_outlives_the_process(layout: Layout) -> None:
    stack = Single(layout, SHAPE)
    stack.start()
    with connect(f"unix://{layout.door}", SIMULATOR_INSTANCE, timeout_s=PATIENCE_S) as client:
        vm = client.vm.add(parse_vm_file('{"vm": {"id": "demo"}}', Path("/x")).vm)
        for operate in (client.vm.start, client.vm.unpause):
            wait_for_task(client, operate(vm), PATIENCE_S)
        assert client.vm.stat(vm)[1].power_state is PowerState.RUNNING
    assert page.trouble(layout) is None
    assert layout.tokens.stat().st_mode & 0o077 == 0
    tokens = [page.token_of(layout, role) for role in OperatorRole]
    assert len(set(tokens)) == len(OperatorRole)
    stack.stop()
    assert not layout.door.exists()
    assert "does not answer" in (page.trouble(layout) or "")
    again = Single(layout, SHAPE)
    again.start()
    with connect(f"unix://{layout.door}", SIMULATOR_INSTANCE, timeout_s=PATIENCE_S) as client:
        assert [found.id for found, _ in client.vm.list()] == ["demo"]
    again.stop()
    assert [page.token_of(layout, role) for role in OperatorRole] == tokens


def test_the_threads_of_its_buses_end_with_the_stack(layout: Layout) -> None:
    others = set(threading.enumerate())  # whatever other tests have left
    stack = Single(layout, SHAPE)
    stack.start()
    assert bus_threads() - others
    stack.stop()
    assert not bus_threads() - others


def bus_threads() -> set[threading.Thread]:
    return {thread for thread in threading.enumerate() if thread.name.startswith("bus-")}
