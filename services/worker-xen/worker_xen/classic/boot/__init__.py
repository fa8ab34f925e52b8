"""boot: a guest whose kernel is on a disk of its own: that is fetched by a bootloader in a cage."""
