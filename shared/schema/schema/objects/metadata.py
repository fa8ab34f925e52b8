"""Metadata: a VM with all its devices, as it is carried from host to host."""

from schema.objects.pci import Pci
from schema.objects.vbd import Vbd
from schema.objects.vgpu import Vgpu
from schema.objects.vif import Vif
from schema.objects.vm import Vm
from schema.objects.vusb import Vusb
from schema.wire.types import Struct, wire_default


class Metadata(Struct, wire="t"):
    """`Metadata.t`."""

    vm: Vm
    vbds: tuple[Vbd, ...] = wire_default(())
    vifs: tuple[Vif, ...] = wire_default(())
    pcis: tuple[Pci, ...] = wire_default(())
    vgpus: tuple[Vgpu, ...] = wire_default(())
    vusbs: tuple[Vusb, ...] = wire_default(())
    domains: str | None = wire_default(None)
