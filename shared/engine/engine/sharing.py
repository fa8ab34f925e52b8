"""Sharing: whether a VM must take turns with others, because of whose virtual GPU it has."""

from collections.abc import Iterable

from schema.ids import VmId
from schema.objects.vgpu import MxGpuVgpu, Vgpu
from schema.records import LaneShared


def shares(vgpus: Iterable[Vgpu]) -> bool:
    """Functions of an MxGPU are set up one VM at a time."""
    return any(isinstance(vgpu.implementation, MxGpuVgpu) for vgpu in vgpus)


def told(vm: VmId, before: Iterable[Vgpu], after: Iterable[Vgpu]) -> tuple[LaneShared, ...]:
    """What the log is told of a VM whose virtual GPUs have changed: nothing, if they mean the same."""
    shared = shares(after)
    return () if shared == shares(before) else (LaneShared(vm=vm, shares=shared),)
