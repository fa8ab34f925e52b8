"""Golden checks: what the files of a directory of samples say must come out of this encoding."""

import json as plain_json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from schema import rpc
from schema.fault import XenopsError
from schema.golden_types import TYPES
from schema.wire import json, xmlrpc
from schema.wire.codec import decode_text, encode_text, to_rpc
from schema.wire.errors import JsonError
from schema.wire.value import text_of

Produce = Callable[[], str]


@dataclass(frozen=True, slots=True)
class Check:
    """What is checked, what must come out, and what makes it."""

    name: str
    expected: str
    produce: Produce


def checks(directory: Path) -> Iterator[Check]:
    """All checks that the files of a directory call for."""
    for path in sorted((directory / "types").glob("*.json")):
        yield from _file_checks(path, _type_checks)
    for name, make in (
        ("methods.json", _methods_checks),
        ("failures.json", _failure_checks),
        ("scalars.json", _scalar_checks),
    ):
        if (directory / name).exists():
            yield from _file_checks(directory / name, make)
    for path in sorted((directory / "wire").glob("*.json")):
        handwritten = path.name.startswith("raw_")
        yield from _file_checks(path, _handwritten_checks if handwritten else _exchange_checks)


def _file_checks(path: Path, make: Callable[[Any], Iterator[Check]]) -> Iterator[Check]:
    """The checks of one file; if it cannot be understood, one that fails and says why."""
    try:
        yield from make(plain_json.loads(path.read_text("utf-8", errors="surrogateescape")))
    except (LookupError, TypeError, ValueError, AttributeError) as error:
        yield Check(f"{path.name} is not laid out as the samples are", "", _always(repr(error)))


def _always(text: str) -> Produce:
    return lambda: text


def _rewriting(type_name: str, text: str) -> Produce:
    return lambda: encode_text(TYPES[type_name], decode_text(TYPES[type_name], text))


def _as_xml(type_name: str, text: str) -> Produce:
    """What is read from JSON, written as XML-RPC."""
    type_ = TYPES[type_name]
    return lambda: xmlrpc.encode_value(to_rpc(type_, decode_text(type_, text)))


def _type_checks(golden: Any) -> Iterator[Check]:
    name = golden["type"]
    for number, sample in enumerate(golden["samples"]):
        rewriting = _rewriting(name, sample["wire"])
        yield Check(f"{name} sample {number}", sample["wire"], rewriting)
        if "xml" in sample:
            yield Check(f"{name} sample {number} as XML", sample["xml"], _as_xml(name, sample["wire"]))
        if "reparsed" in sample:
            yield Check(f"{name} sample {number} reparsed", _expected(sample["reparsed"]), rewriting)
    for case in golden["unmarshal"]:
        title = f"{name} {case['what']}: {case['in']}"
        yield Check(title, _expected(case["out"]), _rewriting(name, case["in"]))


def _expected(outcome: dict[str, str]) -> str:
    (kind, text) = next(iter(outcome.items()))
    return text if kind == "ok" else f"{kind}: {text}"


def _methods_checks(golden: Any) -> Iterator[Check]:
    for method in golden:
        name = method["wire_name"]
        for request in method["requests"]:
            yield Check(f"{name} request", request, _rewriting_request(request))
        for response in (*method["result"]["responses"], *method.get("responses", ())):
            yield Check(f"{name} response", response, _rewriting_response(name, response))


def _rewriting_request(request: str) -> Produce:
    def rewrite() -> str:
        call = rpc.decode_request(_bytes(request))
        number = json.loads(request).get("id")
        return _text(rpc.encode_request(call.method, request_id=number, **call.params))

    return rewrite


def _rewriting_response(method: str, response: str) -> Produce:
    def rewrite() -> str:
        try:
            return _text(rpc.encode_result(method, rpc.decode_response(method, _bytes(response))))
        except XenopsError as error:
            return _text(rpc.encode_failure(error.error))

    return rewrite


def _failure_checks(golden: Any) -> Iterator[Check]:
    for case in golden["jsonrpc_v1"]:
        title = f"error {case['error']}"
        yield Check(
            f"{title}, as a response", case["response"], _rewriting_response("VM.start", case["response"])
        )
        yield Check(title, case["error"], _rewriting("Errors.error", case["error"]))
    yield from _envelope_checks(golden)


def _envelope_checks(golden: Any) -> Iterator[Check]:
    """Texts that stand for themselves: read and written again they are the same."""
    for name, text in golden.items():
        if isinstance(text, str):
            yield Check(name, text, _rereading(text))


def _exchange_checks(golden: Any) -> Iterator[Check]:
    """Requests of the original's client, and their responses: both are written again as they were."""
    for request, response in _exchanges(golden):
        yield Check(f"request {request}", request, _rewriting_request(request))
        yield _response_check(request, response)


def _handwritten_checks(golden: Any) -> Iterator[Check]:
    """Requests that no client writes: refused in the same words, or understood all the same."""
    for request, response in _exchanges(golden):
        yield _response_check(request, response)


def _exchanges(golden: Any) -> Iterator[tuple[str, str]]:
    """The JSON-RPC exchanges; other protocols' samples are no such lists."""
    for exchange in golden if isinstance(golden, list) else ():
        if {"request", "response"} <= exchange.keys():
            yield exchange["request"], exchange["response"]


def _response_check(request: str, response: str) -> Check:
    def answer() -> str:
        try:
            method = rpc.decode_request(_bytes(request)).method
        except rpc.BadRequestError as refusal:
            return _text(refusal.answer)
        if _is_refusal(response):
            return "understood"
        return _rewriting_response(method, response)()

    return Check(f"response to {request}", response, answer)


def _is_refusal(response: str) -> bool:
    """Whether a response can only mean that the request was not understood."""
    return not response.startswith("{") or "Idl.MarshalError" in response


def _scalar_checks(golden: Any) -> Iterator[Check]:
    for case in golden["floats"]:
        yield Check(f"float {case['repr']}", case["wire"], _writing_float(case["repr"]))
    for case in golden["strings"]:
        raw = bytes.fromhex(case["bytes_hex"])
        yield Check(f"string {case['bytes_hex']}", case["wire_hex"], _writing_string(raw))
        yield Check(f"string {case['wire_hex']}, read", case["bytes_hex"], _reading_string(case["wire_hex"]))
    for digits in golden["ints"]:
        yield Check(f"int {digits}", digits, _rereading(digits))
    yield from _envelope_checks(golden)
    for case in golden["parse"]:
        yield Check(f"parse {case['in']!r}", case["out"], _parsing(case["in"]))


def _writing_float(hexadecimal: str) -> Produce:
    return lambda: json.dumps(float.fromhex(hexadecimal))


def _writing_string(raw: bytes) -> Produce:
    return lambda: _bytes(json.dumps(_text(raw))).hex()


def _reading_string(wire_hex: str) -> Produce:
    return lambda: _bytes(json.loads(_text(bytes.fromhex(wire_hex)))).hex()


def _rereading(text: str) -> Produce:
    return lambda: json.dumps(json.loads(text))


def _parsing(text: str) -> Produce:
    """A wire value as the original's printer shows it, or the exception in its words."""

    def parse() -> str:
        try:
            return text_of(json.loads(text))
        except JsonError as error:
            return f"EXN {error}"

    return parse


def _text(raw: bytes) -> str:
    return raw.decode("utf-8", "surrogateescape")


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")
