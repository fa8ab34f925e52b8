from collections.abc import Callable

import pytest
from engine.conformance.memory_xenstore import MemoryXenstore
from engine.conformance.samples import sample_vbd, sample_vm
from engine.conformance.stores import Place, StoreConformance, fill
from engine.conformance.subject import refusal
from engine.store import nodes, values
from engine.store.cells import wire_encoding
from engine.store.door import XenstoreError
from engine.store.nodes import bucket_of, fits, joined, node_name, plain_name, split_of, text_of, values_of
from engine.store.xenstore import XenstoreStore
from schema.fault import XenopsError
from schema.ids import DeviceId
from schema.objects.errors import InternalError
from schema.objects.vm import Vm
from typing_extensions import override

ROOT = "/xenops/i"
LONG = "x" * 10_000


class InMemory(Place):
    """A xenstore in memory."""

    def __init__(self) -> None:
        self.door = MemoryXenstore()

    @override
    def open(self) -> XenstoreStore:
        return XenstoreStore(self.door, ROOT)

    @override
    def damage(self, vm: str, name: str, text: bytes) -> str:
        path = f"{ROOT}/VM/{bucket_of(vm)}/{vm}/{name.replace('.', '-')}"
        self.door.edit(path, values_of(text)[0] if text != b"@1" else text)
        return path

    @override
    def everything(self) -> list[str]:
        return sorted(self.door.nodes())


class TestXenstoreInMemory(StoreConformance):
    @pytest.fixture
    def place(self) -> Place:
        return InMemory()


@pytest.fixture(name="place")
def make_place() -> InMemory:
    return InMemory()


@pytest.fixture(name="store")
def make_store(place: InMemory) -> XenstoreStore:
    return place.open()


@pytest.fixture(name="config")
def where_the_config_is() -> str:
    return f"{ROOT}/VM/{bucket_of('v1')}/v1/config"


def test_the_tree_is_as_that_of_files_in_names_that_a_xenstore_takes(
    store: XenstoreStore, place: InMemory
) -> None:
    fill(store)
    folder = f"{ROOT}/VM/{bucket_of('v1')}/v1"
    names = sorted(
        name.removeprefix(f"{folder}/") for name in place.everything() if name.startswith(f"{folder}/")
    )
    assert names == [
        "config",
        "pci-0000@3a04@3a00@2e0",
        "vbd-xvda",
        "vbd-xvdb",
        "vgpu-0",
        "vif-0",
        "vusb-vusb1-2",
    ]
    config = place.door.read(f"{folder}/config")
    assert config is not None
    assert config.startswith(b'{"has_vendor_device":false,')


@pytest.mark.parametrize("name", ["xvda", "0000:04:00.0", "a_b-c", "A.B"])
def test_a_name_comes_back_from_its_node(name: str) -> None:
    assert plain_name(node_name(name)) == name


@pytest.mark.parametrize(
    "text", [b"{}", b"@", b"%", b"%41", b"caf\xe9", b"\0\n", b"x" * 2_001, b"\xff" * 5_000, b""]
)
def test_a_text_comes_back_from_its_nodes(text: bytes) -> None:
    head, parts = values_of(text)
    assert all(len(value) <= nodes.VALUE_BYTES_MAX for value in (head, *parts))
    assert all(value.decode().isprintable() for value in (head, *parts))
    split = split_of(head)
    assert (joined(split, parts) if split else text_of(head)) == text


def test_parts_of_another_text_are_not_taken_for_it() -> None:
    head, parts = values_of(b"x" * 5_000)
    split = split_of(head)
    assert split is not None
    assert split.count == 3
    assert joined(split, (*parts[:2], b"y" * 1_000)) is None


@pytest.mark.parametrize("value", [b"@", b"@12", b"@" + b"a" * 32, b"@" + b"g" * 32 + b" 1"])
def test_what_only_looks_like_a_split_is_none(value: bytes) -> None:
    assert split_of(value) is None


def test_vms_are_divided_evenly() -> None:
    buckets = [bucket_of(f"{number:08}-0000-4000-8000-000000000000") for number in range(10_000)]
    assert len(set(buckets)) == nodes.BUCKETS
    assert all(fits(["x" * 36] * (buckets.count(bucket) - 1), "x" * 36) for bucket in set(buckets))


def test_a_directory_takes_no_more_than_can_be_listed(store: XenstoreStore) -> None:
    store.write(sample_vm())
    names = [f"{'x' * 40}{number:03}" for number in range(200)]

    def write_all() -> None:
        for name in names:
            store.vbds.write(sample_vbd(name))

    with pytest.raises(XenopsError, match="holds as many devices of VM v1 as xenstored can list"):
        write_all()
    held = store.vbds.list("v1")
    assert len(held) > 50
    store.vbds.write(held[0].model_copy(update={"unpluggable": False}))
    store.vbds.remove(held[0].id)
    store.vbds.write(sample_vbd(names[-1]))
    assert len(store.vbds.list("v1")) == len(held)


def test_an_edited_node_is_seen_at_once(store: XenstoreStore, place: InMemory, config: str) -> None:
    store.write(sample_vm())
    text = place.door.read(config)
    assert text is not None
    place.door.edit(config, text.replace(b"a vm", b"by hand"))
    assert store.read("v1").name == "by hand"


def test_a_part_of_a_long_text_that_is_missing_or_changed_is_damage(
    place: InMemory, store: XenstoreStore, config: str
) -> None:
    store.write(sample_vm(name=LONG))
    for value in (b"changed", None):
        place.door.edit(f"{config}/2", value)
        error = refusal(place.open().read, "v1")
        assert isinstance(error, InternalError)
        assert "of another version" in error.message
    store.write(sample_vm(name=LONG + "y"))
    assert place.open().read("v1").name == LONG + "y"


def test_a_text_too_long_for_a_xenstore_is_refused_and_the_old_one_stays(store: XenstoreStore) -> None:
    store.write(sample_vm())
    error = refusal(store.write, sample_vm(name="x" * nodes.TEXT_BYTES_MAX))
    assert isinstance(error, InternalError)
    assert "XENOPS_STORE=files" in error.message
    assert store.read("v1") == sample_vm()


class Unsteady:
    """A xenstore whose node somebody changes between any two reads of it."""

    def __init__(self) -> None:
        self.reads = 0

    def read(self, path: str) -> bytes | None:
        if path.endswith("/config"):
            self.reads += 1
            return values_of(LONG.encode() + b"%d" % self.reads)[0]
        return b"of an older one"

    def names(self, path: str) -> list[str] | None:
        raise AssertionError(path)


def test_a_text_that_changes_at_every_look_is_given_up_at_last() -> None:
    kept = values.Values(wire_encoding(Vm))
    with pytest.raises(XenstoreError, match="100 times"):
        kept.read(Unsteady(), "/config")


def test_the_cache_starts_anew_when_it_is_full(store: XenstoreStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(values, "CACHED_MAX", 1)
    store.write(sample_vm("a"))
    store.write(sample_vm("b"))
    assert store.read("a") == sample_vm("a")
    assert store.read("b") == sample_vm("b")


def test_a_value_that_is_so_already_is_not_written_again(store: XenstoreStore, place: InMemory) -> None:
    fill(store)
    before = place.door.transactions
    fill(store)
    assert place.door.transactions == before


def test_what_the_daemon_says_is_told_with_what_was_attempted(store: XenstoreStore, place: InMemory) -> None:
    fill(store)
    place.door.failing = "the daemon is away"
    attempts: dict[str, tuple[Callable[..., object], *tuple[object, ...]]] = {
        "read the metadata in": (store.read, "v1"),
        "write the metadata in": (store.write, sample_vm(name="new")),
        "remove VM v1": (store.remove, "v1"),
        "rename VM v1 to v2": (store.rename, "v1", "v2"),
        "list the metadata in": (store.ids,),
        f"list the metadata in {ROOT}/VM/{bucket_of('v1')}/v1": (store.devices, "v1"),
        "remove the metadata in": (store.vbds.remove, DeviceId("v1", "xvda")),
    }
    for attempt, (call, *arguments) in attempts.items():
        error = refusal(call, *arguments)
        assert isinstance(error, InternalError)
        assert error.message.startswith(f"Cannot {attempt}")
        assert error.message.endswith(": the daemon is away")
    assert "the daemon is away" in str(refusal(place.open))
    place.door.failing = None
    assert store.read("v1") == sample_vm()


def test_a_daemon_started_anew_has_forgotten_all_and_takes_all_again(
    store: XenstoreStore, place: InMemory
) -> None:
    fill(store)
    place.door.edit("/xenops", None)
    assert store.ids() == ()
    assert store.list() == ()
    assert not store.exists("v1")
    fill(store)
    assert len(store.devices("v1").vbds) == 2


def test_a_directory_without_a_config_is_no_vm(store: XenstoreStore, place: InMemory) -> None:
    place.door.edit(f"{ROOT}/VM/00/stray/vbd-xvda", b"{}")
    assert store.ids() == ()
    assert store.list() == ()


def test_a_vm_of_another_name_in_the_way_of_a_new_id_is_refused_unchanged(store: XenstoreStore) -> None:
    fill(store)
    error = refusal(store.rename, "v1", "a/b")
    assert isinstance(error, InternalError)
    assert store.ids() == ("v1",)
