"""What is said to storage services, byte for byte, and what is made of their answers."""

import json
from typing import Any

import pytest
from engine.conformance.subject import refusal
from engine.hosted.machine import Source
from engine.hosted.storage.smapi import Attached, decode_answer, encode_call, source_of
from schema.objects.errors import DoesNotExist, InternalError, StorageBackendError

DEVICE = ["BlockDevice", {"path": "/dev/sm/backend/a/b"}]
FILE = ["File", {"path": "/run/sr-mount/a/b"}]
NBD = ["Nbd", {"uri": "nbd:unix:/run/blktap/nbd:exportname=a:exportname=b"}]
XEN = ["XenDisk", {"params": "/dev/x", "extra": {"k": "v"}, "backend_type": "vbd3"}]


EXTRA = (("k", "v"),)
OF_XEN = Source(path="/dev/x", format="raw", is_device=True, extra=EXTRA)


def answer(result: Any = None, error: Any = None) -> bytes:
    return json.dumps({"result": result, "error": error, "id": 3}).encode()


def found(*implementations: Any, takes_nbd: bool = True) -> Source:
    body = answer({"implementations": implementations})
    attached = decode_answer(Attached, "VDI.attach3 a/b", "a/b", body)
    assert isinstance(attached, Attached)
    return source_of(attached, "VDI.attach3 a/b", takes_nbd=takes_nbd)


def test_a_call_has_its_parameters_by_name() -> None:
    call = json.loads(encode_call("VDI.detach", {"dbg": "é", "rw": True}))
    assert call.pop("id") < json.loads(encode_call("VDI.detach", {}))["id"]
    assert call == {"method": "VDI.detach", "params": [{"dbg": "é", "rw": True}]}


@pytest.mark.parametrize(
    ("ways", "source"),
    [
        (
            (XEN, NBD, FILE, DEVICE),
            OF_XEN.model_copy(update={"path": "/dev/sm/backend/a/b"}),
        ),
        ((NBD, XEN, FILE), Source(path="/run/sr-mount/a/b", format="raw", extra=EXTRA)),
        ((XEN, NBD), Source(path="/run/blktap/nbd", format="raw", export="a:exportname=b", extra=EXTRA)),
        ((["Vhost", 1], XEN), OF_XEN),
    ],
)
def test_of_several_ways_qemus_best_is_taken(ways: tuple[Any, ...], source: Source) -> None:
    assert found(*ways) == source


@pytest.mark.parametrize(
    "way",
    [
        ["BlockDevice", {"path": "x"}],
        ["File", {"path": "../x"}],
        ["Nbd", {"uri": "nbd://host/x"}],
        ["Nbd", {"uri": "nbd:unix:relative:exportname=x"}],
        ["Nbd", {"uri": "nbd:unix:/s:x"}],
        ["XenDisk", {"params": "vhd:/x", "extra": {}, "backend_type": "qdisk"}],
    ],
)
def test_what_qemu_cannot_open_is_no_way(way: list[Any]) -> None:
    error = refusal(lambda: found(way))
    assert isinstance(error, InternalError)
    assert f"Cannot VDI.attach3 a/b: of the storage service's ways to it ({way[0]}) none" in error.message


def test_a_disk_without_words_for_xen_has_none() -> None:
    assert found(FILE) == Source(path="/run/sr-mount/a/b", format="raw")


def test_who_cannot_connect_to_a_server_is_not_sent_to_one() -> None:
    assert found(NBD, XEN, takes_nbd=False) == Source(
        path="/dev/x", format="raw", is_device=True, extra=EXTRA
    )
    error = refusal(lambda: found(NBD, takes_nbd=False))
    assert isinstance(error, InternalError)
    assert "(Nbd) none is a device or a file of this host" in error.message


def test_a_disk_without_a_way_is_told() -> None:
    assert "(none)" in str(refusal(found))


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (["Vdi_does_not_exist", "b"], DoesNotExist(klass="VDI", id="a/b")),
        (["Backend_error", ["SR_FULL", ["x", "y"]]], StorageBackendError(code="SR_FULL", args=("x", "y"))),
        (
            ["Backend_error_with_backtrace", ["SR_FULL", ["{}", "y"]]],
            StorageBackendError(code="SR_FULL", args=("y",)),
        ),
        (["Backend_error_with_backtrace", ["SR_FULL", []]], StorageBackendError(code="SR_FULL", args=())),
    ],
)
def test_errors_that_our_interface_has_are_told_as_such(error: Any, told: object) -> None:
    assert refusal(lambda: decode_answer(None, "VDI.detach a/b", "a/b", answer(error=error))) == told


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (answer(error=["Sr_not_attached", "a"]), "the storage service refuses: {"),
        (answer(error=["Illegal_transition", [["Detached"], "x"]]), "Illegal_transition"),
        (answer(error="Unknown_error"), "the storage service refuses"),
        (answer(error=5), "no answer to that"),
        (b"Idl.UnknownMethod", "no answer to that"),
        (b"\xff", "no answer to that"),
        (b"[]", "it has no result and no error"),
        (b"{}", "it has no result and no error"),
        (b'{"result":null}', "it has no result and no error"),
        (answer(result=5), "no answer to that"),
        (answer(result={"implementations": [["File", {}]]}), "no answer to that"),
    ],
)
def test_any_other_answer_is_told_in_its_own_words(body: bytes, words: str) -> None:
    error = refusal(lambda: decode_answer(Attached, "VDI.attach3 a/b", "a/b", body))
    assert isinstance(error, InternalError)
    assert error.message.startswith("Cannot VDI.attach3 a/b: ")
    assert words in error.message


def test_no_result_is_a_result() -> None:
    assert decode_answer(None, "VDI.detach a/b", "a/b", answer()) is None
