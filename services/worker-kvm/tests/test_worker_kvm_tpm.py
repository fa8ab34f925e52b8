"""The states of virtual TPMs: whose they are, and how long they last."""

import os
from contextlib import ExitStack
from pathlib import Path

import pytest
from engine.conformance.samples import sample_vm
from engine.conformance.subject import refusal
from schema.objects.errors import InternalError
from schema.objects.vm import Hvm, HvmInfo, Vm, Vtpm
from worker_kvm.qemu import tpm
from worker_kvm.qemu.process import kill
from worker_kvm.qemu.tpm import Tpms, has_tpm, refuse_without_swtpm
from worker_kvm.qemu.user import User

USER = User("x", 2_000_000_000, 2_000_000_000)


def with_tpm() -> Vm:
    return sample_vm(ty=Hvm(info=HvmInfo(tpm=Vtpm(uuid="72efcd27-a5de-484d-8574-1a8e3afc9ecc"))))


def test_a_host_without_swtpm_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    refuse_without_swtpm(sample_vm())
    error = refusal(lambda: refuse_without_swtpm(with_tpm()))
    assert isinstance(error, InternalError)
    assert error.message.endswith("there is no swtpm on PATH: install it (Debian: swtpm and swtpm-tools)")
    assert has_tpm(with_tpm())
    assert not has_tpm(sample_vm())


def programs(directory: Path, monkeypatch: pytest.MonkeyPatch, setup: str) -> None:
    """A swtpm that does nothing until it is ended, and a swtpm_setup that does this."""
    for name, script in ((tpm.SWTPM, "exec sleep 3600"), (tpm.SWTPM_SETUP, setup)):
        path = directory / name
        path.write_text(f"#!/bin/sh\n{script}\n")
        path.chmod(0o755)
    monkeypatch.setenv("PATH", str(directory), prepend=os.pathsep)


def start(tpms: Tpms, name: str, directory: Path, *, is_new: bool = True) -> None:
    with ExitStack() as closing:
        running = tpms.start(name, 1, directory / "log", closing, is_new=is_new)
        assert running.process is not None
        kill(running.process)
        tpm.end_tpm(running.process)


def test_a_state_is_made_once_and_goes_with_its_vm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    programs(tmp_path, monkeypatch, "echo made >> tpm2-00.permall")
    tpms = Tpms(tmp_path / "tpm")
    start(tpms, "vm", tmp_path)
    start(tpms, "vm", tmp_path)
    start(tpms, "arriving", tmp_path, is_new=False)
    [state] = (tmp_path / "tpm").glob("*/tpm2-00.permall")
    assert state.read_text() == "made\n"
    tpms.forget("arriving")
    tpms.rename("vm", "../x")
    tpms.rename("vm", "none")
    [state] = (tmp_path / "tpm").glob("*/tpm2-00.permall")
    tpms.forget("vm")
    assert state.exists()
    tpms.forget("../x")
    assert list((tmp_path / "tpm").iterdir()) == []


def test_a_tpm_that_is_not_made_says_why(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    programs(tmp_path, monkeypatch, "echo no room >&2; exit 1")
    with pytest.raises(OSError, match="swtpm_setup did not make a TPM for VM vm: no room"):
        start(Tpms(tmp_path / "tpm"), "vm", tmp_path)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives files away")
def test_only_files_of_swtpms_are_given_to_the_next_user(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    programs(tmp_path, monkeypatch, "touch tpm2-00.permall")
    tpms, secret = Tpms(tmp_path / "tpm"), tmp_path / "secret"
    start(tpms, "vm", tmp_path)
    [state] = (tmp_path / "tpm").glob("*/tpm2-00.permall")
    secret.write_text("secret")
    (state.parent / "link").symlink_to(secret)
    with pytest.raises(OSError, match="link is no file of swtpm's"):
        start(Tpms(tmp_path / "tpm", USER), "vm", tmp_path)
    (state.parent / "link").unlink()
    (state.parent / "link").hardlink_to(secret)
    with pytest.raises(OSError, match="link is no file of swtpm's"):
        start(Tpms(tmp_path / "tpm", USER), "vm", tmp_path)
    assert secret.stat().st_uid == 0
