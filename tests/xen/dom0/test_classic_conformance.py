"""The classic backend passes what every backend must, on a real hypervisor."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from classic_subject import ClassicSubject
from engine.conformance import BackendConformance, Subject
from leftovers import nothing_left
from strangers import keep_stranger

__all__ = ["keep_stranger"]

pytestmark = pytest.mark.usefixtures("stranger")


class TestClassic(BackendConformance):
    @pytest.fixture
    def subject(self, tmp_path: Path) -> Iterator[Subject]:
        with nothing_left():
            subject = ClassicSubject(tmp_path)
            yield subject
            subject.end()
