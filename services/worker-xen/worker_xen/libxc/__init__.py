"""libxc: the typed door to Xen's control libraries, libxenctrl and libxenguest."""
