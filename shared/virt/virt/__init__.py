"""The door to libvirt, for every worker whose backend goes through it."""
