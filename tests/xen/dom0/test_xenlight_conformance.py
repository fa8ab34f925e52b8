"""The libxl backend passes what every backend must, on a real hypervisor."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from engine.conformance import BackendConformance, Subject
from leftovers import domains
from strangers import keep_stranger
from xenlight_subject import XenlightSubject

__all__ = ["keep_stranger"]

pytestmark = pytest.mark.usefixtures("stranger")


class TestXenlight(BackendConformance):
    @pytest.fixture
    def subject(self, tmp_path: Path) -> Iterator[Subject]:
        before = domains()
        subject = XenlightSubject(tmp_path)
        yield subject
        subject.end()
        assert domains() == before
