"""hvm: what an HVM guest has beside its domain: firmware, and a device model as its hardware."""
