"""Metadata: a VM with all its devices, as it is carried from host to host."""

from schema.fault import internal_error
from schema.objects.pci import Pci
from schema.objects.vbd import Vbd
from schema.objects.vgpu import Vgpu
from schema.objects.vif import Vif
from schema.objects.vm import Vm
from schema.objects.vusb import Vusb
from schema.wire.codec import decode_text
from schema.wire.errors import JsonError, MarshalError
from schema.wire.types import Struct, wire_default


class Metadata(Struct, wire="t"):
    """A VM and all its devices: the original's `Metadata.t`. `domains` is what an old Xen knew of it."""

    vm: Vm
    vbds: tuple[Vbd, ...] = wire_default(())
    vifs: tuple[Vif, ...] = wire_default(())
    pcis: tuple[Pci, ...] = wire_default(())
    vgpus: tuple[Vgpu, ...] = wire_default(())
    vusbs: tuple[Vusb, ...] = wire_default(())
    domains: str | None = wire_default(None)


def parse_metadata(text: str) -> Metadata:
    """Read what `VM.export_metadata` wrote. Errors: `XenopsError` with the original's `Internal_error`."""
    try:
        found: Metadata = decode_text(Metadata, text)
    except MarshalError as error:
        raise internal_error(f"Unable to unmarshal metadata: {error}") from error
    except JsonError as error:
        raise internal_error(str(error)) from error
    return found
