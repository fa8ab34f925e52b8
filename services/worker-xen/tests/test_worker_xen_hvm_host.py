"""An HVM guest's parts on the host: a program that is missing is named, a process that ends is told of."""

import queue
import subprocess

import pytest
from engine.conformance.subject import refusal
from schema.objects.errors import InternalError
from worker_xen.classic.hvm import places
from worker_xen.classic.hvm.deaths import Deaths
from worker_xen.classic.hvm.tap import tap_name

PATIENCE_S = 120.0


def test_a_program_that_is_missing_is_named_with_its_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(places, "DEVICE_MODELS", ("/nonesuch/qemu",))
    error = refusal(places.device_model)
    assert isinstance(error, InternalError)
    assert "/nonesuch/qemu" in error.message
    assert "qemu-system-xen" in error.message
    monkeypatch.setattr(places, "HVMLOADERS", ("/bin/s*", "/bin/sh"))
    assert places.hvmloader().startswith("/bin/s")


def test_a_process_that_ends_is_told_of_once_unless_it_is_forgotten() -> None:
    told: queue.SimpleQueue[int] = queue.SimpleQueue()
    deaths = Deaths()
    deaths.start(told.put)
    with (
        subprocess.Popen(["cat"], stdin=subprocess.PIPE) as first,
        subprocess.Popen(["cat"], stdin=subprocess.PIPE) as other,
    ):
        deaths.follow(1, first.pid)
        deaths.follow(2, other.pid)
        deaths.forget(2)
        other.kill()
        first.kill()
        assert told.get(timeout=PATIENCE_S) == 1
    deaths.follow(3, first.pid)
    assert told.get(timeout=PATIENCE_S) == 3
    deaths.stop()
    assert told.empty()


def test_a_tap_is_named_by_its_domain() -> None:
    assert tap_name(7, 0) == "tap7.0"
