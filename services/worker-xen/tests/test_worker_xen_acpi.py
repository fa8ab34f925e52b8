"""Tables of a PVH guest: what the specification has them be, read as a guest's kernel reads them."""

import struct

import pytest
from worker_xen.libxc.acpi import ACPI_AT, acpi_tables

HEAD_BYTES = 36


def table_at(tables: bytes, address: int, signature: bytes) -> bytes:
    """One table, whole and with a right checksum."""
    start = address - ACPI_AT
    found, size = struct.unpack_from("<4sI", tables, start)
    assert found == signature
    table = tables[start : start + size]
    assert len(table) == size
    assert sum(table) & 0xFF == 0
    return table


def root_of(tables: bytes) -> tuple[bytes, bytes]:
    """FADT and MADT, by way of the root pointer."""
    assert tables.startswith(b"RSD PTR ")
    assert sum(tables[:20]) & 0xFF == 0
    assert sum(tables[:36]) & 0xFF == 0
    (xsdt_at,) = struct.unpack_from("<Q", tables, 24)
    xsdt = table_at(tables, xsdt_at, b"XSDT")
    fadt_at, madt_at = struct.unpack_from("<QQ", xsdt, HEAD_BYTES)
    return table_at(tables, fadt_at, b"FACP"), table_at(tables, madt_at, b"APIC")


def apic_ids(madt: bytes) -> list[int]:
    """Of all processors that are enabled."""
    found, place = [], HEAD_BYTES + 8
    while place < len(madt):
        kind, size = madt[place], madt[place + 1]
        id_, flags = (
            struct.unpack_from("<BI", madt, place + 3)
            if kind == 0
            else struct.unpack_from("<II", madt, place + 4)
        )
        assert flags == 1
        found.append(id_)
        place += size
    assert place == len(madt)
    return found


@pytest.mark.parametrize("vcpus", [1, 2, 127, 128, 129, 255])
def test_a_guest_finds_each_vcpu_by_the_number_that_xen_gives_it(vcpus: int) -> None:
    _, madt = root_of(acpi_tables(vcpus))
    assert apic_ids(madt) == [2 * vcpu for vcpu in range(vcpus)]


def test_a_guest_is_told_that_its_hardware_is_reduced_and_finds_an_empty_dsdt() -> None:
    tables = acpi_tables(1)
    fadt, _ = root_of(tables)
    assert len(fadt) == 268
    assert struct.unpack_from("<I", fadt, 112)[0] >> 20 & 1
    assert struct.unpack_from("<H", fadt, 109)[0] == 0b100100
    assert len(table_at(tables, struct.unpack_from("<Q", fadt, 140)[0], b"DSDT")) == HEAD_BYTES


def test_all_tables_fit_where_they_lie() -> None:
    """Below Xen's own pages."""
    assert ACPI_AT + len(acpi_tables(512)) < 0xFEFF8000
