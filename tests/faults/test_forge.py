"""A forge's services are processes like any others."""

import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from forge import Forge

PATIENCE_S = 120.0
NOBODY = "amqp://nobody@127.0.0.1:1/"


@pytest.fixture(name="forge", scope="module")
def make_forge() -> Iterator[Forge]:
    with Forge(["redirector"]) as forge:
        yield forge


def test_a_forged_service_is_told_its_environment_and_says_why_it_ends(forge: Forge, tmp_path: Path) -> None:
    log = tmp_path / "log"
    ended = forge.start("redirector", {}, log)
    assert ended.wait(PATIENCE_S) == ended.poll() == 2
    assert log.read_text().startswith("redirector: XENOPS_BROKER is not set")


def test_a_forged_service_may_be_killed_and_started_again(forge: Forge, tmp_path: Path) -> None:
    told = {"XENOPS_BROKER": NOBODY, "XENOPS_INSTANCE": "i"}
    first, second = (forge.start("redirector", told, tmp_path / name) for name in ("one", "two"))
    assert first.pid != second.pid
    first.kill()
    assert first.wait(PATIENCE_S) == -signal.SIGKILL
    assert second.poll() is None
    first.kill()
    second.kill()
    assert second.wait(PATIENCE_S) == -signal.SIGKILL
