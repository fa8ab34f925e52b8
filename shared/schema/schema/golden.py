"""Golden: checks a directory of the original's own samples against this encoding.

`python -m schema.golden DIR` prints what differs and ends with `N passed, M failed`.
"""

import json as plain_json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from schema import rpc
from schema.fault import XenopsError
from schema.golden_types import TYPES
from schema.wire import json
from schema.wire.codec import decode_text, encode_text
from schema.wire.errors import AbstractError, JsonError, MarshalError
from schema.wire.value import text_of

SHOWN = 20
"""Failures that are printed; the count is of all."""

Check = tuple[str, str, Callable[[], str]]
"""What is checked, what must come out, and what makes it."""


def main(arguments: list[str]) -> int:
    """Check the directory named by the only argument; answers 1 if anything differs."""
    if len(arguments) != 1 or not Path(arguments[0]).is_dir():
        _say("usage: python -m schema.golden DIR   (a directory with types/, methods.json, ...)")
        return 2
    passed, failures = run(Path(arguments[0]))
    for failure in failures[:SHOWN]:
        _say(failure)
    if len(failures) > SHOWN:
        _say(f"... and {len(failures) - SHOWN} more")
    _say(f"{passed} passed, {len(failures)} failed")
    return 1 if failures or not passed else 0


def _say(line: str) -> None:
    sys.stdout.write(line + "\n")


def run(directory: Path) -> tuple[int, list[str]]:
    """Every check of a directory: how many passed, and in words which did not."""
    passed = 0
    failures = []
    for name, expected, produce in checks(directory):
        found = _outcome(produce)
        if found == expected:
            passed += 1
        else:
            failures.append(f"{name}\n  expected {expected[:300]}\n  found    {found[:300]}")
    return passed, failures


def _outcome(produce: Callable[[], str]) -> str:
    """What a check produced; any failure is a result like another."""
    try:
        return produce()
    except AbstractError as error:
        return f"exception: Failure({plain_json.dumps(str(error), ensure_ascii=False)})"
    except MarshalError as error:
        return f"error: {error}"
    except (JsonError, rpc.ResponseError, XenopsError, LookupError, TypeError, ValueError) as error:
        return f"{type(error).__name__}: {error}"


def checks(directory: Path) -> Iterator[Check]:
    """All checks that the files of a directory call for."""
    for path in sorted((directory / "types").glob("*.json")):
        yield from _type_checks(_load(path))
    yield from _if_there(directory / "methods.json", _method_checks)
    yield from _if_there(directory / "failures.json", _failure_checks)
    yield from _if_there(directory / "scalars.json", _scalar_checks)
    for path in sorted((directory / "wire").glob("*.json")):
        exchanges = _load(path)
        if isinstance(exchanges, list):
            yield from _exchange_checks(path.stem, exchanges)


def _if_there(path: Path, make: Callable[[Any], Iterator[Check]]) -> Iterator[Check]:
    if path.exists():
        yield from make(_load(path))


def _load(path: Path) -> Any:
    return plain_json.loads(path.read_text(encoding="utf-8"))


def _type_checks(golden: Any) -> Iterator[Check]:
    name = golden["type"]

    def rewrite(text: str) -> Callable[[], str]:
        return lambda: encode_text(TYPES[name], decode_text(TYPES[name], text))

    for number, sample in enumerate(golden["samples"]):
        yield f"{name} sample {number}", sample["wire"], rewrite(sample["wire"])
        if "reparsed" in sample:
            yield f"{name} sample {number} reparsed", _expected(sample["reparsed"]), rewrite(sample["wire"])
    for case in golden["unmarshal"]:
        yield f"{name} {case['what']}: {case['in'][:200]}", _expected(case["out"]), rewrite(case["in"])


def _expected(outcome: dict[str, str]) -> str:
    (kind, text) = next(iter(outcome.items()))
    return text if kind == "ok" else f"{kind}: {text}"


def _method_checks(golden: Any) -> Iterator[Check]:
    for method in golden:
        name = method["wire_name"]
        for request in method["requests"]:
            yield f"{name} request", request, _rewrite_request(request)
        for response in method["result"]["responses"]:
            yield f"{name} response", response, _rewrite_response(name, response)


def _rewrite_request(request: str) -> Callable[[], str]:
    def rewrite() -> str:
        call = rpc.decode_request(request.encode())
        number = json.loads(request).get("id")
        return rpc.encode_request(call.method, request_id=number, **call.params).decode()

    return rewrite


def _rewrite_response(method: str, response: str) -> Callable[[], str]:
    def rewrite() -> str:
        try:
            return rpc.encode_result(method, rpc.decode_response(method, response.encode())).decode()
        except XenopsError as error:
            return rpc.encode_failure(error.error).decode()

    return rewrite


def _failure_checks(golden: Any) -> Iterator[Check]:
    for case in golden["jsonrpc_v1"]:
        yield f"failure {case['error']}", case["response"], _rewrite_response("VM.start", case["response"])
        yield f"error {case['error']}", case["error"], _rewrite_error(case["error"])


def _rewrite_error(text: str) -> Callable[[], str]:
    return lambda: encode_text(TYPES["Errors.error"], decode_text(TYPES["Errors.error"], text))


def _exchange_checks(name: str, exchanges: list[Any]) -> Iterator[Check]:
    """Good requests are rewritten as they are; refused ones must be refused in the same words."""
    for exchange in exchanges:
        if not {"request", "response"} <= exchange.keys():
            continue  # another protocol's samples (the message switch)
        request, response = exchange["request"], exchange["response"]
        if name.startswith("raw_"):
            yield from _raw_checks(name, request, response)
        else:
            method = json.loads(request).get("method")
            yield f"{name} request", request, _rewrite_request(request)
            yield f"{name} response", response, _rewrite_response(method, response)


def _raw_checks(name: str, request: str, response: str) -> Iterator[Check]:
    def refuse() -> str:
        try:
            rpc.decode_request(request.encode())
        except rpc.BadRequestError as error:
            return error.answer.decode()
        return "understood"

    refused = not response.startswith('{"result"') or "MarshalError" in response
    yield f"{name}: {request}", response if refused else "understood", refuse


def _scalar_checks(golden: Any) -> Iterator[Check]:
    for case in golden["floats"]:
        yield f"float {case['repr']}", case["wire"], _float_text(case["repr"])
    for case in golden["strings"]:
        text = bytes.fromhex(case["bytes_hex"]).decode("utf-8", "surrogateescape")
        yield f"string {case['bytes_hex']}", case["wire_hex"], _string_hex(text)
    for digits in golden["ints"]:
        yield f"int {digits}", digits, _reread(digits)
    for name, text in golden.items():
        if isinstance(text, str):
            yield f"scalar {name}", text, _reread(text)
    for case in golden["parse"]:
        yield f"parse {case['in']!r}", case["out"], _parse(case["in"])


def _float_text(hexadecimal: str) -> Callable[[], str]:
    return lambda: json.dumps(float.fromhex(hexadecimal))


def _string_hex(text: str) -> Callable[[], str]:
    return lambda: json.dumps(text).encode("utf-8", "surrogateescape").hex()


def _reread(text: str) -> Callable[[], str]:
    return lambda: json.dumps(json.loads(text))


def _parse(text: str) -> Callable[[], str]:
    """A wire value as the original's printer shows it, or the exception in its words."""

    def parse() -> str:
        try:
            return text_of(json.loads(text))
        except JsonError as error:
            return f"EXN {error}"

    return parse


if __name__ == "__main__":  # pragma: no cover  run as a program by a test
    sys.exit(main(sys.argv[1:]))
