"""RPC: requests and answers as bytes, exactly as the original reads and writes them.

JSON-RPC: all parameters named, in one object; answers always of version 1 with id 0, whatever was asked.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from itertools import count
from typing import Any

from schema.again import is_id
from schema.fault import XenopsError
from schema.methods import Method
from schema.objects.errors import (
    Error,
    InternalError,
    ObserverError,
    ObserverInternalError,
    ObserverUnimplemented,
    ObserverUnknownError,
)
from schema.own_methods import ALL_METHODS
from schema.wire import json
from schema.wire.codec import encode_text, from_rpc
from schema.wire.errors import AbstractError, JsonError, MarshalError, UnsupportedJsonError
from schema.wire.scalars import quoted
from schema.wire.shape import Optional, shape_of
from schema.wire.value import Dict

REQUEST_BYTES_MAX = 16 * 1024 * 1024
"""A larger request is an accident or an attack; every door refuses it."""

_FAILURES = (b'{"result":null,"error":[', b'{"result":null,"error":"')
_OBSERVER = "Observer."
_POSITIONAL = ("query", "VM.import_metadata")
"""Methods whose parameters may stand without names: older hosts call these so before a migration."""

_OBSERVER_ERRORS = (ObserverInternalError, ObserverUnimplemented, ObserverUnknownError)


@dataclass(frozen=True, slots=True)
class Call:
    """A request that was understood: parameters by name, each of the type that the method declares.

    `once`: its id, if it is to be done once however often it comes (`schema.again`).
    """

    method: str
    params: Mapping[str, Any]
    once: str | None = None

    @property
    def debug_info(self) -> str:
        """What the client calls its work, for logs and tasks."""
        return str(self.params.get("debug_info") or self.params.get("dbg") or "")


class BadRequestError(Exception):
    """A request that cannot be performed; `answer` is what its sender is told, byte for byte."""

    def __init__(self, answer: bytes) -> None:
        super().__init__(_text(answer))
        self.answer = answer


class ResponseError(Exception):
    """An answer that is none: the other side did not understand us, or is no xenops."""


def decode_request(body: bytes) -> Call:
    """What a request asks for.

    Raises:
        BadRequestError: it is malformed, or names no method, or its parameters are wrong.
    """
    name, params, id_ = _envelope(body)
    method = ALL_METHODS.get(name)
    if method is None:
        raise BadRequestError(_bytes(f"Idl.UnknownMethod({quoted(name)})"))
    try:
        return Call(name, _arguments(method, params), id_ if is_id(id_) else None)
    except AbstractError as error:
        raise _bad_arguments(name, f"Failure({quoted(str(error))})") from error
    except MarshalError as error:
        raise _bad_arguments(name, f"Idl.MarshalError({quoted(str(error))})") from error


def _bad_arguments(method: str, sentence: str) -> BadRequestError:
    error = ObserverInternalError if method.startswith(_OBSERVER) else InternalError
    return BadRequestError(encode_failure(error(message=sentence)))


def _envelope(body: bytes) -> tuple[str, list[Any], Any]:
    """The method's name, the positional parameters, of which we expect one object, and the request's id."""
    try:
        request = json.loads(_text(body))
    except UnsupportedJsonError as error:
        raise _malformed(f"Unable to parse {error.json}") from error
    except JsonError as error:
        raise BadRequestError(_bytes(str(error))) from error
    if not isinstance(request, Dict):
        raise _malformed("Invalid request body")
    name = _required(request, "method")
    if not isinstance(name, str):
        raise _malformed("Invalid field 'method' in request body")
    params = _params(request)
    id_ = request.get("id")
    if type(id_) not in (int, str):
        raise _malformed("Invalid field 'id' in request body")
    return name, params, id_


def _params(request: Dict) -> list[Any]:
    if "jsonrpc" not in request:
        params = _required(request, "params")
        if isinstance(params, list):
            return params
    elif request.get("jsonrpc") != "2.0":
        raise _malformed("Invalid field 'jsonrpc' in request body")
    else:
        params = request.get("params")
        if params is None:
            return []
        if isinstance(params, list):
            return params
        if isinstance(params, Dict):
            return [params]
    raise _malformed("Invalid field 'params' in request body")


def _required(request: Dict, field: str) -> Any:
    if field not in request:
        raise _malformed(f"Required field {field} is missing")
    return request.get(field)


def _malformed(sentence: str) -> BadRequestError:
    return BadRequestError(_bytes(f"Jsonrpc.Malformed_method_request({quoted(sentence)})"))


def _arguments(method: Method, params: list[Any]) -> dict[str, Any]:
    if method.name in _POSITIONAL and len(params) == 2 and isinstance(params[0], str):
        params = [Dict(zip((name for name, _ in method.parameters), params, strict=True))]
    if not params or not isinstance(params[0], Dict):
        raise MarshalError("Marshalling error: Expecting dict as first argument when named parameters exist")
    named = params[0]
    arguments: dict[str, Any] = {}
    for name, type_ in method.parameters:
        content, optional = _content(type_)
        if name in named:
            arguments[name] = from_rpc(content, named.get(name))
        elif optional:
            arguments[name] = None
        else:
            raise MarshalError(f"Expecting named argument '{name}'")
    return arguments


@cache
def _content(type_: Any) -> tuple[Any, bool]:
    """What a parameter is on the wire, and whether it may be left out: an option is bare there."""
    shape = shape_of(type_)
    return (shape.content, True) if isinstance(shape, Optional) else (type_, False)


def encode_result(method: str, value: Any) -> bytes:
    """The answer to a call that was performed."""
    return _answer(encode_text(ALL_METHODS[method].result, value), _NULL)


def encode_failure(error: Error | ObserverError) -> bytes:
    """The answer to a call that failed."""
    type_ = ObserverError if isinstance(error, _OBSERVER_ERRORS) else Error
    return _answer(_NULL, encode_text(type_, error))


def is_failure(answer: bytes) -> bool:
    """Whether an answer that was made here says that the call failed."""
    return not answer.startswith(b"{") or answer.startswith(_FAILURES)


def _answer(result: str, error: str) -> bytes:
    return _bytes(f'{{"result":{result},"error":{error},"id":0}}')


_NULL = "null"
_ids = count(1)


def encode_request(method: str, /, *, request_id: int | str | None = None, **params: Any) -> bytes:
    """A request as the original's client builds it; an option that is None is left out."""
    named = []
    for name, type_ in reversed(ALL_METHODS[method].parameters):
        content, optional = _content(type_)
        value = params[name]
        if not optional or value is not None:
            named.append(f'"{name}":{encode_text(content, value)}')
    number = next(_ids) if request_id is None else request_id
    return _bytes(f'{{"method":"{method}","params":[{{{",".join(named)}}}],"id":{json.dumps(number)}}}')


def decode_response(method: str, body: bytes) -> Any:
    """The result of a call, of the type that its method declares.

    Raises:
        XenopsError: the call failed.
        ResponseError: the answer is none.
    """
    try:
        answer = json.loads(_text(body))
    except JsonError as error:
        raise ResponseError(f"{method} was answered with words: {_text(body)}") from error
    if not isinstance(answer, Dict) or "result" not in answer or "error" not in answer:
        raise ResponseError(f"{method} was answered with no JSON-RPC response: {_text(body)}")
    failure = answer.get("error")
    try:
        if failure is None:
            return from_rpc(ALL_METHODS[method].result, answer.get("result"))
        error_type = ObserverError if method.startswith(_OBSERVER) else Error
        raise XenopsError(from_rpc(error_type, failure))
    except MarshalError as error:
        raise ResponseError(f"{method} was answered with a value that it cannot have: {error}") from error


def _text(body: bytes) -> str:
    return body.decode("utf-8", "surrogateescape")


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")


__all__ = [
    "BadRequestError",
    "Call",
    "ResponseError",
    "decode_request",
    "decode_response",
    "encode_failure",
    "encode_request",
    "encode_result",
    "is_failure",
]
