"""How far a guest's clock is from UTC: as it is configured, as its guest has set it, as clients are told."""

import pytest
from engine.conformance.samples import sample_vm
from engine.conformance.subject import refusal
from schema.objects.errors import InternalError
from schema.objects.vm import DirectBoot, Hvm, HvmInfo, PvDirectBoot, Pvh, PvInfo, Vm
from virt.xml import parsed
from worker_kvm.clock import ahead_s, base, configured_s, first_s, shown, with_clock
from worker_kvm.libvirt.saved import clock_in
from worker_kvm.qemu.machine import Machine, created

NOON = 1_700_000_000.9
"""2023-11-14 22:13:20 UTC, and almost a second."""


KERNEL = Pvh(info=PvInfo(boot=DirectBoot(boot=PvDirectBoot(kernel="/boot/vmlinuz"))))


def hvm(timeoffset: str, platform: str | None = None) -> Vm:
    data = () if platform is None else (("timeoffset", platform),)
    return sample_vm(ty=Hvm(info=HvmInfo(timeoffset=timeoffset)), platformdata=data)


def test_a_clock_begins_as_the_machine_or_else_the_platform_says() -> None:
    assert configured_s(hvm("-3600", "7")) == -3600
    assert configured_s(hvm("", "7")) == 7
    assert configured_s(hvm("")) == 0
    assert configured_s(sample_vm(ty=KERNEL, platformdata=(("timeoffset", "60"),))) == 60


@pytest.mark.parametrize("text", ["soon", "--5", "1.5", "+60", "9" * 5_000, " 60"])
def test_what_is_no_number_of_seconds_is_refused(text: str) -> None:
    error = refusal(lambda: configured_s(hvm(text)))
    assert isinstance(error, InternalError)
    assert error.message.endswith("give seconds, of nine digits at most")
    assert len(error.message) < 200


def test_clients_are_told_what_was_configured_until_the_guest_sets_it() -> None:
    assert shown(hvm("007"), 7) == "007"
    assert shown(hvm("007"), 8) == "8"
    assert shown(hvm(""), 0) == ""
    assert shown(sample_vm(ty=KERNEL, platformdata=(("timeoffset", "60"),)), 60) == ""
    assert shown(sample_vm(ty=KERNEL), -60) == "-60"
    assert shown(hvm("soon"), 5) == "5"


def test_qemus_clock_begins_at_a_date_unless_it_is_utc() -> None:
    assert base(0, NOON) == "utc"
    assert base(3600, NOON) == "2023-11-14T23:13:20"
    assert base(-999_999_999, NOON) == "1992-03-07T20:26:41"


def test_what_qemu_says_of_a_clock_is_in_cs_words() -> None:
    told = {"tm_year": 123, "tm_mon": 10, "tm_mday": 14, "tm_hour": 23, "tm_min": 13, "tm_sec": 20}
    assert ahead_s(told, NOON) == 3600


def test_what_a_guest_sets_is_where_its_next_domain_begins_until_the_vm_is_configured() -> None:
    vm = hvm("60")
    machine = created(Machine(id=vm.id), vm, 7, 0.0)
    assert (machine.living().clock_base_s, machine.living().clock_s) == (60, 60)
    later = with_clock(machine, 7200)
    assert (later.living().clock_base_s, later.living().clock_s, later.clock_s) == (60, 7200, 7200)
    again = created(later.but(domain=None), vm, 8, 0.0)
    assert (again.living().clock_base_s, again.living().clock_s) == (7200, 7200)
    assert first_s(None, vm) == 60


@pytest.mark.parametrize("clock_s", [58, 60, 62, 10**9, -(10**12)])
def test_what_is_no_change_or_no_clock_to_begin_with_is_not_noted(clock_s: int) -> None:
    vm = hvm("60")
    machine = created(Machine(id=vm.id), vm, 7, 0.0)
    assert with_clock(machine, clock_s) is machine
    blank = Machine(id=vm.id)
    assert with_clock(blank, 7200) is blank


def test_a_document_of_libvirts_says_how_far_its_guests_clock_is() -> None:
    def document(clock: str) -> str:
        return f"<domain>{clock}</domain>"

    assert clock_in(parsed(document('<clock offset="variable" basis="utc" adjustment="-5"/>'))) == -5
    for other in (
        '<clock offset="utc"/>',
        '<clock offset="variable" basis="localtime" adjustment="5"/>',
        '<clock offset="variable" basis="utc" adjustment="reset"/>',
        "",
    ):
        assert clock_in(parsed(document(other))) is None
