"""HVM guests find Microsoft's interface where their platform says so, also after a rest; Xen's else."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from boot_sector import FINDS, probing_sector
from classic_subject import ClassicHvmSubject
from engine.conformance import SuiteExecution
from engine.conformance.subject import make_life
from hvm_subject import BootSectors, Ear
from leftovers import nothing_left
from schema.objects.vm import Vm
from typing_extensions import override
from xenlight_subject import XenlightHvmSubject

KEYS = (
    "viridian",
    "viridian_time_ref_count",
    "viridian_reference_tsc",
    "viridian_apic_assist",
    "viridian_crash_ctl",
    "viridian_stimer",
)
"""A Windows template's."""


class Probing(BootSectors):
    """Guests that say what their hypervisor is called."""

    sector = probing_sector()

    @override
    def let_boot(self, vm: Vm) -> None:
        self.backend.vm.unpause(SuiteExecution(), vm)


class ClassicProbing(Probing, ClassicHvmSubject):
    """On classic."""


class XenlightProbing(Probing, XenlightHvmSubject):
    """On libxl."""


@pytest.fixture(name="subject", params=(ClassicProbing, XenlightProbing))
def make_subject(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Probing]:
    with nothing_left():
        subject: Probing = request.param(tmp_path)
        yield subject
        subject.end()


@pytest.mark.parametrize(("keys", "name"), [((), "XenVMMXenVMM"), (KEYS, "Microsoft Hv")])
def test_a_guest_finds_the_hypervisor_that_its_platform_names(
    subject: Probing, keys: tuple[str, ...], name: str
) -> None:
    life, verbs, task = make_life(subject), subject.backend.vm, SuiteExecution()
    platform = (*life.vm.platformdata, *((key, "true") for key in keys))
    life = replace(life, vm=life.vm.model_copy(update={"platformdata": platform}))
    life.start()
    ear = Ear(subject, life.vm)
    subject.let_boot(life.vm)
    ear.await_words(FINDS + name)
    image = subject.make_image()
    verbs.save(task, life.vm, image, live=False)
    life.stop()
    for step in life.resume_steps(image):
        step(task)
    ear = Ear(subject, life.vm)
    subject.let_boot(life.vm)
    ear.await_words(FINDS + name)
    life.stop()
