"""What a domain is from its beginning, by its VM's type and platform keys."""

import pytest
from engine.conformance.samples import sample_vm
from schema.fault import XenopsError
from schema.objects.vm import BuilderInfo, DirectBoot, Pv, PvDirectBoot, Pvh, PvInfo, Vm
from worker_xen.classic.nature import nature_of
from worker_xen.libxc.values import Container, TscMode

INFO = PvInfo(boot=DirectBoot(boot=PvDirectBoot(kernel="/boot/vmlinuz")))
MIB = 1 << 20


def vm_with(ty: BuilderInfo, **platform: str) -> Vm:
    return sample_vm(
        "vm", ty=ty, platformdata=tuple(platform.items()), vcpu_max=3, memory_static_max=1000 * MIB
    )


def test_a_paravirtual_guest_has_the_clock_as_xen_likes_and_a_pvh_guest_the_processors() -> None:
    paravirtual, pvh = nature_of(vm_with(Pv(info=INFO))), nature_of(vm_with(Pvh(info=INFO)))
    assert (paravirtual.container, paravirtual.tsc_mode) == (Container.PV, TscMode.DEFAULT)
    assert (pvh.container, pvh.tsc_mode) == (Container.PVH, TscMode.NATIVE)
    assert pvh.vcpus == 3
    assert pvh.features == ()


def test_platform_keys_choose_clock_and_features() -> None:
    nature = nature_of(vm_with(Pv(info=INFO), tsc_mode="1", featureset="17cbfbff-f7fa3223"))
    assert nature.tsc_mode is TscMode.ALWAYS_EMULATE
    assert nature.features == (0x17CBFBFF, 0xF7FA3223)


@pytest.mark.parametrize(("key", "value"), [("tsc_mode", "3"), ("tsc_mode", ""), ("featureset", "17cb-x")])
def test_a_platform_key_that_makes_no_sense_is_named(key: str, value: str) -> None:
    vm = vm_with(Pv(info=INFO), **{key: value})
    with pytest.raises(XenopsError, match=f"{key}={value!r}"):
        nature_of(vm)


def test_page_tables_have_a_mebibyte_for_each_vcpu_and_two_pages_for_each_of_memory() -> None:
    assert nature_of(vm_with(Pvh(info=INFO))).paging_mib == 3 + 8
