"""Whatever XenAPI can hold becomes metadata that the wire carries unchanged."""

from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from schema.objects.metadata import Metadata
from schema.wire.codec import decode_text, encode_text
from xenops.toolstack.convert import Site, Source, metadata_of
from xenops.toolstack.database import MemoryDatabase
from xenops.toolstack.records import PowerState
from xenops.toolstack.samples import HOST, cd_ref, sample_pool, sample_vm, vbd_ref, vif_ref, vm_ref

TEXT = st.text(max_size=8)
KEYS = st.sampled_from(
    ["acpi", "vga", "usb", "usb_tablet", "parallel", "tsc_mode", "timeoffset", "videoram", "igd_passthrough"]
)
MAP = st.dictionaries(TEXT, TEXT, max_size=3)
BYTES = st.integers(0, 1 << 50).map(str)
ACTIONS = st.sampled_from(
    ["destroy", "restart", "coredump_and_destroy", "coredump_and_restart", "preserve", "rename_restart"]
)
PCI = st.lists(
    st.tuples(st.integers(0, 9), st.integers(0, 31)).map(lambda at: f"{at[0]}/0000:00:{at[1]:02x}.0"),
    max_size=4,
).map(",".join)

VM: Any = st.fixed_dictionaries(
    {
        "name_label": TEXT,
        "power_state": st.sampled_from([str(state) for state in PowerState]),
        "memory_static_max": BYTES,
        "memory_dynamic_max": BYTES,
        "memory_dynamic_min": BYTES,
        "VCPUs_max": st.integers(1, 128).map(str),
        "VCPUs_at_startup": st.integers(1, 128),
        "VCPUs_params": st.dictionaries(st.sampled_from(["weight", "cap", "mask"]), TEXT),
        "actions_after_crash": ACTIONS,
        "actions_after_reboot": ACTIONS,
        "platform": st.dictionaries(KEYS, TEXT) | MAP,
        "other_config": st.fixed_dictionaries({}, optional={"pci": PCI | TEXT, "hvm_serial": TEXT}),
        "xenstore_data": MAP,
        "HVM_boot_params": st.fixed_dictionaries({}, optional={"order": TEXT}),
        "domain_type": st.sampled_from(["hvm", "pv", "pv_in_pvh", "pvh"]),
        "PV_kernel": st.just("/var/lib/xcp/guest/k"),
        "PV_bootloader": TEXT,
        "PV_args": TEXT,
    }
)
VBD: Any = st.fixed_dictionaries(
    {
        "userdevice": st.integers(0, 254).map(str) | st.sampled_from(["xvda", "hdb1", "sdc", "fda", "d7p1"]),
        "mode": st.sampled_from(["RO", "RW"]),
        "type": st.sampled_from(["CD", "Disk", "Floppy"]),
        "unpluggable": st.booleans(),
        "other_config": st.dictionaries(
            st.sampled_from(["backend-kind", "polling-duration", "polling-idle-threshold"]), TEXT
        ),
        "qos_algorithm_type": st.sampled_from(["", "ionice"]) | TEXT,
        "qos_algorithm_params": st.dictionaries(st.sampled_from(["sched", "class"]), TEXT),
    }
)
VIF: Any = st.fixed_dictionaries(
    {
        "device": st.integers(0, 15).map(str),
        "MTU": st.integers(0, 65535).map(str),
        "other_config": MAP,
        "qos_algorithm_type": st.sampled_from(["", "ratelimit"]) | TEXT,
        "qos_algorithm_params": st.dictionaries(st.sampled_from(["kbps", "timeslice_us"]), TEXT),
        "locking_mode": st.sampled_from(["network_default", "locked", "unlocked", "disabled"]),
        "ipv4_allowed": st.lists(TEXT, max_size=2),
        "ipv4_configuration_mode": st.sampled_from(["None", "Static", "DHCP"]),
        "ipv6_configuration_mode": st.sampled_from(["None", "Static", "Autoconf"]),
        "ipv6_gateway": TEXT,
    }
)


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(VM, VBD, VBD, VIF)
def test_every_valid_record_converts_and_survives_the_wire(vm: Any, disk: Any, cd: Any, vif: Any) -> None:
    database = MemoryDatabase(sample_pool())
    database.add(sample_vm(1, **vm))
    attached = {"currently_attached": True}
    database.update("VBD", vbd_ref(1), disk | attached)
    database.update("VBD", cd_ref(1), cd | attached)
    database.update("VIF", vif_ref(1), vif | attached)
    metadata = metadata_of(Source(database, Site(host=HOST)), vm_ref(1))
    assert decode_text(Metadata, encode_text(Metadata, metadata)) == metadata
    assert metadata.vm.name == vm["name_label"]
    assert [one.mode for one in metadata.vbds] == [
        {"RO": "ReadOnly", "RW": "ReadWrite"}[one["mode"]] for one in (disk, cd)
    ]
    positions = [pci.position for pci in metadata.pcis]
    assert positions == list(range(len(positions)))
