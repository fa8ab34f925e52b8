"""Updates: each object once, ordered by its last change; nothing is ever missed."""

from eventhub.updates import BarrierNews, Updates
from hypothesis import example, given
from hypothesis import strategies as st
from schema.ids import VmId
from schema.objects.dynamic import ObjectId, PciObject, TaskObject, VbdObject, VifObject, VmObject
from schema.wire.types import DeviceId

VM = VmObject(id="vm1")
XVDA = VbdObject(id=DeviceId("vm1", "xvda"))
XVDB = VbdObject(id=DeviceId("vm1", "xvdb"))
VIF = VifObject(id=DeviceId("vm1", "0"))
TASK = TaskObject(id="3")
OTHER = VmObject(id="vm2")


def test_each_object_is_told_once_by_its_last_change() -> None:
    updates = Updates()
    updates.change([VM, XVDA], 1)
    updates.change([VIF], 2)
    updates.change([VM], 3)
    assert updates.since(0).objects == (XVDA, VIF, VM)
    assert updates.since(0).place == 3


def test_only_what_came_after_the_place_is_told() -> None:
    updates = Updates()
    updates.change([VM], 1)
    updates.change([XVDA], 2)
    assert updates.since(1).objects == (XVDA,)
    assert not updates.since(2)


def test_a_place_beyond_the_last_change_is_kept() -> None:
    updates = Updates()
    updates.change([VM], 1)
    assert updates.since(5).place == 5


def test_a_forgotten_object_is_not_told() -> None:
    updates = Updates()
    updates.change([VM, TASK], 1)
    updates.forget(TASK)
    assert updates.everything().objects == (VM,)


def test_a_removed_vm_is_told_once_more_without_its_devices() -> None:
    updates = Updates()
    updates.change([VM, XVDA, OTHER], 1)
    updates.remove_vm(VmId("vm1"), 2)
    assert updates.since(1).objects == (VM,)
    assert updates.everything().objects == (OTHER,)
    assert updates.objects_of(VmId("vm1")) == ()


def test_a_vm_that_comes_again_exists_again() -> None:
    updates = Updates()
    updates.change([VM], 1)
    updates.remove_vm(VmId("vm1"), 2)
    updates.change([VM], 3)
    assert updates.everything().objects == (VM,)
    assert updates.vms == ["vm1"]


def test_a_vm_that_comes_again_is_told_with_the_devices_that_it_had() -> None:
    before = Updates()
    before.change([VM, XVDA, VIF, OTHER], 1)
    before.remove_vm(VmId("vm1"), 2)
    before.remove_vm(VmId("vm2"), 2)
    before.remove_vm(VmId("vm1"), 3)
    updates = Updates()
    updates.take(before.state())
    assert updates.since(1).objects == (OTHER, VM)
    updates.change([VM, XVDB], 4)
    assert updates.since(3).objects == (XVDA, VIF, VM, XVDB)
    assert updates.objects_of(VmId("vm1")) == (VM, XVDA, XVDB, VIF)


def test_who_was_away_for_longer_than_removals_are_kept_is_told_everything() -> None:
    updates = Updates(gone_kept=1)
    updates.change([OTHER], 1)
    updates.remove_vm(VmId("a"), 2)
    updates.remove_vm(VmId("b"), 3)
    assert updates.since(1).objects == (OTHER, VmObject(id="b"))
    assert updates.since(2).objects == (VmObject(id="b"),)


def test_a_barrier_comes_with_what_had_changed_in_its_vm_and_before_the_rest() -> None:
    updates = Updates()
    updates.change([XVDB, XVDA, OTHER], 1)
    updates.change([VM], 2)
    updates.put_barrier(77, VmId("vm1"), 3)
    updates.change([XVDA], 4)
    told = updates.since(0)
    assert told.barriers == (BarrierNews(77, (XVDB, XVDA, VM)),)
    assert told.objects == (XVDB, OTHER, VM, XVDA)
    assert updates.since(1).barriers == (BarrierNews(77, (VM,)),)
    assert updates.since(3).barriers == ()


def test_a_barrier_alone_is_news_and_a_removed_one_is_none() -> None:
    updates = Updates()
    updates.put_barrier(7, VmId("vm1"), 1)
    assert updates.since(0)
    assert updates.since(0).place == 1
    updates.remove_barrier(7)
    assert not updates.since(0)


def test_a_vms_objects_come_in_the_originals_order() -> None:
    updates = Updates()
    pci = PciObject(id=DeviceId("vm1", "0"))
    updates.change([pci, VIF, XVDB, XVDA, VM, OTHER], 1)
    assert updates.objects_of(VmId("vm1")) == (VM, XVDA, XVDB, VIF, pci)


OBJECTS: tuple[ObjectId, ...] = (VM, XVDA, XVDB, VIF, TASK, OTHER)
STEP = st.one_of(
    st.lists(st.sampled_from(OBJECTS), min_size=1, max_size=3),
    st.sampled_from(("remove vm1", "remove vm2", "forget task", "nothing")),
)
FORGOTTEN_THEN_BACK: list[list[ObjectId] | str] = [[XVDA], "remove vm1", "remove vm2", [XVDA], [VM]]


@given(st.lists(st.tuples(STEP, st.booleans()), max_size=30))
@example([(step, step == [XVDA]) for step in FORGOTTEN_THEN_BACK])
def test_who_resumes_from_any_token_it_ever_got_misses_no_change(
    steps: list[tuple[list[ObjectId] | str, bool]],
) -> None:
    """A client that asks now and then knows, in the end, the last change of everything that exists.

    Devices of a VM that is back have changed with it; those that came before it are new.
    """
    updates = Updates(gone_kept=1)
    place = 0
    known: dict[ObjectId, int] = {}
    changed_at: dict[ObjectId, int] = {}
    gone: dict[ObjectId, set[ObjectId]] = {}
    for at, (step, asks) in enumerate(steps, start=1):
        match step:
            case list():
                updates.change(step, at)
                back = {device for one in step for device in gone.pop(one, ())} - changed_at.keys()
                changed_at |= dict.fromkeys((*step, *back), at)
            case "remove vm1" | "remove vm2":
                vm = step.removeprefix("remove ")
                updates.remove_vm(VmId(vm), at)
                gone.setdefault(VmObject(id=vm), set()).update(one for one in changed_at if one.id[0] == vm)
                changed_at = {one: when for one, when in changed_at.items() if vm not in (one.id, one.id[0])}
                changed_at[VmObject(id=vm)] = at
            case "forget task":
                updates.forget(TASK)
                changed_at.pop(TASK, None)
            case _:
                pass
        if asks:
            told = updates.since(place)
            assert told.place >= place
            assert len(set(told.objects)) == len(told.objects)
            known |= dict.fromkeys(told.objects, at)
            place = told.place
    known |= dict.fromkeys(updates.since(place).objects, len(steps))
    existing = set(updates.everything().objects)
    assert all(known[one] >= changed_at[one] for one in existing)
