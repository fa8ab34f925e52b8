"""Scheduler parameters: what a VM's owner wants of CPUs: which ones, and how much of them."""

from schema.objects.vm import Vm

_WEIGHT_USUAL = 256
"""Credit2's own."""


def bound_to(vm: Vm, cpus: int) -> list[list[int]]:
    """Of each vCPU the CPUs that its owner allows, of those that the host has; nothing, if all are allowed.

    The first word stands for all vCPUs that have none of their own, as in the original.
    """
    masks = vm.scheduler_params.affinity[: vm.vcpu_max]
    if not masks:
        return []
    masks += (masks[0],) * (vm.vcpu_max - len(masks))
    return [[cpu for cpu in mask if 0 <= cpu < cpus] for mask in masks]


def share_of(vm: Vm) -> tuple[int, int] | None:
    """Weight and cap under credit2; None: its owner has said nothing of them."""
    if vm.scheduler_params.priority is None:
        return None
    weight, cap = vm.scheduler_params.priority
    return weight or _WEIGHT_USUAL, cap
