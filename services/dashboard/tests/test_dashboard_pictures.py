"""Timelines and plots, as numbers."""

import pytest
from bus.stories.story import State, Story
from dashboard import plots, timeline
from dashboard.fold.history import Sample
from log_in_hand import VM
from schema.overseen import Atom


def story(number: int = 1, **more: object) -> Story:
    return Story(number, VM, "VM_start", "", 100.0, **more)  # type: ignore[arg-type]


def test_a_task_that_waited_and_ran_has_a_bar_for_each_and_for_its_steps() -> None:
    atoms = (Atom("VM_create", 0.0, 1.0), Atom("VM_build", 1.0, 1.0, failed=True))
    one = story(leased_at=102.0, ended_at=104.0, duration_s=2.0, state=State.FAILED, worker="w", atoms=atoms)
    drawn = timeline.of_tasks([one], now=200.0)
    assert (drawn.begin, drawn.end) == (100.0, 104.0)
    [row] = drawn.rows
    assert [(bar.x, bar.width, bar.kind) for bar in row.bars] == [
        (0.0, 500.0, "waiting"),
        (500.0, 500.0, "failed"),
        (500.0, 250.0, "step"),
        (750.0, 250.0, "step failed"),
    ]
    assert row.bars[1].said == "failed at w: 2.000 s"


def test_a_task_that_waits_or_is_parked_reaches_until_now() -> None:
    waits, parked = story(1), story(2, leased_at=100.0, state=State.PARKED)
    drawn = timeline.of_tasks([parked, waits], now=110.0)
    assert [[bar.kind for bar in row.bars] for row in drawn.rows] == [["waiting"], ["waiting", "parked"]]
    assert [row.took_s for row in drawn.rows] == [10.0, 10.0]
    assert timeline.of_tasks([], now=5.0).rows == ()


def test_only_the_newest_rows_are_drawn_and_no_bar_leaves_the_picture() -> None:
    drawn = timeline.of_tasks([story(number) for number in range(timeline.ROWS_MAX + 5)], now=100.0)
    assert drawn.rows[0].id == "5"
    for row in drawn.rows:
        for bar in row.bars:
            assert 0 <= bar.x <= bar.x + bar.width <= timeline.WIDTH


def test_steps_are_drawn_in_the_order_in_which_they_began() -> None:
    atoms = (Atom("b", 0.5, 0.5, failed=True), Atom("a", 0.0, 0.5))
    drawn = timeline.of_steps(story(ended_at=101.0, duration_s=1.0, atoms=atoms), now=200.0)
    assert [(row.label, row.bars[0].x, row.state) for row in drawn.rows] == [
        ("a", 0.0, "done"),
        ("b", 500.0, "failed"),
    ]
    assert timeline.of_steps(story(), now=200.0).rows == ()


def test_the_step_under_way_reaches_until_now() -> None:
    one = story(
        leased_at=102.0,
        began_at=103.0,
        state=State.RUNNING,
        worker="w",
        atoms=(Atom("VM_create", 0.0, 1.0),),
        atom="VM_build",
        atom_began_s=1.0,
    )
    steps = timeline.of_steps(one, now=107.0)
    assert [(row.label, row.state, row.took_s) for row in steps.rows] == [
        ("VM_create", "done", 1.0),
        ("VM_build", "running", 3.0),
    ]
    [row] = timeline.of_tasks([one], now=110.0).rows
    assert [(bar.x, bar.width) for bar in row.bars if bar.kind == "step"] == [(300.0, 100.0), (400.0, 600.0)]


def test_steps_of_which_nobody_knows_when_they_began_are_not_drawn() -> None:
    one = story(leased_at=102.0, state=State.RUNNING, worker="w", atom="VM_build")
    assert timeline.of_steps(one, now=107.0).rows == ()
    [row] = timeline.of_tasks([one], now=110.0).rows
    assert [bar.kind for bar in row.bars] == ["waiting", "running"]


def sample(at: float, waiting: int, wait_s: float | None) -> Sample:
    return Sample(at, waiting, 0, 10, 5, wait_s, wait_s, wait_s, wait_s)


def test_a_line_is_broken_where_there_was_no_value() -> None:
    samples = [sample(0, 4, 0.5), sample(100, 2, None), sample(200, 0, 1.0), sample(300, 0, 2.0)]
    [waits, _] = plots.of_latency(samples).lines
    assert waits.parts == ("-2.0,75.0 0.0,75.0", "480.0,50.0 720.0,0.0")
    depth = plots.of_depth(samples)
    assert (depth.top, depth.span_s, depth.lines[0].last) == (5.0, 300.0, 0.0)
    assert plots.of_throughput(samples).lines[1].last == 1.0


def test_a_plot_of_nothing_is_empty() -> None:
    empty = plots.of_latency([])
    assert (empty.top, empty.lines[0].parts, empty.lines[0].last) == (1.0, (), None)


@pytest.mark.parametrize(
    ("value", "top"),
    [(0, 1), (0.03, 0.05), (0.5, 0.5), (1, 1), (3, 5), (10, 10), (11, 20), (99, 100), (700, 1000)],
)
def test_a_scale_ends_at_a_round_number(value: float, top: float) -> None:
    assert plots.rounded_up(value) == pytest.approx(top)
