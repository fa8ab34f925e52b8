"""One VM in memory that does at once what is asked of it."""

from collections.abc import Callable
from typing import Any

from fake_instance import DONE, FakeInstance
from schema.fault import XenopsError, internal_error
from schema.objects.disk import Vdi
from schema.objects.dynamic import VbdObject, VifObject, VmObject
from schema.objects.errors import BadPowerState, DoesNotExist
from schema.objects.metadata import Metadata
from schema.objects.pci import PciState
from schema.objects.task import TaskState
from schema.objects.vbd import VbdState
from schema.objects.vgpu import VgpuState
from schema.objects.vif import VifState
from schema.objects.vm import DomainType, PowerState, VmState
from schema.wire.codec import decode_text, encode_text
from schema.wire.types import DeviceId

UUID = "a1000000-0000-4000-8000-100000000001"
BASE: dict[str, Any] = {
    "consoles": (),
    "memory_target": 1,
    "memory_actual": 1,
    "memory_limit": 1,
    "vcpu_target": 1,
    "shadow_multiplier_target": 1.0,
    "rtc_timeoffset": "",
    "uncooperative_balloon_driver": False,
    "guest_agent": (),
    "xsdata_state": (),
    "pv_drivers_detected": False,
    "last_start_time": 0.0,
    "hvm": True,
    "nomigrate": False,
    "nested_virt": False,
    "domain_type": DomainType.DOMAIN_HVM,
    "featureset": "",
    "numa_optimised": False,
    "numa_nodes": 0,
    "numa_node_memory": (),
}
RUNS, PAUSED, HALTED, SUSPENDED = (
    PowerState.RUNNING,
    PowerState.PAUSED,
    PowerState.HALTED,
    PowerState.SUSPENDED,
)


class Hypervisor:
    """One VM that does at once what is asked of it."""

    def __init__(self, instance: FakeInstance) -> None:
        self.instance = instance
        self.metadata: Metadata | None = None
        self.state = HALTED
        self.attached = False
        self.failure: TaskState | None = None
        self.asked: list[str] = []
        self.count = 0
        stats: dict[str, Callable[..., Any]] = {
            "VM.stat": self.stat,
            "VM.exists": lambda **_: self.metadata is not None,
            "VM.import_metadata": self.take,
            "VM.import_metadata_async": lambda metadata: self.task(self.take, metadata),
            "VM.export_metadata": lambda **_: encode_text(Metadata, self.known()),
            "VM.remove": self.remove,
            "VBD.stat": lambda **about: self.device(
                about["id"], VbdState(active=self.attached, plugged=self.attached)
            ),
            "VIF.stat": lambda **about: self.device(
                about["id"],
                VifState(
                    active=self.attached,
                    plugged=self.attached,
                    kthread_pid=0,
                    media_present=True,
                    pvs_rules_active=False,
                ),
            ),
            "PCI.stat": lambda **about: self.device(about["id"], PciState(plugged=True)),
            "VUSB.stat": lambda **about: self.device(about["id"], PciState(plugged=True)),
            "VGPU.stat": lambda **about: self.device(about["id"], VgpuState(active=True, plugged=True)),
            "VBD.remove": lambda **_: self.asked.append("VBD.remove"),
            "VIF.remove": lambda **_: self.refuse(),
            "UPDATES.refresh_vm": lambda **_: self.tell(),
        }
        instance.answers |= stats
        self._serve_operations()

    def _serve_operations(self) -> None:
        for method, state in {
            "VM.start": PAUSED,
            "VM.unpause": RUNS,
            "VM.pause": PAUSED,
            "VM.shutdown": HALTED,
            "VM.reboot": RUNS,
            "VM.suspend": SUSPENDED,
            "VM.resume": PAUSED,
            "VM.migrate": RUNS,
        }.items():
            self.instance.answers[method] = self.operation(method, state)

    def operation(self, method: str, state: PowerState) -> Callable[..., str]:
        def submit(**params: Any) -> str:
            self.asked.append(method + "".join(f" {self._word(value)}" for value in params.values()))
            return self.task(self.become, state)

        return submit

    @staticmethod
    def _word(value: Any) -> str:
        return value.name if isinstance(value, Vdi) else "" if value == UUID else str(value)

    def task(self, act: Callable[..., object], *args: Any) -> str:
        self.count += 1
        number = str(self.count)
        if self.failure is None:
            act(*args)
        return self.instance.task(number, self.failure or DONE)

    def become(self, state: PowerState) -> None:
        self.state = state
        self.attached = state in {RUNS, PAUSED}
        self.tell()

    def tell(self) -> None:
        disk, net = DeviceId(UUID, "xvda"), DeviceId(UUID, "0")
        self.instance.tell(VmObject(id=UUID), VbdObject(id=disk), VifObject(id=net))

    def known(self) -> Metadata:
        if self.metadata is None:
            raise XenopsError(DoesNotExist(klass="VM", id=UUID))
        return self.metadata

    def take(self, metadata: str) -> str:
        self.metadata = decode_text(Metadata, metadata)
        self.asked.append("VM.import_metadata")
        return UUID

    def stat(self, id: str) -> Any:  # noqa: A002  the wire's name
        assert id == UUID
        domids = (7,) if self.attached else ()
        return self.known().vm, VmState(power_state=self.state, domids=domids, **BASE)

    def device(self, device: DeviceId, state: Any) -> Any:
        kind = type(state).__name__
        parts: Any = {"VbdState": self.known().vbds, "VifState": self.known().vifs}.get(kind)
        if parts is None:
            raise XenopsError(DoesNotExist(klass=kind, id=device.device))
        return next(part for part in parts if part.id == device), state

    def remove(self, id: str) -> None:  # noqa: A002  the wire's name
        self.known()
        if self.state in {RUNS, PAUSED}:
            raise XenopsError(BadPowerState(found=self.state, expected=HALTED))
        assert id == UUID
        self.asked.append("VM.remove")
        self.metadata = None

    @staticmethod
    def refuse() -> None:
        raise internal_error("not now")
