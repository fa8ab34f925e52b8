"""How far a plan has come."""

import pytest
from engine.plan import BestEffort, Do, Parallel, Plan, Serial
from engine.progress import Path, Progress
from hypothesis import given, settings
from hypothesis import strategies as st
from schema.atomics.vm import VmPause, VmRestore, VmSave
from schema.ids import VmId
from schema.objects.disk import Vdi

VM = VmId("vm")
STEP = Do(VmPause(vm=VM))
SAVE = Do(VmSave(vm=VM, live=False, image=Vdi(name="image")))
RESTORE = Do(VmRestore(vm=VM, image=Vdi(name="image")))


def top(*plans: Plan) -> Serial:
    return Serial("VM_start", plans)


def test_steps_of_equal_weight_end_at_the_figures_that_the_original_tells() -> None:
    """Golden: a VM.start of six steps was seen at these, after the second, third and fourth."""
    progress = Progress(top(*[STEP] * 6))
    seen = []
    for step in range(6):
        progress = progress.finished((step,))
        seen.append(progress.fraction)
    assert seen[1:4] == [0.3333333333333333, 0.5, 0.6666666666666666]


@pytest.mark.parametrize("memory_copy", [SAVE, RESTORE])
def test_a_copy_of_memory_weighs_ten_times_as_much(memory_copy: Plan) -> None:
    progress = Progress(top(STEP, memory_copy, STEP))
    assert progress.finished((0,)).fraction == pytest.approx(1 / 12)
    assert progress.at((1,), 0.5).fraction == pytest.approx(6 / 12)
    assert progress.finished((1,)).fraction == pytest.approx(11 / 12)


def test_what_goes_on_at_once_counts_as_it_ends_in_any_order() -> None:
    progress = Progress(top(Parallel("plug", (STEP, Serial("plug one", (STEP, STEP)), STEP)), STEP))
    progress = progress.finished((0, 2))
    assert progress.fraction == pytest.approx(1 / 8)
    progress = progress.at((0, 1, 0), 0.5)
    assert progress.fraction == pytest.approx(1.5 / 8)
    progress = progress.finished((0, 1, 0)).finished((0, 1, 1)).finished((0, 1))
    assert progress.fraction == pytest.approx(3 / 8)
    assert progress.finished((0, 0)).fraction == pytest.approx(4 / 8)


def test_an_attempt_that_failed_half_way_is_over_all_the_same() -> None:
    progress = Progress(top(BestEffort(Serial("try", (STEP, STEP))), STEP)).finished((0, 0, 0))
    assert progress.fraction == pytest.approx(0.25)
    assert progress.finished((0,)).fraction == 0.5


def test_a_fraction_out_of_range_is_cut_to_it() -> None:
    progress = Progress(top(STEP, STEP))
    assert progress.at((0,), -1.0).fraction == 0.0
    assert progress.at((0,), 7.0).fraction == 0.5


def leaves(plan: Plan, path: Path = ()) -> list[Path]:
    match plan:
        case Do():
            return [path]
        case BestEffort(plan=attempt):
            return leaves(attempt, (*path, 0))
        case _:
            return [leaf for index, each in enumerate(plan.plans) for leaf in leaves(each, (*path, index))]


def groups(plans: st.SearchStrategy[Plan]) -> st.SearchStrategy[Plan]:
    several = st.lists(plans, min_size=1, max_size=4).map(tuple)
    return (
        st.builds(Serial, st.just("serial"), several)
        | st.builds(Parallel, st.just("parallel"), several)
        | st.builds(BestEffort, plans)
    )


PLANS = st.recursive(st.sampled_from([STEP, SAVE]), groups, max_leaves=12)


@settings(max_examples=30, deadline=None)
@given(st.lists(PLANS, min_size=1, max_size=4), st.data())
def test_progress_never_goes_back_and_ends_at_one(steps: list[Plan], data: st.DataObject) -> None:
    progress, seen = Progress(top(*steps)), [0.0]
    for index, step in enumerate(steps):
        for leaf in data.draw(st.permutations(leaves(step, (index,)))):
            for fraction in data.draw(st.lists(st.floats(0.0, 1.0), max_size=2)):
                progress = progress.at(leaf, fraction)
                seen.append(progress.fraction)
            progress = progress.finished(leaf)
            seen.append(progress.fraction)
    assert seen == sorted(seen)
    assert seen[-1] == pytest.approx(1.0)
    assert seen[-1] <= 1.0
