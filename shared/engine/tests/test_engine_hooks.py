import logging
import os
import threading
from pathlib import Path

import pytest
from engine import hooks as hooks_module
from engine.conformance import SuiteExecution
from engine.hook_names import HookName, HookReason
from engine.hooks import HookCall, Hooks
from schema.fault import XenopsError
from schema.ids import VmId
from schema.objects.errors import Cancelled, Error, HookFailed, InternalError

CALL = HookCall(HookName.PRE_START, VmId("v1"), HookReason.NONE)
PATIENCE_S = 120.0


@pytest.fixture(name="folder")
def make_folder(tmp_path: Path) -> Path:
    folder = tmp_path / "hooks" / "vm-pre-start"
    folder.mkdir(parents=True)
    return folder


@pytest.fixture(name="hooks")
def make_hooks(tmp_path: Path) -> Hooks:
    return Hooks(tmp_path / "hooks")


def script(path: Path, body: str) -> None:
    path.write_text(f"#!/bin/sh\n{body}\n")
    path.chmod(0o755)


def refusal(hooks: Hooks, execution: SuiteExecution | None = None) -> Error:
    with pytest.raises(XenopsError) as caught:
        hooks.run(execution or SuiteExecution(), CALL)
    return caught.value.error


def test_no_folder_means_nothing_to_run(tmp_path: Path) -> None:
    Hooks(tmp_path / "nowhere").run(SuiteExecution(), CALL)
    (tmp_path / "file").write_text("")
    Hooks(tmp_path / "file").run(SuiteExecution(), CALL)


def test_scripts_run_in_the_order_of_their_names_with_the_original_s_arguments(
    hooks: Hooks, folder: Path, tmp_path: Path
) -> None:
    seen = tmp_path / "seen"
    for name in ("20-b", "10-a", "30-c"):
        script(folder / name, f'echo "{name} $*" >> {seen}')
    hooks.run(SuiteExecution(), HookCall(CALL.hook, CALL.vm, "clean-reboot", ("-vmdomid", "7")))
    arguments = "-vmuuid v1 -reason clean-reboot -vmdomid 7"
    assert seen.read_text().splitlines() == [f"{name} {arguments}" for name in ("10-a", "20-b", "30-c")]


def test_exit_code_1_is_logged_and_all_goes_on(
    hooks: Hooks, folder: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    script(folder / "1", "echo I do not like it; exit 1")
    script(folder / "2", f"touch {tmp_path}/went-on")
    with caplog.at_level(logging.INFO):
        hooks.run(SuiteExecution(), CALL)
    assert "I do not like it" in caplog.text
    assert (tmp_path / "went-on").exists()


def test_any_other_exit_code_aborts(hooks: Hooks, folder: Path, tmp_path: Path) -> None:
    script(folder / "1", "echo no; exit 3")
    script(folder / "2", f"touch {tmp_path}/went-on")
    error = HookFailed(script="vm-pre-start/1", reason="none", stdout="no\n", exit_code="3")
    assert refusal(hooks) == error
    assert not (tmp_path / "went-on").exists()


def test_a_script_killed_by_a_signal_aborts(hooks: Hooks, folder: Path) -> None:
    script(folder / "1", "kill -9 $$")
    error = HookFailed(script="vm-pre-start/1", reason="none", stdout="", exit_code="signal 9")
    assert refusal(hooks) == error


def test_a_script_that_cannot_run_is_named(hooks: Hooks, folder: Path) -> None:
    (folder / "README").write_text("not a script")
    error = refusal(hooks)
    assert isinstance(error, InternalError)
    assert str(folder / "README") in error.message
    assert "executable" in error.message


def test_a_folder_that_cannot_be_listed_is_named(
    hooks: Hooks, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def forbidden(_: Path) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "iterdir", forbidden)
    error = refusal(hooks)
    assert isinstance(error, InternalError)
    assert str(folder) in error.message


def test_a_great_deal_of_output_is_cut(hooks: Hooks, folder: Path) -> None:
    script(folder / "1", "head -c 100000 /dev/zero | tr '\\0' x; exit 2")
    error = refusal(hooks)
    assert isinstance(error, HookFailed)
    assert error.stdout == "x" * 16384


def test_a_child_left_behind_does_not_hold_us_up(hooks: Hooks, folder: Path, tmp_path: Path) -> None:
    script(folder / "1", f"(while test ! -e {tmp_path}/stop; do sleep 0.05; done) & exit 0")
    hooks.run(SuiteExecution(), CALL)
    (tmp_path / "stop").touch()


def test_scripts_see_nothing_of_our_environment(
    hooks: Hooks, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XENOPS_BROKER", "amqp://user:secret@host")
    script(folder / "1", f"env > {tmp_path}/env")
    hooks.run(SuiteExecution(), CALL)
    assert "secret" not in (tmp_path / "env").read_text()
    assert "PATH=" in (tmp_path / "env").read_text()


@pytest.mark.parametrize("trap", ["", "trap '' TERM;"], ids=["one that heeds", "one that is deaf"])
def test_a_cancel_ends_the_script(
    hooks: Hooks, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, trap: str
) -> None:
    monkeypatch.setattr(hooks_module, "_GRACE_S", 0.1)
    started = tmp_path / "started"
    os.mkfifo(started)
    script(folder / "1", f"{trap} echo > {started}; while :; do sleep 0.1; done")
    execution = SuiteExecution()

    def cancel_once_it_runs() -> None:
        started.read_text()
        execution.cancel()

    canceller = threading.Thread(target=cancel_once_it_runs)
    canceller.start()
    assert refusal(hooks, execution) == Cancelled(task="conformance")
    canceller.join(PATIENCE_S)


def test_after_a_cancel_no_script_begins(hooks: Hooks, folder: Path, tmp_path: Path) -> None:
    script(folder / "1", f"touch {tmp_path}/ran")
    assert refusal(hooks, SuiteExecution(cancel_at=1)) == Cancelled(task="conformance")
    assert not (tmp_path / "ran").exists()


def test_a_script_that_never_ends_is_killed(
    hooks: Hooks, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hooks_module, "_SCRIPT_TIMEOUT_S", 0.2)
    script(folder / "1", "while :; do sleep 0.1; done")
    error = refusal(hooks)
    assert isinstance(error, InternalError)
    assert "did not end within" in error.message
