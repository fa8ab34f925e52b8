import os
import socket
import threading
import tracemalloc
from collections.abc import Iterator
from contextlib import suppress
from io import BytesIO
from pathlib import Path

import pytest
from engine.conformance import SuiteExecution
from engine.conformance.samples import sample_pci, sample_vbd, sample_vm
from engine.conformance.subject import refusal
from engine.image import ImageStream, Line
from engine.migrate import connect
from engine.migrate.accompanied import Accompanied
from engine.migrate.address import Address, TcpHost, UnixSocket, read_socket, read_url
from engine.migrate.channel import Channel, ChannelLostError, interruptible
from engine.migrate.export import Maps, export, under
from engine.migrate.offers import OFFERS_MAX, Offers
from engine.migrate.sockets import SOCKETS, SocketWire
from engine.migrate.zstd import CompressingStream, DecompressingStream
from engine.simulator import Simulator
from engine.simulator.image import DiskImage
from engine.store import FileStore
from engine.threads import SystemThreads
from schema.fault import XenopsError, internal_error
from schema.ids import DeviceId, VmId
from schema.migration import Channel as ChannelName
from schema.objects.disk import LocalDisk, Vdi
from schema.objects.errors import Cancelled
from schema.objects.network import LocalNetwork
from schema.objects.pci import PciAddress
from schema.objects.vgpu import Vgpu
from schema.objects.vif import Vif
from schema.objects.vm import IndirectBoot, Pv, PvIndirectBoot, PvInfo
from schema.records import ChannelOffered
from typing_extensions import override

VM = VmId("5a5c9d47-0cd5-4aee-b3a4-6a1c0f3b8d2e")


@pytest.mark.parametrize(
    ("url", "address"),
    [
        (
            "http://10.0.0.2/services/xenops?session_id=OpaqueRef:1",
            Address(TcpHost("10.0.0.2", 80), "/services/xenops", "session_id=OpaqueRef:1"),
        ),
        ("https://host", Address(TcpHost("host", 443, tls=True), "/services/xenops")),
        ("http://[::1]:8080/an.instance", Address(TcpHost("::1", 8080), "/an.instance")),
        ("unix:///run/door", Address(UnixSocket("/run/door"), "/services/xenops")),
        ("file:///run/a%20door?instance=qemu", Address(UnixSocket("/run/a door"), "/qemu")),
    ],
)
def test_a_destination_is_read_from_its_url(url: str, address: Address) -> None:
    assert read_url(url) == address


@pytest.mark.parametrize("url", ["", "host", "ftp://host/", "http://", "http://host:port/", "http://[::1/"])
def test_a_url_that_leads_nowhere_is_refused_with_the_forms_that_do(url: str) -> None:
    assert "use http://HOST:PORT/services/xenops" in str(refusal(read_url, url))


def test_what_is_below_a_service_comes_before_the_query() -> None:
    address = read_url("http://host/services/xenops?session_id=1")
    assert address.target("/migrate/vm/x") == "/services/xenops/migrate/vm/x?session_id=1"
    assert str(TcpHost("::1", 80)) == "[::1]:80"
    assert [str(TcpHost("h", 1)), str(UnixSocket("/s"))] == ["h:1", "/s"]


def test_a_frontend_says_where_it_is() -> None:
    assert read_socket("/run/door") == UnixSocket("/run/door")
    assert read_socket("[::1]:80") == TcpHost("::1", 80)
    assert "no address of a frontend" in str(refusal(read_socket, "nowhere"))


def test_an_exported_vm_has_its_disks_networks_and_gpus_as_the_destination_knows_them(
    store: FileStore,
) -> None:
    here, there = PciAddress(domain=0, bus=4, dev=0, fn=0), PciAddress(domain=0, bus=9, dev=1, fn=2)
    boot = IndirectBoot(boot=PvIndirectBoot(devices=(Vdi(name="sr/a"), LocalDisk(path="/dev/null"))))
    vm = sample_vm(VM, ty=Pv(info=PvInfo(boot=boot)))
    store.write(vm)
    store.vbds.write(sample_vbd(vm=VM, backend=Vdi(name="sr/a")))
    store.vbds.write(sample_vbd("xvdb", vm=VM, backend=Vdi(name="sr/b")))
    store.vifs.write(Vif(id=DeviceId(VM, "0")))
    store.vgpus.write(Vgpu(id=DeviceId(VM, "g"), physical_pci_address=here, virtual_pci_address=here))
    store.pcis.write(sample_pci(VM))
    network = LocalNetwork(bridge="there")
    maps = Maps({"sr/a": "sr2/a"}, {"0": network}, {"g": there, "vf:g": there})
    metadata = under(export(store, Simulator(), vm, maps), VmId("other"))
    assert isinstance(metadata.vm.ty, Pv)
    assert isinstance(metadata.vm.ty.info.boot, IndirectBoot)
    assert metadata.vm.ty.info.boot.boot.devices == (Vdi(name="sr2/a"), LocalDisk(path="/dev/null"))
    assert [vbd.backend for vbd in metadata.vbds] == [Vdi(name="sr2/a"), Vdi(name="sr/b")]
    assert metadata.vifs[0].backend == network
    assert (metadata.vgpus[0].physical_pci_address, metadata.vgpus[0].virtual_pci_address) == (there, there)
    assert (metadata.pcis[0].address, metadata.pcis[0].id) == (there, ("other", "0000:09:01.2"))
    assert metadata.vm.id == "other"
    assert metadata.domains is None


@pytest.fixture(name="store")
def make_store(tmp_path_factory: pytest.TempPathFactory) -> FileStore:
    return FileStore(tmp_path_factory.mktemp("metadata"))


def test_what_is_compressed_comes_out_as_it_went_in() -> None:
    disk = DiskImage()
    stream = CompressingStream(disk)
    for piece in (b"some", bytes(100_000), b"bytes"):
        stream.write(piece)
    stream.finish()
    assert len(disk.content()) < 1_000
    source = DiskImage(disk.content())
    reader = DecompressingStream(lambda _: source.read(1))
    assert reader.read(4 + 100_000) == b"some" + bytes(100_000)
    assert reader.read(5) == b"bytes"
    assert "cannot be read" in str(refusal(stream.read, 1))
    assert "cannot be written" in str(refusal(reader.write, b""))


def test_what_is_not_compressed_is_told() -> None:
    assert "not compressed by zstd" in str(refusal(DecompressingStream(lambda n: b"x" * n).read, 1))


def test_what_is_compressed_and_ends_early_is_told() -> None:
    disk = DiskImage()
    stream = CompressingStream(disk)
    stream.write(b"some")
    stream.finish()
    reader = DecompressingStream(BytesIO(disk.content()).read)
    assert "ends 3 bytes early" in str(refusal(reader.read, 7))


class Wire(BytesIO):
    """What was sent so far; nobody waits for more."""

    @override
    def read(self, size: int | None = -1) -> bytes:
        found = super().read(size)
        assert found, "more would be waited for"
        return found


@pytest.mark.parametrize("mib", [1, 3])
def test_all_that_was_sent_before_a_line_is_opened_is_read_before_more_is_waited_for(mib: int) -> None:
    content, sent = os.urandom(1000) * (mib << 10), DiskImage()
    stream = CompressingStream(sent)
    stream.write(content)
    with suppress(XenopsError):
        stream.line("a")
    reader = DecompressingStream(Wire(sent.content()).read)
    assert b"".join(reader.read(1000) for _ in range(mib << 10)) == content


def test_a_few_bytes_that_stand_for_very_many_take_no_more_memory_than_what_is_asked_for() -> None:
    bomb = DiskImage()
    stream = CompressingStream(bomb)
    for _ in range(256):
        stream.write(bytes(1 << 20))
    stream.finish()
    assert len(bomb.content()) < 1 << 16
    tracemalloc.start()
    try:
        reader = DecompressingStream(BytesIO(bomb.content()).read)
        assert reader.read(10) == bytes(10)
        assert tracemalloc.get_traced_memory()[1] < 4 << 20
    finally:
        tracemalloc.stop()


@pytest.fixture(name="ends")
def make_ends() -> Iterator[tuple[Channel, socket.socket]]:
    ours, theirs = socket.socketpair()
    channel = Channel(SocketWire(ours), "Migration to somewhere")
    yield channel, theirs
    channel.close()
    theirs.close()


Ends = tuple[Channel, socket.socket]


def test_verdicts_go_both_ways(ends: Ends) -> None:
    channel, theirs = ends
    channel.succeed()
    channel.fail("why")
    assert theirs.recv(100) == b"\0\0\0\3why"
    theirs.sendall(b"\0\0\0\2no")
    assert [channel.verdict(), channel.verdict()] == [None, "no"]


def test_one_who_speaks_http_does_not_migrate(ends: Ends) -> None:
    channel, theirs = ends
    theirs.sendall(b"HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n")
    assert "HTTP/1.1 404 Not Found" in str(refusal(channel.verdict))


def test_one_who_goes_away_is_told_of(ends: Ends) -> None:
    channel, theirs = ends
    assert not channel.is_closed()
    theirs.sendall(b"\0")
    assert not channel.is_closed()
    theirs.close()
    with pytest.raises(ChannelLostError, match="the other side has closed it"):
        channel.verdict()
    assert channel.is_closed()
    assert channel.pending_verdict() is None
    with pytest.raises(ChannelLostError):
        channel.read_some(1)
    with pytest.raises(ChannelLostError):
        channel.write(b"nobody")
    channel.fail("nobody hears it")
    channel.closing_word()
    channel.linger()


def test_one_may_close_instead_of_saying_that_all_is_well(ends: Ends) -> None:
    channel, theirs = ends
    theirs.shutdown(socket.SHUT_WR)
    assert channel.closing_verdict() is None


def test_a_cancel_ends_a_wait_at_a_channel(ends: Ends) -> None:
    channel, theirs = ends
    task = SuiteExecution()
    began = threading.Event()

    def cancel() -> None:
        began.wait()
        task.cancel()

    def listen() -> None:
        with interruptible(task, channel.hush):
            began.set()
            channel.verdict()

    canceller = threading.Thread(target=cancel)
    canceller.start()
    assert isinstance(refusal(listen), Cancelled)
    canceller.join()
    channel.fail("cancelled")
    assert theirs.recv(100) == b"\0\x09cancelled"


def offer(vm: str) -> ChannelOffered:
    return ChannelOffered(vm=VmId(vm), channel=ChannelName.MEMORY, socket="/nowhere", ticket="t")


def test_a_frontend_of_this_host_gives_the_connection_itself(tmp_path: Path) -> None:
    door, source, passed = socket.socket(socket.AF_UNIX), *socket.socketpair()
    with door, source:
        door.bind(str(tmp_path / "door"))
        door.listen()

        def serve() -> None:
            worker, _ = door.accept()
            with worker, passed:
                assert f"{connect.TAKES_DESCRIPTOR}: 1".encode() in worker.recv(1 << 10)
                socket.send_fds(worker, [b"HTTP/1.1 200 OK\r\n\r\n"], [passed.fileno()])

        frontend = threading.Thread(target=serve)
        frontend.start()
        channel = connect.join(SOCKETS, str(tmp_path / "door"), "ticket")
        frontend.join()
        source.sendall(b"here")
        assert channel.read(4) == b"here"
        assert not channel.has_something()
        channel.close()


def test_offers_that_nobody_takes_make_room_for_others() -> None:
    offers = Offers(SystemThreads(), SOCKETS)
    for number in range(OFFERS_MAX + 1):
        offers.put(offer(f"vm-{number}"))
    last = VmId(f"vm-{OFFERS_MAX}")
    assert "/nowhere" in str(refusal(offers.take, last, ChannelName.MEMORY, lambda: None))
    stop = internal_error("waited long enough")

    def look() -> None:
        raise stop

    assert refusal(offers.take, VmId("vm-0"), ChannelName.MEMORY, look) == stop.error


class Kept(ImageStream):
    """A stream in memory: what is written is read."""

    def __init__(self) -> None:
        self.content = b""

    @override
    def write(self, data: bytes | memoryview) -> None:
        self.content += data

    @override
    def read(self, size: int) -> bytes:
        found, self.content = self.content[:size], self.content[size:]
        return found


def test_what_was_written_before_a_line_is_opened_has_gone_out_by_then() -> None:
    kept, opened = Kept(), []
    ours, theirs = pair_of_channels()

    def open_line(name: str) -> Line:
        opened.append((name, DecompressingStream(kept.read).read(4)))
        return ours

    stream = CompressingStream(Accompanied(kept, open_line))
    stream.write(b"head")
    assert stream.line("scsi0") is ours
    assert opened == [("scsi0", b"head")]
    assert "no other side" in str(refusal(kept.line, "scsi0"))
    ours.close()
    theirs.close()


def test_an_accompanied_stream_is_the_same_stream() -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        stream = Accompanied(Channel(SocketWire(ours), "a test"), lambda _: pytest.fail("no line is wanted"))
        stream.write(b"there")
        theirs.sendall(b"and back")
        assert (theirs.recv(10), stream.read(8)) == (b"there", b"and back")
        assert stream.descriptor() == ours.fileno()


@pytest.mark.parametrize("ender", ["local", "line", "shut"])
def test_a_line_carries_both_ways_until_either_ends(ender: str) -> None:
    line, far = pair_of_channels()
    local, qemu = socket.socketpair()
    carrying = threading.Thread(target=line.carry, args=(local,))
    carrying.start()
    qemu.sendall(b"request")
    assert far.read(7) == b"request"
    far.write(b"answer")
    assert qemu.recv(10) == b"answer"
    {"local": qemu.close, "line": far.shut, "shut": line.shut}[ender]()
    carrying.join()
    with qemu, local:
        if ender != "local":
            assert qemu.recv(1) == b""
    line.close()
    far.close()


def pair_of_channels() -> tuple[Channel, Channel]:
    ours, theirs = socket.socketpair()
    return Channel(SocketWire(ours), "a test"), Channel(SocketWire(theirs), "a test")
