"""Binding: libxl as a Python module; see `worker_xen.binding`."""

from pathlib import Path

from worker_xen.binding import Binding

_HERE = Path(__file__).parent

LIBXL = Binding(
    name="_xenops_libxl",
    declarations=(_HERE / "binding.h").read_text(),
    source=(_HERE / "binding.c").read_text(),
    libraries=("xenlight", "xentoollog"),
    headers=("libxl.h", "_libxl_types.h", "libxl_event.h"),
)
"""What of libxl is used."""
