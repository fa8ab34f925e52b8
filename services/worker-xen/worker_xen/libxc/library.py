"""Library: libxenctrl and libxenguest as backend classic wants them, for the Xen that is here."""

from pathlib import Path

from worker_xen.binding import Binding

_HERE = Path(__file__).parent


def libxc_binding() -> Binding:
    """What is declared in `binding.h` and done in `binding.c`."""
    return Binding(
        name="_xenops_libxc",
        declarations=(_HERE / "binding.h").read_text(),
        source=(_HERE / "binding.c").read_text(),
        libraries=("xenctrl", "xenguest"),
        headers=("xenctrl.h", "xenguest.h", "xen/domctl.h", "xen/sysctl.h"),
    )
