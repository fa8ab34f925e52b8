"""What holds for the plans of any VM, and what their parts promise."""

from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest
from engine.backend import Devices
from engine.plan import BestEffort, Do, Parallel, Plan, Serial, VmView, plan
from engine.plan.text import describe, render
from engine.plan.timeout import ATOMIC_TIMEOUT_S, chunks, timeout_s
from hypothesis import given, settings
from hypothesis import strategies as st
from schema.atomics import Atomic
from schema.atomics.pci import PciPlug, PciUnplug, VgpuSetActive, VusbPlug, VusbUnplug
from schema.atomics.vbd import VbdEpochBegin, VbdEpochEnd, VbdPlug, VbdSetActive, VbdUnplug
from schema.atomics.vif import VifPlug, VifSetActive, VifSetPvsProxy, VifUnplug
from schema.atomics.vm import VmCreateDeviceModel, VmDestroyDeviceModel, VmPause, VmSetXsdata
from schema.ids import DeviceId, VmId
from schema.objects.disk import Vdi
from schema.objects.pci import Pci, PciAddress
from schema.objects.vbd import Vbd, VbdMode
from schema.objects.vgpu import MxGpu, MxGpuVgpu, Nvidia, NvidiaVgpu, Vgpu
from schema.objects.vif import PvsServer, Vif
from schema.objects.vm import Hvm, HvmInfo, SchedulerParams, Vm
from schema.objects.vusb import Vusb
from schema.operations import (
    AtomicOperation,
    Operation,
    VmPoweroff,
    VmReboot,
    VmResume,
    VmShutdown,
    VmStart,
    VmSuspend,
)

ID = VmId("vm")
VM = Vm(
    id=ID,
    ssidref=0,
    xsdata=(),
    platformdata=(),
    bios_strings=(),
    ty=Hvm(info=HvmInfo()),
    suppress_spurious_page_faults=False,
    memory_static_max=0,
    memory_dynamic_max=0,
    memory_dynamic_min=0,
    vcpu_max=1,
    vcpus=1,
    scheduler_params=SchedulerParams(affinity=()),
    on_crash=(),
    on_shutdown=(),
    on_reboot=(),
    pci_msitranslate=False,
    pci_power_mgmt=False,
)
OPERATIONS: list[Operation] = [
    VmStart(vm=ID),
    VmPoweroff(vm=ID, timeout_s=60.0),
    VmShutdown(vm=ID),
    VmReboot(vm=ID),
    VmSuspend(vm=ID, image=Vdi(name="image")),
    VmResume(vm=ID, image=Vdi(name="image")),
]
STEP = Do(VmPause(vm=ID))

ADDRESSES = [PciAddress(domain=0, bus=0, dev=device, fn=0) for device in range(3)]
NVIDIA = NvidiaVgpu(config=Nvidia())
MXGPU = MxGpuVgpu(config=MxGpu(vgpus_per_pgpu=16, framebufferbytes=0))


def some(*choices: st.SearchStrategy[Any]) -> st.SearchStrategy[list[tuple[DeviceId, Any]]]:
    """Up to a dozen devices, each with a name and what was chosen for it."""
    chosen = st.lists(st.tuples(*choices), max_size=12)
    return chosen.map(lambda each: [(DeviceId(ID, str(index)), values) for index, values in enumerate(each)])


@st.composite
def views(draw: st.DrawFn) -> VmView:
    positions, places = st.integers(0, 9), st.sampled_from(ADDRESSES)
    vbds = draw(some(st.sampled_from(VbdMode), st.none() | st.just(Vdi(name="disk")), st.booleans()))
    vgpus = draw(some(st.none() | places, st.sampled_from([NVIDIA, MXGPU])))
    devices = Devices(
        vbds=tuple(Vbd(id=id_, mode=m, backend=disk, persistent=p) for id_, (m, disk, p) in vbds),
        vifs=tuple(Vif(id=id_, position=position) for id_, (position,) in draw(some(positions))),
        pcis=tuple(Pci(id=id_, position=p, address=a) for id_, (p, a) in draw(some(positions, places))),
        vgpus=tuple(Vgpu(id=id_, virtual_pci_address=a, implementation=i) for id_, (a, i) in vgpus),
        vusbs=tuple(
            Vusb(id=id_, hostbus="1", hostport="1", version="2.0", path="", speed=480.0)
            for id_, _ in draw(some())
        ),
    )
    return VmView(VM, devices)


whatever_it_has = settings(max_examples=20, deadline=None)


def nodes(tree: Plan) -> Iterator[Plan]:
    yield tree
    match tree:
        case Do():
            return
        case BestEffort(plan=attempt):
            yield from nodes(attempt)
        case _:
            for each in tree.plans:
                yield from nodes(each)


def atomics(tree: Plan) -> list[Atomic]:
    return [node.atomic for node in nodes(tree) if isinstance(node, Do)]


def ids(tree: Plan, *kinds: type) -> list[DeviceId]:
    return [atomic.id for atomic in atomics(tree) if isinstance(atomic, kinds)]  # type: ignore[union-attr]


@whatever_it_has
@given(views())
def test_a_start_plugs_every_device_once(view: VmView) -> None:
    tree = plan(VmStart(vm=ID), view)
    devices = view.devices
    assert Counter(ids(tree, VbdPlug)) == Counter(vbd.id for vbd in devices.vbds)
    assert Counter(ids(tree, VifPlug)) == Counter(vif.id for vif in devices.vifs)
    assert Counter(ids(tree, PciPlug)) == Counter(pci.id for pci in devices.pcis)
    assert Counter(ids(tree, VusbPlug)) == Counter(vusb.id for vusb in devices.vusbs)
    assert Counter(ids(tree, VgpuSetActive)) == Counter(vgpu.id for vgpu in devices.vgpus)


@whatever_it_has
@given(views())
def test_a_shutdown_unplugs_every_device_once(view: VmView) -> None:
    tree = plan(VmShutdown(vm=ID), view)
    devices = view.devices
    assert Counter(ids(tree, VbdUnplug)) == Counter(vbd.id for vbd in devices.vbds)
    assert Counter(ids(tree, VifUnplug)) == Counter(vif.id for vif in devices.vifs)
    assert Counter(ids(tree, PciUnplug)) == Counter(pci.id for pci in devices.pcis)
    assert Counter(ids(tree, VusbUnplug)) == Counter(vusb.id for vusb in devices.vusbs)


@whatever_it_has
@given(views())
def test_a_power_off_undoes_what_a_start_has_made_active_or_begun(view: VmView) -> None:
    start, poweroff = plan(VmStart(vm=ID), view), plan(VmPoweroff(vm=ID), view)
    for kinds in ((VbdSetActive,), (VifSetActive,), (VgpuSetActive,)):
        assert Counter(ids(start, *kinds)) == Counter(ids(poweroff, *kinds))
    assert Counter(ids(start, VbdEpochBegin)) == Counter(ids(poweroff, VbdEpochEnd))


@pytest.mark.parametrize("operation", [VmStart(vm=ID), VmResume(vm=ID, image=Vdi(name="image"))])
@whatever_it_has
@given(view=views())
def test_every_read_write_disk_is_plugged_before_any_read_only_one(
    operation: Operation, view: VmView
) -> None:
    read_only = {vbd.id for vbd in view.devices.vbds if vbd.mode is VbdMode.READ_ONLY}
    tree = plan(operation, view)
    plugged = [vbd in read_only for vbd in ids(tree, VbdPlug)]
    assert plugged == sorted(plugged)
    for node in nodes(tree):
        if isinstance(node, Parallel) and node.name.startswith(("plug read-write", "plug read-only")):
            assert len({vbd in read_only for vbd in ids(node, VbdPlug)}) == 1
        elif isinstance(node, Parallel):
            kinds = [{vbd in read_only for vbd in ids(each, VbdPlug)} for each in node.plans]
            assert sum(map(bool, kinds)) <= 1, "two that are plugged at once hold VBDs of a start"


@whatever_it_has
@given(views())
def test_the_device_model_is_there_before_what_is_plugged_through_it_and_gone_after(view: VmView) -> None:
    started = atomics(plan(VmStart(vm=ID), view))
    model = started.index(VmCreateDeviceModel(vm=ID, save_state=False))
    through_model = [
        index
        for index, atomic in enumerate(started)
        if isinstance(atomic, VusbPlug) or (isinstance(atomic, PciPlug) and atomic.use_qmp)
    ]
    assert all(index > model for index in through_model)
    ended = atomics(plan(VmShutdown(vm=ID), view))
    model = ended.index(VmDestroyDeviceModel(vm=ID))
    assert all(index < model for index, atomic in enumerate(ended) if isinstance(atomic, VusbUnplug))
    assert all(index > model for index, atomic in enumerate(ended) if isinstance(atomic, VbdUnplug))


@whatever_it_has
@given(views())
def test_pci_devices_of_the_guest_are_plugged_one_by_one_by_position(view: VmView) -> None:
    tree = plan(VmStart(vm=ID), view)
    position = {pci.id: pci.position for pci in view.devices.pcis}
    top = [step.atomic for step in tree.plans if isinstance(step, Do)]
    guest = [atomic.id for atomic in top if isinstance(atomic, PciPlug)]
    plugged = [atomic.id for atomic in atomics(tree) if isinstance(atomic, PciPlug) and atomic.use_qmp]
    assert plugged == [pci for pci in guest if pci in plugged]
    assert [position[pci] for pci in plugged] == sorted(position[pci] for pci in plugged)


@whatever_it_has
@given(view=views(), operation=st.sampled_from(OPERATIONS))
def test_only_the_pause_before_a_shutdown_may_fail_without_consequence(
    operation: Operation, view: VmView
) -> None:
    attempts = [node for node in nodes(plan(operation, view)) if isinstance(node, BestEffort)]
    assert all(attempt == BestEffort(Do(VmPause(vm=ID))) for attempt in attempts)
    stops_the_vm = not isinstance(operation, VmStart | VmResume)
    assert len(attempts) == (1 if stops_the_vm else 0)


@whatever_it_has
@given(view=views(), operation=st.sampled_from(OPERATIONS))
def test_no_group_holds_nothing_or_only_one(operation: Operation, view: VmView) -> None:
    top = plan(operation, view)
    groups = [node for node in nodes(top) if isinstance(node, Serial | Parallel) and node is not top]
    assert all(len(group.plans) > 1 for group in groups)


@whatever_it_has
@given(view=views(), operation=st.sampled_from(OPERATIONS))
def test_no_two_steps_that_go_on_at_once_are_about_the_same_device(
    operation: Operation, view: VmView
) -> None:
    for node in nodes(plan(operation, view)):
        if isinstance(node, Parallel):
            touched = [{(a.kind[:3], a.id) for a in atomics(each) if hasattr(a, "id")} for each in node.plans]
            assert sum(map(len, touched)) == len(set().union(*touched))


def test_an_atomic_may_take_twenty_minutes() -> None:
    assert timeout_s(STEP) == ATOMIC_TIMEOUT_S == 1200.0
    assert timeout_s(BestEffort(STEP)) == 1200.0


def test_what_follows_takes_the_sum_and_what_goes_on_at_once_the_longest_of_ten() -> None:
    three = Serial("three", (STEP, STEP, STEP))
    assert timeout_s(three) == 3 * 1200.0
    assert timeout_s(Parallel("ten", (STEP,) * 9 + (three,))) == 3 * 1200.0
    assert timeout_s(Parallel("eleven", (three,) + (STEP,) * 10)) == 4 * 1200.0
    assert timeout_s(Serial("nothing", ())) == 0.0


def test_the_plans_of_a_parallel_are_under_way_ten_at_a_time() -> None:
    assert [len(chunk) for chunk in chunks((STEP,) * 21)] == [10, 10, 1]


def test_a_text_shows_each_kind_of_node_and_value() -> None:
    proxy = ("site", (PvsServer(addresses=("10.0.0.1",), first_port=1, last_port=2),), "interface")
    tree = Serial(
        "all",
        (
            STEP,
            Parallel("two", (BestEffort(STEP), Do(VmSetXsdata(vm=ID, xsdata=(("key", "value"),))))),
            Do(VifSetPvsProxy(id=DeviceId(ID, "0"), proxy=proxy)),
        ),
    )
    assert render(tree) == (
        "serial: all\n"
        "  VM_pause vm\n"
        "  parallel: two\n"
        "    best effort\n"
        "      VM_pause vm\n"
        "    VM_set_xsdata vm xsdata=[[key, value]]\n"
        "  VIF_set_pvs_proxy vm/0 proxy=[site, [PvsServer([10.0.0.1], 1, 2)], interface]\n"
    )


def test_a_step_on_its_own_is_described_in_a_line() -> None:
    assert describe(VbdUnplug(id=DeviceId(ID, "xvda"), force=True)) == "VBD_unplug vm/xvda force=true"


def test_a_plan_of_one_atomic_is_that_atomic() -> None:
    pause = VmPause(vm=ID)
    assert plan(AtomicOperation(atomic=pause), VmView(VM, Devices())) == Serial("Atomic", (Do(pause),))
