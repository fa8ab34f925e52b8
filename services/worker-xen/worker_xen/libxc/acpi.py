"""Acpi: the tables by which a PVH guest finds its vCPUs, and that its hardware is the reduced one.

Layouts and flags are those of the ACPI specification, 6.5, chapter 5.2. There is no firmware in such a guest,
so who builds it lays the tables out.
"""

import struct

ACPI_AT = 0xFC000000
"""Where they lie in the guest: below Xen's own pages, where no memory is."""

_LAPIC_AT = 0xFEE00000
_OEM = b"XENOPS"
_TABLE_OEM = b"PVH\0\0\0\0\0"
_HEAD = struct.Struct("<4sIBB6s8sI4sI")
_RSDP = struct.Struct("<8sB6sBIIQB3s")
_RSDP_FIRST_BYTES = 20
"""What its first checksum covers: all that ACPI 1.0 knew."""

_FADT_BYTES = 268
_BOOT_FLAGS_AT, _FLAGS_AT, _DSDT_AT = 109, 112, 140
_NO_VGA, _NO_CMOS_CLOCK = 1 << 2, 1 << 5
_WBINVD, _POWER_BUTTON_BY_AML, _SLEEP_BUTTON_BY_AML, _HARDWARE_REDUCED = 1 << 0, 1 << 4, 1 << 5, 1 << 20

_LOCAL_APIC, _LOCAL_X2APIC = 0, 9
_ENABLED = 1
_APIC_ID_MAX = 254


def acpi_tables(vcpus: int) -> bytes:
    """The root pointer, at the beginning, and all that it leads to, in one piece for `ACPI_AT`."""
    dsdt_at = ACPI_AT + _aligned(_RSDP.size)
    dsdt = _table(b"DSDT", 2, b"")
    fadt_at = dsdt_at + _aligned(len(dsdt))
    fadt = _fadt(dsdt_at)
    madt_at = fadt_at + _aligned(len(fadt))
    madt = _madt(vcpus)
    xsdt_at = madt_at + _aligned(len(madt))
    xsdt = _table(b"XSDT", 1, struct.pack("<QQ", fadt_at, madt_at))
    parts = (_rsdp(xsdt_at), dsdt, fadt, madt, xsdt)
    return b"".join(part.ljust(_aligned(len(part)), b"\0") for part in parts)


def _aligned(size: int) -> int:
    return (size + 15) & ~15


def _checked(data: bytes, at: int) -> bytes:
    """With the byte there such that all bytes add up to 0."""
    return data[:at] + bytes([-sum(data) & 0xFF]) + data[at + 1 :]


def _rsdp(xsdt_at: int) -> bytes:
    data = _RSDP.pack(b"RSD PTR ", 0, _OEM, 2, 0, _RSDP.size, xsdt_at, 0, bytes(3))
    return _checked(_checked(data[:_RSDP_FIRST_BYTES], 8) + data[_RSDP_FIRST_BYTES:], 32)


def _table(signature: bytes, revision: int, body: bytes) -> bytes:
    size = _HEAD.size + len(body)
    return _checked(_HEAD.pack(signature, size, revision, 0, _OEM, _TABLE_OEM, 1, b"XNOP", 1) + body, 9)


def _fadt(dsdt_at: int) -> bytes:
    """No timers, ports or interrupts of old computers."""
    body = bytearray(_FADT_BYTES - _HEAD.size)
    flags = _WBINVD | _POWER_BUTTON_BY_AML | _SLEEP_BUTTON_BY_AML | _HARDWARE_REDUCED
    struct.pack_into("<H", body, _BOOT_FLAGS_AT - _HEAD.size, _NO_VGA | _NO_CMOS_CLOCK)
    struct.pack_into("<I", body, _FLAGS_AT - _HEAD.size, flags)
    struct.pack_into("<Q", body, _DSDT_AT - _HEAD.size, dsdt_at)
    return _table(b"FACP", 5, bytes(body))


def _madt(vcpus: int) -> bytes:
    """A local APIC for each vCPU; Xen numbers them by twos."""
    entries = (
        struct.pack("<BBBBI", _LOCAL_APIC, 8, vcpu, 2 * vcpu, _ENABLED)
        if 2 * vcpu <= _APIC_ID_MAX
        else struct.pack("<BBHIII", _LOCAL_X2APIC, 16, 0, 2 * vcpu, _ENABLED, vcpu)
        for vcpu in range(vcpus)
    )
    return _table(b"APIC", 4, struct.pack("<II", _LAPIC_AT, 0) + b"".join(entries))
