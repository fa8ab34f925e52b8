"""Xen by libvirt: transient domains of a libvirtd in dom0, which outlive worker and libvirtd alike."""
