"""A VM goes from one toolstack's host to another's, and back, by the records that both share."""

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from stack.layout import Layout
from stack.local import LocalStack
from stack.shape import SIMULATOR_INSTANCE, BusKind, Shape
from xenops.calls.vm import Destination
from xenops.toolstack import MemoryDatabase, Site, Toolstack, XenApiFailure
from xenops.toolstack.samples import HOST, sample_pool, sample_vm, vbd_ref, vif_ref, vm_ref

from stack import remains

THERE = "OpaqueRef:there"
VM = vm_ref(1)


class Host:
    """A stack in one process, and its toolstack on a database that others use, too."""

    def __init__(self, ref: str, database: MemoryDatabase, ending: ExitStack) -> None:
        self.ref = ref
        directory = Path(tempfile.mkdtemp(prefix="xh-"))
        ending.callback(shutil.rmtree, directory)
        layout = Layout(directory / "s")
        ending.callback(lambda: remains.processes(layout) == [] or pytest.fail("the stack left something"))
        stack = ending.enter_context(LocalStack(layout, Shape(bus=BusKind.MEMORY)))
        self.client = ending.enter_context(stack.client(SIMULATOR_INSTANCE))
        self.toolstack = ending.enter_context(Toolstack(self.client, database, Site(host=ref)))
        self.url = f"unix://{layout.door}?instance={SIMULATOR_INSTANCE}"

    def vms(self) -> list[str]:
        return [vm.id for vm, _ in self.client.vm.list()]


@pytest.fixture(name="database", scope="module")
def fill() -> MemoryDatabase:
    database = MemoryDatabase(sample_pool())
    database.add(sample_vm(1))
    return database


@pytest.fixture(name="hosts", scope="module")
def bring_up(database: MemoryDatabase) -> Iterator[tuple[Host, Host]]:
    with ExitStack() as ending:
        yield Host(HOST, database, ending), Host(THERE, database, ending)


def test_a_vm_goes_there_and_back_and_round_its_own_host(
    hosts: tuple[Host, Host], database: MemoryDatabase
) -> None:
    here, there = hosts
    uuid = str(database.fields("VM", VM)["uuid"])
    here.toolstack.start(VM)
    for source, destination in ((here, there), (there, here)):
        source.toolstack.migrate(VM, Destination(destination.url), destination.ref)
        destination.toolstack.take_up(VM)
        fields = database.fields("VM", VM)
        assert (fields["power_state"], fields["resident_on"]) == ("Running", destination.ref)
        assert (source.vms(), destination.vms()) == ([], [uuid])
        for klass, ref in (("VBD", vbd_ref(1)), ("VIF", vif_ref(1))):
            assert database.fields(klass, ref)["currently_attached"]
    before = database.fields("VM", VM)["domid"]
    here.toolstack.migrate(VM, Destination(here.url, localhost=True), here.ref)
    assert database.fields("VM", VM)["power_state"] == "Running"
    assert database.fields("VM", VM)["domid"] != before
    here.toolstack.shutdown(VM)
    assert here.vms() == []


def test_a_vm_that_cannot_go_stays_where_it_is(hosts: tuple[Host, Host], database: MemoryDatabase) -> None:
    here, _ = hosts
    here.toolstack.start(VM)
    with pytest.raises(XenApiFailure):
        here.toolstack.migrate(VM, Destination("unix:///nobody/listens/here"), THERE)
    fields = database.fields("VM", VM)
    assert (fields["power_state"], fields["resident_on"]) == ("Running", here.ref)
    here.toolstack.shutdown(VM)
