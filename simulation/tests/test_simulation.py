import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from random import Random

import pytest
from bus.ports import Entry
from engine.worker import runner
from mutations import CAUGHT_BY
from mutations_of_migrations import Mutation
from schema.records import Submitted
from simulation.__main__ import main
from simulation.broker import Item
from simulation.client import INSTANCE
from simulation.generate import scenario_of
from simulation.run import run, simulated
from simulation.scenario import BrokerKill, Cut, Operate, Scenario
from simulation.shrink import shrink, signature
from simulation.trace import trace

FOLDER = Path(__file__).parent.parent / "failures"
FAILURES = sorted(FOLDER.glob("*.json"))
SEEDS = range(8)
SEEDS_OF_TWO = [seed for seed in range(100) if scenario_of(seed).hosts == 2][:4]
SEEDS_TRIED = 40
ARRIVES = "VM_receive_memory"


@pytest.mark.parametrize("path", FAILURES, ids=lambda path: path.stem)
def test_what_ever_failed_fails_no_more(path: Path) -> None:
    assert run(Scenario.model_validate_json(path.read_text())).findings == ()


@pytest.mark.parametrize("mutation", CAUGHT_BY, ids=lambda mutation: mutation.__name__)
def test_a_broken_rule_is_noticed(mutation: Mutation, monkeypatch: pytest.MonkeyPatch) -> None:
    mutation(monkeypatch)
    scenarios = caught_by(CAUGHT_BY[mutation])
    assert any(run(scenario).findings for scenario in scenarios)


def caught_by(which: int | str) -> Iterator[Scenario]:
    """A file, or a seed; and others near it, for a change of what takes how long may let another do it."""
    if isinstance(which, str):
        known = Scenario.model_validate_json((FOLDER / f"{which}.json").read_text())
        yield known
        yield from (moved(known, Random(number)) for number in range(SEEDS_TRIED))
    else:
        yield from (scenario_of(seed) for seed in range(which, which + SEEDS_TRIED))


def moved(scenario: Scenario, chance: Random) -> Scenario:
    """The same with some of its steps a little sooner or later."""
    most_s = chance.choice((0.01, 0.05, 0.2, 1.0))
    ats = [
        max(0.0, step.at + chance.choice((0.0, 1.0)) * chance.uniform(-most_s, most_s))
        for step in scenario.steps
    ]
    steps = [step.model_copy(update={"at": at}) for step, at in zip(scenario.steps, ats, strict=True)]
    return scenario.model_copy(update={"steps": tuple(sorted(steps, key=lambda step: step.at))})


@pytest.mark.parametrize("seed", SEEDS)
def test_nothing_is_lost_or_run_twice_or_stuck(seed: int) -> None:
    assert run(scenario_of(seed)).findings == ()


@pytest.mark.parametrize("seed", SEEDS_OF_TWO)
def test_a_vm_that_migrates_lives_once_whatever_goes_wrong(seed: int) -> None:
    assert run(scenario_of(seed)).findings == ()


def test_a_vm_migrates_to_the_other_host_and_back() -> None:
    start = Operate(at=0.5, vm="vm0", command="start")
    there, back = (Operate(at=at, vm="vm0", command="migrate", seconds=at) for at in (2, 9))
    scenario = Scenario(seed=1, vms=("vm0",), hosts=2, devices=True, steps=(start, there, back))
    with simulated(scenario) as simulation:
        assert simulation.run().findings == ()
        assert [arrivals(site.log) for site in simulation.stage.sites] == [1, 1]
        assert [site.machine.names() for site in simulation.stage.sites] == [{"vm0"}, set()]


def arrivals(log: Sequence[Item]) -> int:
    """How many VMs came in from another host."""
    records = [item.record for item in log if isinstance(item, Entry)]
    return sum(isinstance(each, Submitted) and each.operation.kind == ARRIVES for each in records)


def test_a_bug_that_a_service_only_logs_is_a_finding(monkeypatch: pytest.MonkeyPatch) -> None:
    def forget(*_: object) -> None:
        raise LookupError("what was that again?")

    monkeypatch.setattr(runner, "admit", forget)
    found = run(scenario_of(0)).findings
    assert "a bug: LookupError: what was that again?" in found[0]


@pytest.mark.parametrize("seed", [7, SEEDS_OF_TWO[0]])
def test_a_scenario_comes_out_the_same_again(seed: int) -> None:
    def kinds() -> list[str]:
        with simulated(scenario_of(seed)) as simulation:
            verdict = simulation.run()
            log = simulation.world.broker.logs[INSTANCE]
            return [str(verdict), *(item if isinstance(item, str) else item.record.kind for item in log)]

    assert kinds() == kinds()


def test_a_scenario_is_a_value_that_survives_a_file() -> None:
    scenario = scenario_of(3)
    assert Scenario.model_validate_json(scenario.model_dump_json()) == scenario


def test_a_failure_is_made_as_small_as_its_cause() -> None:
    def find(scenario: Scenario) -> tuple[str, ...]:
        kinds = {step.kind for step in scenario.steps}
        return ("at 1.5 s: task 7 is lost",) if {"cut", "broker_kill"} <= kinds else ()

    noise = tuple(Operate(at=at, vm="vm0", command="start") for at in range(40))
    cause = (Cut(at=7, who="worker-1"), BrokerKill(at=9, down_s=1))
    scenario = Scenario(seed=1, vms=("vm0",), steps=(*noise[:20], *cause, *noise[20:]))
    assert shrink(scenario, find).steps == cause


def test_what_does_not_fail_is_left_alone() -> None:
    scenario = scenario_of(0)
    assert shrink(scenario, lambda _: ()) is scenario


def test_failures_of_one_kind_look_alike() -> None:
    assert signature(["at 1 s: task 7 is lost"]) == signature(["at 2.5 s: task 19 is lost"])
    assert signature([]) == ""


def test_a_trace_shows_steps_and_records() -> None:
    with simulated(scenario_of(1)) as simulation:
        verdict = simulation.run()
        text = "\n".join(trace(simulation.stage, verdict.findings))
    assert '==> {"kind":"operate"' in text
    assert "redirector-1: Leased" in text or "redirector-2: Leased" in text


def test_a_file_is_replayed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "scenario.json"
    path.write_text(json.dumps({"seed": 5, "vms": ["vm0"], "steps": []}))
    assert main(["--replay", str(path)]) == 0
    assert "0 findings" in capsys.readouterr().out
