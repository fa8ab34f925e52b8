import threading
from pathlib import Path

import pytest
from bus.memory import MemoryBroker, MemoryBus
from bus.ports import BEGINNING
from bus.process import SettingsError
from bus.topology import control_queue
from schema import rpc
from schema.ids import InstanceName
from worker_sim.service import build
from worker_sim.settings import from_environment

PATIENCE_S = 120.0


def environment(directory: Path) -> dict[str, str]:
    return {"XENOPS_BROKER": "amqp://x/", "XENOPS_INSTANCE": "i", "XENOPS_STATE_DIR": str(directory)}


def test_the_simulator_answers_as_a_worker(tmp_path: Path) -> None:
    broker = MemoryBroker()
    bus, client = MemoryBus(broker, "worker"), MemoryBus(broker, "client")
    up = threading.Event()
    client.tail(
        InstanceName("i"),
        BEGINNING,
        lambda entry: up.set() if entry.record.kind == "WorkerUp" else None,
        up.clear,
    )
    service = build(bus, from_environment(environment(tmp_path)))
    service.start()
    assert up.wait(PATIENCE_S)
    body = rpc.encode_request("HOST.get_console_data", debug_info="d")
    answer = client.call(control_queue(InstanceName("i")), body, PATIENCE_S)
    assert rpc.decode_response("HOST.get_console_data", answer)
    service.stop()
    bus.close()
    client.close()


def test_faults_and_speed_are_settings(tmp_path: Path) -> None:
    faults = '[{"verb": "VM.build", "effect": {"kind": "fail"}}]'
    chosen = {"XENOPS_SIM_FAULTS": faults, "XENOPS_SIM_TRANSFER_S": "0.5", "XENOPS_SIM_STARTS": "paused"}
    settings = from_environment(environment(tmp_path) | chosen)
    assert settings.simulator.faults[0].verb == "VM.build"
    assert settings.simulator.transfer_s == 0.5
    assert settings.simulator.starts_paused
    assert not from_environment(environment(tmp_path)).simulator.starts_paused
    assert (settings.broker, settings.instances) == ("amqp://x/", (InstanceName("i"),))


@pytest.mark.parametrize(
    ("name", "value"),
    [("FAULTS", "{"), ("TRANSFER_S", "soon"), ("MEMORY_KIB", "1.5"), ("STARTS", "no")],
)
def test_a_setting_that_makes_no_sense_is_named(tmp_path: Path, name: str, value: str) -> None:
    with pytest.raises(SettingsError, match=f"XENOPS_SIM_{name}: "):
        from_environment(environment(tmp_path) | {f"XENOPS_SIM_{name}": value})
