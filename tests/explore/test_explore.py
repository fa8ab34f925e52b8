"""Random lives of VMs on all services and the simulator in this process, at each run others."""

from pathlib import Path

from ground import Ground
from hypothesis import HealthCheck, settings
from hypothesis.stateful import run_state_machine_as_test
from walk import walks_on
from xenops_testing.instance import Instance, Part

LIVES = 25
STEPS = 40
CHECKS = [HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.filter_too_much]


def test_a_vm_is_always_as_the_model_says(tmp_path: Path) -> None:
    with Instance(tmp_path / "xenops") as instance:

        def anew(part: Part) -> None:
            instance.stop(part)
            instance.start(part)

        restarts = [lambda part=part: anew(part) for part in Part]
        ground = Ground(instance.client(), tmp_path, restarts=restarts, settles_s=20.0)
        chosen = settings(
            max_examples=LIVES,
            stateful_step_count=STEPS,
            print_blob=True,
            database=None,
            suppress_health_check=CHECKS,
        )
        run_state_machine_as_test(walks_on(ground), settings=chosen)
