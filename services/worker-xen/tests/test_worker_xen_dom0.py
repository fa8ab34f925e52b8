"""Where worker-xen does not start, and what it says there."""

import os
from pathlib import Path

import pytest
from bus.memory import MemoryBroker, MemoryBus
from bus.process import SettingsError
from worker_xen.dom0 import NoDom0Error, main, refuse_elsewhere
from worker_xen.service import build
from worker_xen.settings import from_environment


def host(root: Path, **files: str) -> Path:
    places = {
        "type": "sys/hypervisor/type",
        "capabilities": "proc/xen/capabilities",
        "privcmd": "dev/xen/privcmd",
    }
    for name, content in files.items():
        path = root / places[name]
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)
    return root


def test_dom0_is_taken(tmp_path: Path) -> None:
    refuse_elsewhere(host(tmp_path, type="xen\n", capabilities="control_d\n", privcmd=""))


@pytest.mark.parametrize(
    ("files", "words"),
    [
        ({}, "runs without Xen"),
        ({"type": "kvm"}, "runs without Xen"),
        ({"type": "xen"}, "mount -t xenfs"),
        ({"type": "xen", "capabilities": ""}, "not its control domain"),
        ({"type": "xen", "capabilities": "control_d"}, "run worker-xen as root"),
    ],
)
def test_any_other_host_is_refused_in_words(tmp_path: Path, files: dict[str, str], words: str) -> None:
    with pytest.raises(NoDom0Error, match=words):
        refuse_elsewhere(host(tmp_path, **files))


@pytest.mark.skipif(os.path.exists("/proc/xen/capabilities"), reason="this is a host with Xen")  # noqa: PTH110
def test_whether_this_is_dom0_can_be_asked(capsys: pytest.CaptureFixture[str]) -> None:
    assert main() == 1
    assert "worker-xen: this host runs without Xen" in capsys.readouterr().err


@pytest.mark.skipif(os.path.exists("/proc/xen/capabilities"), reason="this is a host with Xen")  # noqa: PTH110
def test_without_xen_the_worker_says_where_it_belongs(tmp_path: Path) -> None:
    bus = MemoryBus(MemoryBroker(), "worker")
    told = {"XENOPS_BROKER": "amqp://b/", "XENOPS_INSTANCE": "i", "XENOPS_STATE_DIR": str(tmp_path)}
    with pytest.raises(SettingsError, match="start it in dom0"):
        build(bus, from_environment(told))
    bus.close()
