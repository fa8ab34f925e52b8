"""Random lives of VMs on all services and the simulator in this process: the same ones unless told otherwise.

A walk that goes wrong is shown as it went, with its seed, and not made short: that takes many more walks.
"""

import os
from pathlib import Path

from ground import PATIENCE_S, Ground
from hypothesis import HealthCheck, Phase, seed, settings
from hypothesis.stateful import run_state_machine_as_test
from walk import walks_on
from xenops_testing.instance import Instance, Part

LIVES = 15
STEPS = 40
SEED = int(os.environ.get("XENOPS_TEST_EXPLORE_SEED", "1"))
"""`make explore` tells others each time; beside all other tests what has passed shall pass again."""


def test_a_vm_is_always_as_the_model_says(tmp_path: Path) -> None:
    with Instance(tmp_path / "xenops") as instance:

        def anew(part: Part) -> None:
            instance.stop(part)
            instance.start(part)

        restarts = [lambda part=part: anew(part) for part in Part]
        ground = Ground(instance.client(timeout_s=PATIENCE_S), tmp_path, restarts=restarts)
        chosen = settings(
            max_examples=LIVES,
            stateful_step_count=STEPS,
            phases=[Phase.generate],
            database=None,
            suppress_health_check=list(HealthCheck),
        )
        print(f"XENOPS_TEST_EXPLORE_SEED={SEED} {LIVES} lives")  # noqa: T201  pytest shows it with a failure
        run_state_machine_as_test(seed(SEED)(walks_on(ground)), settings=chosen)
