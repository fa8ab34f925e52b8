"""Metadata: a XenAPI VM and its devices as xenops takes them. Facts from xapi, create_metadata."""

from schema.objects.metadata import Metadata
from schema.objects.network import SriovNetwork
from schema.objects.pci import PciAddress
from schema.objects.vif import Vif

from xenops.toolstack.convert.disk import vbd_of
from xenops.toolstack.convert.machine import vm_of
from xenops.toolstack.convert.network import vif_of
from xenops.toolstack.convert.passthrough import pcis_of, vgpus_of, vusbs_of
from xenops.toolstack.convert.source import Source
from xenops.toolstack.records import PowerState, VbdRecord, VifRecord, VmRecord


def metadata_of(source: Source, ref: str) -> Metadata:
    """A VM with the devices that are, or are to be, attached: what `VM.import_metadata` takes.

    Raises:
        XenApiFailure: the VM or a device makes no sense, in XenAPI's own words.
        RecordError: a record is not as XenAPI returns it.
    """
    vm = source.get(VmRecord, ref)
    vbds = (source.get(VbdRecord, vbd) for vbd in vm.vbds)
    attached = [vif for vif in vm.vifs if source.get(VifRecord, vif).currently_attached]
    vifs = tuple(vif_of(source, vm, vif) for vif in attached)
    vgpus = vgpus_of(source, vm)
    pcis = pcis_of(source, vm, _functions(vifs))
    return Metadata(
        vm=vm_of(source, ref, has_pcis=bool(pcis), has_vgpus=bool(vgpus)),
        vbds=tuple(vbd_of(source, vm, vbd) for vbd in vbds if vbd.currently_attached),
        vifs=vifs,
        pcis=pcis,
        vgpus=vgpus,
        vusbs=vusbs_of(source, vm),
        domains=(vm.last_booted_record or None) if vm.power_state is PowerState.SUSPENDED else None,
    )


def _functions(vifs: tuple[Vif, ...]) -> tuple[PciAddress, ...]:
    return tuple(vif.backend.address for vif in vifs if isinstance(vif.backend, SriovNetwork))
