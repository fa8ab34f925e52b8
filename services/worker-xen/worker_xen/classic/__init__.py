"""classic: Xen by its own libraries, libxenctrl and libxenguest, and xenstore; no libxl."""
