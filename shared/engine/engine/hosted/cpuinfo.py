"""Cpuinfo: the host's processors as /proc/cpuinfo tells of them."""

from pathlib import Path

from schema.objects.host import CpuInfo

CPUINFO = Path("/proc/cpuinfo")

Processor = dict[str, str]
"""One processor's lines: `model name` and its value."""


def processors(cpuinfo: str) -> list[Processor]:
    """Every processor, in order; what a line does not say is not there."""
    return [_fields(block) for block in cpuinfo.split("\n\n") if block.strip()]


def described(processor: Processor) -> CpuInfo:
    """One processor on one socket, without what a hypervisor alone knows: features, nodes."""
    return CpuInfo(
        cpu_count=1,
        socket_count=1,
        threads_per_core=1,
        nr_nodes=1,
        vendor=processor.get("vendor_id", ""),
        speed=processor.get("cpu MHz", ""),
        modelname=processor.get("model name", ""),
        family=processor.get("cpu family", ""),
        model=processor.get("model", ""),
        stepping=processor.get("stepping", ""),
        flags=processor.get("flags", ""),
        features="",
        features_pv="",
        features_hvm="",
        features_pv_host="",
        features_hvm_host="",
    )


def first_described(cpuinfo: str) -> CpuInfo:
    """The first processor, where a hypervisor says how many there are: all are alike."""
    return described(next(iter(processors(cpuinfo)), {}))


def _fields(block: str) -> Processor:
    pairs = (line.partition(":") for line in block.splitlines())
    return {name.strip(): value.strip() for name, _, value in pairs}
