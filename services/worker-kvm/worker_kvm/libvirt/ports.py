"""Ports: a free one of a machine's, for what is plugged into a domain that libvirt runs."""

from virt.xml import Element

from worker_kvm.libvirt.document import free_place
from worker_kvm.libvirt.hypervisor import Hypervisor
from worker_kvm.libvirt.live import Live
from worker_kvm.passthrough import Domain, full


def free_port(hypervisor: Hypervisor, domain: Domain, live: Live) -> Element:
    """Where it is. Errors: that of `full`."""
    place = free_place(domain.kind, hypervisor.devices(live.uuid))
    if place is None:
        raise full(domain)
    return place
