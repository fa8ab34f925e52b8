"""What the environment may say to the worker on KVM."""

from pathlib import Path

import pytest
from bus.process import SettingsError
from engine.hosted.storage.choice import StorageChoice
from worker_kvm.settings import BackendName, from_environment

USUAL = {"XENOPS_BROKER": "amqp://b/", "XENOPS_INSTANCE": "i", "XENOPS_STATE_DIR": "/state"}


def test_what_is_not_said_is_as_usual() -> None:
    settings = from_environment(USUAL)
    assert settings.run == Path("/state/run")
    assert (settings.accelerator, settings.network, settings.namespace) == ("auto", "bridge", None)
    assert (settings.broker, settings.instances) == ("amqp://b/", ("i",))


def test_all_may_be_said() -> None:
    said = {
        "XENOPS_RUN_DIR": "/run/x",
        "XENOPS_KVM_ACCELERATOR": "tcg",
        "XENOPS_KVM_NETWORK": "user",
        "XENOPS_KVM_NETNS": "n",
        "XENOPS_SR_DIRECTORY": "/run/sr-mount",
        "XENOPS_KVM_USER": "libvirt-qemu",
        "XENOPS_KVM_MIGRATION_MIB_S": "100",
    }
    settings = from_environment(USUAL | said)
    assert settings.run == Path("/run/x")
    assert (settings.accelerator, settings.network, settings.namespace) == ("tcg", "user", "n")
    assert settings.storage == StorageChoice(Path("/run/sr-mount"))
    assert (settings.qemu_user, settings.migration_mib_s) == ("libvirt-qemu", 100)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"XENOPS_RUN_DIR": "/" + "x" * 90}, "set XENOPS_RUN_DIR to a shorter one"),
        ({"XENOPS_KVM_ACCELERATOR": "xen"}, "XENOPS_KVM_ACCELERATOR is 'xen': choose one of auto, kvm, tcg"),
        ({"XENOPS_KVM_NETWORK": "ovs"}, "XENOPS_KVM_NETWORK is 'ovs': choose one of bridge, user"),
        ({"XENOPS_KVM_NETNS": "../x"}, "XENOPS_KVM_NETNS is '../x'"),
        ({"XENOPS_KVM_USER": "q", "XENOPS_BACKEND": "libvirt"}, "libvirt's is in its qemu.conf"),
        ({"XENOPS_KVM_MIGRATION_MIB_S": "0"}, "XENOPS_KVM_MIGRATION_MIB_S is '0': give MiB a second"),
        ({"XENOPS_KVM_MIGRATION_MIB_S": "1 GB"}, "from 1 to 1048576"),
        ({"XENOPS_BACKEND": "xen"}, "XENOPS_BACKEND is .xen.: choose one of qemu, libvirt"),
    ],
)
def test_what_makes_no_sense_is_named(change: dict[str, str], words: str) -> None:
    with pytest.raises(SettingsError, match=words):
        from_environment(USUAL | change)


def test_libvirt_may_be_chosen() -> None:
    assert from_environment(USUAL).backend is BackendName.QEMU
    settings = from_environment(USUAL | {"XENOPS_BACKEND": "libvirt"})
    assert (settings.backend, settings.libvirt_uri) == (BackendName.LIBVIRT, "qemu:///system")
    said = {"XENOPS_LIBVIRT_URI": "qemu:///embed?root=/r", "XENOPS_LIBVIRT_LOGS": "/r/log/qemu"}
    settings = from_environment(USUAL | said)
    assert (settings.libvirt_uri, settings.libvirt_logs) == ("qemu:///embed?root=/r", Path("/r/log/qemu"))
