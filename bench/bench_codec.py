"""The wire encoding: one VM.add request, read and written again, in microseconds."""

import statistics
import timeit

from schema import rpc
from schema.objects.vm import Hvm, HvmInfo, SchedulerParams, Vm

ROUNDS = 15
CALLS = 400

VM = Vm(
    id="11111111-2222-3333-4444-555555555555",
    name="bench",
    ssidref=0,
    xsdata=(("vm-data/role", "web"),),
    platformdata=(("acpi", "1"), ("apic", "true"), ("nx", "true"), ("pae", "true"), ("viridian", "true")),
    bios_strings=(("bios-vendor", "Xen"), ("bios-version", "1")),
    ty=Hvm(info=HvmInfo(boot_order="cd", serial="pty", vnc_ip="127.0.0.1")),
    suppress_spurious_page_faults=False,
    memory_static_max=1 << 30,
    memory_dynamic_max=1 << 30,
    memory_dynamic_min=1 << 29,
    vcpu_max=4,
    vcpus=2,
    scheduler_params=SchedulerParams(priority=(256, 0), affinity=((0, 1), (2,))),
    on_crash=(),
    on_shutdown=(),
    on_reboot=(),
    on_softreboot=(),
    pci_msitranslate=True,
    pci_power_mgmt=False,
)


def median_us(action: str, variables: dict[str, object]) -> float:
    """The median over rounds of one call's time."""
    times = timeit.repeat(action, globals=variables, number=CALLS, repeat=ROUNDS)
    return statistics.median(times) / CALLS * 1e6


def main() -> None:
    """Print the medians."""
    body = rpc.encode_request("VM.add", debug_info="bench", vm=VM)
    variables: dict[str, object] = {"rpc": rpc, "body": body, "VM": VM}
    decode = median_us("rpc.decode_request(body)", variables)
    encode = median_us("rpc.encode_request('VM.add', debug_info='bench', vm=VM)", variables)
    print(f"VM.add, {len(body)} bytes: decode {decode:.0f} us, encode {encode:.0f} us")
    print(f"both together: {decode + encode:.0f} us")


if __name__ == "__main__":
    main()
