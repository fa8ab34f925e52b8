"""Where docker-compose.yml cannot be run, `make test` says why and goes on."""

import os
import signal
import socket
from pathlib import Path

import containers
import debian_base
import docker_engine
import pytest
from guest import GuestError

import images

Capture = pytest.CaptureFixture[str]
NO_ENGINE = "[ $1 = version ] && { echo cannot connect >&2; exit 1; }; exit 0"
NO_COMPOSE = "[ $1 = compose ] && exit 1; exit 0"
NO_BASE = "[ $1 = pull ] || [ $1 = image ] && exit 1; exit 0"
ALL = "exit 0"
DAEMON = """\
trap 'exit 0' TERM
for word; do case $word in --host=unix://*) touch "${word#--host=unix://}";; esac; done
while :; do sleep 0.01; done
"""
"""An engine that answers as soon as its socket is there, until it is asked to end."""

CLIENT = '[ -e "${DOCKER_HOST#unix://}" ] || { echo nobody there >&2; exit 1; }; exit 0'


@pytest.fixture(name="path")
def _only_ours(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("PATH", f"{tmp_path}:/bin")
    monkeypatch.delenv("DOCKER_HOST", raising=False)
    return tmp_path


def docker(path: Path, script: str, name: str = "docker") -> None:
    path.mkdir(parents=True, exist_ok=True)
    program = path / name
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)


def as_user(monkeypatch: pytest.MonkeyPatch, uid: int) -> None:
    monkeypatch.setattr("os.geteuid", lambda: uid)


def test_without_docker_and_root_it_is_said(
    path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    monkeypatch.setenv("PATH", str(path))
    as_user(monkeypatch, 1000)
    assert containers.main() == 0
    said = capsys.readouterr().out
    assert "is not run: there is no docker on PATH" in said
    assert "only root can start a private one" in said


def test_an_engine_that_is_named_and_does_not_answer_is_not_replaced(
    path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    docker(path, NO_ENGINE)
    as_user(monkeypatch, 0)
    monkeypatch.setenv("DOCKER_HOST", "unix:///nowhere")
    assert containers.main() == 0
    assert "cannot connect): DOCKER_HOST names an engine" in capsys.readouterr().out


def test_only_debian_has_a_private_engine(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    docker(path, NO_ENGINE)
    as_user(monkeypatch, 0)
    monkeypatch.setenv("PATH", str(path))
    with pytest.raises(docker_engine.EngineError, match="this is no Debian"), docker_engine.at_hand():
        pass


def test_an_engine_that_answers_is_taken_as_it_is(path: Path) -> None:
    docker(path, ALL)
    with docker_engine.at_hand() as environment:
        assert environment is os.environ


def test_compose_that_is_missing_is_named(path: Path, capsys: Capture) -> None:
    docker(path, NO_COMPOSE)
    assert containers.main() == 0
    assert "no plugin `compose`" in capsys.readouterr().out


def test_a_base_that_only_root_can_make_is_named(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    docker(path, NO_BASE)
    as_user(monkeypatch, 1000)
    with pytest.raises(GuestError, match="made by mmdebstrap, as root"):
        debian_base.find()


def test_a_port_that_is_taken_is_named(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    docker(path, ALL)
    with socket.create_server((containers.LOOPBACK, 0)) as server:
        port = server.getsockname()[1]
        monkeypatch.setattr(containers, "PORTS", (port,))
        assert f"127.0.0.1:{port}" in containers.why_not()
    assert containers.why_not() == ""


def test_images_that_cannot_be_built_fail_it(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    docker(path, ALL)
    monkeypatch.setattr(containers, "PORTS", ())
    monkeypatch.setattr(images, "main", lambda _: 1)
    assert containers.main() == 1


@pytest.mark.usefixtures("path")
def test_a_private_engine_ends_with_what_it_was_started_for(tmp_path: Path) -> None:
    docker(tmp_path / "usr/bin", CLIENT)
    docker(tmp_path / "usr/sbin", f"echo $$ >{tmp_path}/pid\n{DAEMON}", name="dockerd")
    before = signal.getsignal(signal.SIGTERM)
    with docker_engine.private(tmp_path, tmp_path / "data") as environment:
        assert signal.getsignal(signal.SIGTERM) is docker_engine.leave
        assert docker_engine.what_docker_says(environment) == ""
        pid = int((tmp_path / "pid").read_text())
        os.kill(pid, 0)
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)
    assert "nobody there" in docker_engine.what_docker_says(environment)
    assert signal.getsignal(signal.SIGTERM) is before


@pytest.mark.usefixtures("path")
def test_a_private_engine_that_dies_at_once_is_told_with_its_words(tmp_path: Path) -> None:
    docker(tmp_path / "usr/bin", CLIENT)
    docker(tmp_path / "usr/sbin", "echo no control groups here; exit 1", name="dockerd")
    with (
        pytest.raises(docker_engine.EngineError, match="no control groups here"),
        docker_engine.private(tmp_path, tmp_path / "data"),
    ):
        pass


def test_a_command_is_run_with_the_engine_and_its_end_is_ours(path: Path) -> None:
    docker(path, ALL)
    assert docker_engine.main(["sh", "-c", "docker version && exit 3"]) == 3
