"""What a guest wants that has ended, by word and by log."""

from pathlib import Path

import pytest
from engine.hosted.machine import Source
from schema.atomics.vm import DomainAction
from schema.objects.vbd import Vbd
from schema.wire.types import DeviceId
from worker_kvm.qemu.ending import action_of, complaint, logged_action
from worker_kvm.qemu.machine import Disk, Slot

CRASH = DomainAction.CRASHDUMP
DISKS = (
    Disk(
        vbd=Vbd(id=DeviceId("v1", "xvda")),
        slot=Slot(bus="scsi", unit=0),
        source=Source(path="/d.qcow2", format="qcow2"),
    ),
    Disk(vbd=Vbd(id=DeviceId("v1", "xvdb")), slot=Slot(bus="scsi", unit=1), source=None),
)


@pytest.mark.parametrize(
    ("cause", "action"),
    [
        ("guest-reset", DomainAction.REBOOT),
        ("subsystem-reset", DomainAction.REBOOT),
        ("guest-shutdown", DomainAction.POWEROFF),
        ("host-signal", DomainAction.POWEROFF),
        ("host-ui", DomainAction.POWEROFF),
        ("guest-panic", CRASH),
        ("host-error", CRASH),
    ],
)
def test_each_cause_asks_for_something(cause: str, action: DomainAction) -> None:
    assert action_of(cause) is action


@pytest.mark.parametrize(
    ("text", "action"),
    [
        ("qemu_system_shutdown_request reason=6\n", DomainAction.POWEROFF),
        (
            "x\nqemu_system_shutdown_request reason=6\nqemu_system_shutdown_request reason=7\n",
            DomainAction.REBOOT,
        ),
        ("qemu_system_shutdown_request reason=99\n", CRASH),
        ("qemu-system-x86_64: some warning\n", DomainAction.SUSPEND),
    ],
)
def test_the_last_trace_in_the_log_counts(tmp_path: Path, text: str, action: DomainAction) -> None:
    log = tmp_path / "log"
    log.write_text(text)
    assert logged_action(log, untraced=DomainAction.SUSPEND) is action


def test_without_a_log_nothing_was_traced(tmp_path: Path) -> None:
    assert logged_action(tmp_path / "log", untraced=CRASH) is CRASH
    assert complaint(tmp_path / "log") == ""


def test_a_complaint_is_qemus_words_in_one_line(tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.write_text(
        "qemu-system-x86_64: -device x: no such model\nqemu_system_shutdown_request reason=2\n"
        "Is another process using the image?\n"
    )
    assert complaint(log) == "-device x: no such model; Is another process using the image?"


@pytest.mark.parametrize(
    ("line", "told"),
    [
        (
            '-blockdev {"node-name": "scsi0-node", "file": {"driver": "file"}}: Image is not in qcow2 format',
            "the VBD xvda, /d.qcow2: Image is not in qcow2 format",
        ),
        (
            '-device {"driver": "scsi-cd", "drive": "scsi1-node"}: Failed to get "write" lock',
            'the VBD xvdb: Failed to get "write" lock',
        ),
        ("Is another process using the image [/dev/fdset/2]?", "Is another process using the image?"),
        ('-device {"drive": "other-node"}: no', '-device {"drive": "other-node"}: no'),
        ('-device {"driver": "virtio-rng"}: no', '-device {"driver": "virtio-rng"}: no'),
    ],
)
def test_disks_are_called_as_clients_do(tmp_path: Path, line: str, told: str) -> None:
    log = tmp_path / "log"
    log.write_text(f"qemu-system-x86_64: {line}\n" if line.startswith("-") else f"{line}\n")
    assert complaint(log, DISKS) == told


def test_only_the_end_of_a_long_log_is_read(tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.write_text("qemu_system_shutdown_request reason=6\n" + "chatter\n" * 20_000)
    assert logged_action(log, untraced=CRASH) is CRASH
