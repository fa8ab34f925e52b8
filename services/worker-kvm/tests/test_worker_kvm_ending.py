"""What a guest wants that has ended, by word and by log."""

from pathlib import Path

import pytest
from schema.atomics.vm import DomainAction
from worker_kvm.qemu.ending import action_of, complaint, logged_action

CRASH = DomainAction.CRASHDUMP


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


def test_only_the_end_of_a_long_log_is_read(tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.write_text("qemu_system_shutdown_request reason=6\n" + "chatter\n" * 20_000)
    assert logged_action(log, untraced=CRASH) is CRASH
