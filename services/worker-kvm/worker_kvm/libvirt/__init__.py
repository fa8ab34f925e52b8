"""KVM by libvirt: transient domains of a libvirtd, which outlive worker and libvirtd alike."""
