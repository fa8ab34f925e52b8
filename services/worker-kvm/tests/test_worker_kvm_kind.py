"""Which machine a VM is, and what that cannot have."""

import pytest
from engine.conformance.samples import sample_vm
from engine.conformance.subject import refusal
from schema.objects.errors import InternalError
from schema.objects.vm import (
    DirectBoot,
    Hvm,
    HvmInfo,
    IndirectBoot,
    PvDirectBoot,
    Pvh,
    PvIndirectBoot,
    PvInfo,
    Uefi,
    UefiVariables,
    Vm,
)
from worker_kvm.kind import Kind, kind_named, kind_of, refuse_late, refuse_unfit

HVM = Hvm(info=HvmInfo())
SECURE = Hvm(info=HvmInfo(firmware=Uefi(variables=UefiVariables())))
KERNEL = Pvh(info=PvInfo(boot=DirectBoot(boot=PvDirectBoot(kernel="/k"))))
LOADER = Pvh(info=PvInfo(boot=IndirectBoot(boot=PvIndirectBoot(bootloader="pygrub"))))


def vm(ty: Hvm | Pvh, **platform: str) -> Vm:
    return sample_vm(ty=ty, platformdata=tuple(platform.items()))


def words(found: object) -> str:
    assert isinstance(found, InternalError)
    return found.message


@pytest.mark.parametrize("kind", Kind)
def test_a_vm_is_what_its_platform_says(kind: Kind) -> None:
    assert kind_of(vm(KERNEL, machine=kind)) is kind
    refuse_unfit(vm(KERNEL, machine=kind))


def test_a_vm_that_does_not_say_is_a_q35() -> None:
    assert kind_of(vm(HVM)) is Kind.Q35
    refuse_unfit(vm(HVM))


@pytest.mark.parametrize("named", ["isapc", "", "q35,accel=evil", "PC"])
def test_another_machine_is_refused(named: str) -> None:
    assert "give one of q35, pc, microvm" in words(refusal(lambda: kind_of(vm(HVM, machine=named))))


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("pc-q35-7.2", Kind.Q35),
        ("q35", Kind.Q35),
        ("pc-i440fx-8.0", Kind.PC),
        ("pc", Kind.PC),
        ("microvm", Kind.MICROVM),
        ("isapc", None),
        ("pc-q35-7.2,x", None),
        ("", None),
    ],
)
def test_a_machine_is_known_by_qemus_name(name: str, kind: Kind | None) -> None:
    assert kind_named(name) is kind


@pytest.mark.parametrize("ty", [HVM, LOADER])
def test_a_microvm_boots_a_kernel_alone(ty: Hvm | Pvh) -> None:
    assert "boots a kernel that it is given" in words(
        refusal(lambda: refuse_unfit(vm(ty, machine="microvm")))
    )


def test_a_pc_has_no_secure_boot() -> None:
    refuse_unfit(vm(SECURE, machine="pc"))
    secure = vm(SECURE, machine="pc", secureboot="true")
    assert "on a q35 alone" in words(refusal(lambda: refuse_unfit(secure)))


def test_a_microvm_keeps_what_it_began_with() -> None:
    refuse_late(Kind.PC, "v1", "interfaces")
    said = words(refusal(lambda: refuse_late(Kind.MICROVM, "v1", "interfaces")))
    assert said.startswith("VM v1 is a microvm, which has the interfaces that it began with")
