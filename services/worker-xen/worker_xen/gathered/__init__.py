"""Gathered: verbs alike on libxl and libvirt, which make a domain whole: what is plugged before, waits."""
