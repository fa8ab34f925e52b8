"""A stack with its metadata in a real xenstored, of either kind: a VM's life, and the deaths around it."""

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from engine.conformance.samples import sample_vbd, sample_vm
from engine.store import XenstorePlace, open_store
from engine.store.choice import usual_root
from engine.store.port import Store
from schema.fault import XenopsError
from schema.objects.errors import DoesNotExist
from schema.objects.vm import PowerState
from stack.layout import Layout
from stack.local import LocalStack
from stack.shape import SIMULATOR_INSTANCE, WORKER_SIM, XENSTORED, BusKind, Shape, StoreKind
from xenops.client import Client
from xenops.events import wait_for_task

PATIENCE_S = 120.0


@pytest.fixture(name="layout", scope="module")
def make_layout() -> Iterator[Layout]:
    layout = Layout(Path(tempfile.mkdtemp(prefix="xs-")) / "stack")
    yield layout
    shutil.rmtree(layout.root.parent)


@pytest.fixture(name="stack", scope="module", params=[StoreKind.XENSTORED, StoreKind.OXENSTORED])
def bring_up(request: pytest.FixtureRequest, layout: Layout) -> Iterator[LocalStack]:
    with LocalStack(layout, Shape(bus=BusKind.RABBITMQ, store=request.param)) as stack:
        yield stack
        assert "Traceback" not in layout.log(WORKER_SIM).read_text()


@pytest.fixture(name="client")
def connect(stack: LocalStack) -> Iterator[Client]:
    stack.up()
    with stack.client(SIMULATOR_INSTANCE, timeout_s=PATIENCE_S) as client:
        yield client


@pytest.fixture(name="nodes")
def open_nodes(stack: LocalStack, layout: Layout) -> Store:
    """What is in the xenstore, asked of it directly."""
    assert stack.status()[XENSTORED] is not None
    return open_store(XenstorePlace(layout.xenstored / "socket", usual_root(SIMULATOR_INSTANCE)))


def added(client: Client, vm: str, **fields: object) -> str:
    client.vm.add(sample_vm(vm, **fields))
    client.vbd.add(sample_vbd(vm=vm))
    return vm


def done(client: Client, operate: Callable[[str], str], vm: str) -> None:
    wait_for_task(client, operate(vm), PATIENCE_S)


def power_state(client: Client, vm: str) -> PowerState:
    return client.vm.stat(vm)[1].power_state


def shut_down(client: Client, vm: str) -> None:
    wait_for_task(client, client.vm.shutdown(vm, None), PATIENCE_S)
    client.vm.remove(vm)


def test_a_vm_lives_its_life_and_is_configured_in_the_xenstore(
    client: Client, nodes: Store, layout: Layout
) -> None:
    vm = added(client, "life", name="x" * 20_000)
    assert nodes.read(vm).name == "x" * 20_000
    for operate in (client.vm.start, client.vm.unpause, client.vm.pause):
        done(client, operate, vm)
    assert power_state(client, vm) is PowerState.PAUSED
    assert [found.id for found, _ in client.vm.list()] == [vm]
    shut_down(client, vm)
    assert nodes.ids() == ()
    assert not (layout.state(WORKER_SIM) / "metadata").exists()


def test_what_is_configured_outlives_its_worker(stack: LocalStack, client: Client) -> None:
    vm = added(client, "worker-killed")
    done(client, client.vm.start, vm)
    stack.kill(WORKER_SIM)
    stack.up()
    assert power_state(client, vm) is PowerState.RUNNING
    shut_down(client, vm)


def test_while_the_xenstored_is_away_requests_and_tasks_fail_in_words_and_are_done_when_it_is_back(
    stack: LocalStack, client: Client
) -> None:
    vm = added(client, "bereaved")
    done(client, client.vm.start, vm)
    stack.kill(XENSTORED)
    for ask in (client.vm.list, lambda: client.vm.stat(vm), lambda: done(client, client.vm.pause, vm)):
        with pytest.raises(XenopsError, match=r"xenstored does not answer at .*see that it runs"):
            ask()
    stack.start(XENSTORED)
    assert client.vm.list() == ()
    with pytest.raises(XenopsError) as caught:
        client.vm.stat(vm)
    assert caught.value.error == DoesNotExist(klass="VM", id=f"{vm}/config")
    added(client, vm)
    assert power_state(client, vm) is PowerState.RUNNING
    shut_down(client, vm)


def test_a_worker_does_not_start_without_the_xenstored_and_says_why(
    stack: LocalStack, layout: Layout
) -> None:
    told = stack.shape.environment(WORKER_SIM, layout, stack.url_of)
    told["XENOPS_XENSTORE_SOCKET"] = str(layout.root / "nothing")
    ended = subprocess.run(
        [sys.executable, "-m", "worker_sim"],
        env={**os.environ, **told},
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        check=False,
    )
    assert ended.returncode == 1
    assert "worker: cannot start: " in ended.stderr
    assert "xenstored does not answer at" in ended.stderr


def test_a_stack_in_one_process_may_keep_metadata_in_a_xenstore_too() -> None:
    directory = Path(tempfile.mkdtemp(prefix="xs-"))
    layout = Layout(directory / "stack")
    with LocalStack(layout, Shape(bus=BusKind.MEMORY, store=StoreKind.XENSTORED)) as stack:
        with stack.client(SIMULATOR_INSTANCE, timeout_s=PATIENCE_S) as client:
            vm = added(client, "single")
            place = XenstorePlace(layout.xenstored / "socket", usual_root(SIMULATOR_INSTANCE))
            assert open_store(place).ids() == (vm,)
            done(client, client.vm.start, vm)
            shut_down(client, vm)
        assert set(stack.status()) == {XENSTORED, "single"}
    shutil.rmtree(directory)
