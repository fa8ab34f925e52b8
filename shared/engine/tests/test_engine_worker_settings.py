from pathlib import Path

import pytest
from bus.process import SettingsError
from engine.store import XenstorePlace
from engine.worker.settings import worker_settings


def test_settings_come_from_the_environment(tmp_path: Path) -> None:
    environment = {"XENOPS_BROKER": "amqp://x/", "XENOPS_INSTANCE": "i", "XENOPS_STATE_DIR": str(tmp_path)}
    settings = worker_settings(environment | {"XENOPS_WORKER": "w", "XENOPS_CAPACITY": "4"})
    assert (settings.instance, settings.name, settings.capacity) == ("i", "w", 4)
    assert settings.metadata == tmp_path / "metadata"


def test_metadata_may_be_in_a_xenstore(tmp_path: Path) -> None:
    common = {"XENOPS_BROKER": "amqp://x/", "XENOPS_INSTANCE": "org.x", "XENOPS_STATE_DIR": str(tmp_path)}
    usual = worker_settings(common | {"XENOPS_STORE": "xenstore"}).metadata
    assert usual == XenstorePlace(Path("/var/run/xenstored/socket"), "/xenops/org@2ex")
    told = {"XENOPS_STORE": "xenstore", "XENOPS_XENSTORE_PATH": "/a/b", "XENOPS_XENSTORE_SOCKET": "/s"}
    assert worker_settings(common | told).metadata == XenstorePlace(Path("/s"), "/a/b")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"XENOPS_INSTANCE": "a,b"}, "a worker serves one"),
        ({"XENOPS_STATE_DIR": ""}, "XENOPS_STATE_DIR is not set"),
        ({"XENOPS_CAPACITY": "0"}, "XENOPS_CAPACITY"),
        ({"XENOPS_TLS_KEY": "k.pem"}, "set both"),
        ({"XENOPS_TLS_CA": "/no/such.pem"}, "XENOPS_TLS_CA=/no/such.pem: of no use"),
        ({"XENOPS_STORE": "etcd"}, "say files or xenstore"),
        ({"XENOPS_STORE": "xenstore", "XENOPS_XENSTORE_PATH": "/a//b"}, "XENOPS_XENSTORE_PATH"),
        ({"XENOPS_STORE": "xenstore", "XENOPS_XENSTORE_PATH": "/" + "a" * 512}, "XENOPS_XENSTORE_PATH"),
    ],
)
def test_a_setting_that_makes_no_sense_is_named(change: dict[str, str], words: str) -> None:
    environment = {"XENOPS_BROKER": "amqp://x/", "XENOPS_INSTANCE": "i", "XENOPS_STATE_DIR": "s"}
    with pytest.raises(SettingsError, match=words):
        worker_settings(environment | change)
