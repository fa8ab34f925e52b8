"""Unrestricted: what verbs answer where a backend sets disks and interfaces no limits, and guests no more."""

from collections.abc import Sequence
from typing import Any

from schema.fault import unimplemented
from schema.ids import VmId
from schema.objects.host import GuestAgentFeature, NumaAffinityPolicy
from schema.objects.vbd import Vbd
from schema.objects.vif import (
    Ipv4Configuration,
    Ipv6Configuration,
    LockingMode,
    PvsProxy,
    Unlocked,
    Unspecified4,
    Unspecified6,
    Vif,
)
from schema.objects.vm import Vm
from schema.wire.codec import encode_text
from typing_extensions import override

from engine.backend import Execution, HostVerbs, VbdVerbs, VifVerbs, VmVerbs


class UnrestrictedVbds(VbdVerbs):
    """Those of `VbdVerbs` that a backend without I/O scheduling answers; no guest asks for an unplug."""

    @override
    def set_qos(self, execution: Execution, vm: VmId, vbd: Vbd) -> None:
        """None wanted, nothing to do."""
        if vbd.qos is not None:
            raise unimplemented("VBD.set_qos")

    @override
    def wants_qos(self, vm: VmId, vbd: Vbd) -> bool:
        """Never: see `set_qos`."""
        return False

    @override
    def wants_unplug(self, vm: VmId, vbd: Vbd) -> bool:
        """No guest asks."""
        return False


class UnrestrictedVifs(VifVerbs):
    """Those of `VifVerbs` that a backend answers which neither restricts nor configures addresses."""

    @override
    def set_locking_mode(self, execution: Execution, vm: VmId, vif: Vif, mode: LockingMode) -> None:
        if not isinstance(mode, Unlocked):
            raise unimplemented(f"VIF.set_locking_mode to {mode.kind}")

    @override
    def set_ipv4_configuration(
        self, execution: Execution, vm: VmId, vif: Vif, configuration: Ipv4Configuration
    ) -> None:
        """Nothing to configure is all that can be done: there is no agent in the guest to tell."""
        if not isinstance(configuration, Unspecified4):
            raise unimplemented("VIF.set_ipv4_configuration")

    @override
    def set_ipv6_configuration(
        self, execution: Execution, vm: VmId, vif: Vif, configuration: Ipv6Configuration
    ) -> None:
        """As for IPv4."""
        if not isinstance(configuration, Unspecified6):
            raise unimplemented("VIF.set_ipv6_configuration")

    @override
    def set_pvs_proxy(self, execution: Execution, vm: VmId, vif: Vif, proxy: PvsProxy | None) -> None:
        if proxy is not None:
            raise unimplemented("VIF.set_pvs_proxy")

    @override
    def set_trunks(self, execution: Execution, vm: VmId, vif: Vif, trunks: Sequence[int]) -> None:
        if trunks:
            raise unimplemented("VIF.set_trunks")

    @override
    def wants_unplug(self, vm: VmId, vif: Vif) -> bool:
        """No guest asks."""
        return False


class UnassistedVms(VmVerbs):
    """Those of `VmVerbs` that a backend answers which neither sends guests to sleep nor acts inside them.

    It has no shadow page tables of its own either.
    """

    @override
    def add(self, vm: Vm) -> None:
        """Nothing: what is known of a VM outlives its configuration."""

    @override
    def s3suspend(self, execution: Execution, vm: Vm) -> None:
        raise unimplemented("VM.s3suspend")

    @override
    def s3resume(self, execution: Execution, vm: Vm) -> None:
        raise unimplemented("VM.s3resume")

    @override
    def set_shadow_multiplier(self, execution: Execution, vm: Vm, multiplier: float) -> None:
        raise unimplemented("VM.set_shadow_multiplier")

    @override
    def soft_reset(self, execution: Execution, vm: Vm) -> None:
        raise unimplemented("VM.soft_reset")

    @override
    def run_script(self, execution: Execution, vm: Vm, script: str) -> Any:
        raise unimplemented("VM.run_script")

    @override
    def request_rdp(self, vm: Vm, *, enabled: bool) -> None:
        raise unimplemented("VM.request_rdp")

    @override
    def get_hook_args(self, vm: VmId) -> Sequence[str]:
        """None."""
        return ()

    @override
    def generate_state_string(self, vm: Vm) -> str:
        """All by which the domain is built."""
        return encode_text(Vm, vm.model_copy(update={"name": "", "xsdata": (), "platformdata": ()}))


class UnassistedHosts(HostVerbs):
    """Those of `HostVerbs` for which Xen's own hypervisor, or xapi's guest agent, is needed."""

    @override
    def console_data(self) -> str:
        raise unimplemented("HOST.get_console_data")

    @override
    def send_debug_keys(self, keys: str) -> None:
        raise unimplemented("HOST.send_debug_keys")

    @override
    def set_numa_affinity_policy(self, policy: NumaAffinityPolicy | None) -> None:
        """Nothing: whoever gives the guest its memory places it as it likes."""

    @override
    def update_guest_agent_features(self, features: Sequence[GuestAgentFeature]) -> None:
        raise unimplemented("HOST.update_guest_agent_features")

    @override
    def combine_cpu_policies(self, first: str, second: str) -> str:
        raise unimplemented("HOST.combine_cpu_policies")

    @override
    def is_compatible(self, vm_policy: str, host_policy: str) -> bool:
        raise unimplemented("HOST.is_compatible")
