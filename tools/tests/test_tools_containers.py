"""Where docker-compose.yml cannot be run, `make test` says why and goes on."""

import socket
from pathlib import Path

import containers
import pytest

import images

Capture = pytest.CaptureFixture[str]
NO_ENGINE = "[ $1 = info ] && { echo cannot connect >&2; exit 1; }; exit 0"
NO_COMPOSE = "[ $1 = compose ] && exit 1; exit 0"
NO_BASE = "[ $1 = pull ] || [ $1 = image ] && exit 1; exit 0"
ALL = "exit 0"


@pytest.fixture(name="path")
def _only_ours(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("PATH", f"{tmp_path}:/bin")
    return tmp_path


def docker(path: Path, script: str) -> None:
    program = path / "docker"
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)


def test_without_docker_it_is_said(path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture) -> None:
    monkeypatch.setenv("PATH", str(path))
    assert containers.main() == 0
    assert "is not run: there is no docker on PATH" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("script", "words"),
    [
        (NO_ENGINE, "cannot connect"),
        (NO_COMPOSE, "no plugin `compose`"),
        (NO_BASE, "made by debootstrap, as root"),
    ],
)
def test_what_is_missing_is_named(
    path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture, script: str, words: str
) -> None:
    docker(path, script)
    monkeypatch.setattr(containers, "PORTS", ())
    monkeypatch.setattr("os.geteuid", lambda: 1000)
    assert containers.main() == 0
    assert words in capsys.readouterr().out


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
    monkeypatch.setattr(images, "main", lambda: 1)
    assert containers.main() == 1
