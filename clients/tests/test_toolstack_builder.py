"""Builders: how a VM boots, by its domain type."""

from typing import Any

import pytest
from xenops.toolstack.convert import Site, Source, metadata_of
from xenops.toolstack.database import MemoryDatabase
from xenops.toolstack.samples import HOST, sample_pool, sample_vm, vm_ref


@pytest.mark.parametrize(
    ("domain_type", "builder"),
    [("hvm", "HVM"), ("pv", "PV"), ("pv_in_pvh", "PVinPVH"), ("pvh", "PVH")],
)
def test_a_domain_type_has_its_builder(domain_type: str, builder: str) -> None:
    database = MemoryDatabase(sample_pool())
    database.add(sample_vm(1, domain_type=domain_type, PV_kernel="/var/lib/xcp/guest/vmlinuz"))
    ty: Any = metadata_of(Source(database, Site(host=HOST, featureset="0")), vm_ref(1)).vm.ty
    assert ty.kind == builder
