"""HOST, DEBUG and Observer: the host as a whole, tests of the service, tracing.

Made of `xenops/calls/control.py` by `make async-client`: change that one.
"""

# mypy: disable-error-code="no-any-return"
# The codec answers what schema.methods declares; a test holds these annotations against it.

from collections.abc import Sequence
from dataclasses import dataclass

from schema.objects.host import GuestAgentFeature, Host, NumaAffinityPolicy

from xenops.aio.caller import AsyncCaller


@dataclass(frozen=True, slots=True)
class AsyncHostCalls:
    """The methods `HOST.*`."""

    call: AsyncCaller

    async def stat(self) -> Host:
        """CPUs, hypervisor, chipset."""
        return await self.call("HOST.stat")

    async def get_console_data(self) -> str:
        """The hypervisor's messages."""
        return await self.call("HOST.get_console_data")

    async def get_total_memory_mib(self) -> int:
        """All memory of the host, in MiB."""
        return await self.call("HOST.get_total_memory_mib")

    async def send_debug_keys(self, keys: str) -> None:
        """Press keys on the hypervisor's console: each has it write something of itself there."""
        await self.call("HOST.send_debug_keys", debug_keys=keys)

    async def set_worker_pool_size(self, size: int) -> None:
        """How many VMs a worker operates on at a time."""
        await self.call("HOST.set_worker_pool_size", pool_size=size)

    async def update_guest_agent_features(self, features: Sequence[GuestAgentFeature]) -> None:
        """Tell every guest's agent which features it may use."""
        await self.call("HOST.update_guest_agent_features", features=tuple(features))

    async def combine_cpu_policies(self, first: str, second: str) -> str:
        """The policy that both hosts can offer."""
        return await self.call("HOST.combine_cpu_policies", policy1=first, policy2=second)

    async def is_compatible(self, vm_policy: str, host_policy: str) -> bool:
        """Whether a VM with the one policy can run on a host with the other."""
        return await self.call("HOST.is_compatible", vm_policy=vm_policy, host_policy=host_policy)

    async def set_numa_affinity_policy(self, policy: NumaAffinityPolicy | None) -> None:
        """How VMs are placed on NUMA nodes; None: as the host likes."""
        await self.call("HOST.set_numa_affinity_policy", numa_affinity_policy=policy)


@dataclass(frozen=True, slots=True)
class AsyncDebugCalls:
    """The methods `DEBUG.*`."""

    call: AsyncCaller

    async def trigger(self, command: str, arguments: Sequence[str] = ()) -> None:
        """Have the service do something for a test, as `set-cancel-trigger`."""
        await self.call("DEBUG.trigger", cmd=command, args=tuple(arguments))

    async def shutdown(self) -> None:
        """Have the service end."""
        await self.call("DEBUG.shutdown", unit=None)


@dataclass(frozen=True, slots=True)
class AsyncObserverCalls:
    """The methods `Observer.*`."""

    call: AsyncCaller

    async def create(
        self, uuid: str, name: str, attributes: Sequence[tuple[str, str]], *, enabled: bool
    ) -> None:
        """Make an observer; it writes files for bug reports until `set_endpoints`."""
        await self.call(
            "Observer.create",
            uuid=uuid,
            name_label=name,
            dict=tuple(attributes),
            endpoints=("bugtool",),
            bool=enabled,
        )

    async def destroy(self, uuid: str) -> None:
        """Unmake an observer."""
        await self.call("Observer.destroy", uuid=uuid)

    async def set_enabled(self, uuid: str, *, enabled: bool) -> None:
        """Let an observer observe, or not."""
        await self.call("Observer.set_enabled", uuid=uuid, bool=enabled)

    async def set_attributes(self, uuid: str, attributes: Sequence[tuple[str, str]]) -> None:
        """What an observer adds to every span."""
        await self.call("Observer.set_attributes", uuid=uuid, dict=tuple(attributes))

    async def set_endpoints(self, uuid: str, endpoints: Sequence[str]) -> None:
        """Where an observer sends spans to."""
        await self.call("Observer.set_endpoints", uuid=uuid, endpoints=tuple(endpoints))

    async def init(self) -> None:
        """Make tracing ready."""
        await self.call("Observer.init")

    async def set_trace_log_dir(self, path: str) -> None:
        """The directory that files of spans are written to."""
        await self.call("Observer.set_trace_log_dir", string=path)

    async def set_export_interval(self, interval_s: float) -> None:
        """How often spans are exported, in seconds."""
        await self.call("Observer.set_export_interval", float=interval_s)

    async def set_export_chunk_size(self, size: int) -> None:
        """How many spans are exported at a time."""
        await self.call("Observer.set_export_chunk_size", int=size)

    async def set_max_spans(self, limit: int) -> None:
        """How many spans a trace may have."""
        await self.call("Observer.set_max_spans", int=limit)

    async def set_max_traces(self, limit: int) -> None:
        """How many traces are kept."""
        await self.call("Observer.set_max_traces", int=limit)

    async def set_max_depth(self, limit: int) -> None:
        """How deep spans may nest."""
        await self.call("Observer.set_max_depth", int=limit)

    async def set_max_file_size(self, size_bytes: int) -> None:
        """How large a file of spans may become."""
        await self.call("Observer.set_max_file_size", int=size_bytes)

    async def set_host_id(self, host: str) -> None:
        """What spans call this host."""
        await self.call("Observer.set_host_id", string=host)

    async def set_compress_tracing_files(self, *, enabled: bool) -> None:
        """Whether files of spans are compressed."""
        await self.call("Observer.set_compress_tracing_files", bool=enabled)
