"""States of VMs for tests of what is shown of them."""

from schema.objects.halted import HALTED_VM
from schema.objects.vm import Console, ConsoleProtocol, DomainType, PowerState

STATE = HALTED_VM.model_copy(
    update={
        "power_state": PowerState.PAUSED,
        "domids": (3,),
        "consoles": (Console(protocol=ConsoleProtocol.RFB, port=5900, path=""),),
        "memory_target": 256 << 20,
        "vcpu_target": 1,
        "last_start_time": 1_795_385_700.0,
        "hvm": True,
        "domain_type": DomainType.DOMAIN_HVM,
    }
)
