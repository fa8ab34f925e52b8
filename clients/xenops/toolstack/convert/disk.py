"""VBDs: XenAPI's disks as xenops has them. Facts from xapi, xapi_xenops.ml, MD.of_vbd."""

from collections.abc import Iterable, Mapping

from schema.objects.disk import Vdi
from schema.objects.vbd import (
    BestEffortQos,
    HighestQos,
    HighQos,
    IdleQos,
    Ionice,
    LowestQos,
    LowQos,
    NormalQos,
    OtherQos,
    Qos,
    QosClass,
    QosScheduler,
    RealTimeQos,
    Vbd,
    VbdMode,
    VbdType,
)
from schema.wire.types import DeviceId

from xenops.toolstack.convert.device_number import device_number, linux_device
from xenops.toolstack.convert.source import Site, Source
from xenops.toolstack.failure import XenApiFailure
from xenops.toolstack.records import (
    DomainType,
    SmRecord,
    SrRecord,
    VbdRecord,
    VdiRecord,
    VmRecord,
)

EARLY_API = (3, 0)
"""From this version on an SR's driver can attach a disk while the VM on the other host still runs."""

_TYPES = {"CD": VbdType.CDROM, "Disk": VbdType.DISK, "Floppy": VbdType.FLOPPY}
_CLASSES: Mapping[str, QosClass] = {
    "highest": HighestQos(),
    "high": HighQos(),
    "normal": NormalQos(),
    "low": LowQos(),
    "lowest": LowestQos(),
}


def vbd_of(source: Source, vm: VmRecord, vbd: VbdRecord) -> Vbd:
    """A VBD as xenops has it.

    Raises:
        XenApiFailure: INVALID_DEVICE, its `userdevice` is no position.
        RecordError: a record that it refers to makes no sense.
    """
    number = device_number(vbd.userdevice, hvm=vm.domain_type is DomainType.HVM)
    if number is None:
        raise XenApiFailure("INVALID_DEVICE", vbd.userdevice)
    vdi = source.known(VdiRecord, vbd.vdi)
    return Vbd(
        id=DeviceId(vm.uuid, linux_device(number)),
        position=number,
        mode=VbdMode.READ_ONLY if vbd.mode == "RO" else VbdMode.READ_WRITE,
        backend=disk_of_vdi(source, vdi),
        ty=_TYPES[vbd.type],
        unpluggable=vbd.unpluggable,
        extra_backend_keys=tuple(_backend_keys(vbd.other_config, source.site)),
        qos=_qos(vbd.qos_algorithm_type, vbd.qos_algorithm_params),
        persistent=vdi is None or vdi.on_boot == "persist",
        can_attach_early=vdi is not None and _attaches_early(source, vdi),
    )


def disk_of_vdi(source: Source, vdi: VdiRecord | None) -> Vdi | None:
    """Where a VDI's content is: its SR's UUID and what the SR calls it; None without a VDI or an SR."""
    sr = source.known(SrRecord, vdi.sr) if vdi else None
    return Vdi(name=f"{sr.uuid}/{vdi.location}") if sr and vdi else None


def vdi_of_disk(source: Source, name: str) -> str | None:
    """The reference of the VDI that `disk_of_vdi` calls so; None where there is none."""
    sr_uuid, _, location = name.partition("/")
    sr = source.database.find(SrRecord.klass, sr_uuid)
    for ref in source.database.refs(VdiRecord.klass) if sr else ():
        fields = source.database.fields(VdiRecord.klass, ref)
        if fields.get("SR") == sr and fields.get("location") == location:
            return ref
    return None


def _backend_keys(other_config: Mapping[str, str], site: Site) -> Iterable[tuple[str, str]]:
    if "backend-kind" in other_config:
        yield "backend-kind", other_config["backend-kind"]
    duration = _int(other_config.get("polling-duration", str(site.polling_duration)), 0)
    yield "polling-duration", str(max(0, duration))
    threshold = _int(other_config.get("polling-idle-threshold", str(site.polling_idle_threshold)), 50)
    yield "polling-idle-threshold", str(min(max(0, threshold), 100))


def _int(text: str, otherwise: int) -> int:
    try:
        return int(text)
    except ValueError:
        return otherwise


def _qos(algorithm: str, params: Mapping[str, str]) -> Qos | None:
    """XenAPI knows `ionice` only; another algorithm is none, as in xapi."""
    return Ionice(scheduler=_scheduler(params)) if algorithm == "ionice" else None


def _scheduler(params: Mapping[str, str]) -> QosScheduler:
    match params.get("sched"):
        case "rt" | "real-time":
            return RealTimeQos(level=_class(params))
        case "idle":
            return IdleQos()
        case _:
            return BestEffortQos(level=_class(params))


def _class(params: Mapping[str, str]) -> QosClass:
    name = params.get("class", "normal")
    if name in _CLASSES:
        return _CLASSES[name]
    try:
        return OtherQos(level=int(name))
    except ValueError:
        return NormalQos()


def _attaches_early(source: Source, vdi: VdiRecord) -> bool:
    sr = source.known(SrRecord, vdi.sr)
    if sr is None:
        return False
    drivers = (source.get(SmRecord, ref) for ref in source.database.refs(SmRecord.klass))
    versions = (driver.required_api_version for driver in drivers if driver.type == sr.type)
    return _version(next(versions, "")) >= EARLY_API


def _version(text: str) -> tuple[int, ...]:
    return tuple(int(part) if part.isdecimal() else 0 for part in text.split("."))
