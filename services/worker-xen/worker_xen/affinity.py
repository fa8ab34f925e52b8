"""Affinity: the CPUs to which a VM's owner has bound its vCPUs."""

from schema.objects.vm import Vm


def bound_to(vm: Vm, cpus: int) -> list[list[int]]:
    """Of each vCPU the CPUs that its owner allows, of those that the host has; nothing, if all are allowed.

    The first word stands for all vCPUs that have none of their own, as in the original.
    """
    masks = vm.scheduler_params.affinity[: vm.vcpu_max]
    if not masks:
        return []
    masks += (masks[0],) * (vm.vcpu_max - len(masks))
    return [[cpu for cpu in mask if 0 <= cpu < cpus] for mask in masks]
