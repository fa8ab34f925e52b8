"""The libxl backend passes what every backend must, on a real hypervisor."""

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from engine.conformance import BackendConformance, Subject
from guest_subject import UNSUPPORTED, GuestSubject
from typing_extensions import override
from worker_xen.settings import BINDINGS
from worker_xen.xenlight.backend import Xenlight
from worker_xen.xenlight.hypervisor import XenlightSettings


class XenlightSubject(GuestSubject):
    unsupported = UNSUPPORTED | {
        "HOST.combine_cpu_policies",
        "HOST.is_compatible",
        "HOST.update_guest_agent_features",
    }

    def __init__(self, directory: Path) -> None:
        self._settings = XenlightSettings(directory / "run", BINDINGS)
        super().__init__(directory)

    @override
    def open(self) -> None:
        self.backend = Xenlight(self._settings)
        self.backend.start(lambda _: None)


def domains() -> list[str]:
    """Every domain's line, as Xen's own tool has it, but for its processor's time."""
    lines = subprocess.run(["xl", "list"], capture_output=True, text=True, check=True).stdout.splitlines()[1:]
    return [" ".join(line.split()[:2]) for line in lines]


class TestXenlight(BackendConformance):
    @pytest.fixture
    def subject(self, tmp_path: Path) -> Iterator[Subject]:
        before = domains()
        subject = XenlightSubject(tmp_path)
        yield subject
        subject.end()
        assert domains() == before
