"""Versions: which hypervisors backend classic knows."""

OLDEST = (4, 14)
NEWEST = (4, 19)


def complaint_about(version: tuple[int, int]) -> str | None:
    """Why a hypervisor of that version is not driven; None: it is."""
    if OLDEST <= version <= NEWEST:
        return None
    return (
        f"this host runs Xen {version[0]}.{version[1]}, and backend classic knows {OLDEST[0]}.{OLDEST[1]} to "
        f"{NEWEST[0]}.{NEWEST[1]}: choose another backend by XENOPS_BACKEND, or another Xen"
    )
