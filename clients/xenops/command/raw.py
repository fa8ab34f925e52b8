"""Raw calls: any method of the interface by its wire name, its parameters as JSON."""

from collections.abc import Sequence
from typing import Any, get_args

from schema.methods import Method
from schema.own_methods import ALL_METHODS
from schema.wire import json
from schema.wire.codec import decode_text, to_rpc
from schema.wire.errors import JsonError, MarshalError

from xenops.client import Client

_GIVEN_BY_US = frozenset({"debug_info", "dbg"})


class CallError(Exception):
    """The command line names no method, or not its parameters; the sentence says what would do."""


def call(client: Client, name: str, given: Sequence[str]) -> Any:
    """Perform a method with parameters as `name=value`; answers the result as a wire value.

    Raises:
        CallError: there is no such method, or its parameters are others.
    """
    method = _method(name)
    params = dict(_parameter(method, one) for one in given)
    missing = [
        key for key, type_ in _parameters(method).items() if key not in params and not _may_miss(type_)
    ]
    if missing:
        raise CallError(f"{name} needs {_words(missing)} as well")
    unsaid = {key: None for key in _parameters(method) if key not in params}
    return to_rpc(method.result, client.call(name, **unsaid, **params))


def usage_of(name: str) -> str:
    """A method with its parameters, as it is called."""
    return " ".join(
        [name, *(f"{key}=..." for key, type_ in _parameters(ALL_METHODS[name]).items() if type_ is not None)]
    )


def _method(name: str) -> Method:
    if name not in ALL_METHODS:
        close = [known for known in ALL_METHODS if known.lower() == name.lower()]
        remedy = f"did you mean {close[0]}" if close else "`xenops call --list` shows them all"
        raise CallError(f"there is no method {name}: {remedy}")
    return ALL_METHODS[name]


def _parameters(method: Method) -> dict[str, Any]:
    return {key: type_ for key, type_ in method.parameters if key not in _GIVEN_BY_US}


def _may_miss(type_: Any) -> bool:
    return type_ is None or type(None) in get_args(type_)


def _content(type_: Any) -> Any:
    """What an optional parameter is when it is given."""
    others = [one for one in get_args(type_) if one is not type(None)]
    return others[0] if _may_miss(type_) and others else type_


def _parameter(method: Method, given: str) -> tuple[str, Any]:
    key, equals, text = given.partition("=")
    types = _parameters(method)
    if not equals or key not in types:
        raise CallError(f"{method.name} takes {_words(list(types))}, each as name=value, not {given!r}")
    type_ = _content(types[key])
    if type_ is str:
        return key, text
    try:
        return key, decode_text(type_, text)
    except (JsonError, MarshalError) as error:
        if not _is_json(text):  # a word is a text: `id=web1`, `features=...`
            try:
                return key, decode_text(type_, json.dumps(text))
            except MarshalError:
                pass
        raise CallError(f"{method.name}: {key} cannot be {text!r}: {error}") from error


def _is_json(text: str) -> bool:
    try:
        json.loads(text)
    except JsonError:
        return False
    return True


def _words(names: list[str]) -> str:
    return ", ".join(names) or "no parameters"
