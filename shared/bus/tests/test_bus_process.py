import pytest
from bus.process import Settings, SettingsError, from_environment
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
