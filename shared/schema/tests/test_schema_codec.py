import contextlib
from typing import Annotated, Any

import pytest
from pydantic import Field
from schema import rpc
from schema.fault import XenopsError, internal_error
from schema.methods import METHODS
from schema.objects.errors import BadPowerState, DoesNotExist, Error, InternalError
from schema.objects.vm import Console, ConsoleProtocol, PowerState, Vtpm
from schema.wire.codec import decode_text, encode_text, from_rpc, to_rpc
from schema.wire.errors import AbstractError, MarshalError
from schema.wire.printer import dumps
from schema.wire.shape import shape_of
from schema.wire.types import Arm, Assoc, CpuPolicy, DeviceId, Int32, Int64, Rpc, Struct, Uuid, wire_default
from schema.wire.value import NULL, Dict, text_of


def test_bytes_that_are_not_utf8_survive() -> None:
    body = b'{"method":"VM.exists","params":[{"id":"\xff","debug_info":"d"}],"id":1}'
    call = rpc.decode_request(body)
    assert rpc.encode_request("VM.exists", request_id=1, **call.params) == body


def bad(type_: Any, value: Any) -> str:
    with pytest.raises(MarshalError) as caught:
        from_rpc(type_, value)
    return str(caught.value)


@pytest.mark.parametrize(
    ("type_", "value", "words"),
    [
        (None, 1, "Expected unit, got 'I(1)'"),
        (bool, 1, "Expected bool, got 'I(1)'"),
        (float, "x", "Expected float, got string 'x'"),
        (float, None, "Expected float, got 'N'"),
        (str, 1.5, "Expected string, got 'F(1.5)'"),
        (Int64, True, "Expected int64, got 'B(true)'"),
        (Int32, "x", "Expected int32, got string 'x'"),
        (int | None, [1, 2], "Expecting an Enum value, got '[I(1);I(2)]'"),
        (tuple[int, ...], Dict(), "Expecting array"),
        (Assoc[str], [], "Unhandled"),
        (tuple[str, str], ["a"], "Too many items in a tuple!"),
        (tuple[str, str], Dict([("a", 1)]), "Expecting Rpc.Enum when unmarshalling a tuple"),
        (Uuid, "x", "typ_of_vm_uuid: not a valid UUID: x"),
        (PowerState, ["Running", 1], "Expected unit, got 'I(1)'"),
    ],
)
def test_a_value_of_another_type_is_refused_in_the_originals_words(
    type_: Any, value: Any, words: str
) -> None:
    assert bad(type_, value) == words


def test_of_several_bad_items_the_last_is_reported() -> None:
    assert bad(tuple[str, ...], [1, "a", 2]) == (
        "Failed to unmarshal array: Expected string, got 'I(2)' (when unmarshalling: I(2))"
    )


@pytest.mark.parametrize(
    ("type_", "rpc_value", "value"),
    [
        (float, "1.5", 1.5),
        (float, 2, 2.0),
        (Int64, 2**63 - 1, 2**63 - 1),
        (int, 2**62, -(2**62)),
        (int, "7", 7),
        (int | None, [], None),
        (int | None, [3], 3),
        (DeviceId, ["vm", "xvda"], DeviceId("vm", "xvda")),
        (Assoc[int], Dict([("b", 1), ("b", 2)]), (("b", 1), ("b", 2))),
        (PowerState, "RUNNING", PowerState.RUNNING),
    ],
)
def test_a_value_is_read_as_the_type_says(type_: Any, rpc_value: Any, value: Any) -> None:
    assert from_rpc(type_, rpc_value) == value


@pytest.mark.parametrize(
    ("type_", "value"),
    [
        (None, None),
        (str, '\x7f"\n日\udcff'),
        (float, 2),
        (float, float("nan")),
        (bool, False),
        (Int64, -(2**63)),
        (int | None, None),
        (int | None, 3),
        (tuple[int | None, ...], (None, 1)),
        (Assoc[tuple[str, ...]], (("b", ("x",)), ("b", ()))),
        (PowerState, PowerState.RUNNING),
        (Rpc, NULL),
        (Rpc, Dict([("a", [None, 1.0])])),
        (Console, Console(protocol=ConsoleProtocol.RFB, port=5900, path="")),
        (Error, BadPowerState(found=PowerState.PAUSED, expected=PowerState.HALTED)),
        (Error, InternalError(message="\udcff")),
    ],
)
def test_json_at_once_is_the_json_of_the_wire_value(type_: Any, value: Any) -> None:
    assert encode_text(type_, value) == dumps(to_rpc(type_, value))


def test_an_option_is_a_list_outside_of_records() -> None:
    assert to_rpc(int | None, None) == []
    assert to_rpc(int | None, 3) == [3]


def test_a_null_that_is_there_differs_from_none() -> None:
    assert from_rpc(Rpc, None) is NULL
    assert to_rpc(Rpc, NULL) is None
    assert repr(NULL) == "NULL"


def test_an_abstract_reader_that_gives_up_inside_a_list_is_not_reworded() -> None:
    with pytest.raises(AbstractError):
        from_rpc(tuple[CpuPolicy, ...], [1])


def test_an_arm_alone_is_a_variant() -> None:
    uuid = "fffb61de-d0cc-4c38-a744-cdd5d59e612a"
    assert encode_text(Vtpm, decode_text(Vtpm, f'["vtpm","{uuid.upper()}"]')) == f'["Vtpm","{uuid}"]'


class Homeless:
    pass


@pytest.mark.parametrize("annotation", [Homeless, int | str, list[int], Annotated[Homeless, "mark"]])
def test_a_type_without_wire_form_is_named(annotation: Any) -> None:
    with pytest.raises(TypeError):
        shape_of(annotation)


def test_a_dict_finds_its_first_key_and_says_what_it_holds() -> None:
    pairs = Dict([("a", 1), ("a", 2)])
    assert pairs.get("a") == 1
    assert "b" not in pairs
    assert repr(pairs) == "Dict([('a', 1), ('a', 2)])"
    assert hash(pairs) == hash(Dict([("a", 1), ("a", 2)]))
    assert text_of(pairs) == "{a:I(1);a:I(2)}"


def request(params: str, rest: str = '"id":1') -> bytes:
    return f'{{"method":"VM.exists","params":{params},{rest}}}'.encode()


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b"[]", "Invalid request body"),
        (b"{", "Yojson.Json_error"),
        (b'{"params":[],"id":1}', "Required field method is missing"),
        (b'{"method":1,"params":[],"id":1}', "Invalid field 'method'"),
        (b'{"method":"VM.exists","id":1}', "Required field params is missing"),
        (request("1"), "Invalid field 'params'"),
        (request("[]", '"id":null'), "Invalid field 'id'"),
        (request("1", '"jsonrpc":"2.0","id":1'), "Invalid field 'params'"),
        (request("[]", '"jsonrpc":"1.0","id":1'), "Invalid field 'jsonrpc'"),
        (request("null", '"jsonrpc":"2.0","id":1'), "Expecting dict as first argument"),
        (request("[1]", '"jsonrpc":"2.0","id":1'), "Expecting dict as first argument"),
        (request('[{"debug_info":"d","id":7}]'), "Expected string, got 'I(7)'"),
        (b'{"method":"VM.nonesuch","params":[],"id":1}', "Idl.UnknownMethod"),
    ],
)
def test_a_malformed_request_is_answered_with_what_is_wrong(body: bytes, words: str) -> None:
    with pytest.raises(rpc.BadRequestError) as caught:
        rpc.decode_request(body)
    assert words in caught.value.answer.decode()


def test_version_two_with_an_object_is_understood() -> None:
    call = rpc.decode_request(request('{"debug_info":"d","id":"x"}', '"jsonrpc":"2.0","id":"abc"'))
    assert (call.method, call.debug_info, call.params["id"]) == ("VM.exists", "d", "x")


def test_a_wrong_argument_of_an_observer_call_is_an_observer_error() -> None:
    with pytest.raises(rpc.BadRequestError) as caught:
        rpc.decode_request(b'{"method":"Observer.init","params":[{}],"id":1}')
    assert b'["Internal_error",' in caught.value.answer


def test_a_wrong_abstract_argument_is_a_failure_in_words() -> None:
    body = (
        b'{"method":"HOST.is_compatible","params":[{"debug_info":"","vm_policy":1,"host_policy":""}],"id":1}'
    )
    with pytest.raises(rpc.BadRequestError) as caught:
        rpc.decode_request(body)
    assert b"Failure(" in caught.value.answer


@pytest.mark.parametrize("body", [b"words", b"[]", b'{"result":7,"error":null,"id":0}'])
def test_an_answer_that_is_none_says_so(body: bytes) -> None:
    with pytest.raises(rpc.ResponseError, match=r"VM\.exists was answered"):
        rpc.decode_response("VM.exists", body)


@pytest.mark.parametrize(
    "error",
    [
        DoesNotExist(klass="VM", id="x/config"),
        BadPowerState(found=PowerState.RUNNING, expected=PowerState.HALTED),
        InternalError(message="no"),
    ],
)
def test_an_error_reaches_the_client_as_it_was_raised(error: Any) -> None:
    with pytest.raises(XenopsError) as caught:
        rpc.decode_response("VM.start", rpc.encode_failure(error))
    assert caught.value.error == error


def test_requests_are_numbered() -> None:
    first, second = (rpc.encode_request("Observer.init", dbg="d") for _ in range(2))
    assert first != second


def test_every_method_has_a_reader_and_a_writer() -> None:
    assert len(METHODS) == 105
    for method in METHODS.values():
        shape_of(method.result)
        for _, type_ in method.parameters:
            shape_of(type_)


def test_an_internal_error_carries_its_sentence() -> None:
    assert internal_error("why").error == InternalError(message="why")


def test_a_record_reads_keys_of_any_case_and_ignores_others() -> None:
    console = decode_text(Console, '{"PATH":"p","Port":1,"protocol":"rfb","more":2}')
    assert console == Console(protocol=ConsoleProtocol.RFB, port=1, path="p")


class Measured(Struct):
    """A struct of these tests: a validator beside the wire's markers, and an option of an abstract type."""

    size: Annotated[int, Field(ge=0)] = 0
    policy: CpuPolicy | None = None


def test_validators_beside_the_markers_say_nothing_of_the_wire() -> None:
    assert decode_text(Measured, '{"size":3}') == Measured(size=3)


def test_an_option_whose_abstract_reader_gives_up_is_none() -> None:
    assert decode_text(Measured, '{"size":3,"policy":7}') == Measured(size=3)


class Ruled(Struct):
    """A struct of these tests: an abstract field that has a default."""

    policy: CpuPolicy = wire_default("none")


def test_a_default_does_not_hide_an_abstract_reader_that_gives_up() -> None:
    with pytest.raises(AbstractError):
        decode_text(Ruled, '{"policy":7}')


def test_after_a_bad_item_an_abstract_reader_that_gives_up_is_still_not_reworded() -> None:
    with pytest.raises(AbstractError):
        from_rpc(tuple[tuple[int, CpuPolicy], ...], [["x", "y"], [1, 7]])


def test_a_request_in_yojsons_own_notation_is_named() -> None:
    with pytest.raises(rpc.BadRequestError) as caught:
        rpc.decode_request(b"(1,2)")
    assert caught.value.answer.startswith(b'Jsonrpc.Malformed_method_request("Unable to parse ')


@pytest.mark.parametrize(
    "argument", ['"delay":"0x1p99999"', '"delay":' + "[" * 600 + "]" * 600, '"delay":' + "9" * 5000]
)
def test_no_argument_however_extreme_stops_the_reader(argument: str) -> None:
    body = f'{{"method":"VM.delay","params":[{{"debug_info":"","id":"x",{argument}}}],"id":1}}'.encode()
    with contextlib.suppress(rpc.BadRequestError):
        assert rpc.decode_request(body).params["delay"] == float("inf")


def test_an_arm_of_no_union_stands_for_itself() -> None:
    class Lonely(Arm):
        kind: Any = "x"

    with pytest.raises(ValueError, match="unpack"):
        shape_of(Lonely)
