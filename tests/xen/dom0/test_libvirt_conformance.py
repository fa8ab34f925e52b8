"""The libvirt backend passes what every backend must, on a real hypervisor."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import xen_libvirtd
from engine.conformance import BackendConformance, Subject
from leftovers import nothing_left
from libvirt_subject import LibvirtSubject


class TestLibvirt(BackendConformance):
    @pytest.fixture
    def subject(self, tmp_path: Path) -> Iterator[Subject]:
        xen_libvirtd.start()
        with nothing_left():
            subject = LibvirtSubject(tmp_path)
            yield subject
            subject.end()
