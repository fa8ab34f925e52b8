"""The host's CPUs as Linux tells them."""

from pathlib import Path

from worker_kvm.qemu.host import cpu_info

TWO = """processor\t: 0
vendor_id\t: AuthenticAMD
cpu family\t: 23
model\t\t: 49
model name\t: AMD EPYC
stepping\t: 0
cpu MHz\t\t: 2249.998
physical id\t: 0
siblings\t: 2
cpu cores\t: 1
flags\t\t: fpu vme

processor\t: 1
physical id\t: 1
"""


def test_cpus_are_counted_by_what_they_say() -> None:
    found = cpu_info(TWO, 1)
    assert (found.cpu_count, found.socket_count, found.threads_per_core, found.nr_nodes) == (2, 2, 2, 1)
    assert (found.vendor, found.modelname, found.family, found.model) == (
        "AuthenticAMD",
        "AMD EPYC",
        "23",
        "49",
    )
    assert (found.speed, found.stepping, found.flags) == ("2249.998", "0", "fpu vme")


def test_a_machine_that_says_little_has_cpus_all_the_same() -> None:
    assert cpu_info("", 2).socket_count == 1
    assert cpu_info(Path("/proc/cpuinfo").read_text(), 1).cpu_count > 0
