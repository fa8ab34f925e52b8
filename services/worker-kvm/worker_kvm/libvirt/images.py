"""Images: what libvirt says of the files that it has saved domains to."""

from virt.connection import Connection
from virt.values import VirtError, VirtGoneError


def is_image(virt: Connection, path: str) -> bool:
    """Whether a file is one; libvirt reads none that it has not finished. Errors: `VirtGoneError`."""
    try:
        virt.saved_document(path)
    except VirtGoneError:
        raise
    except VirtError:
        return False
    return True
