"""Domain type: what kind of domain a VM's configuration makes, as clients are told."""

from schema.objects.vm import DomainType, Hvm, Pv, Pvh, PvInPvh, Vm


def domain_type(vm: Vm) -> DomainType:
    """The kind of domain."""
    match vm.ty:
        case Hvm():
            return DomainType.DOMAIN_HVM
        case Pv():
            return DomainType.DOMAIN_PV
        case PvInPvh():
            return DomainType.DOMAIN_PVIN_PVH
        case Pvh():
            return DomainType.DOMAIN_PVH
