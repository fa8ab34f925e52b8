"""HVM guests sleep in their memory and are woken, and afterwards their hardware is as it was."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from boot_sector import SAYS
from classic_subject import ClassicHvmSubject
from engine.conformance import SuiteExecution
from engine.conformance.subject import make_life, refusal
from hvm_subject import BootSectors, Ear
from leftovers import nothing_left
from schema.objects.errors import InternalError
from schema.objects.vm import PowerState
from sleep_sector import WOKE, sleep_sector
from xen_lives import ends_when_asked
from xenlight_subject import XenlightHvmSubject


class Sleepers(BootSectors):
    """Guests that sleep when their button is pressed."""

    sector = sleep_sector()
    platform = (*BootSectors.platform, ("acpi_s3", "1"))


class ClassicSleepers(Sleepers, ClassicHvmSubject):
    """On classic."""


class XenlightSleepers(Sleepers, XenlightHvmSubject):
    """On libxl."""


@pytest.fixture(name="subject", params=(ClassicSleepers, XenlightSleepers))
def make_subject(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Sleepers]:
    with nothing_left():
        subject: Sleepers = request.param(tmp_path)
        yield subject
        subject.end()


def test_a_guest_sleeps_wakes_sleeps_again_and_is_switched_off_by_its_button(subject: Sleepers) -> None:
    """It is switched off by the very register by which it goes to sleep."""
    life, verbs = make_life(subject), subject.backend.vm
    life.start()
    verbs.unpause(SuiteExecution(), life.vm)
    ear = Ear(subject, life.vm)
    ear.await_words(SAYS)
    for _ in range(2):
        verbs.s3suspend(SuiteExecution(), life.vm)
        assert verbs.get_state(life.vm).power_state is PowerState.RUNNING
        refused = refusal(lambda: verbs.assert_can_save(life.vm))
        assert isinstance(refused, InternalError)
        assert "wake it with VM.s3resume" in refused.message
        verbs.s3resume(SuiteExecution(), life.vm)
        ear.await_words(WOKE)
    ends_when_asked(subject, life.vm)
    life.stop()
