"""Halted: what a VM and its devices look like to a client while there is no domain."""

from typing import Final

from schema.objects.pci import PciState
from schema.objects.vbd import VbdState
from schema.objects.vgpu import VgpuState
from schema.objects.vif import VifState
from schema.objects.vm import DomainType, PowerState, VmState
from schema.objects.vusb import VusbState

HALTED_VM: Final = VmState(
    power_state=PowerState.HALTED,
    domids=(),
    consoles=(),
    memory_target=0,
    memory_actual=0,
    memory_limit=0,
    vcpu_target=0,
    shadow_multiplier_target=1.0,
    rtc_timeoffset="",
    uncooperative_balloon_driver=False,
    guest_agent=(),
    xsdata_state=(),
    pv_drivers_detected=False,
    last_start_time=0.0,
    hvm=False,
    nomigrate=False,
    nested_virt=False,
    domain_type=DomainType.DOMAIN_UNDEFINED,
    featureset="",
    numa_optimised=False,
    numa_nodes=0,
    numa_node_memory=(),
)

UNPLUGGED_VBD: Final = VbdState(active=False, plugged=False)

UNPLUGGED_VIF: Final = VifState(
    active=False, plugged=False, kthread_pid=0, media_present=False, pvs_rules_active=False
)

UNPLUGGED_PCI: Final = PciState(plugged=False)

UNPLUGGED_VGPU: Final = VgpuState(active=False, plugged=False)

UNPLUGGED_VUSB: Final = VusbState(plugged=False)
