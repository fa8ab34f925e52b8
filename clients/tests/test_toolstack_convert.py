"""XenAPI's records to xenops' metadata: golden texts, and every rule by itself.

After a change that is meant, write the golden texts anew and review the difference:

    XENOPS_WRITE_METADATA=1 .venv/bin/pytest clients/tests/test_toolstack_convert.py
"""

import json
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
from schema.objects.metadata import Metadata
from schema.wire.codec import decode_text, encode_text
from xenops.toolstack.convert import Site, Source, metadata_of
from xenops.toolstack.database import MemoryDatabase
from xenops.toolstack.records import NULL
from xenops.toolstack.samples import (
    HOST,
    NETWORK,
    cd_ref,
    sample_pool,
    sample_vm,
    vbd_ref,
    vdi_ref,
    vif_ref,
    vm_ref,
)

GOLDEN = Path(__file__).parent / "metadata"
VM = vm_ref(1)
SITE = Site(host=HOST, featureset="17cbfbff-f7fa3223")
GPU, NEEDS = "OpaqueRef:gpu", "OpaqueRef:gpu-audio"


def pool(vm: Mapping[str, Any], *changes: tuple[str, str, Mapping[str, Any]]) -> MemoryDatabase:
    """The sample VM with all its devices attached, and changes by class and reference."""
    database = MemoryDatabase(sample_pool())
    database.add(sample_vm(1, **vm))
    for klass, ref in (("VBD", vbd_ref(1)), ("VBD", cd_ref(1)), ("VIF", vif_ref(1))):
        database.update(klass, ref, {"currently_attached": True})
    for klass, ref, fields in changes:
        database.add({klass: {ref: {"uuid": ref.removeprefix("OpaqueRef:"), **_known(database, klass, ref)}}})
        database.update(klass, ref, fields)
    return database


def _known(database: MemoryDatabase, klass: str, ref: str) -> Mapping[str, Any]:
    return database.fields(klass, ref) if ref in database.refs(klass) else {}


def gpu(implementation: str, config: Mapping[str, str]) -> MemoryDatabase:
    kind = {"implementation": implementation, "internal_config": config, "framebuffer_size": "1024"}
    return pool(
        {"VGPUs": ["OpaqueRef:vgpu"]},
        ("PCI", GPU, {"pci_id": "0000:3b:00.0", "dependencies": [NEEDS]}),
        ("PCI", NEEDS, {"pci_id": "0000:3b:00.1"}),
        ("PGPU", "OpaqueRef:pgpu", {"PCI": GPU}),
        ("VGPU_type", "OpaqueRef:type", kind),
        (
            "VGPU",
            "OpaqueRef:vgpu",
            {
                "device": "0",
                "type": "OpaqueRef:type",
                "resident_on": "OpaqueRef:pgpu",
                "PCI": NULL if implementation == "gvt_g" else GPU,
            },
        ),
    )


def usb() -> MemoryDatabase:
    return pool(
        {"VUSBs": ["OpaqueRef:vusb", "OpaqueRef:unplugged"]},
        ("VUSB", "OpaqueRef:vusb", {"USB_group": "OpaqueRef:group", "currently_attached": True}),
        ("VUSB", "OpaqueRef:unplugged", {"USB_group": "OpaqueRef:group", "currently_attached": False}),
        ("USB_group", "OpaqueRef:group", {"PUSBs": ["OpaqueRef:pusb"]}),
        ("PUSB", "OpaqueRef:pusb", {"path": "1-2", "version": "2.00", "speed": 480.0}),
    )


def uefi() -> MemoryDatabase:
    vm = {
        "HVM_boot_params": {"firmware": "uefi"},
        "NVRAM": {"EFI-variables-on-boot": "reset", "EFI-variables-backend": "file"},
        "VTPMs": ["OpaqueRef:vtpm"],
        "platform": {"vga": "std", "videoram": "8", "usb": "false", "keymap": "de", "device-model": "qemu"},
        "other_config": {"mtc_pci_emulations": "rtl8139, ide", "hvm_serial": "none", "msitranslate": "0"},
        "actions_after_crash": "coredump_and_restart",
        "actions_after_shutdown": "preserve",
        "actions_after_reboot": "coredump_and_destroy",
    }
    return pool(vm, ("VTPM", "OpaqueRef:vtpm", {"uuid": "72efcd27-a5de-484d-8574-1a8e3afc9ecc"}))


def direct() -> MemoryDatabase:
    vm = {
        "domain_type": "pvh",
        "PV_kernel": "/var/lib/xcp/guest/vmlinuz",
        "PV_ramdisk": "/var/lib/xcp/guest/initrd",
        "PV_args": "console=hvc0",
        "other_config": {"pci": "1/0000:04:00.0,0/0000:03:00.0,nonsense", "disable_pv_vnc": "1"},
        "platform": {"pvfb": "true", "vtpm": "true"},
    }
    return pool(vm)


def indirect() -> MemoryDatabase:
    vm = {
        "domain_type": "pv",
        "PV_bootloader": "pygrub",
        "PV_args": "quiet",
        "PV_bootloader_args": "--default=0",
        "PV_legacy_args": "ro",
        "power_state": "Suspended",
        "last_booted_record": "(state)",
        "last_boot_CPU_flags": {"features": "ffffffff"},
    }
    return pool(vm)


GT = {"vgt_low_gm_sz": "128", "vgt_high_gm_sz": "384", "vgt_fence_sz": "4"}
SHAPES: dict[str, Callable[[], MemoryDatabase]] = {
    "hvm-bios": lambda: pool({}),
    "hvm-uefi": uefi,
    "pvh-direct": direct,
    "pv-indirect-suspended": indirect,
    "usb": usb,
    "gpu-passthrough": lambda: gpu("passthrough", {}),
    "gpu-gvt-g": lambda: gpu("gvt_g", GT),
    "gpu-mxgpu": lambda: gpu("mxgpu", {"vgpus_per_pgpu": "4"}),
    "gpu-nvidia": lambda: gpu("nvidia", {"config_file": "/c", "vclass": "q", "type_id": "7"}),
    "gpu-nvidia-sriov": lambda: gpu("nvidia_sriov", {}),
}


def metadata(database: MemoryDatabase, site: Site = SITE) -> Metadata:
    return metadata_of(Source(database, site), VM)


@pytest.mark.parametrize("shape", SHAPES)
def test_a_vm_becomes_the_metadata_that_was_reviewed(shape: str) -> None:
    text = encode_text(Metadata, metadata(SHAPES[shape]()))
    golden = GOLDEN / f"{shape}.json"
    if os.environ.get("XENOPS_WRITE_METADATA"):
        golden.parent.mkdir(exist_ok=True)
        golden.write_text(json.dumps(json.loads(text), indent=1) + "\n")
    assert json.loads(text) == json.loads(golden.read_text())
    assert encode_text(Metadata, decode_text(Metadata, text)) == text


def test_devices_that_are_not_attached_stay_behind() -> None:
    found = metadata(pool({}, ("VBD", cd_ref(1), {"currently_attached": False})))
    assert [vbd.id.device for vbd in found.vbds] == ["xvda"]


def with_vbd(**fields: Any) -> Any:
    return metadata(pool({}, ("VBD", vbd_ref(1), fields))).vbds[0].model_dump()


def with_vif(*changes: tuple[str, str, Mapping[str, Any]], site: Site = SITE) -> Any:
    return metadata(pool({}, *changes), site).vifs[0].model_dump()


def vif(**fields: Any) -> tuple[str, str, Mapping[str, Any]]:
    return "VIF", vif_ref(1), fields


BEST = "BestEffort"


@pytest.mark.parametrize(
    ("algorithm", "params", "expected"),
    [
        ("", {}, None),
        ("made-up", {"sched": "rt"}, None),
        ("ionice", {"sched": "rt", "class": "highest"}, ("RealTime", "Highest")),
        ("ionice", {"sched": "real-time", "class": "3"}, ("RealTime", "Other")),
        ("ionice", {"sched": "idle"}, ("Idle", None)),
        ("ionice", {"sched": "best-effort", "class": "low"}, (BEST, "Low")),
        ("ionice", {"sched": "made-up", "class": "made-up"}, (BEST, "Normal")),
        ("ionice", {}, (BEST, "Normal")),
    ],
)
def test_a_disks_quality_of_service_is_ionice_or_none(
    algorithm: str, params: Mapping[str, str], expected: tuple[str, str | None] | None
) -> None:
    qos = with_vbd(qos_algorithm_type=algorithm, qos_algorithm_params=params)["qos"]
    found = qos and (qos["scheduler"]["kind"], qos["scheduler"].get("level", {}).get("kind"))
    assert found == expected


def test_a_disks_backend_keys_are_kept_within_their_ranges() -> None:
    config = {"backend-kind": "vbd3", "polling-duration": "-1", "polling-idle-threshold": "101"}
    assert with_vbd(other_config=config)["extra_backend_keys"] == (
        ("backend-kind", "vbd3"),
        ("polling-duration", "0"),
        ("polling-idle-threshold", "100"),
    )
    bad = {"polling-duration": "long", "polling-idle-threshold": "half"}
    found = dict(with_vbd(other_config=bad)["extra_backend_keys"])
    assert found == {"polling-duration": "0", "polling-idle-threshold": "50"}


@pytest.mark.parametrize(
    ("change", "early", "persistent"),
    [
        (("SM", "OpaqueRef:sm", {"required_api_version": "2.9"}), False, True),
        (("SM", "OpaqueRef:sm", {"type": "nfs"}), False, True),
        (("SM", "OpaqueRef:sm", {"required_api_version": "x"}), False, True),
        (("VDI", vdi_ref(1), {"on_boot": "reset"}), True, False),
        (("VDI", vdi_ref(1), {"SR": "OpaqueRef:gone"}), False, True),
    ],
)
def test_a_disk_is_attached_early_where_its_storage_can(
    change: tuple[str, str, Mapping[str, Any]], *, early: bool, persistent: bool
) -> None:
    vbd = metadata(pool({}, change)).vbds[0]
    assert (vbd.can_attach_early, vbd.persistent) == (early, persistent)


def test_a_floppy_is_one() -> None:
    found = with_vbd(userdevice="fda", type="Floppy", mode="RO", unpluggable=False)
    assert (found["ty"], found["mode"], found["id"][1]) == ("Floppy", "ReadOnly", "fda")


SRIOV = ("PIF", "OpaqueRef:pif", {"sriov_logical_PIF_of": ["OpaqueRef:sriov"]})
TAGGED = (
    ("PIF", "OpaqueRef:pif", {"VLAN_master_of": "OpaqueRef:vlan", "VLAN": "7"}),
    ("VLAN", "OpaqueRef:vlan", {"tagged_PIF": "OpaqueRef:below"}),
    ("PIF", "OpaqueRef:below", {"sriov_logical_PIF_of": ["OpaqueRef:sriov"]}),
)
FUNCTION = ("PCI", "OpaqueRef:vf", {"pci_id": "0000:5e:02.1"})


@pytest.mark.parametrize("pif", [(SRIOV,), TAGGED])
def test_an_interface_on_sr_iov_is_a_virtual_function_and_a_pci_device(pif: Any) -> None:
    found = metadata(pool({}, *pif, FUNCTION, vif(reserved_pci="OpaqueRef:vf")))
    assert found.vifs[0].backend.kind == "Sriov"
    assert [pci.id.device for pci in found.pcis] == ["0000:5e:02.1"]


def test_an_interface_may_lead_to_another_vms_bridge_and_into_a_vlan() -> None:
    found = with_vif(
        ("network", NETWORK, {"other_config": {"backend_vm": "driver"}}),
        ("PIF", "OpaqueRef:pif", {"VLAN": "7", "VLAN_master_of": "OpaqueRef:vlan"}),
        ("VLAN", "OpaqueRef:vlan", {"tagged_PIF": "OpaqueRef:gone"}),
        vif(trunks=["3", "4"]),
    )
    assert found["backend"] == {"kind": "Remote", "host": "driver", "network": "xenbr0"}
    assert (found["vlan"], found["trunks"]) == (7, (3, 4))


def test_an_internal_network_has_no_vlan_and_a_carrier() -> None:
    found = with_vif(("network", NETWORK, {"PIFs": []}), site=Site(host=HOST, reflects_carrier=True))
    assert (found["vlan"], found["carrier"]) == (None, True)


def test_the_hosts_carrier_reaches_the_guest_where_that_is_wanted() -> None:
    changes = (
        ("PIF", "OpaqueRef:pif", {"metrics": "OpaqueRef:pm"}),
        ("PIF_metrics", "OpaqueRef:pm", {"carrier": False}),
    )
    assert with_vif(*changes)["carrier"]
    assert not with_vif(*changes, site=Site(host=HOST, reflects_carrier=True))["carrier"]


@pytest.mark.parametrize(("config", "mtu"), [({"mtu": "9000"}, 9000), ({"mtu": "big"}, 1500), ({}, 1500)])
def test_an_interfaces_own_mtu_comes_before_its_networks(config: Mapping[str, str], mtu: int) -> None:
    assert with_vif(vif(other_config=config))["mtu"] == mtu


@pytest.mark.parametrize(
    ("algorithm", "params", "rate"),
    [
        ("ratelimit", {"kbps": "10", "timeslice_us": "5"}, (10, 5)),
        ("ratelimit", {"kbps": "10", "timeslice_us": "x"}, (10, 0)),
        ("ratelimit", {"kbps": "x"}, None),
        ("ratelimit", {}, None),
        ("made-up", {"kbps": "10"}, None),
        ("", {}, None),
    ],
)
def test_an_interfaces_rate_is_limited_when_it_can_be_read(
    algorithm: str, params: Mapping[str, str], rate: tuple[int, int] | None
) -> None:
    assert with_vif(vif(qos_algorithm_type=algorithm, qos_algorithm_params=params))["rate"] == rate


@pytest.mark.parametrize(
    ("mode", "default", "kind"),
    [
        ("network_default", "unlocked", "Unlocked"),
        ("network_default", "disabled", "Disabled"),
        ("locked", "disabled", "Locked"),
        ("unlocked", "disabled", "Unlocked"),
        ("disabled", "unlocked", "Disabled"),
    ],
)
def test_an_interface_is_locked_as_it_or_its_network_says(mode: str, default: str, kind: str) -> None:
    found = with_vif(vif(locking_mode=mode), ("network", NETWORK, {"default_locking_mode": default}))
    assert found["locking_mode"]["kind"] == kind


@pytest.mark.parametrize(("mode4", "kind4"), [("None", "Unspecified4"), ("DHCP", "DHCP4")])
@pytest.mark.parametrize(
    ("mode6", "kind6"), [("None", "Unspecified6"), ("Static", "Static6"), ("Autoconf", "Autoconf6")]
)
def test_an_interfaces_addresses_are_configured(mode4: str, kind4: str, mode6: str, kind6: str) -> None:
    found = with_vif(vif(ipv4_configuration_mode=mode4, ipv6_configuration_mode=mode6))
    assert (found["ipv4_configuration"]["kind"], found["ipv6_configuration"]["kind"]) == (kind4, kind6)


def test_a_streamed_disk_has_its_proxy() -> None:
    server = {"addresses": ["192.0.2.9"], "first_port": "6910", "last_port": "6930"}
    found = with_vif(
        ("PVS_proxy", "OpaqueRef:other", {"VIF": "OpaqueRef:else", "site": "OpaqueRef:site"}),
        ("PVS_proxy", "OpaqueRef:proxy", {"VIF": vif_ref(1), "site": "OpaqueRef:site"}),
        ("PVS_site", "OpaqueRef:site", {"servers": ["OpaqueRef:server"]}),
        ("PVS_server", "OpaqueRef:server", server),
    )
    site, servers, interface = found["pvs_proxy"]
    assert (site, servers[0]["addresses"], interface) == ("site", ("192.0.2.9",), "pvs020000000001")


@pytest.mark.parametrize(
    ("mask", "host", "affinity"),
    [
        ("1,2", (), ((1, 2),)),
        ("1,2;3", (), ((1, 2), (3,))),
        ("1,2;3", (2, 3), ((2,), (3,))),
        ("x", (2,), ((2,),)),
        ("x", (), ()),
    ],
)
def test_vcpus_stay_on_the_cpus_that_vm_and_host_allow(
    mask: str, host: tuple[int, ...], affinity: tuple[tuple[int, ...], ...]
) -> None:
    found = metadata(pool({"VCPUs_params": {"mask": mask}}), Site(host=HOST, cpu_mask=host))
    assert found.vm.scheduler_params.affinity == affinity


def test_weight_and_cap_that_cannot_be_read_are_the_defaults() -> None:
    found = metadata(pool({"VCPUs_params": {"weight": "heavy", "cap": ""}}))
    assert found.vm.scheduler_params.priority == (256, 0)


@pytest.mark.parametrize(("action", "atom"), [("rename_restart", "Start"), ("soft_reboot", "Softreboot")])
def test_actions_are_xenops_own(action: str, atom: str) -> None:
    assert metadata(pool({"actions_after_reboot": action})).vm.on_reboot == (atom,)


def test_the_platform_is_filtered_unless_the_licence_lifts_it() -> None:
    vm = {"platform": {"made-up": "1", "tsc_mode": "9", "parallel": "/dev/mem", "usb_tablet": "0"}}
    assert dict(metadata(pool(vm)).vm.platformdata) == {
        "featureset": SITE.featureset,
        "timeoffset": "0",
        "usb": "true",
        "usb_tablet": "false",
    }
    free = metadata(pool(vm), Site(host=HOST, filters_platform=False)).vm.platformdata
    assert dict(free)["made-up"] == "1"
    cores = metadata(pool({"platform": {"cores-per-socket": "2"}}), Site(filters_platform=False))
    assert dict(cores.vm.platformdata)["cores-per-socket"] == "2"
    kept = {"tsc_mode": "2", "parallel": "/dev/parport0", "featureset": "own"}
    assert kept.items() <= dict(metadata(pool({"platform": kept})).vm.platformdata).items()


RESETS = {"on_boot": "reset", "other_config": {"timeoffset": "7200"}}


def test_the_clock_is_the_system_disks_where_that_is_reset() -> None:
    assert dict(metadata(pool({}, ("VDI", vdi_ref(1), RESETS))).vm.platformdata)["timeoffset"] == "7200"


@pytest.mark.parametrize(
    ("other_config", "video"),
    [({"igd_passthrough": "true"}, "IGD_passthrough"), ({"vga": "made-up"}, "Cirrus")],
)
def test_the_screen_is_what_the_platform_says(other_config: Mapping[str, str], video: str) -> None:
    ty: Any = metadata(pool({"platform": other_config})).vm.ty
    assert ty.info.video.kind == video


def test_a_suspended_vm_may_know_no_cpu() -> None:
    found = metadata(pool({"power_state": "Suspended"}))
    assert "featureset" not in dict(found.vm.platformdata)


def test_a_bootloader_looks_at_disks_that_lie_somewhere() -> None:
    vm = {"domain_type": "pv", "PV_bootloader": "pygrub"}
    ty: Any = metadata(pool(vm, ("VDI", vdi_ref(1), {"SR": "OpaqueRef:gone"}))).vm.ty
    assert ty.info.boot.boot.devices == ()
