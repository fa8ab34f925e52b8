"""A VM's UEFI variables: made once, kept, renamed, made anew, forgotten."""

from pathlib import Path

import pytest
from engine.conformance.samples import sample_vm
from engine.conformance.subject import refusal
from schema.objects.errors import InternalError
from schema.objects.vm import Hvm, HvmInfo, Uefi, UefiOnBoot, UefiVariables, Vm
from worker_kvm.qemu.firmware import Firmware, refuse_if_missing, wants_secure_boot


def uefi_vm(on_boot: UefiOnBoot = UefiOnBoot.PERSIST, secure_boot: str = "false") -> Vm:
    ty = Hvm(info=HvmInfo(firmware=Uefi(variables=UefiVariables(on_boot=on_boot))))
    return sample_vm("v1", ty=ty, platformdata=(("secureboot", secure_boot),))


@pytest.fixture(name="firmware")
def make_firmware(tmp_path: Path) -> Firmware:
    ovmf = tmp_path / "ovmf"
    ovmf.mkdir()
    (ovmf / "OVMF_CODE_4M.fd").write_bytes(b"code")
    (ovmf / "OVMF_VARS_4M.fd").write_bytes(b"new")
    (ovmf / "OVMF_CODE_4M.secboot.fd").write_bytes(b"code")
    (ovmf / "OVMF_VARS_4M.ms.fd").write_bytes(b"keys")
    return Firmware(tmp_path / "variables", ovmf)


def variables(firmware: Firmware, name: str, vm: Vm) -> Path:
    files = firmware.files(name, vm)
    assert files is not None
    assert files.code.read_bytes() == b"code"
    return files.variables


def test_what_a_vm_wrote_stays_with_it_under_another_name_too(firmware: Firmware) -> None:
    refuse_if_missing(uefi_vm())
    path = variables(firmware, "v1", uefi_vm())
    assert path.read_bytes() == b"new"
    path.write_bytes(b"written")
    assert variables(firmware, "v1", uefi_vm()).read_bytes() == b"written"
    firmware.rename("v1", "v2")
    assert variables(firmware, "v2", uefi_vm()).read_bytes() == b"written"
    assert variables(firmware, "v1", uefi_vm()).read_bytes() == b"new"
    firmware.forget("v2")
    firmware.forget("v2")
    firmware.rename("v2", "v3")
    assert variables(firmware, "v2", uefi_vm()).read_bytes() == b"new"


def test_variables_that_shall_not_persist_are_new_each_time(firmware: Firmware) -> None:
    vm = uefi_vm(UefiOnBoot.RESET)
    variables(firmware, "v1", vm).write_bytes(b"written")
    assert variables(firmware, "v1", vm).read_bytes() == b"new"


def test_secure_boot_has_variables_with_keys_beside_those_without(firmware: Firmware) -> None:
    secure = uefi_vm(secure_boot="true")
    refuse_if_missing(secure)
    assert wants_secure_boot(secure)
    assert not wants_secure_boot(uefi_vm(secure_boot="auto"))
    assert not wants_secure_boot(sample_vm(platformdata=(("secureboot", "true"),)))
    variables(firmware, "v1", uefi_vm()).write_bytes(b"boots all")
    path = variables(firmware, "v1", secure)
    assert path.read_bytes() == b"keys"
    path.write_bytes(b"written")
    firmware.rename("v1", "v2")
    assert variables(firmware, "v2", secure).read_bytes() == b"written"
    assert variables(firmware, "v2", uefi_vm()).read_bytes() == b"boots all"
    firmware.forget("v2")
    assert list(path.parent.iterdir()) == []


def test_a_name_leads_out_of_no_directory(firmware: Firmware, tmp_path: Path) -> None:
    path = variables(firmware, "../../x,readonly=off\n", uefi_vm())
    assert path.parent == tmp_path / "variables"
    assert path.stem.isalnum()


def test_without_uefi_nothing_is_needed(tmp_path: Path) -> None:
    firmware = Firmware(tmp_path / "variables", tmp_path)
    refuse_if_missing(sample_vm())
    assert firmware.files("v1", sample_vm()) is None
    assert firmware.files("v1", sample_vm(ty=Hvm(info=HvmInfo()))) is None


def test_a_host_without_uefi_says_what_to_install(tmp_path: Path) -> None:
    error = refusal(lambda: refuse_if_missing(uefi_vm(), tmp_path))
    assert isinstance(error, InternalError)
    assert error.message.startswith(
        f"VM v1 boots by UEFI, and there is no {tmp_path}/OVMF_CODE_4M.fd: install"
    )
