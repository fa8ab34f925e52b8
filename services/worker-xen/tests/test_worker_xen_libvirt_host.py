"""What is told of a host by libvirt and dom0's kernel."""

from pathlib import Path

from virt.values import Node
from worker_xen.libvirt.host import host_of

NODE = Node(memory_mib=4096, cpus=4, mhz=2000, nodes=1, sockets=1, cores=2, threads=2)


def test_a_host_is_told_as_libvirt_and_the_kernel_have_it(tmp_path: Path) -> None:
    (tmp_path / "properties").mkdir()
    (tmp_path / "version").mkdir()
    for name, text in (("major", "4"), ("minor", "17"), ("extra", ".7")):
        (tmp_path / "version" / name).write_text(f"{text}\n")
    (tmp_path / "properties" / "capabilities").write_text("xen-3.0-x86_64 hvm-3.0-x86_64\n")
    said = "<capabilities><host><iommu support='yes'/></host></capabilities>"
    host = host_of(NODE, said, tmp_path, "")
    assert (host.hypervisor.version, host.chipset_info.hvm, host.chipset_info.iommu) == ("4.17.7", True, True)
    assert (host.cpu_info.cpu_count, host.cpu_info.socket_count, host.cpu_info.speed) == (4, 1, "2000.000")


def test_what_the_kernel_does_not_say_is_empty(tmp_path: Path) -> None:
    host = host_of(NODE, "<capabilities/>", tmp_path, "")
    assert (host.hypervisor.capabilities, host.chipset_info.hvm, host.chipset_info.iommu) == (
        "",
        False,
        False,
    )
