"""Door: what libxenctrl tells of the host as a whole."""

from typing_extensions import override

from worker_xen.libxc.handles import Handles
from worker_xen.libxc.port import Xen
from worker_xen.libxc.values import PAGE_BYTES, Cpu, HostInfo, Topology

_RING_BYTES_MAX = 1 << 20
_WORDS_MAX = 64


class LibxcHost(Handles, Xen):
    """The part of `Xen` that is about no domain."""

    @property
    @override
    def version_text(self) -> str:
        """As `4.17`."""
        return f"{self.version[0]}.{self.version[1]}"

    @override
    def version_details(self) -> tuple[str, str]:
        """What follows the version, as `.3-pre`, and what guests the hypervisor can run."""
        extra, capabilities = self._ffi.new("char[16]"), self._ffi.new("char[1024]")
        self._do("tell its version", lambda handle: self._lib.xo_version_text(handle, extra, capabilities))
        return self._text(extra), self._text(capabilities).strip()

    @override
    def host(self) -> HostInfo:
        """The physical machine."""
        host = self._ffi.new("xo_host *")
        self._do("tell of its host", lambda handle: self._lib.xo_host_info(handle, host))
        return HostInfo(
            cpus=host.cpus,
            nodes=host.nodes,
            threads_per_core=host.threads_per_core,
            cores_per_socket=host.cores_per_socket,
            cpu_khz=host.cpu_khz,
            memory_bytes=host.pages * PAGE_BYTES,
            memory_free_bytes=host.pages_free * PAGE_BYTES,
            has_hvm=bool(host.has_hvm),
            has_iommu=bool(host.has_iommu),
        )

    @override
    def topology(self) -> Topology:
        """CPUs and NUMA nodes."""
        lib = self._lib
        room = self._do("tell of its CPUs", lambda handle: lib.xo_cpus(handle, 0, self._ffi.NULL))
        cpus = self._ffi.new("xo_cpu[]", room)
        count = self._do("tell of its CPUs", lambda handle: lib.xo_cpus(handle, room, cpus))
        return Topology(
            tuple(Cpu(cpu.node, cpu.socket, cpu.core) for cpu in cpus[0 : min(room, count)]),
            self._nodes()[1],
        )

    @override
    def nodes_free_bytes(self) -> tuple[int, ...]:
        """Of each NUMA node the memory that nobody has."""
        return self._nodes()[0]

    @override
    def featureset(self, index: int) -> tuple[int, ...]:
        """CPU features in words: 0 of the hardware, 1 of the hypervisor, 2 for PV and 3 for HVM guests."""
        words = self._ffi.new("uint32_t[]", _WORDS_MAX)
        count = self._do(
            "tell its CPU features", lambda handle: self._lib.xo_featureset(handle, index, words, _WORDS_MAX)
        )
        return tuple(words[0:count])

    @override
    def console_ring(self) -> str:
        """What the hypervisor has written to its console."""
        buffer = self._ffi.new("char[]", _RING_BYTES_MAX)
        count = self._do(
            "show its console",
            lambda handle: self._lib.xo_read_console_ring(handle, buffer, _RING_BYTES_MAX),
        )
        return bytes(self._ffi.buffer(buffer, count)).decode(errors="replace").rstrip("\0")

    @override
    def send_debug_keys(self, keys: str) -> None:
        """Press keys on the hypervisor's console."""
        self._do("take debug keys", lambda handle: self._lib.xo_send_debug_keys(handle, keys.encode()))

    def _nodes(self) -> tuple[tuple[int, ...], tuple[tuple[int, ...], ...]]:
        """Of each NUMA node its free bytes, and its distances."""
        ffi, lib, what = self._ffi, self._lib, "tell of its NUMA nodes"
        room = self._do(what, lambda handle: lib.xo_nodes(handle, 0, ffi.NULL, ffi.NULL))
        free, distances = ffi.new("uint64_t[]", room), ffi.new("uint32_t[]", room * room)
        count = self._do(what, lambda handle: lib.xo_nodes(handle, room, free, distances))
        rows = (tuple(distances[row * count : (row + 1) * count]) for row in range(count))
        return tuple(free[0:count]), tuple(rows)
