import itertools
import multiprocessing
import signal
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from engine.backend import CreateOptions, Devices
from engine.conformance import SuiteExecution
from engine.conformance.samples import (
    sample_vbd,
    sample_vm,
    start_sample,
)
from engine.conformance.subject import refusal
from engine.simulator import (
    Crash,
    Delay,
    Fail,
    Fault,
    Hang,
    Simulator,
    SimulatorSettings,
    parse_faults,
)
from schema.atomics.vm import DomainAction
from schema.fault import XenopsError
from schema.ids import VmId
from schema.objects.disk import Vdi
from schema.objects.errors import (
    Cancelled,
    DoesNotExist,
    DomainNotBuilt,
    InternalError,
    IoError,
)
from schema.objects.halted import HALTED_VM
from schema.objects.vm import (
    PowerState,
)

PATIENCE_S = 120.0
ID = VmId("v1")
IMAGE = Vdi(name="sr/image")


def faulty(*faults: Fault) -> Simulator:
    return Simulator(SimulatorSettings(faults=faults))


def test_faults_are_read_from_json() -> None:
    text = '[{"verb":"VM.build","call":2,"effect":{"kind":"delay","seconds":0.5}}]'
    assert parse_faults(text) == (Fault(verb="VM.build", call=2, effect=Delay(seconds=0.5)),)
    assert parse_faults("") == ()


@pytest.mark.parametrize("text", ["{", '[{"verb":"x"}]', '[{"verb":"x","effect":{"kind":"explode"}}]'])
def test_faults_that_are_none_are_told(text: str) -> None:
    with pytest.raises(ValueError, match="No faults for the simulator"):
        parse_faults(text)


def test_a_fault_fails_a_verb_before_it_does_anything() -> None:
    simulator = faulty(Fault(verb="VM.build", effect=Fail(error=IoError())))
    assert refusal(start_sample, simulator) == IoError()
    assert refusal(simulator.vm.pause, SuiteExecution(), sample_vm()) == DomainNotBuilt()


def test_a_fault_strikes_one_call_of_one_vm() -> None:
    simulator = faulty(Fault(verb="*", vm="v1", call=2, effect=Fail()))
    start_sample(simulator, sample_vm("v2"))
    error = refusal(start_sample, simulator, sample_vm("v1"))
    assert error == InternalError(message="The simulator was told to fail here")
    start_sample(simulator, sample_vm("v1"))


def test_a_delay_waits_as_long_as_the_task_lets_it() -> None:
    simulator = faulty(Fault(verb="VM.create", effect=Delay(seconds=3600)))
    task = SuiteExecution()
    canceller = threading.Thread(target=task.cancel)
    canceller.start()
    error = refusal(simulator.vm.create, task, sample_vm(), Devices(), CreateOptions())
    canceller.join()
    assert error == Cancelled(task="conformance")
    assert simulator.vm.get_state(sample_vm()) == HALTED_VM


def test_a_verb_that_hangs_ends_when_it_is_cancelled() -> None:
    simulator = faulty(Fault(verb="VM.save", effect=Hang()))
    machine, task = start_sample(simulator), SuiteExecution()
    with ThreadPoolExecutor() as pool:
        hanging = pool.submit(simulator.vm.save, task, machine, IMAGE, live=False)
        task.cancel()
        error = hanging.exception(PATIENCE_S)
    assert isinstance(error, XenopsError)
    assert error.error == Cancelled(task="conformance")
    assert simulator.vm.get_state(machine).power_state is PowerState.PAUSED


def _start_in(state: Path, *faults: Fault) -> None:
    start_sample(Simulator(SimulatorSettings(state=state, faults=faults)))


def _in_a_process(target: Callable[..., None], *arguments: object) -> int | None:
    process = multiprocessing.get_context("fork").Process(target=target, args=arguments)
    process.start()
    process.join(PATIENCE_S)
    return process.exitcode


def test_a_crash_kills_the_worker_and_the_host_lives_on(tmp_path: Path) -> None:
    state = tmp_path / "host.db"
    crash = Fault(verb="VM.create_device_model", effect=Crash())
    assert _in_a_process(_start_in, state, crash) == -signal.SIGKILL
    simulator = Simulator(SimulatorSettings(state=state))
    assert simulator.vm.get_domain_action_request(sample_vm()) is DomainAction.REBOOT
    simulator.vm.destroy(SuiteExecution(), sample_vm())
    assert simulator.vm.get_state(sample_vm()) == HALTED_VM
    simulator.stop()


def test_workers_of_one_instance_share_the_host(tmp_path: Path) -> None:
    state = tmp_path / "host.db"
    one, other = Simulator(SimulatorSettings(state=state)), Simulator(SimulatorSettings(state=state))
    start_sample(one)
    assert other.vm.get_state(sample_vm()) == one.vm.get_state(sample_vm())
    other.vm.unpause(SuiteExecution(), sample_vm())
    assert one.vm.get_state(sample_vm()).power_state is PowerState.RUNNING
    second = start_sample(other, sample_vm("v2"))
    assert one.vm.get_state(second).domids == (2,)
    one.vm.remove(sample_vm())
    assert other.vm.get_state(sample_vm()) == HALTED_VM
    one.stop()
    other.stop()


def test_strings_that_are_not_utf8_outlive_the_worker(tmp_path: Path) -> None:
    state = tmp_path / "host.db"
    keys = (("vm-data/caf\udce9", "\udcff"),)
    machine = sample_vm(xsdata=keys)
    for simulator in (Simulator(SimulatorSettings(state=state)), Simulator(SimulatorSettings(state=state))):
        simulator.vm.create(SuiteExecution(), machine, Devices(), CreateOptions())
        assert simulator.vm.get_state(machine).xsdata_state == keys
        simulator.stop()


def test_a_host_that_cannot_be_used_is_named(tmp_path: Path) -> None:
    state = tmp_path / "host.db"
    state.write_text("this is no database, and long enough to be told from one " * 10)
    error = refusal(Simulator, SimulatorSettings(state=state))
    assert isinstance(error, InternalError)
    assert str(state) in error.message


def test_a_verb_that_fails_in_a_file_changes_nothing(tmp_path: Path) -> None:
    simulator = Simulator(SimulatorSettings(state=tmp_path / "host.db"))
    machine = start_sample(simulator)
    before = simulator.vm.get_state(machine)
    assert isinstance(refusal(simulator.vbd.activate, SuiteExecution(), ID, sample_vbd("xvda")), DoesNotExist)
    assert simulator.vm.get_state(machine) == before
    simulator.stop()


@pytest.mark.parametrize("name", [None, "host.db"], ids=["memory", "file"])
def test_many_vms_start_and_stop_at_once(tmp_path: Path, name: str | None) -> None:
    simulator = Simulator(SimulatorSettings(state=tmp_path / name if name else None))

    def live(number: int) -> tuple[int, ...]:
        machine = start_sample(simulator, sample_vm(f"v{number}"))
        seen = simulator.vm.get_state(machine).domids
        simulator.vm.destroy(SuiteExecution(), machine)
        assert simulator.vm.get_state(machine) == HALTED_VM
        return seen

    with ThreadPoolExecutor(16) as pool:
        domids = list(itertools.chain.from_iterable(pool.map(live, range(100))))
        assert len(set(domids)) == 100
    simulator.stop()
