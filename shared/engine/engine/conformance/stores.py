"""Store conformance: what every metadata store must do, as tests to subclass.

class TestFiles(StoreConformance):
    @pytest.fixture
    def place(self, tmp_path: Path) -> Place:
        ...
"""
# ruff: noqa: S101, D102  it is a test suite, shipped: a test's name is its sentence

import logging
import threading
from abc import ABC, abstractmethod

import pytest
from schema.fault import XenopsError
from schema.ids import DeviceId
from schema.objects.errors import AlreadyExists, DoesNotExist, InternalError
from schema.objects.vbd import VbdMode
from schema.objects.vgpu import Vgpu
from schema.objects.vif import Vif

from engine.conformance.samples import sample_pci, sample_vbd, sample_vm, sample_vusb
from engine.conformance.subject import refusal
from engine.store.port import Store

HOSTILE = ["", ".", "..", "../x", "a/b", "a..b", ".hidden", "-x", "x" * 65, "a\0b", "a\nb", "é"]
ROUNDS = 50
MANY_VMS = 300
LONG = 10_000


class Place(ABC):
    """Where a store keeps things, and what somebody else may do there."""

    @abstractmethod
    def open(self) -> Store:
        """A store there, as of another process."""

    @abstractmethod
    def damage(self, vm: str, name: str, text: bytes) -> str:
        """Put a text in the place of `config` or of `vbd.xvda`; answers how errors call the place."""

    @abstractmethod
    def everything(self) -> list[str]:
        """The name of all that is there, in order."""


def fill(store: Store) -> None:
    """A VM with a device of each kind, and a second disk."""
    store.write(sample_vm())
    store.vbds.write(sample_vbd("xvdb"))
    store.vbds.write(sample_vbd("xvda"))
    store.vifs.write(Vif(id=DeviceId("v1", "0")))
    store.pcis.write(sample_pci())
    store.vgpus.write(Vgpu(id=DeviceId("v1", "0")))
    store.vusbs.write(sample_vusb())


class StoreConformance:
    """What every store must do; a subclass gives the fixture `place`."""

    @pytest.fixture
    def store(self, place: Place) -> Store:
        """The store under test."""
        return place.open()

    def test_what_is_written_is_read_by_another_store(self, store: Store, place: Place) -> None:
        fill(store)
        other = place.open()
        assert other.read("v1") == sample_vm()
        assert other.ids() == ("v1",)
        assert other.list() == (sample_vm(),)
        devices = other.devices("v1")
        assert [disk.id.device for disk in devices.vbds] == ["xvda", "xvdb"]
        assert (devices.pcis, devices.vusbs) == ((sample_pci(),), (sample_vusb(),))
        assert len(devices.vifs) == len(devices.vgpus) == 1
        assert other.vbds.read(DeviceId("v1", "xvda")) == sample_vbd()
        assert other.vbds.exists(DeviceId("v1", "xvda"))

    @pytest.mark.parametrize("name", ["caf\udce9", "café", "\x7f\x01\0", "100%25", "@", "日本 " * 2_000])
    def test_strings_of_any_bytes_and_lengths_are_kept(self, store: Store, place: Place, name: str) -> None:
        store.write(sample_vm(name=name))
        assert place.open().read("v1").name == name

    def test_what_another_process_writes_is_seen_at_once(self, store: Store, place: Place) -> None:
        other = place.open()
        for number in range(ROUNDS):
            store.write(sample_vm(name=f"{number:03}"))
            assert other.read("v1").name == f"{number:03}"
        store.remove("v1")
        assert not other.exists("v1")
        assert refusal(other.read, "v1") == DoesNotExist(klass="VM", id="v1/config")

    def test_a_value_that_another_process_has_changed_is_written_again(
        self, store: Store, place: Place
    ) -> None:
        store.write(sample_vm())
        place.open().write(sample_vm(name="another"))
        store.write(sample_vm())
        assert place.open().read("v1") == sample_vm()

    def test_a_value_that_another_process_has_removed_is_written_again(
        self, store: Store, place: Place
    ) -> None:
        fill(store)
        place.open().remove("v1")
        fill(store)
        assert len(place.open().devices("v1").vbds) == 2

    def test_a_value_read_again_is_the_same_object(self, store: Store) -> None:
        store.write(sample_vm())
        assert store.read("v1") is store.read("v1")

    def test_a_short_value_replaces_a_long_one_and_leaves_nothing_of_it(
        self, store: Store, place: Place
    ) -> None:
        store.write(sample_vm())
        before = place.everything()
        store.write(sample_vm(name="x" * LONG))
        assert place.open().read("v1").name == "x" * LONG
        store.write(sample_vm(name="y" * (LONG // 2)))
        assert place.open().read("v1").name == "y" * (LONG // 2)
        store.write(sample_vm())
        assert place.open().read("v1") == sample_vm()
        assert place.everything() == before

    def test_unknown_objects_are_named_as_in_the_original(self, store: Store) -> None:
        assert refusal(store.read, "v1") == DoesNotExist(klass="VM", id="v1/config")
        assert refusal(store.remove, "v1") == DoesNotExist(klass="VM", id="v1/config")
        assert refusal(store.rename, "v1", "v2") == DoesNotExist(klass="VM", id="v1/config")
        assert refusal(store.vbds.write, sample_vbd()) == DoesNotExist(klass="VM", id="v1")
        assert store.vbds.list("v1") == ()
        store.write(sample_vm())
        unknown = DeviceId("v1", "xvda")
        assert refusal(store.vbds.read, unknown) == DoesNotExist(klass="VM", id="v1/vbd.xvda")
        assert refusal(store.vbds.remove, unknown) == DoesNotExist(klass="VM", id="v1/vbd.xvda")
        assert not store.vbds.exists(unknown)
        missing = DeviceId("v1", "0000:04:00.0")
        assert refusal(store.pcis.read, missing) == DoesNotExist(klass="PCI", id="v1/pci.0000:04:00.0")

    def test_a_removed_device_is_gone_and_the_others_stay(self, store: Store) -> None:
        fill(store)
        store.vbds.remove(DeviceId("v1", "xvda"))
        assert store.vbds.ids("v1") == (DeviceId("v1", "xvdb"),)

    def test_a_removed_vm_takes_its_devices_along(self, store: Store) -> None:
        fill(store)
        store.remove("v1")
        assert store.ids() == ()
        store.write(sample_vm())
        assert store.vbds.list("v1") == ()

    def test_adding_a_vm_again_replaces_it_and_leaves_its_devices(self, store: Store) -> None:
        fill(store)
        store.write(sample_vm(name="renamed"))
        assert store.read("v1").name == "renamed"
        assert len(store.devices("v1").vbds) == 2

    def test_a_renamed_vm_has_its_devices_by_its_new_id(self, store: Store) -> None:
        fill(store)
        store.rename("v1", "v2")
        assert store.ids() == ("v2",)
        assert store.read("v2") == sample_vm("v2")
        devices = store.devices("v2")
        disks = [disk.id for disk in devices.vbds]
        assert disks == [DeviceId("v2", "xvda"), DeviceId("v2", "xvdb")]
        others = (devices.vifs[0].id, devices.pcis[0].id, devices.vgpus[0].id, devices.vusbs[0].id)
        assert {id_.vm for id_ in others} == {"v2"}
        assert store.devices("v1").vbds == ()

    def test_a_vm_is_not_renamed_onto_another(self, store: Store) -> None:
        store.write(sample_vm("v1"))
        store.write(sample_vm("v2", name="another"))
        assert refusal(store.rename, "v1", "v2") == AlreadyExists(klass="VM", id="VM/v2/config")
        assert store.ids() == ("v1", "v2")

    def test_many_vms_are_listed_by_id(self, store: Store) -> None:
        names = [f"{number:08}-0000-4000-8000-000000000000" for number in range(MANY_VMS)]
        for name in reversed(names):
            store.write(sample_vm(name))
        assert store.ids() == tuple(names)
        assert [vm.id for vm in store.list()] == names

    @pytest.mark.parametrize("name", HOSTILE)
    def test_a_hostile_vm_id_touches_nothing(self, store: Store, place: Place, name: str) -> None:
        before = place.everything()
        assert not store.exists(name)
        assert refusal(store.read, name) == DoesNotExist(klass="VM", id=f"{name}/config")
        assert refusal(store.remove, name) == DoesNotExist(klass="VM", id=f"{name}/config")
        assert refusal(store.rename, name, "v2") == DoesNotExist(klass="VM", id=f"{name}/config")
        error = refusal(store.write, sample_vm(name))
        assert isinstance(error, InternalError)
        assert "64 letters" in error.message
        assert refusal(store.vbds.write, sample_vbd("xvda", name)) == DoesNotExist(klass="VM", id=name)
        assert not store.vbds.exists(DeviceId(name, "xvda"))
        assert store.vbds.list(name) == ()
        assert place.everything() == before

    @pytest.mark.parametrize("name", HOSTILE)
    def test_a_hostile_device_name_touches_nothing(self, store: Store, place: Place, name: str) -> None:
        assert refusal(store.vbds.write, sample_vbd(name)) == DoesNotExist(klass="VM", id="v1")
        store.write(sample_vm())
        before = place.everything()
        error = refusal(store.vbds.write, sample_vbd(name))
        assert isinstance(error, InternalError)
        assert "unfit for a file" in error.message
        unknown = DoesNotExist(klass="VM", id=f"v1/vbd.{name}")
        assert refusal(store.vbds.read, DeviceId("v1", name)) == unknown
        assert refusal(store.vbds.remove, DeviceId("v1", name)) == unknown
        assert place.everything() == before

    @pytest.mark.parametrize("name", ["a.b", "a-b", "a_b", "a-2eb", "A.B", "x" * 64])
    def test_ids_that_differ_a_little_are_of_two_vms(self, store: Store, name: str) -> None:
        store.write(sample_vm("a"))
        store.write(sample_vm(name))
        store.vbds.write(sample_vbd("b.c:d", name))
        assert set(store.ids()) == {"a", name}
        assert store.vbds.ids(name) == (DeviceId(name, "b.c:d"),)
        assert store.vbds.ids("a") == ()

    @pytest.mark.parametrize("text", [b"{", b"[]", b'{"id":7}', b"@1"], ids=["cut", "list", "wrong", "sign"])
    def test_a_damaged_vm_is_named_and_others_do_not_suffer(
        self, store: Store, place: Place, caplog: pytest.LogCaptureFixture, text: bytes
    ) -> None:
        fill(store)
        store.write(sample_vm("v2"))
        where = place.damage("v1", "config", text)
        error = refusal(store.read, "v1")
        assert isinstance(error, InternalError)
        assert where in error.message
        with caplog.at_level(logging.WARNING):
            assert store.list() == (sample_vm("v2"),)
        assert "v1" in caplog.text
        store.write(sample_vm())
        assert store.read("v1") == sample_vm()
        place.damage("v1", "config", text)
        store.remove("v1")
        assert store.ids() == ("v2",)

    def test_a_damaged_device_is_not_left_out_in_silence(self, store: Store, place: Place) -> None:
        fill(store)
        where = place.damage("v1", "vbd.xvda", b'{"id":')
        assert where in str(refusal(store.devices, "v1"))
        assert store.vifs.list("v1")
        store.vbds.remove(DeviceId("v1", "xvda"))
        assert len(store.devices("v1").vbds) == 1

    def test_readers_see_whole_values_while_a_writer_writes(self, store: Store, place: Place) -> None:
        store.write(sample_vm(name="a" * LONG))
        stop = threading.Event()
        torn: list[str] = []

        def read() -> None:
            while not stop.is_set():
                name = store.read("v1").name
                if set(name) not in ({"a"}, {"b"}) or len(name) != LONG:
                    torn.append(name)

        readers = [threading.Thread(target=read) for _ in range(2)]
        for reader in readers:
            reader.start()
        writer = place.open()
        for number in range(ROUNDS):
            writer.write(sample_vm(name="ab"[number % 2] * LONG))
        stop.set()
        for reader in readers:
            reader.join()
        assert torn == []

    def test_a_vm_removed_while_its_device_is_written_leaves_nothing(
        self, store: Store, place: Place
    ) -> None:
        def write() -> None:
            for number in range(ROUNDS):
                store.write(sample_vm())
                try:
                    store.vbds.write(sample_vbd(f"xvd{number}"))
                except XenopsError as error:
                    assert error.error == DoesNotExist(klass="VM", id="v1")  # noqa: PT017  either is right

        def remove() -> None:
            other = place.open()
            for _ in range(ROUNDS):
                try:
                    other.remove("v1")
                except XenopsError as error:
                    assert error.error == DoesNotExist(klass="VM", id="v1/config")  # noqa: PT017  as above

        remover = threading.Thread(target=remove)
        remover.start()
        try:
            write()
        except XenopsError as error:
            assert "write it again" in str(error)  # noqa: PT017  the narrowest of races
        remover.join()
        if store.exists("v1"):
            store.remove("v1")
        assert place.open().devices("v1").vbds == ()
        store.write(sample_vm())
        assert store.vbds.list("v1") == ()

    def test_many_threads_write_different_vms_at_once(self, store: Store, place: Place) -> None:
        def write(first: int) -> None:
            for number in range(first, first + 10):
                store.write(sample_vm(f"v{number}"))
                store.vbds.write(sample_vbd("xvda", f"v{number}"))

        writers = [threading.Thread(target=write, args=(first,)) for first in range(0, 80, 10)]
        for writer in writers:
            writer.start()
        for writer in writers:
            writer.join()
        other = place.open()
        assert len(other.list()) == 80
        assert all(other.vbds.exists(DeviceId(vm, "xvda")) for vm in other.ids())

    def test_a_changed_mode_is_kept(self, store: Store, place: Place) -> None:
        store.write(sample_vm())
        store.vbds.write(sample_vbd())
        store.vbds.write(sample_vbd().model_copy(update={"mode": VbdMode.READ_ONLY}))
        assert place.open().vbds.read(DeviceId("v1", "xvda")).mode is VbdMode.READ_ONLY
