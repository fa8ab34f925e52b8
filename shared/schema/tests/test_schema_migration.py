import pytest
from schema.ids import VmId
from schema.migration import (
    Channel,
    ChannelOpening,
    arrived_id,
    arriving_id,
    arriving_of,
    channel_path,
    decode_cookies,
    departing_id,
    encode_cookies,
    encode_failure,
    encode_success,
    has_temporary_ids,
    message_length,
    read_path,
)

VM = VmId("5a5c9d47-0cd5-4aee-b3a4-6a1c0f3b8d2e")


def test_the_ids_of_a_migration_differ_in_the_last_part_of_the_uuid() -> None:
    assert departing_id(VM) == "5a5c9d47-0cd5-4aee-b3a4-000000000000"
    assert arriving_id(VM) == "5a5c9d47-0cd5-4aee-b3a4-000000000001"


def test_a_vm_that_bears_such_an_id_already_has_none() -> None:
    assert has_temporary_ids(VM)
    assert not has_temporary_ids(departing_id(VM))
    assert not has_temporary_ids(arriving_id(VM))


@pytest.mark.parametrize("channel", [Channel.CONTROL, Channel.MEMORY])
def test_a_channel_is_known_by_its_path(channel: Channel) -> None:
    path = "/services/xenops" + channel_path(channel, VM)
    assert path == f"/services/xenops/migrate/{channel.value}/{VM}"
    assert read_path(path) == ("/services/xenops", ChannelOpening(channel, VM))


def test_a_virtual_gpu_is_told_by_its_vm_and_its_name() -> None:
    path = "/i" + channel_path(Channel.VGPU, VmId("vm.1"), "vgpu0")
    assert path == "/i/migrate/vgpu/vm.1.vgpu0"
    assert read_path(path) == ("/i", ChannelOpening(Channel.VGPU, VmId("vm.1"), "vgpu0"))


def test_old_sources_are_known_by_their_paths() -> None:
    assert read_path(f"/services/xenops/memory/{VM}") == (
        "/services/xenops",
        ChannelOpening(Channel.CONTROL, VM, old=True),
    )
    found = read_path(f"/services/xenops/migrate-vgpu/{VM}.0")
    assert found == ("/services/xenops", ChannelOpening(Channel.VGPU, VM, "0", old=True))


@pytest.mark.parametrize("path", ["", "/", "/services", "/a/migrate/vm/", "/a/migrate/vm/b/c", "/a/vm/b"])
def test_other_paths_open_nothing(path: str) -> None:
    assert read_path(path) is None


def test_cookies_survive_the_way() -> None:
    cookies = {"final_id": VM, "dbg": "Async.VM.migrate R:1=2", "vgpu_migration": ""}
    assert decode_cookies([encode_cookies(cookies)]) == cookies


def test_what_would_end_a_cookie_early_is_a_blank() -> None:
    assert encode_cookies({"dbg": "a;b,c\r\nd"}) == "dbg=a b c  d"


def test_cookies_are_read_as_xapi_writes_them() -> None:
    assert decode_cookies(["$Version=1; a=1;\tb=2, c", "a=3"]) == {"a": "1", "b": "2", "c": ""}


def test_a_verdict_is_a_length_and_a_message() -> None:
    assert encode_success() == b"\0\0"
    assert encode_failure("no") == b"\0\2no"
    assert message_length(b"\1\2") == 0x0102


def test_a_failure_is_never_taken_for_a_success_nor_longer_than_can_be_told() -> None:
    assert message_length(encode_failure("")[:2]) > 0
    long = encode_failure("x" * 100_000)
    assert message_length(long[:2]) == len(long) - 2 == 0xFFFF


def test_the_arrived_id_of_a_vm_leads_to_its_arriving_one() -> None:
    vm = VmId("2c1b7e0a-9d1c-4f0a-8d3e-0123456789ab")
    assert arriving_of(arrived_id(vm)) == arriving_id(vm)
    assert arriving_of(vm) is None
    assert len({vm, arrived_id(vm), arriving_id(vm), departing_id(vm)}) == 4
