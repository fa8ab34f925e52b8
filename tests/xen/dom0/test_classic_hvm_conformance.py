"""HVM guests on classic pass what every backend must, on a real hypervisor with real device models."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from classic_subject import ClassicHvmSubject
from engine.conformance import BackendConformance, Subject
from leftovers import nothing_left
from strangers import keep_stranger

__all__ = ["keep_stranger"]

pytestmark = pytest.mark.usefixtures("stranger")


class TestHvm(BackendConformance):
    @pytest.fixture
    def subject(self, tmp_path: Path) -> Iterator[Subject]:
        with nothing_left():
            subject = ClassicHvmSubject(tmp_path)
            yield subject
            subject.end()
