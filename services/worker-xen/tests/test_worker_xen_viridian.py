"""What of Microsoft's interface guests find, by what xapi writes of their platform."""

import pytest
from engine.conformance.samples import sample_vm
from engine.conformance.subject import refusal
from schema.objects.errors import InternalError
from schema.objects.vm import DirectBoot, Hvm, HvmInfo, Pv, PvDirectBoot, PvInfo
from worker_xen.viridian import PARTS, Enlightenment, enlightenments, mask_of

OF_XAPI = {
    "viridian": "true",
    "viridian_time_ref_count": "true",
    "viridian_reference_tsc": "true",
    "viridian_apic_assist": "true",
    "viridian_crash_ctl": "true",
    "viridian_stimer": "true",
}
"""A Windows template's."""


def found(platform: dict[str, str]) -> tuple[Enlightenment, ...]:
    vm = sample_vm(ty=Hvm(info=HvmInfo()), platformdata=tuple(platform.items()))
    return enlightenments(vm)


def test_a_windows_template_s_guest_finds_what_it_says() -> None:
    assert [int(part) for part in found(OF_XAPI)] == [0, 1, 2, 3, 5, 6, 7, 8]
    assert mask_of(found(OF_XAPI)) == 0b1_1110_1101
    assert mask_of(found({"viridian": "1"})) == 1


@pytest.mark.parametrize("platform", [{}, {"viridian": "false"}, dict.fromkeys(PARTS, "true")])
def test_without_the_first_key_there_is_nothing(platform: dict[str, str]) -> None:
    assert found(platform) == ()
    assert mask_of(()) == 0


def test_no_other_guest_finds_anything() -> None:
    ty = Pv(info=PvInfo(boot=DirectBoot(boot=PvDirectBoot())))
    assert enlightenments(sample_vm(ty=ty, platformdata=tuple(OF_XAPI.items()))) == ()


def test_a_word_that_makes_no_sense_is_named() -> None:
    error = refusal(lambda: found({"viridian": "true", "viridian_stimer": "yes, please"}))
    assert isinstance(error, InternalError)
    assert "platform key viridian_stimer='yes, please': give true or false" in error.message
