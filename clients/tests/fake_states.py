"""States of VMs for tests of what is shown of them."""

from schema.objects.vm import Console, ConsoleProtocol, DomainType, PowerState, VmState

STATE = VmState(
    power_state=PowerState.PAUSED,
    domids=(3,),
    consoles=(Console(protocol=ConsoleProtocol.RFB, port=5900, path=""),),
    memory_target=256 << 20,
    memory_actual=0,
    memory_limit=0,
    vcpu_target=1,
    shadow_multiplier_target=1.0,
    rtc_timeoffset="",
    uncooperative_balloon_driver=False,
    guest_agent=(),
    xsdata_state=(),
    pv_drivers_detected=False,
    last_start_time=1_795_385_700.0,
    hvm=True,
    nomigrate=False,
    nested_virt=False,
    domain_type=DomainType.DOMAIN_HVM,
    featureset="",
    numa_optimised=False,
    numa_nodes=0,
    numa_node_memory=(),
)
