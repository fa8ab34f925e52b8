import subprocess
import sys
import threading
from pathlib import Path

import pytest
from bus.memory import MemoryBroker, MemoryBus
from bus.process import Lost, Settings, SettingsError, from_environment
from schema.ids import InstanceName


def test_settings_name_what_is_missing() -> None:
    with pytest.raises(SettingsError, match="XENOPS_BROKER"):
        from_environment({})
    with pytest.raises(SettingsError, match="XENOPS_INSTANCE"):
        from_environment({"XENOPS_BROKER": "amqp://localhost/", "XENOPS_INSTANCE": " , "})


def test_settings_take_several_instances() -> None:
    environment = {"XENOPS_BROKER": "amqp://localhost/", "XENOPS_INSTANCE": "a, b"}
    assert from_environment(environment) == Settings(
        (InstanceName("a"), InstanceName("b")), "amqp://localhost/"
    )


def test_a_lost_log_ends_the_process_and_its_next_life_says_so_in_the_logs_that_it_writes() -> None:
    instance = InstanceName("i")
    lost = Lost(threading.Event())
    lost.note(instance, "a test")
    assert lost.ended.is_set()
    assert lost.instances == [instance]
    broker = MemoryBroker()
    bus = MemoryBus(broker)
    lost.tell(bus, (instance,), "other,i,i:observers")
    assert [envelope.record.kind for envelope in broker.log(instance)] == ["LifeBegan"]
    assert broker.log(InstanceName("other")) == []
    bus.close()


def test_the_brokers_url_may_be_in_a_file(tmp_path: Path) -> None:
    file = tmp_path / "url"
    environment = {"XENOPS_BROKER_FILE": str(file), "XENOPS_INSTANCE": "a"}
    with pytest.raises(SettingsError, match=r"XENOPS_BROKER_FILE: .* cannot be read"):
        from_environment(environment)
    file.write_text("amqp://user:secret@localhost/\n")
    assert from_environment(environment).broker == "amqp://user:secret@localhost/"


def test_a_process_seldom_looks_for_garbage_and_never_at_its_program() -> None:
    told = "import gc; from bus.process import run; run('x', None); "
    told += "print(gc.get_threshold(), gc.get_freeze_count())"
    ran = subprocess.run([sys.executable, "-c", told], env={}, capture_output=True, text=True, check=True)
    threshold, frozen = ran.stdout.rsplit(maxsplit=1)
    assert threshold == "(100000, 20, 20)"
    assert int(frozen) > 10_000
